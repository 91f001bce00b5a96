"""Stores that are read back: which shard is damaged, and repaired from the recording."""

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
import zarr

from extractors.discovery import FileState
from extractors.errors import Code, InputRefused
from stores.audit import audit, choose_stores
from stores.convert import convert
from stores.ledger import Entry, Ledger
from stores.options import ConvertOptions
from stores.repair import repair
from stores.verify import verify_store

OPTIONS = ConvertOptions(chunk_bytes=96, shard_bytes=192, workers=1)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    """An archive of three stores, of four windows each."""
    archive = tmp_path / "archive"
    archive.mkdir()
    ledger = Ledger(archive)
    ledger.make()
    for number in range(3):
        path = tmp_path / f"r{number}.raw"
        path.write_bytes(np.random.default_rng(number).integers(0, 4000, (8, 6, 8)).astype("<u2").tobytes())
        layout = {"dtype": "<u2", "axes": "tyx", "rows": 6, "columns": 8, "sampling_frequency_hz": 30.0}
        path.with_name(f"{path.name}.layout.json").write_text(json.dumps(layout))
        convert(path, archive / f"r{number}.zarr", OPTIONS)
        ledger.record(
            Entry(
                key=f"{number:032x}",
                landing=str(tmp_path),
                recording=path.name,
                files={path.name: FileState(1, 2, 3)},
                target=f"r{number}.zarr",
                outcome="stored",
                recorded=datetime.now(UTC),
            )
        )
    return archive


def shard(store: Path, window: int) -> Path:
    return store / "0" / "c" / str(window) / "0" / "0"


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def test_whole_stores_have_no_findings(archive: Path) -> None:
    report = audit(archive)
    assert (report.stores, report.damaged) == (3, ())
    assert all(entry.audited is not None for entry in Ledger(archive).entries())


def test_a_flipped_bit_and_a_missing_shard_are_named(archive: Path) -> None:
    flip_a_bit(shard(archive / "r1.zarr", 0))
    shard(archive / "r1.zarr", 3).unlink()
    report = audit(archive)
    (damaged,) = report.damaged
    assert damaged.target == str(archive / "r1.zarr")
    assert [finding.path for finding in damaged.findings] == [
        str(shard(archive / "r1.zarr", window)) for window in (0, 3)
    ]
    assert {entry.target for entry in Ledger(archive).entries() if entry.damage} == {"r1.zarr"}


def test_a_store_that_is_gone_is_a_finding(archive: Path) -> None:
    (archive / "r0.zarr").rename(archive / "away")
    (gone,) = audit(archive).damaged
    assert gone.findings[0].code == Code.SOURCE_MISSING


def test_those_that_waited_longest_come_first(archive: Path) -> None:
    audited = []
    for _ in range(3):
        audited += choose_stores(archive, 1)
        audit(archive, 1)
    assert sorted(audited) == [f"{number:032x}" for number in range(3)]


def test_repair_writes_the_damaged_windows_only(archive: Path) -> None:
    store = archive / "r1.zarr"
    pixels = zarr.open_group(store, mode="r")["0"][:]  # type: ignore[index]
    flip_a_bit(shard(store, 0))
    shard(store, 3).unlink()
    untouched = [shard(store, window).stat() for window in (1, 2)]
    repaired = repair(store)
    assert (repaired.windows, repaired.left) == ((0, 3), ())
    assert verify_store(store).findings == ()
    assert np.array_equal(zarr.open_group(store, mode="r")["0"][:], pixels)  # type: ignore[index]
    assert [shard(store, window).stat() for window in (1, 2)] == untouched
    assert not (archive / "r1.zarr.partial").exists()


def test_repair_of_a_whole_store_writes_nothing(archive: Path) -> None:
    assert repair(archive / "r1.zarr").windows == ()


def test_repair_never_takes_other_pixels(archive: Path) -> None:
    store = archive / "r1.zarr"
    flip_a_bit(shard(store, 0))
    damaged = shard(store, 0).read_bytes()
    with pytest.raises(InputRefused) as refused:
        repair(store, archive.parent / "r2.raw")
    assert (refused.value.code, refused.value.path) == (Code.SOURCE_DIFFERS, str(archive.parent / "r2.raw"))
    assert shard(store, 0).read_bytes() == damaged


def test_repair_takes_the_recording_from_where_it_is_now(archive: Path) -> None:
    store = archive / "r1.zarr"
    flip_a_bit(shard(store, 2))
    moved = archive.parent / "moved"
    moved.mkdir()
    for path in archive.parent.glob("r1.raw*"):
        path.rename(moved / path.name)
    with pytest.raises(InputRefused):
        repair(store)
    assert repair(store, moved / "r1.raw").windows == (2,)
    assert verify_store(store).findings == ()
