"""Files past the page cache: whole, whatever their size and whatever the file system can do."""

import errno
import os
import threading
from pathlib import Path

import pytest

from stores import direct
from stores.direct import DirectReader, DirectWriter


@pytest.fixture(params=["direct", "not offered", "refused at the first write"])
def path(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file where direct access works, where it is not offered, and where it wants larger blocks."""
    opened, written = os.open, os.write
    if request.param == "not offered":

        def no_direct(path: Path, flags: int, mode: int = 0o777) -> int:
            if flags & os.O_DIRECT:
                raise OSError(errno.EINVAL, "no")
            return opened(path, flags, mode)

        monkeypatch.setattr(direct.os, "open", no_direct)
    elif request.param != "direct":
        refused: list[int] = []

        def refuse_once(descriptor: int, data: memoryview) -> int:
            if not refused:
                refused.append(descriptor)
                raise OSError(errno.EINVAL, "no")
            return written(descriptor, data)

        monkeypatch.setattr(direct.os, "write", refuse_once)
    return tmp_path / "file"


@pytest.mark.parametrize("sizes", [[0], [1], [4096], [4095, 1, 4097], [5_000_000, 7, 4_000_000], [3] * 1000])
def test_what_is_written_in_parts_is_the_file(path: Path, sizes: list[int]) -> None:
    parts = [os.urandom(size) for size in sizes]
    with DirectWriter(path) as file:
        for part in parts:
            file.write(part)
        file.finish()
        file.wait()
    assert path.read_bytes() == b"".join(parts)
    assert file.size_bytes == sum(sizes)


def test_an_earlier_file_is_replaced_whole(path: Path) -> None:
    path.write_bytes(bytes(100_000))
    with DirectWriter(path) as file:
        file.write(b"short")
        file.finish()
        file.wait()
    assert path.read_bytes() == b"short"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 20_000])
def test_any_part_of_a_file_is_read_and_what_is_past_its_end_is_left_out(path: Path, size: int) -> None:
    content = os.urandom(size)
    path.write_bytes(content)
    with DirectReader(path) as file:
        assert file.size_bytes == size
        for offset in (0, 1, 4000, 4096, 19_999):
            for wanted in (0, 1, 4096, 5000, 30_000):
                assert bytes(file.read(offset, wanted)) == content[offset : offset + wanted]


@pytest.mark.parametrize("sizes", [[1], [4096, 4096], [5000, 1, 100_000, 3000], [10, 0, 20]])
def test_what_is_read_ahead_is_what_is_there(path: Path, sizes: list[int]) -> None:
    content = os.urandom(sum(sizes))
    path.write_bytes(content)
    with DirectReader(path) as file:
        offset = 0
        file.read_ahead(0, sizes[0])
        for size, then in zip(sizes, [*sizes[1:], 4096], strict=True):  # the last 4096 are past the file's end
            found = file.read(offset, size)
            file.read_ahead(offset + size, then)
            assert bytes(found) == content[offset : offset + size]
            offset += size
        assert bytes(file.read(0, sizes[0])) == content[: sizes[0]]


def test_bytes_stay_what_they_are_while_others_are_read_ahead(path: Path) -> None:
    content = os.urandom(15_000)
    path.write_bytes(content)
    with DirectReader(path) as file:
        file.read_ahead(5000, 5000)
        found = file.read(5000, 5000)
        file.read_ahead(10_000, 5000)
    assert bytes(found) == content[5000:10_000]  # closed: what was fetched meanwhile has arrived


def test_a_fault_in_what_is_read_ahead_is_told_to_whoever_asks_for_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "file"
    content = os.urandom(20_000)
    path.write_bytes(content)
    read = os.preadv

    def bad_block(descriptor: int, buffers: list[memoryview], offset: int) -> int:
        if offset == 8192:
            raise OSError(errno.EIO, "bad block")
        return read(descriptor, buffers, offset)

    monkeypatch.setattr(direct.os, "preadv", bad_block)
    with DirectReader(path) as file:
        file.read_ahead(8192, 100)
        assert bytes(file.read(4096, 10)) == content[4096:4106]  # something else
        file.read_ahead(8192, 100)
        with pytest.raises(OSError, match="bad block"):
            file.read(8192, 100)


@pytest.mark.parametrize("size", [4 * 2**20, 4 * 2**20 - 1, 20 * 2**20])
def test_a_fault_of_what_is_written_behind_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(direct.os, "write", full)

    def store() -> None:
        with DirectWriter(tmp_path / "file") as file:
            file.write(bytes(size))
            file.finish()
            file.wait()

    with pytest.raises(OSError, match="full"):
        store()


def test_a_file_that_is_given_up_is_closed_when_its_last_write_has_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[int] = []
    write, goes_on = os.write, threading.Event()

    def slow(descriptor: int, data: memoryview) -> int:
        assert goes_on.wait(30)
        written.append(write(descriptor, data))
        return written[-1]

    monkeypatch.setattr(direct.os, "write", slow)
    file = DirectWriter(tmp_path / "file")
    file.write(bytes(5 * 2**20))
    closing = threading.Thread(target=file.close)
    closing.start()
    closing.join(0.2)  # long enough for a file that is closed too early
    goes_on.set()
    closing.join()
    assert written == [4 * 2**20]


def test_a_short_write_is_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written = os.write
    monkeypatch.setattr(direct.os, "write", lambda descriptor, data: written(descriptor, data[:4096]))
    content = os.urandom(50_000)
    with DirectWriter(tmp_path / "file") as file:
        file.write(content)
        file.finish()
        file.wait()
    assert (tmp_path / "file").read_bytes() == content


def test_nothing_is_left_in_the_page_cache(tmp_path: Path) -> None:
    """Asked of the kernel: a read that may not wait for the disk finds nothing (preadv2(2), RWF_NOWAIT)."""
    path = tmp_path / "file"
    with DirectWriter(path) as file:
        file.write(os.urandom(1_000_000))
        file.finish()
        file.wait()
    with path.open("rb") as plain:
        try:
            found = os.preadv(plain.fileno(), [bytearray(4096)], 4096, os.RWF_NOWAIT)
        except BlockingIOError:
            found = 0
        except OSError as fault:
            pytest.skip(f"this file system cannot say: {fault}")
    assert found == 0
