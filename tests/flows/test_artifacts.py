"""What the dashboard is told of runs; the pictures and tables themselves are tested beside this."""

import asyncio
import json
import shutil
import subprocess
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.artifacts import ProgressArtifact

from flows import artifacts
from flows.artifacts import report_text, show_sweep, showing_progress
from flows.naming import handle
from flows.watch import Watch
from stores.convert import convert
from stores.sweep import SweepReport

Run = Callable[..., subprocess.CompletedProcess[str]]
AT_ONCE = ["--minimum-age", "0", "--settle", "0", "--patience", "0", "--json"]


class Shown:
    """Takes the place of the server: what a progress artifact was told."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.told: list[tuple[float, str]] = []
        self.changed = asyncio.Event()
        monkeypatch.setattr(artifacts, "PROGRESS_SECONDS", 0.001)
        monkeypatch.setattr(ProgressArtifact, "acreate", self.create())
        monkeypatch.setattr(artifacts, "aupdate_progress_artifact", self.update)

    def create(self) -> Callable[[ProgressArtifact], Coroutine[Any, Any, Any]]:
        async def acreate(artifact: ProgressArtifact) -> Any:
            self._tell(artifact.progress, artifact.description or "")
            return artifact.model_copy(update={"id": uuid4()})

        return acreate

    async def update(self, artifact: UUID, progress: float, description: str) -> UUID:
        self._tell(progress, description)
        return artifact

    def _tell(self, progress: float, description: str) -> None:
        self.told.append((progress, description))
        self.changed.set()

    async def next(self) -> tuple[float, str]:
        async with asyncio.timeout(60):
            await self.changed.wait()
        self.changed.clear()
        return self.told[-1]


def test_progress_moves_with_the_windows_and_ends_at_all(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[tuple[float, str]]:
        shown, watch = Shown(monkeypatch), Watch()
        async with showing_progress(watch, 4 << 20):
            assert (await shown.next())[0] == 0
            for percent in (25, 50, 75):
                watch.done(1 << 20, 4 << 20)
                progress, words = await shown.next()
                assert progress == percent
                assert words.startswith(f"**{percent} %**")
                assert f"{percent * 4 / 100:.1f} MiB of 4.0 MiB" in words
        return shown.told

    told = asyncio.run(run())
    assert len(told) == 5, "what has not changed is not sent again"
    assert told[-1][0] == 100


def test_a_conversion_that_is_over_at_once_shows_no_progress(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[tuple[float, str]]:
        shown, watch = Shown(monkeypatch), Watch()
        monkeypatch.setattr(artifacts, "PROGRESS_SECONDS", 60)
        async with showing_progress(watch, 8):
            watch.done(8, 8)
            await asyncio.sleep(0)
        return shown.told

    assert asyncio.run(run()) == []


def test_progress_of_a_conversion_that_fails_stays_where_it_was(monkeypatch: pytest.MonkeyPatch) -> None:
    async def run() -> list[tuple[float, str]]:
        shown, watch = Shown(monkeypatch), Watch()
        watch.done(2, 8)

        async def fail() -> None:
            async with showing_progress(watch, 8):
                await shown.next()
                raise OSError("the disk")

        with pytest.raises(OSError, match="the disk"):
            await fail()
        return shown.told

    assert [progress for progress, _ in asyncio.run(run())] == [25]


@pytest.mark.parametrize("hangs", [False, True])
def test_a_dashboard_that_cannot_be_told_stops_nothing(monkeypatch: pytest.MonkeyPatch, *, hangs: bool) -> None:
    async def acreate(_: object) -> None:
        if hangs:
            await asyncio.Event().wait()
        raise httpx.ConnectError("nobody there")

    monkeypatch.setattr(artifacts.MarkdownArtifact, "acreate", acreate)
    monkeypatch.setattr(artifacts, "PATIENCE_SECONDS", 0.01)
    warned: list[str] = []
    monkeypatch.setattr(artifacts, "get_run_logger", lambda: _Log(warned))
    asyncio.run(show_sweep(Path("/landing"), SweepReport(notices=("a note",))))
    assert len(warned) == 1
    assert warned[0].startswith("not shown on the dashboard: ")


class _Log:
    def __init__(self, warned: list[str]) -> None:
        self._warned = warned

    def warning(self, message: str, *words: object) -> None:
        self._warned.append(message % words)


def test_a_report_tells_what_was_made_of_a_recording(recording: Path, tmp_path: Path) -> None:
    report = convert(recording, tmp_path / "movie.zarr")
    report = report.model_copy(update={"notices": ("started over: codec differs since the earlier run",)})
    text = report_text("monday/movie.raw", report, 2.0, "data:image/png;base64,AAAA")
    for fact in (
        "## monday/movie.raw is stored",
        "> **Note:** started over: codec differs since the earlier run",
        "](data:image/png;base64,AAAA)",
        "| axes and shape | t 300, y 32, x 64 |",
        "| data type | uint16 (in the recording \\<u2) |",
        "| sampling frequency | 30 Hz: 10 s in all |",
        "| pixel size | unknown |",
        "| pixel values | 0 to 65535, mean ",
        "| size | 1.2 MiB of pixels in ",
        "| throughput | 600.0 KiB/s, reading back included: 2 s |",
        "| verified | 1 of 1 windows: read back from the disk, and equal |",
        f"| recording | `{recording}` |",
        f"| store | `{tmp_path / 'movie.zarr'}` |",
        f"| content digest | `{report.metadata.content_digest}` (xxh3-128) |",
    ):
        assert fact in text, fact
    ratio = report.metadata.plan.total_bytes / report.stored_bytes
    assert f", {ratio:.2f} to 1 |" in text


def ask(api: str, kind: str, **body: Any) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api}/{kind}/filter", json=body, timeout=30).raise_for_status().json()
    found = answer["events"] if kind == "events" else answer
    assert isinstance(found, list)
    return found


@pytest.fixture
def landing(recording: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - it makes the files
    """A good recording, one whose bytes do not fit, and one that is refused only when it is converted."""
    landing = tmp_path / "landing"
    (landing / "one").mkdir(parents=True)
    for path in tmp_path.glob("movie.*"):
        shutil.copy(path, landing / "one")
    (landing / "bad.raw").write_bytes(bytes(5))
    shutil.copy(tmp_path / "movie.layout.json", landing / "bad.raw.layout.json")
    return landing


def events(api: str, about: list[Path]) -> dict[str, dict[str, Any]]:
    """The last event of each recording: the server records them some time after they happened."""
    ids = {f"zarrmill.recording.{handle(path)}": path.name for path in about}
    while True:  # ends by the test's own timeout
        found = ask(api, "events", filter={"resource": {"id": list(ids)}})
        by_name = {ids[event["resource"]["prefect.resource.id"]]: event for event in found}
        if len(by_name) == len(ids):
            assert len(found) == len(ids), "each once"
            return by_name
        time.sleep(0.1)


def test_a_sweep_leaves_reports_a_table_tags_and_events(
    zarrmill: Run, landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    good, bad = landing / "one" / "movie.raw", landing / "bad.raw"
    for _ in range(2):  # the second one refuses nothing anew, and so has no event
        told = zarrmill("ingest", landing, tmp_path / "archive", *AT_ONCE, PREFECT_API_URL=prefect_api)
    sweep = json.loads(told.stdout)["flow_run"]["id"]

    tables = ask(prefect_api, "artifacts", artifacts={"key": {"any_": [f"sweep-of-{handle(landing)}"]}})
    assert tables[0]["flow_run_id"] == sweep or tables[1]["flow_run_id"] == sweep
    assert all("**size-mismatch**" in table["data"] for table in tables)
    assert sorted("(as before)" in table["data"] for table in tables) == [False, True]

    (shown,) = ask(prefect_api, "artifacts", artifacts={"key": {"any_": [handle(good)]}})
    assert "## one/movie.raw is stored" in shown["data"]
    assert "](data:image/svg+xml," in shown["data"]
    assert len(shown["data"]) < 200_000
    (run,) = ask(prefect_api, "flow_runs", flow_runs={"id": {"any_": [shown["flow_run_id"]]}})
    assert run["tags"] == [handle(good)]
    while len(tasks := ask(prefect_api, "task_runs", flow_runs={"id": {"any_": [run["id"]]}})) < 3:
        time.sleep(0.1)  # recorded some time after they happened
    assert all(task["tags"] == [] for task in tasks), "each tag would cost every task a question to the server"

    told_of = events(prefect_api, [good, bad])
    stored, refused = told_of["movie.raw"], told_of["bad.raw"]
    assert stored["event"] == "zarrmill.recording.stored"
    assert stored["payload"]["target"] == str(tmp_path / "archive" / "one" / "movie.zarr")
    assert f"prefect.flow-run.{run['id']}" in [related["prefect.resource.id"] for related in stored["related"]]
    assert refused["event"] == "zarrmill.recording.refused"
    assert refused["payload"]["code"] == "size-mismatch"
    assert "found 5 bytes" in refused["payload"]["message"]
    assert any(related["prefect.resource.role"] == "flow-run" for related in refused["related"])


def test_a_conversion_that_was_asked_for_is_tagged_and_tells_its_refusal(
    zarrmill: Run, recording: Path, tmp_path: Path, prefect_api: str
) -> None:
    with recording.open("ab") as file:
        file.write(b"x")
    zarrmill("convert", recording, tmp_path / "m.zarr", PREFECT_API_URL=prefect_api)
    event = events(prefect_api, [recording])["movie.raw"]
    assert (event["event"], event["payload"]["code"]) == ("zarrmill.recording.refused", "size-mismatch")
    (run,) = ask(prefect_api, "flow_runs", flow_runs={"tags": {"all_": [handle(recording)]}})
    assert run["state_name"] == "Failed"
