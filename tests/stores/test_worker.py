"""One thread's hands: a window is read back while the next one is encoded, and none that was written is given up."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extractors.errors import Code, StorageFailed, StoreDamaged
from stores import worker as module
from stores.convert import prepare
from stores.options import ConvertOptions
from stores.staging import Staging
from stores.worker import Worker

MakeRecording = Callable[..., tuple[Path, NDArray[Any]]]
OPTIONS = ConvertOptions(chunk_bytes=200, shard_bytes=800)  # windows of two chunks, one sample each


@contextmanager
def worker_of(source: Path, target: Path) -> Iterator[Worker]:
    staging = Staging(target)
    with staging.locked():
        prepare(staging, source, OPTIONS)
        with Worker(target, print) as worker:
            assert worker.plan.chunks_per_shard == (2, 1, 1)
            yield worker


@pytest.fixture
def recording(make_recording: MakeRecording) -> Path:
    source, _ = make_recording(sizes=(10, 8, 12))
    return source


def events(of: Path) -> list[tuple[str, int]]:
    return [(line.event, line.receipt.window) for line in Staging(of).journal.lines()]


def test_a_window_is_read_back_chunk_by_chunk_while_the_next_one_is_encoded(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    steps: list[str] = []
    for name in ("encode", "decode"):
        whole = getattr(module.Codec, name)

        def watched(self: Any, *arguments: Any, name: str = name, whole: Any = whole) -> Any:
            steps.append(name)
            return whole(self, *arguments)

        monkeypatch.setattr(module.Codec, name, watched)
    done: list[int] = []
    with worker_of(recording, tmp_path / "m.zarr") as worker:
        steps.clear()
        worker.store(range(3), done.append)
    assert steps == [*["encode"] * 2, *["encode", "decode"] * 4, *["decode"] * 2]
    assert done == [0, 1, 2]


def test_who_stops_between_two_windows_gets_all_that_were_written(recording: Path, tmp_path: Path) -> None:
    def windows() -> Iterator[int]:
        yield from (0, 1)
        raise KeyboardInterrupt

    done: list[int] = []
    with worker_of(recording, tmp_path / "m.zarr") as worker, pytest.raises(KeyboardInterrupt):
        worker.store(windows(), done.append)
    assert done == [0, 1]
    assert events(tmp_path / "m.zarr") == [(event, window) for window in (0, 1) for event in ("stored", "verified")]


def test_a_window_that_cannot_be_written_does_not_take_the_one_before_with_it(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard = module.write_shard

    def full(*arguments: Any, **meanwhile: Any) -> Any:
        if arguments[3] == 1:
            raise StorageFailed(Code.NO_SPACE, path=arguments[4], expected="room", found="none", todo="Make some.")
        return write_shard(*arguments, **meanwhile)

    monkeypatch.setattr(module, "write_shard", full)
    done: list[int] = []
    with worker_of(recording, tmp_path / "m.zarr") as worker, pytest.raises(StorageFailed):
        worker.store(range(3), done.append)
    assert done == [0]
    assert events(tmp_path / "m.zarr") == [("stored", 0), ("verified", 0)]


def test_a_window_that_is_damaged_does_not_take_the_next_one_with_it(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shard = module.write_shard

    def lie(*arguments: Any, **meanwhile: Any) -> Any:
        summary, file = write_shard(*arguments, **meanwhile)
        if arguments[3] == 0:
            summary.add(0, np.zeros((1, 1), "<u2"))
        return summary, file

    monkeypatch.setattr(module, "write_shard", lie)
    done: list[int] = []
    with worker_of(recording, tmp_path / "m.zarr") as worker, pytest.raises(StoreDamaged):
        worker.store(range(3), done.append)
    assert done == [1]
    assert events(tmp_path / "m.zarr") == [("stored", 0), ("damaged", 0), ("stored", 1), ("verified", 1)]


def test_a_window_that_is_verified_is_done_and_not_read_again(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    with worker_of(recording, tmp_path / "m.zarr") as worker:
        worker.store([0], done.append)
        monkeypatch.setattr(module, "read_window", None)
        worker.store([0], done.append)
    assert done == [0, 0]
