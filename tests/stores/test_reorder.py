"""Frame-last recordings that are larger than memory: every pixel goes through a copy in the order of time."""

from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import stores.reorder
from extractors.errors import Code, StorageFailed
from extractors.recording import open_recording
from stores.convert import convert, prepare, reorder
from stores.memory import available_bytes
from stores.options import ConvertOptions
from stores.staging import Staging
from stores.verify import verify_store
from stores.worker import Worker

MakeRecording = Any
OPTIONS = ConvertOptions(chunk_bytes=600, shard_bytes=5000)


@pytest.fixture(autouse=True)
def _little_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stores.reorder, "available_bytes", lambda: 100)
    monkeypatch.setattr(stores.reorder, "_BLOCK_BYTES", 2000)


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("tcyx") if order[0] != "t"])
def test_every_order_gives_the_recording(make_recording: MakeRecording, tmp_path: Path, axes: str) -> None:
    sizes = {"t": 37, "c": 2, "y": 6, "x": 9}
    source, _ = make_recording(axes=axes, sizes=tuple(sizes[axis] for axis in axes))
    report = convert(source, tmp_path / "movie.zarr", OPTIONS)
    assert "copied in the order of time" in report.notices[0]
    assert not verify_store(tmp_path / "movie.zarr", source=source).findings
    assert not (tmp_path / "movie.zarr.partial").exists()


def test_recordings_in_the_order_of_time_are_not_copied(make_recording: MakeRecording, tmp_path: Path) -> None:
    source, _ = make_recording(axes="tyx", sizes=(37, 6, 9))
    assert convert(source, tmp_path / "movie.zarr", OPTIONS).notices == ()


def test_where_memory_is_large_nothing_is_copied(
    make_recording: MakeRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.reorder, "available_bytes", available_bytes)
    source, _ = make_recording(axes="yxt", sizes=(6, 9, 37))
    assert convert(source, tmp_path / "movie.zarr", OPTIONS).notices == ()


def test_a_copy_that_the_disk_changed_is_refused_and_made_anew(make_recording: MakeRecording, tmp_path: Path) -> None:
    source, _ = make_recording(axes="yxt", sizes=(6, 9, 37))
    staging = Staging(tmp_path / "movie.zarr")
    with staging.locked():
        prepared = prepare(staging, source, OPTIONS)
        reorder(staging.target, range(prepared.blocks_to_reorder), 2)
        copy = staging.folder / "reordered.raw"
        copy.write_bytes(copy.read_bytes()[:-1] + b"?")
        with Worker(staging.target, print) as worker:
            done: list[int] = []
            with pytest.raises(StorageFailed) as refusal:
                worker.store([0, worker.plan.window_count - 1], done.append)
            assert done == [0]
    assert refusal.value.code == Code.STORAGE_FAILED
    assert refusal.value.path == str(copy)
    report = convert(source, staging.target, OPTIONS)
    assert any("copied in the order of time" in notice for notice in report.notices)
    assert not verify_store(staging.target, source=source).findings


def test_a_run_that_was_stopped_uses_the_copy_that_is_there(make_recording: MakeRecording, tmp_path: Path) -> None:
    source, _ = make_recording(axes="yxt", sizes=(6, 9, 37))
    staging = Staging(tmp_path / "movie.zarr")
    with staging.locked():
        prepared = prepare(staging, source, OPTIONS)
        reorder(staging.target, range(prepared.blocks_to_reorder), 2)
    report = convert(source, staging.target, OPTIONS)
    assert report.notices == (f"going on with an earlier run: 0 of {prepared.window_count} windows are stored",)
    assert not verify_store(staging.target, source=source).findings


def test_half_a_copy_counts_for_nothing(make_recording: MakeRecording, tmp_path: Path) -> None:
    def until_it_is_stopped() -> Any:
        yield 0
        raise KeyboardInterrupt

    source, pixels = make_recording(axes="yxt", sizes=(6, 9, 37))
    staging = Staging(tmp_path / "movie.zarr")
    with staging.locked():
        prepare(staging, source, OPTIONS)
        with pytest.raises(KeyboardInterrupt):
            reorder(staging.target, until_it_is_stopped(), 2)
        assert (staging.folder / "reordered.raw").exists()
    convert(source, staging.target, OPTIONS)
    with open_recording(source) as extractor:
        assert np.array_equal(extractor.get_series()[..., 0], pixels.transpose(2, 0, 1))
    assert not verify_store(staging.target, source=source).findings


def test_long_stretches_are_read_where_they_are(
    make_recording: MakeRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stores.reorder, "_LONG_STRETCH_BYTES", 2 * 9 * 2)
    source, _ = make_recording(axes="ytx", sizes=(6, 37, 9))
    assert convert(source, tmp_path / "movie.zarr", OPTIONS).notices == ()
