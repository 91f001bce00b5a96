"""What the commands about an archive do: `ingest`, `status`, `audit`, `repair`.

Imports are inside the functions, as in `commands`: `status` answers without prefect.
"""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from flows.commands import NO_DASHBOARD, Answer, Usage
from flows.terminal import progress_bar, say, table

if TYPE_CHECKING:
    from flows.launch import LaunchedRun
    from flows.settings import IngestSettings
    from stores.sweep import SweepReport


def ingest(*, landing: Path, archive: Path, quiet: bool, **chosen: Any) -> Answer:
    """Sweep a landing folder once: by a flow run where a Prefect API is configured, else in this process."""
    from flows.settings import IngestSettings

    given = {name: value for name, value in chosen.items() if value is not None}
    try:
        settings = IngestSettings.model_validate({"landing": landing, "archive": archive, **given})
    except ValidationError as fault:
        problem = fault.errors()[0]
        name = str(problem["loc"][0]) if problem["loc"] else ""
        where = f"--{name.removesuffix('_seconds').replace('_', '-')} {problem['input']}: " if name else ""
        msg = f"{where}{problem['msg']}"
        raise Usage(msg) from None
    if not os.environ.get("PREFECT_API_URL"):
        if not quiet:
            say(NO_DASHBOARD)
        return _swept(_sweep_here(settings, quiet=quiet), None)
    from flows.launch import launch_ingest

    def announce(run: "LaunchedRun") -> None:
        if not quiet and run.address is not None:
            say(f"flow run {run.name}: {run.address}")

    return _swept(*launch_ingest(settings, announce=announce))


def _sweep_here(settings: "IngestSettings", *, quiet: bool) -> "SweepReport":
    import asyncio
    import signal

    from extractors.errors import TargetRefused
    from stores.convert import convert
    from stores.landing import scan_landing
    from stores.sweep import only_sweep, skipped, store_all

    async def store(recording: Path, target: Path) -> None:
        # In this thread, one at a time: Ctrl-C ends it between two windows, and each uses every core by itself.
        with progress_bar(recording.name, quiet=quiet) as progress:
            convert(recording, target, settings.options, progress=progress)

    # Unless it finds a handler that it does not know, asyncio keeps Ctrl-C from the code that it runs.
    signal.signal(signal.SIGINT, _interrupt)
    try:
        with only_sweep(settings.archive):
            scan = scan_landing(settings.landing, settings.archive, settings.completeness)
            return asyncio.run(store_all(scan, settings.archive, store, at_a_time=1))
    except TargetRefused as fault:
        return skipped(fault)


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt("interrupted; what is finished is kept: the same command goes on from there")


def _swept(report: "SweepReport", run: "LaunchedRun | None") -> Answer:
    lines = [f"stored   {stored.recording} -> {stored.target}" for stored in report.stored]
    lines += [f"refused  {problem.recording}: {problem.message}" for problem in report.refused]
    lines += [f"failed   {problem.recording}: {problem.message}" for problem in report.failed]
    lines += [f"waiting  {waiting.recording}: {waiting.reason}" for waiting in report.waiting]
    lines += [f"note     {notice}" for notice in report.notices]
    lines.append(report.summary)
    if run is not None:
        lines.append(f"flow run {run.address or run.name}")
    data = report.model_dump(mode="json") | {"flow_run": None if run is None else run._asdict()}
    # What an earlier sweep refused was told by that one.
    good = not (report.failed or report.unreachable or any(problem.new for problem in report.refused))
    return Answer(data, "\n".join(lines), good=good)


def status(*, archive: Path, quiet: bool) -> Answer:  # noqa: ARG001 - says nothing on the way
    """Tell what an archive holds, from its own files."""
    from stores.status import read_status

    found = read_status(archive)
    audited = f"{found.stored - found.never_audited} of {found.stored}"
    if found.oldest_audit is not None:
        audited += f"; the longest ago: {found.oldest_audit:%Y-%m-%d %H:%M} UTC"
    rows = {
        "archive": str(archive),
        "stored": str(found.stored),
        "refused": str(len(found.refused)),
        "in progress": str(len(found.in_progress)),
        "damaged": str(len(found.damaged)),
        "audited": audited,
        "sweep": found.sweep or "none is running",
    }
    lines = [table(rows)]
    lines += [f"refused  {recording}: {message}" for recording, message in found.refused.items()]
    for conversion in found.in_progress:
        how = "running" if conversion.running else "interrupted; the next sweep goes on"
        fault = "" if conversion.fault is None else f" ({conversion.fault})"
        windows = f"{conversion.windows_stored} of {conversion.windows} windows" if conversion.windows else "no window"
        lines.append(f"in progress  {conversion.recording}: {windows}, {how}{fault}")
    lines += [f"damaged  {finding}" for findings in found.damaged.values() for finding in findings]
    return Answer(found.model_dump(mode="json"), "\n".join(lines))


def audit(*, archive: Path, oldest: int | None, quiet: bool) -> Answer:
    """Read stores back, those first that were not for the longest time."""
    from stores.audit import audit_store, choose_stores, report_audit

    keys = choose_stores(archive, oldest)
    audited = []
    with progress_bar("audit", quiet=quiet) as progress:
        for key in keys:
            audited.append(audit_store(archive, key))
            if progress is not None:
                progress(len(audited), len(keys))
    report = report_audit(audited)
    lines = [
        f"[{finding.code}] {finding.path}: expected {finding.expected}; found {finding.found}"
        for store in report.damaged
        for finding in store.findings
    ]
    return Answer(report.model_dump(mode="json"), "\n".join([*lines, report.summary]), good=not report.damaged)


def repair(*, target: Path, source: Path | None, quiet: bool) -> Answer:  # noqa: ARG001 - says nothing on the way
    """Write the damaged windows of a store again."""
    from stores.repair import repair as repair_here

    repaired = repair_here(target, source)
    rows = {
        "store": repaired.target,
        "recording": repaired.source,
        "written again": ", ".join(f"window {window}" for window in repaired.windows)
        or "nothing: no window is damaged",
    }
    left = [f"[{finding.code}] {finding.path}: found {finding.found}; not repaired" for finding in repaired.left]
    return Answer(repaired.model_dump(mode="json"), "\n".join([table(rows), *left]), good=not left)
