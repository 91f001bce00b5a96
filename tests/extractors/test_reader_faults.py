"""StridedReader when the files change under it, the system refuses, or many threads share it."""

import errno
import os
import pickle
import tracemalloc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extractors import descriptors, fetch, reader
from extractors.descriptors import OpenFile
from extractors.errors import Code, SourceChanged, StorageFailed
from extractors.fetch import Gatherer, OneByOne
from extractors.reader import StridedReader
from extractors.region import Runs
from extractors.strided import StridedFiles

# One order for each way through the reader: straight into the array, by blocks, by short runs.
WAYS = {"straight": "tyxc", "blocks": "txyc", "gathered": "yxct"}
SIZES = {"t": 64, "y": 40, "x": 30, "c": 1}


def made(folder: Path, order: str) -> tuple[StridedReader, NDArray[Any]]:
    """A reader and its pixels."""
    path = folder / "a.raw"
    stored = np.random.default_rng(0).integers(0, 9999, [SIZES[axis] for axis in order], dtype="<u2")
    stored.tofile(path)
    pixels = stored.transpose([order.index(axis) for axis in "tyxc"])
    files = StridedFiles((path,), (64,), stored.dtype, 0, "tyxc", pixels.shape, pixels.strides)
    return StridedReader(files), pixels


def everything(reader_: StridedReader) -> NDArray[Any]:
    """Its last samples: a window, as long recordings are read by."""
    out = np.empty((16, 40, 30, 1), "<u2")
    reader_.read((slice(48, 64), slice(0, 40), slice(0, 30), slice(0, 1)), out)
    return out


@pytest.fixture(params=WAYS)
def order(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    """An order of axes; each is read by the way that it stands for."""
    if request.param == "gathered":
        monkeypatch.setattr("extractors.region._GAP_BYTES", 16)
    return WAYS[request.param]


@pytest.mark.parametrize("left_bytes", [64 * 40 * 30 * 2 - 1, 100_000, 0])
def test_a_file_that_shrinks_while_it_is_open_is_an_error(tmp_path: Path, order: str, left_bytes: int) -> None:
    shrinking, pixels = made(tmp_path, order)
    assert np.array_equal(everything(shrinking), pixels[48:])
    os.truncate(tmp_path / "a.raw", left_bytes)
    with pytest.raises(SourceChanged, match=f"found {left_bytes}"):
        everything(shrinking)


def runs(begins: list[int], length_bytes: int) -> Runs:
    return Runs(np.array(begins, np.int64), length_bytes, length_bytes, (1,))


@pytest.mark.parametrize("left_bytes", [4096 * 9 - 1, 4096 * 3, 0])
@pytest.mark.parametrize("kind", [OneByOne, Gatherer])
def test_a_file_that_shrinks_between_check_and_read_is_an_error(
    tmp_path: Path, kind: type[OneByOne] | type[Gatherer], left_bytes: int
) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(bytes(range(256)) * 16 * 9)
    file = OpenFile(path)
    fetcher = Gatherer(file, 4096 * 9) if kind is Gatherer else OneByOne(file)
    begins = [*range(0, 4096 * 9, 2048)]
    assert bytes(fetcher.fetch(0, runs(begins, 2048))) == path.read_bytes()
    os.truncate(path, left_bytes)
    with pytest.raises(SourceChanged):
        fetcher.fetch(0, runs(begins, 2048))
    fetcher.close()


def test_gathered_runs_are_as_far_apart_as_they_say(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    path.write_bytes(os.urandom(100_000))
    begins = np.random.default_rng(0).integers(0, 90_000, 3000)
    gatherer = Gatherer(OpenFile(path), 100_000)
    found = gatherer.fetch(1000, Runs(begins, 300, 320, (1,))).reshape(-1, 320)[:, :300]
    stored = np.frombuffer(path.read_bytes(), np.uint8)
    assert np.array_equal(found, stored[1000 + begins[:, np.newaxis] + np.arange(300)])
    gatherer.close()


def test_a_file_that_grows_is_still_read(tmp_path: Path, order: str) -> None:
    growing, pixels = made(tmp_path, order)
    everything(growing)
    with (tmp_path / "a.raw").open("ab") as file:
        file.write(bytes(5000))
    assert np.array_equal(everything(growing), pixels[48:])


def test_a_file_that_is_gone_before_it_was_opened_is_an_error(tmp_path: Path, order: str) -> None:
    gone, _ = made(tmp_path, order)
    (tmp_path / "a.raw").unlink()
    with pytest.raises(SourceChanged, match="No such file"):
        everything(gone)


def test_a_file_that_is_removed_while_open_is_still_read(tmp_path: Path, order: str) -> None:
    removed, pixels = made(tmp_path, order)
    everything(removed)
    (tmp_path / "a.raw").unlink()
    assert np.array_equal(everything(removed), pixels[48:])


def test_a_fifo_in_the_files_place_is_an_error_at_once(tmp_path: Path, order: str) -> None:
    replaced, _ = made(tmp_path, order)
    (tmp_path / "a.raw").unlink()
    os.mkfifo(tmp_path / "a.raw")
    with pytest.raises(SourceChanged, match="expected a regular file"):
        everything(replaced)


@pytest.mark.parametrize("way", ["straight", "blocks"])
def test_a_failing_disk_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    failing, _ = made(tmp_path, WAYS[way])

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(descriptors.os, "preadv", fail)
    with pytest.raises(StorageFailed, match=r"a\.raw.*Input/output error") as caught:
        everything(failing)
    assert caught.value.code == Code.STORAGE_FAILED


def test_a_page_that_the_disk_cannot_read_is_an_error_that_names_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    failing, _ = made(tmp_path, WAYS["gathered"])
    monkeypatch.setattr("extractors.region._GAP_BYTES", 16)
    # The kernel says EFAULT for such a page; an address that is no memory at all gives the same.
    monkeypatch.setattr(fetch.Gatherer, "fetch", _from_nowhere(fetch.Gatherer.fetch))
    with pytest.raises(StorageFailed, match=r"a\.raw.*Input/output error"):
        everything(failing)


def _from_nowhere(original: Any) -> Any:
    def fetch_from_nowhere(self: Gatherer, begin_bytes: int, wanted: Runs) -> NDArray[np.uint8]:
        begins = wanted.begins_bytes - self._source.ctypes.data
        return original(self, begin_bytes, wanted._replace(begins_bytes=begins))

    return fetch_from_nowhere


@pytest.mark.parametrize("number", [errno.ENOSYS, errno.EPERM, errno.EMFILE])
def test_without_anonymous_files_it_is_slower_and_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    slow, pixels = made(tmp_path, WAYS["gathered"])
    monkeypatch.setattr("extractors.region._GAP_BYTES", 16)

    def refuse(*_: object) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(fetch.os, "memfd_create", refuse)
    assert np.array_equal(everything(slow), pixels[48:])


def test_a_file_too_large_to_stay_mapped_is_read_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large, pixels = made(tmp_path, WAYS["gathered"])
    monkeypatch.setattr("extractors.region._GAP_BYTES", 16)
    monkeypatch.setattr(descriptors, "_MOST_MAPPED_BYTES", 1000)
    with pytest.raises(OSError, match="File too large"):
        OpenFile(tmp_path / "a.raw").mapped()
    assert np.array_equal(everything(large), pixels[48:])


def test_short_runs_are_gathered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gathered, _ = made(tmp_path, WAYS["gathered"])
    monkeypatch.setattr("extractors.region._GAP_BYTES", 16)
    used = []
    monkeypatch.setattr(reader, "Gatherer", lambda *given: used.append(given) or Gatherer(*given))
    everything(gathered)
    assert used


def test_threads_share_a_reader_while_it_is_closed_again_and_again(tmp_path: Path, order: str) -> None:
    shared, pixels = made(tmp_path, order)
    rng = np.random.default_rng(1)
    windows = [sorted(rng.integers(0, 65, 2).tolist()) for _ in range(200)]

    def one(window: list[int]) -> bool:
        first, last = window
        out = np.empty((last - first, 40, 30, 1), "<u2")
        shared.read((slice(first, last), slice(0, 40), slice(0, 30), slice(0, 1)), out)
        shared.close()
        return np.array_equal(out, pixels[first:last])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(one, windows))


def test_a_reader_pickles_as_its_description_and_reads_again(tmp_path: Path, order: str) -> None:
    before, pixels = made(tmp_path, order)
    everything(before)
    pickled = pickle.dumps(before)
    assert len(pickled) < 2000
    assert np.array_equal(everything(pickle.loads(pickled)), pixels[48:])  # noqa: S301 - our own


def test_memory_beside_the_array_does_not_grow_with_the_region(tmp_path: Path, order: str) -> None:
    path = tmp_path / "a.raw"
    sizes = {"t": 512, "y": 128, "x": 256, "c": 1}
    path.touch()
    os.truncate(path, 512 * 128 * 256 * 2)
    shape = [sizes[axis] for axis in order]
    layout = np.lib.stride_tricks.as_strided(
        np.zeros(1, "<u2"), shape, [2 * int(np.prod(shape[place + 1 :])) for place in range(4)]
    ).transpose([order.index(axis) for axis in "tyxc"])
    files = StridedFiles((path,), (512,), layout.dtype, 0, "tyxc", layout.shape, layout.strides)
    out = np.empty(files.shape, files.dtype)
    tracemalloc.start()
    try:
        StridedReader(files).read(tuple(slice(0, size) for size in out.shape), out)
        assert tracemalloc.get_traced_memory()[1] < 2 << 20
    finally:
        tracemalloc.stop()
