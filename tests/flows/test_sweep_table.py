from pathlib import Path

from flows.naming import handle
from flows.sweep_table import ROWS, cell, sweep_text
from stores.candidate import Waiting
from stores.sweep import Problem, Stored, SweepReport

LANDING = Path("/data/landing")
REPORT = SweepReport(
    stored=(Stored(recording="one/movie.raw", target="/data/archive/one/movie.zarr"),),
    refused=(
        Problem(
            recording="bad.raw",
            code="size-mismatch",
            message="[size-mismatch] /data/landing/bad.raw: expected 10 bytes; found 9. Copy it again.",
        ),
        Problem(recording="old.raw", code="layout-invalid", message="[layout-invalid] no", new=False),
    ),
    failed=(Problem(recording="late.raw", code="no-space", message="[no-space] /data/archive: full."),),
    waiting=(Waiting(recording="young.raw", reason="it changed 3 s ago"),),
    stored_before=7,
    notices=("odd.raw cannot be used",),
)


def test_every_recording_is_in_the_table_with_its_reason() -> None:
    text = sweep_text(LANDING, REPORT)
    assert text is not None
    lines = text.splitlines()
    assert lines[0] == "## Sweep of landing"
    assert REPORT.summary in lines[1]
    assert "| `bad.raw` | **size-mismatch**<br>expected 10 bytes; found 9. Copy it again. |" in lines
    assert "| `old.raw` | **layout-invalid** (as before)<br>no |" in lines
    assert "| `late.raw` | **no-space**<br>/data/archive: full. |" in lines
    assert "| `young.raw` | it changed 3 s ago |" in lines
    assert "| `one/movie.raw` | `/data/archive/one/movie.zarr` |" in lines
    assert any("odd.raw cannot be used" in line for line in lines)


def test_what_somebody_has_to_do_something_about_comes_first() -> None:
    text = sweep_text(LANDING, REPORT)
    assert text is not None
    heads = [line.removeprefix("### ") for line in text.splitlines() if line.startswith("### ")]
    assert heads == ["Refused", "Failed", "Waiting", "Stored", "Notes"]


def test_a_sweep_with_nothing_to_tell_has_no_table() -> None:
    assert sweep_text(LANDING, SweepReport(stored_before=10_000)) is None


def test_a_long_table_is_cut_and_says_so() -> None:
    waiting = tuple(Waiting(recording=f"{number}.raw", reason="young") for number in range(1000))
    text = sweep_text(LANDING, SweepReport(waiting=waiting))
    assert text is not None
    assert text.count("young") == ROWS
    assert f"and {1000 - ROWS} more" in text


def test_names_do_not_break_out_of_their_cells() -> None:
    report = SweepReport(waiting=(Waiting(recording="a|b`c\nd.raw", reason="<b>|*x*|\n![y](z)"),))
    text = sweep_text(LANDING, report)
    assert text is not None
    assert text.splitlines()[-1] == r"| `a\|b'c d.raw` | \<b\>\|\*x\*\| !\[y\](z) |"
    assert cell("a_b") == r"a\_b"


def test_a_handle_is_an_artifact_key_that_tells_recordings_apart() -> None:
    paths = [
        Path("/a/movie.raw"),
        Path("/b/movie.raw"),
        Path("/x/a/movie.raw"),
        Path("/a/movie raw"),
        Path("/a/Movie.raw"),
        Path("/実験/動画"),
        Path(f"/a/{'long' * 60}.raw"),
    ]
    handles = [handle(path) for path in paths]
    assert len(set(handles)) == len(paths)
    for found in handles:
        assert found.replace("-", "").isalnum()
        assert found == found.lower()
        assert found.isascii()
        assert not found.startswith("-")
        assert len(found) < 80
    assert handles[0].startswith("a-movie-raw-")
    assert handle(Path("/a/movie.raw")) == handles[0]
