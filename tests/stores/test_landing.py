"""What a look at a landing folder tells of each recording in it, and what the ledger keeps of that."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from stores import landing as module
from stores.convert import convert
from stores.landing import Completeness, Scan, scan_landing
from stores.ledger import Entry, Ledger

AT_ONCE = Completeness(minimum_age_seconds=0, settle_seconds=0, patience_seconds=0)
PATIENT = Completeness(minimum_age_seconds=60, settle_seconds=5, patience_seconds=3600)


class Rig:
    """A landing folder, an archive, and a clock that only goes on when somebody sleeps."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.landing = folder / "landing"
        self.archive = folder / "archive"
        self.landing.mkdir()
        self.archive.mkdir()
        self.ledger = Ledger(self.archive)
        self.ledger.make()
        self.now = time.time()
        self.slept: list[float] = []
        self.on_sleep: Callable[[], object] = lambda: None
        monkeypatch.setattr(module.time, "time", lambda: self.now)
        monkeypatch.setattr(module.time, "sleep", self._sleep)

    def _sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds
        self.on_sleep()

    def put(self, name: str, *, samples: int = 4, seed: int = 0, age: float = 1000, **layout: Any) -> Path:
        """Put a recording there, written `age` seconds ago."""
        path = self.landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(seed).integers(0, 4000, (samples, 6, 8)).astype("<u2")
        path.write_bytes(pixels.tobytes())
        fields = {"dtype": "<u2", "axes": "tyx", "rows": 6, "columns": 8, "sampling_frequency_hz": 30.0} | layout
        sidecar = path.with_name(f"{path.name}.layout.json")
        sidecar.write_text(json.dumps(fields))
        for file in (path, sidecar):
            os.utime(file, (self.now - age, self.now - age))
        return path

    def scan(self, completeness: Completeness = AT_ONCE) -> Scan:
        return scan_landing(self.landing, self.archive, completeness)

    def store(self, entry: Entry) -> None:
        """What a sweep does with a recording that is ready."""
        target = self.archive / entry.target
        target.parent.mkdir(parents=True, exist_ok=True)
        self.ledger.record(entry)
        convert(Path(entry.landing, entry.recording), target)
        self.ledger.record(entry.now("stored"))


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Rig:
    return Rig(tmp_path, monkeypatch)


def test_a_complete_recording_is_ready_and_its_store_lies_as_it_did(rig: Rig) -> None:
    rig.put("day/mouse.raw")
    (entry,) = rig.scan().ready
    assert (entry.recording, entry.target) == ("day/mouse.raw", "day/mouse.zarr")


def test_what_is_stored_is_known_without_opening_it(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.put("a.raw")
    rig.store(rig.scan().ready[0])
    monkeypatch.setattr("stores.candidate.open_recording", pytest.fail)
    monkeypatch.setattr("extractors.formats.layout_file.load_layout", pytest.fail)
    scan = rig.scan()
    assert scan.ready == ()
    assert scan.stored_before == 1


def test_a_first_look_is_followed_by_a_second_after_a_pause(rig: Rig) -> None:
    rig.put("a.raw")
    assert len(rig.scan(PATIENT).ready) == 1
    assert rig.slept == [5]


def test_a_recording_that_the_sweep_before_saw_needs_no_pause(rig: Rig) -> None:
    rig.put("a.raw", age=30)
    assert rig.scan(PATIENT).ready == ()
    rig.now += 60
    assert len(rig.scan(PATIENT).ready) == 1
    assert rig.slept == []


def test_a_recording_that_grows_between_two_looks_waits(rig: Rig) -> None:
    path = rig.put("a.raw")

    def grow() -> None:
        before = path.stat()
        path.write_bytes(path.read_bytes() + bytes(96))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))  # a copy that sets the time itself

    rig.on_sleep = grow
    scan = rig.scan(PATIENT)
    assert scan.ready == ()
    assert [waiting.recording for waiting in scan.waiting] == ["a.raw"]


def test_a_young_recording_waits_and_costs_no_pause(rig: Rig) -> None:
    rig.put("a.raw", age=1)
    scan = rig.scan(PATIENT)
    assert [waiting.recording for waiting in scan.waiting] == ["a.raw"]
    assert rig.slept == []


def test_a_recording_open_for_writing_waits_however_old_it_is(rig: Rig) -> None:
    with rig.put("a.raw").open("r+b"):
        scan = rig.scan()
        assert "open for writing" in scan.waiting[0].reason
    assert len(rig.scan().ready) == 1


def test_a_sentinel_marks_the_recordings_of_its_folder(rig: Rig) -> None:
    marked = Completeness(sentinel="COMPLETE")
    rig.put("one/a.raw", age=0)
    rig.put("two/a.raw", age=9999)
    (rig.landing / "one" / "COMPLETE").touch()
    scan = rig.scan(marked)
    assert [entry.recording for entry in scan.ready] == ["one/a.raw"]
    assert [waiting.reason for waiting in scan.waiting] == ["no COMPLETE beside it"]


def test_a_sentinel_can_carry_the_name_of_its_recording(rig: Rig) -> None:
    rig.put("a.raw")
    rig.put("b.raw")
    (rig.landing / "a.done").touch()
    assert [entry.recording for entry in rig.scan(Completeness(sentinel="{name}.done")).ready] == ["a.raw"]


def test_fewer_bytes_than_expected_are_waited_for_and_refused_when_nothing_comes(rig: Rig) -> None:
    path = rig.put("a.raw", samples=4)
    path.with_name("a.raw.layout.json").write_text(
        path.with_name("a.raw.layout.json").read_text().replace("{", '{"samples": 5, ')
    )
    os.utime(path.with_name("a.raw.layout.json"), (rig.now - 1000, rig.now - 1000))
    scan = rig.scan(PATIENT)
    assert "size-mismatch" in scan.waiting[0].reason
    rig.now += 3600
    (refused,) = rig.scan(PATIENT).refused
    assert refused.fault is not None
    assert refused.fault.code == "size-mismatch"


def test_a_refused_recording_is_not_tried_again_until_it_changes(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    path = rig.put("a.raw", colums=8)
    assert len(rig.scan().refused) == 1
    with monkeypatch.context() as closed:
        closed.setattr("stores.landing.judge", pytest.fail)
        scan = rig.scan()
        assert scan.refused == ()
        assert [entry.fault.code for entry in scan.refused_before if entry.fault] == ["layout-invalid"]
    rig.put("a.raw")
    scan = rig.scan()
    assert [entry.recording for entry in scan.ready] == [path.name]
    assert list(rig.ledger.entries()) == []


def test_a_missing_data_file_that_comes_later_ends_the_refusal(rig: Rig) -> None:
    rig.put("a_1.raw").with_name("a_1.raw.layout.json").rename(rig.landing / "a.layout.json")
    sidecar = rig.landing / "a.layout.json"
    sidecar.write_text(json.dumps(json.loads(sidecar.read_text()) | {"files": ["a_1.raw", "a_2.raw"]}))
    assert [entry.fault.code for entry in rig.scan().refused if entry.fault] == ["source-missing"]
    (rig.landing / "a_2.raw").write_bytes((rig.landing / "a_1.raw").read_bytes())
    assert [entry.target for entry in rig.scan().ready] == ["a.zarr"]


def test_an_unreadable_recording_waits_for_its_permission(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    rig.put("a.raw")
    real = os.open

    def refuse(path: Any, *arguments: Any, **named: Any) -> int:
        if str(path).endswith("a.raw"):
            raise PermissionError(13, "Permission denied", str(path))
        return real(path, *arguments, **named)

    with monkeypatch.context() as closed:
        closed.setattr(os, "open", refuse)
        assert "source-unreadable" in rig.scan().waiting[0].reason
    assert len(rig.scan().ready) == 1


def test_a_renamed_folder_is_known(rig: Rig) -> None:
    rig.put("before/a.raw")
    rig.store(rig.scan().ready[0])
    (rig.landing / "before").rename(rig.landing / "after")
    for _ in range(2):
        scan = rig.scan()
        assert (scan.ready, scan.stored_before) == ((), 1)
    (entry,) = rig.ledger.entries()
    assert (entry.recording, entry.target) == ("after/a.raw", "before/a.zarr")


def test_a_copy_in_another_place_is_a_recording_of_its_own(rig: Rig) -> None:
    rig.put("one/a.raw")
    rig.put("two/a.raw")
    for _ in range(2):
        (entry,) = rig.scan().ready
        rig.store(entry)
    scan = rig.scan()
    assert (scan.ready, scan.stored_before) == ((), 2)
    assert {entry.target for entry in rig.ledger.entries()} == {"one/a.zarr", "two/a.zarr"}


def test_a_file_replaced_under_the_same_name_is_refused_and_the_store_kept(rig: Rig) -> None:
    rig.put("a.raw", seed=0)
    rig.store(rig.scan().ready[0])
    before = (rig.archive / "a.zarr" / "zarr.json").read_bytes()
    rig.put("a.raw", seed=1, age=500)
    (refused,) = rig.scan().refused
    assert refused.fault is not None
    assert refused.fault.code == "target-exists"
    assert (rig.archive / "a.zarr" / "zarr.json").read_bytes() == before
    (rig.archive / "a.zarr").rename(rig.archive / "moved.zarr")
    assert [entry.target for entry in rig.scan().ready] == ["a.zarr"]


def test_a_store_published_by_a_sweep_that_then_died_is_recognised(rig: Rig) -> None:
    rig.put("a.raw")
    entry = rig.scan().ready[0]
    rig.store(entry)
    rig.ledger.record(entry)  # as if the sweep had died before it could say so
    leftover = rig.archive / "a.zarr.partial"
    leftover.mkdir()
    (leftover / "lock").touch()
    (leftover / "journal.jsonl").touch()
    scan = rig.scan()
    assert (scan.ready, scan.stored_before) == ((), 1)
    assert [entry.outcome for entry in rig.ledger.entries()] == ["stored"]
    assert not leftover.exists()


def test_it_is_recognised_after_its_folder_was_renamed(rig: Rig) -> None:
    rig.put("before/a.raw")
    entry = rig.scan().ready[0]
    rig.store(entry)
    rig.ledger.record(entry)
    (rig.landing / "before").rename(rig.landing / "after")
    scan = rig.scan()
    assert (scan.ready, scan.stored_before) == ((), 1)


def test_a_recording_whose_conversion_died_keeps_its_target_when_renamed(rig: Rig) -> None:
    rig.put("before/a.raw")
    rig.ledger.record(rig.scan().ready[0])
    (rig.landing / "before").rename(rig.landing / "after")
    (entry,) = rig.scan().ready
    assert (entry.recording, entry.target) == ("after/a.raw", "before/a.zarr")


def test_a_lost_ledger_is_made_again_from_the_stores(rig: Rig) -> None:
    rig.put("a.raw")
    entry = rig.scan().ready[0]
    rig.store(entry)
    rig.ledger.forget(entry)
    scan = rig.scan()
    assert (scan.ready, scan.stored_before) == ((), 1)
    assert [entry.outcome for entry in rig.ledger.entries()] == ["stored"]


def test_a_folder_that_vanished_is_told_and_nothing_is_forgotten(rig: Rig) -> None:
    rig.put("a.raw")
    rig.store(rig.scan().ready[0])
    rig.put("b.raw", age=1)
    rig.scan(PATIENT)
    state = {path: path.read_bytes() for path in rig.archive.rglob("*") if path.is_file()}
    away = rig.landing.rename(rig.landing.with_name("away"))
    assert rig.scan(PATIENT).unreachable is not None
    rig.landing.mkdir()  # an empty mount point
    assert "empty" in rig.scan(PATIENT).notices[0]
    assert state == {path: path.read_bytes() for path in rig.archive.rglob("*") if path.is_file()}
    rig.landing.rmdir()
    away.rename(rig.landing)
    assert rig.scan(PATIENT).stored_before == 1


def test_two_recordings_for_one_store_do_not_meet(rig: Rig) -> None:
    rig.put("a.raw")
    np.save(rig.landing / "a.npy", np.zeros((2, 3, 4)))
    rig.put("a.bin", seed=5)
    scan = rig.scan()
    assert [entry.recording for entry in scan.ready] == ["a.bin"]
    assert "a.raw" in [waiting.recording for waiting in scan.waiting]
    rig.store(scan.ready[0])
    assert "a.raw" in [entry.recording for entry in rig.scan().refused]


def test_no_sampling_frequency_is_refused_until_a_sidecar_gives_it(rig: Rig) -> None:
    np.save(rig.landing / "a.npy", np.ones((2, 6, 8), "<u2"))
    (refused,) = rig.scan().refused
    assert refused.fault is not None
    assert refused.fault.code == "sampling-frequency-unknown"
    fields = {"dtype": "<u2", "axes": "tyx", "rows": 6, "columns": 8, "offset_bytes": 128, "sampling_frequency_hz": 9.0}
    (rig.landing / "a.npy.layout.json").write_text(json.dumps(fields))
    assert [entry.recording for entry in rig.scan().ready] == ["a.npy"]


def test_a_refused_recording_that_was_deleted_is_forgotten(rig: Rig) -> None:
    rig.put("bad.raw", colums=8)
    rig.put("good.raw")
    assert len(rig.scan().refused) == 1
    for path in rig.landing.glob("bad.*"):
        path.unlink()
    rig.scan()
    assert list(rig.ledger.entries()) == []
