"""Files written and read past the page cache.

A recording is larger than memory: shards that pass through the page cache push out what other programs have there, and
the copy into it costs more than encoding leaves to spare. Read past it, a file is what the disk has, and not what
memory remembers of it. Linux asks for whole blocks then, in memory, in the file and in length (open(2), O_DIRECT);
where a file system cannot do it, the page cache is used.
"""

import errno
import fcntl
import os
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
    """An open file; closed by leaving the block."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
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
        self._filled = 0
        self.size_bytes = 0
        """Bytes taken so far."""

    def write(self, data: "bytes | memoryview | NDArray[Any]") -> None:
        """Take `data`; it is on the disk after `finish`."""
        octets = np.frombuffer(data, np.uint8)
        self.size_bytes += len(octets)
        while len(octets):
            part = octets[: len(self._memory) - self._filled]
            self._memory[self._filled : self._filled + len(part)] = part
            self._filled += len(part)
            octets = octets[len(part) :]
            if self._filled == len(self._memory):
                self._write_out()

    def finish(self) -> None:
        """Write what is left, and flush the file to the disk."""
        padding = -self._filled % _BLOCK
        self._memory[self._filled : self._filled + padding] = 0
        self._filled += padding
        self._write_out()
        os.ftruncate(self._descriptor, self.size_bytes)
        os.fsync(self._descriptor)

    def _write_out(self) -> None:
        left = self._memory[: self._filled].data
        while left:
            try:
                left = left[os.write(self._descriptor, left) :]
            except OSError as fault:
                if fault.errno != errno.EINVAL or not _use_page_cache(self._descriptor):
                    raise
        self._filled = 0


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

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset_bytes: int, size_bytes: int) -> NDArray[np.uint8]:
        """Give so many bytes, fewer at the file's end; they are valid until the next call."""
        skipped = offset_bytes % _BLOCK
        begin, wanted = offset_bytes - skipped, skipped + size_bytes
        room = wanted + -wanted % _BLOCK
        if len(self._memory) < room:
            self._memory = _aligned(room)
        found = 0
        while found < wanted:
            try:
                more = os.preadv(self._descriptor, [self._memory[found:room].data], begin + found)
            except OSError as fault:
                if fault.errno != errno.EINVAL or not _use_page_cache(self._descriptor):
                    raise
                continue
            if more == 0:
                break
            found += more
        return self._memory[skipped : min(found, wanted)]
