"""A sweep from end to end: every good recording is stored, and no other stops it."""

import asyncio
import json
from pathlib import Path

import numpy as np
import pytest

from extractors.errors import Code, StorageFailed, TargetRefused
from stores.convert import convert
from stores.landing import Completeness, scan_landing
from stores.ledger import Ledger
from stores.sweep import SweepReport, only_sweep, store_all
from stores.verify import verify_store

AT_ONCE = Completeness(minimum_age_seconds=0, settle_seconds=0, patience_seconds=0)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    """Four good recordings and a bad one."""
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(5):
        path = landing / f"r{number}.raw"
        path.write_bytes(np.random.default_rng(number).integers(0, 4000, (4, 6, 8)).astype("<u2").tobytes())
        layout = {"dtype": "<u2", "axes": "tyx", "rows": 6, "columns": 8, "sampling_frequency_hz": 30.0}
        if number == 2:
            layout["rows"] = 7
        path.with_name(f"{path.name}.layout.json").write_text(json.dumps(layout))
    return landing


class Converter:
    """Converts in a thread, and counts."""

    def __init__(self) -> None:
        self.recordings: list[str] = []
        self.at_work = self.most_at_work = 0
        self.faults: dict[str, Exception] = {}

    async def __call__(self, recording: Path, target: Path) -> None:
        self.recordings.append(recording.name)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            if recording.name in self.faults:
                raise self.faults[recording.name]
            await asyncio.to_thread(convert, recording, target)
        finally:
            self.at_work -= 1


def sweep(landing: Path, archive: Path, converter: Converter) -> SweepReport:
    with only_sweep(archive):
        return asyncio.run(store_all(scan_landing(landing, archive, AT_ONCE), archive, converter, at_a_time=2))


def test_every_good_recording_is_stored_once(landing: Path, tmp_path: Path) -> None:
    archive, converter = tmp_path / "archive", Converter()
    first = sweep(landing, archive, converter)
    assert [stored.recording for stored in first.stored] == ["r0.raw", "r1.raw", "r3.raw", "r4.raw"]
    assert [(problem.recording, problem.code) for problem in first.refused] == [("r2.raw", "size-mismatch")]
    assert converter.most_at_work == 2
    second = sweep(landing, archive, converter)
    assert (second.stored, second.stored_before) == ((), 4)
    assert [(problem.recording, problem.new) for problem in second.refused] == [("r2.raw", False)]
    assert len(converter.recordings) == 4
    for number in (0, 1, 3, 4):
        assert verify_store(archive / f"r{number}.zarr", source=landing / f"r{number}.raw").findings == ()
    assert not list(archive.glob("*.partial"))


@pytest.mark.parametrize(
    "fault",
    [
        RuntimeError("a bug"),
        StorageFailed(Code.STORAGE_FAILED, path="x", expected="a write", found="an error", todo="Wait."),
    ],
)
def test_what_fails_is_told_and_tried_again_by_the_next_sweep(landing: Path, tmp_path: Path, fault: Exception) -> None:
    archive, converter = tmp_path / "archive", Converter()
    converter.faults["r1.raw"] = fault
    first = sweep(landing, archive, converter)
    assert len(first.stored) == 3
    assert [problem.recording for problem in first.failed] == ["r1.raw"]
    converter.faults.clear()
    assert [stored.recording for stored in sweep(landing, archive, converter).stored] == ["r1.raw"]


def test_a_share_that_vanishes_in_the_middle_refuses_nothing(landing: Path, tmp_path: Path) -> None:
    archive, converter = tmp_path / "archive", Converter()
    away = tmp_path / "away"

    async def unplugged(recording: Path, target: Path) -> None:
        if len(converter.recordings) == 1:
            await asyncio.to_thread(landing.rename, away)
        await converter(recording, target)

    with only_sweep(archive):
        first = asyncio.run(store_all(scan_landing(landing, archive, AT_ONCE), archive, unplugged, at_a_time=1))
    assert (len(first.stored), len(first.failed), len(first.refused)) == (1, 3, 1)
    assert sweep(landing, archive, converter).unreachable is not None
    away.rename(landing)
    assert len(sweep(landing, archive, converter).stored) == 3
    assert len(list(Ledger(archive).entries())) == 5


def test_a_second_sweep_of_an_archive_does_not_start(landing: Path, tmp_path: Path) -> None:
    with only_sweep(tmp_path / "archive"), pytest.raises(TargetRefused) as refused:
        sweep(landing, tmp_path / "archive", Converter())
    assert refused.value.code == Code.TARGET_BUSY


def test_an_archive_on_a_disk_that_is_not_mounted_is_not_made(landing: Path, tmp_path: Path) -> None:
    with pytest.raises(TargetRefused):
        sweep(landing, tmp_path / "disk" / "archive", Converter())
    assert not (tmp_path / "disk").exists()
