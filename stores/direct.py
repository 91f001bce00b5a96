"""Files written and read past the page cache.

A recording is larger than memory: shards that pass through the page cache push out what other programs have there, and
the copy into it costs more than encoding leaves to spare. Read past it, a file is what the disk has, and not what
memory remembers of it. Linux asks for whole blocks then, in memory, in the file and in length (open(2), O_DIRECT);
where a file system cannot do it, the page cache is used.

Nobody writes late or reads ahead for such a file but we: a thread beside the caller's does, so that one encodes while
the bytes before are on their way to the disk, and decodes while the bytes after are on their way from it.
"""

import errno
import fcntl
import os
from concurrent.futures import Future, ThreadPoolExecutor, wait
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

# The largest logical block of common disks, and a page of memory; a file system that wants more says EINVAL.
_BLOCK = 4096
_WRITE_BYTES = 4 * 1024 * 1024


def _open(path: Path, flags: int) -> int:
    try:
        return os.open(path, flags | os.O_DIRECT, 0o644)
    except OSError as fault:
        if fault.errno != errno.EINVAL:
            raise
        return os.open(path, flags, 0o644)


def _use_page_cache(descriptor: int) -> bool:
    """Stop asking for direct access; False where it was not asked for."""
    flags = fcntl.fcntl(descriptor, fcntl.F_GETFL)
    if not flags & os.O_DIRECT:
        return False
    fcntl.fcntl(descriptor, fcntl.F_SETFL, flags & ~os.O_DIRECT)
    return True


def _aligned(size: int) -> NDArray[np.uint8]:
    # Not by mmap: memory that is used again is not zeroed again, page by page.
    memory = np.empty(size + _BLOCK, np.uint8)
    first = -memory.ctypes.data % _BLOCK
    return memory[first : first + size]


class _Direct:
    """An open file, with a thread beside the caller's; closed by leaving the block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._beside = ThreadPoolExecutor(1, "direct")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; what is under way ends before, and whether it failed is not told any more."""
        self._beside.shutdown()
        os.close(self._descriptor)


class DirectWriter(_Direct):
    """A new file, written from its start to its end.

    Parameters
    ----------
    path
        The file; emptied if it is there.

    Raises
    ------
    OSError
        Here and from every method: the kernel's word, such as ENOSPC.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC))
        self._memory = _aligned(_WRITE_BYTES)
        self._written = _aligned(_WRITE_BYTES)
        self._writing: Future[None] | None = None
        self._filled = 0
        self.size_bytes = 0
        """Bytes taken so far."""

    def write(self, data: "bytes | memoryview | NDArray[Any]") -> None:
        """Take `data`; it is on the disk after `finish` and `wait`."""
        octets = np.frombuffer(data, np.uint8)
        self.size_bytes += len(octets)
        while len(octets):
            part = octets[: len(self._memory) - self._filled]
            self._memory[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            octets = octets[len(part) :]
            if self._filled == len(self._memory):
                self._write_behind()

    def finish(self) -> None:
        """Have what is left written, and the file flushed to the disk; the file takes no more."""
        padding = -self._filled % _BLOCK
        self._memory[self._filled : self._filled + padding] = 0
        self._filled += padding
        last_write = self._write_behind()
        self._writing = self._beside.submit(self._flush, last_write)

    def wait(self) -> None:
        """Wait until what was asked for is done: after `finish`, the file is on the disk then."""
        if self._writing is not None:
            self._writing.result()

    def _write_behind(self) -> Future[None]:
        """Have what is in memory written; the other half of the memory, which is written by then, is filled next."""
        self.wait()
        self._writing = written = self._beside.submit(self._write_out, self._memory[: self._filled].data)
        self._memory, self._written = self._written, self._memory
        self._filled = 0
        return written

    def _write_out(self, left: memoryview) -> None:
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError as fault:
                if fault.errno != errno.EINVAL or not _use_page_cache(self._descriptor):
                    raise

    def _flush(self, last_write: Future[None]) -> None:
        last_write.result()
        os.ftruncate(self._descriptor, self.size_bytes)
        os.fsync(self._descriptor)


class DirectReader(_Direct):
    """A file, read in places. Not for sharing between threads.

    Parameters
    ----------
    path
        The file.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(_open(path, os.O_RDONLY))
        self._memory = _aligned(_BLOCK)
        self._other = _aligned(_BLOCK)
        self._ahead: tuple[int, int, Future[NDArray[np.uint8]]] | None = None

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset_bytes: int, size_bytes: int) -> NDArray[np.uint8]:
        """Give so many bytes, fewer at the file's end; they are valid until the next call."""
        found = self._fetched_ahead(offset_bytes, size_bytes)
        self._memory, self._other = self._other, self._memory
        if found is None:
            self._memory = _with_room(self._memory, offset_bytes, size_bytes)
            found = self._fetch(self._memory, offset_bytes, size_bytes)
        return found

    def read_ahead(self, offset_bytes: int, size_bytes: int) -> None:
        """Have fetched what will be read next."""
        self._other = _with_room(self._other, offset_bytes, size_bytes)
        fetched = self._beside.submit(self._fetch, self._other, offset_bytes, size_bytes)
        self._ahead = offset_bytes, size_bytes, fetched

    def _fetched_ahead(self, offset_bytes: int, size_bytes: int) -> NDArray[np.uint8] | None:
        ahead, self._ahead = self._ahead, None
        if ahead is None:
            return None
        begin_bytes, fetched_bytes, fetched = ahead
        wait([fetched])
        return fetched.result() if (begin_bytes, fetched_bytes) == (offset_bytes, size_bytes) else None

    def _fetch(self, memory: NDArray[np.uint8], offset_bytes: int, size_bytes: int) -> NDArray[np.uint8]:
        skipped = offset_bytes % _BLOCK
        begin, wanted = offset_bytes - skipped, skipped + size_bytes
        room = wanted + -wanted % _BLOCK
        found = 0
        while found < wanted:
            try:
                more = os.preadv(self._descriptor, [memory[found:room].data], begin + found)
            except OSError as fault:
                if fault.errno != errno.EINVAL or not _use_page_cache(self._descriptor):
                    raise
                continue
            if more == 0:
                break
            found += more
        return memory[skipped : min(found, wanted)]


def _with_room(memory: NDArray[np.uint8], offset_bytes: int, size_bytes: int) -> NDArray[np.uint8]:
    """Give `memory`, or more, for the blocks that hold these bytes."""
    wanted = offset_bytes % _BLOCK + size_bytes
    return memory if len(memory) >= wanted else _aligned(wanted + -wanted % _BLOCK)
