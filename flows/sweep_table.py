"""The table of a sweep: what became of each recording in a landing folder, as Markdown.

Not Prefect's own table artifact: that keeps a cell on one line, and hides why a recording was refused behind a scroll
bar.
"""

from collections.abc import Sequence
from pathlib import Path

from stores.sweep import Problem, SweepReport

ROWS = 100
"""Of each part: artifacts are rows of the server's database, and come back in its listings."""

_MEANING = {
    "Refused": "Not tried again until they change.",
    "Failed": "Tried again by the next sweep.",
    "Waiting": "Looked at again by the next sweep.",
    "Stored": "Each was read back from the disk, and is equal.",
    "Notes": "",
}


def sweep_text(landing: Path, report: SweepReport) -> str | None:
    """Tell what a sweep found; those come first that somebody has to do something about. None if nothing did."""
    folder = f"{landing.absolute()}/"
    parts = {
        "Refused": [_problem(problem, folder) for problem in report.refused],
        "Failed": [_problem(problem, folder) for problem in report.failed],
        "Waiting": [(code(waiting.recording), cell(waiting.reason)) for waiting in report.waiting],
        "Stored": [(code(stored.recording), code(stored.target)) for stored in report.stored],
        "Notes": [(code(folder), cell(notice)) for notice in report.notices],
    }
    if not any(parts.values()):
        return None
    heads = {"Stored": "store", "Notes": "note"}
    lines = [f"## Sweep of {cell(landing.name)}", f"**{report.summary}**"]
    for name, rows in parts.items():
        if rows:
            lines += ["", f"### {name}", _MEANING[name], "", *_table(heads.get(name, "why"), rows)]
    return "\n".join(lines)


def _table(head: str, rows: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"| recording | {head} |", "|---|---|"]
    lines += [f"| {name} | {what} |" for name, what in rows[:ROWS]]
    if len(rows) > ROWS:
        lines.append(f"| and {len(rows) - ROWS} more | `zarrmill status ARCHIVE` tells all that are refused |")
    return lines


def _problem(problem: Problem, folder: str) -> tuple[str, str]:
    why = problem.message.removeprefix(f"[{problem.code}] ").replace(folder, "")
    why = why.removeprefix(f"{problem.recording}: ")
    return code(problem.recording), f"**{problem.code}**{'' if problem.new else ' (as before)'}<br>{cell(why)}"


def cell(text: str) -> str:
    """Give text that stays in its cell of a Markdown table, and is no Markdown itself."""
    return "".join(f"\\{sign}" if sign in "\\`*_[]<>|~" else sign for sign in " ".join(text.split()))


def code(text: str) -> str:
    """Give a path as it is, in a cell of a Markdown table."""
    plain = " ".join(text.split()).replace("`", "'").replace("|", "\\|")
    return f"`{plain}`"
