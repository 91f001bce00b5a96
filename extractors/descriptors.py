"""Open files: shared by threads, few at a time, and with every fault of theirs an error of ours."""

import ctypes
import errno
import mmap
import os
import stat
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.errors import Code, SourceChanged, StorageFailed, ZarrmillError
from extractors.source import printable

_mincore = ctypes.CDLL(None).mincore
_mincore.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_void_p]

_MOST_OPEN = 32  # of one recording; a process may often have no more than 1024 open
_MOST_MAPPED_BYTES = 1 << 35


class OpenFile:
    """One file, open for reading until the last one who uses it lets go of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.descriptor = -1
        self._mapped: NDArray[np.uint8] | None = None
        # Without waiting: what was a file may be a FIFO by now, whose open(2) blocks until somebody writes to it.
        try:
            self.descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
            if not stat.S_ISREG(os.fstat(self.descriptor).st_mode):
                raise self._changed("a regular file", "something else")
        except OSError as error:
            raise self.fault(error) from error

    def __del__(self, _close: Any = os.close) -> None:
        if self.descriptor >= 0:
            _close(self.descriptor)

    def read_into(self, buffer: NDArray[np.uint8], offset_bytes: int) -> None:
        """All of `buffer` holds the bytes of the file from `offset_bytes` on.

        Raises
        ------
        SourceChanged
            The file ends before.
        StorageFailed
            The disk failed.
        """
        done = 0
        while done < buffer.size:
            try:
                count = os.preadv(self.descriptor, [buffer[done:].data], offset_bytes + done)
            except OSError as error:
                raise self.fault(error) from error
            if count == 0:
                self.require(offset_bytes + buffer.size)
                # The size says that there are bytes: whoever cut the file has put it back in between.
                raise self._changed(f"{buffer.size} bytes at {offset_bytes}", f"{done}")
            done += count

    def expect_jumps(self) -> None:
        """No more is read than is asked for: what follows is wanted much later, and would be let go of before."""
        os.posix_fadvise(self.descriptor, 0, 0, os.POSIX_FADV_RANDOM)

    def is_cached(self, offset_bytes: int) -> bool:
        """Whether the page cache has this byte; True where the system does not say it to this user (mincore(2))."""
        page = offset_bytes - offset_bytes % mmap.ALLOCATIONGRANULARITY
        try:
            mapped = np.frombuffer(mmap.mmap(self.descriptor, 1, access=mmap.ACCESS_READ, offset=page), np.uint8)
        except (OSError, ValueError):
            return True
        answer = ctypes.c_ubyte(1)
        _mincore(mapped.ctypes.data, 1, ctypes.byref(answer))
        return bool(answer.value & 1)

    def forget(self, offset_bytes: int, length_bytes: int) -> None:
        """The page cache lets go of this stretch, but for pages that somebody else has mapped or written."""
        os.posix_fadvise(self.descriptor, offset_bytes, length_bytes, os.POSIX_FADV_DONTNEED)

    def mapped(self) -> NDArray[np.uint8]:
        """The file in memory, for the kernel's eyes only: a page of it that is gone kills whoever touches it.

        It stays mapped as long as the file stays open: the tables of its pages cost more time than what is copied.

        Raises
        ------
        OSError, ValueError
            The file is so large that its tables (1/512 of it) would be a burden, is empty, or cannot be mapped.
        """
        if self._mapped is None:
            size_bytes = os.fstat(self.descriptor).st_size
            if size_bytes > _MOST_MAPPED_BYTES:
                raise OSError(errno.EFBIG, os.strerror(errno.EFBIG))
            self._mapped = np.frombuffer(mmap.mmap(self.descriptor, size_bytes, access=mmap.ACCESS_READ), np.uint8)
        return self._mapped

    def require(self, end_bytes: int) -> None:
        """The file has at least `end_bytes` bytes.

        Raises
        ------
        SourceChanged
            It has fewer, as it had not when it was identified.
        """
        size_bytes = os.fstat(self.descriptor).st_size
        if size_bytes < end_bytes:
            raise self._changed(f"at least {end_bytes} bytes", f"{size_bytes}")

    def fault(self, error: OSError) -> ZarrmillError:
        """The error of ours for one of the system's."""
        if error.errno in {errno.ENOENT, errno.ENOTDIR, errno.ESTALE}:
            return self._changed("the file that was described", f"none ({error.strerror})")
        return StorageFailed(
            Code.STORAGE_FAILED,
            path=printable(self.path),
            expected="to read the file",
            found=f"{error.strerror}",
            todo="Check the disk or the network, and run again.",
        )

    def _changed(self, expected: str, found: str) -> SourceChanged:
        return SourceChanged(
            Code.SOURCE_CHANGED,
            path=printable(self.path),
            expected=expected,
            found=found,
            todo="Run again when nothing writes to the recording any more.",
        )


class OpenFiles:
    """The files of one recording, each opened when it is first needed; pickles as their paths."""

    def __init__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._open: OrderedDict[int, OpenFile] = OrderedDict()
        self._lock = threading.Lock()

    def __getitem__(self, index: int) -> OpenFile:
        # A file that is dropped here is closed when the last thread that still reads it is done with it: its number
        # cannot come to mean another file under a reader's hands.
        with self._lock:
            file = self._open.pop(index, None) or OpenFile(self._paths[index])
            self._open[index] = file
            if len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
        return file

    def close(self) -> None:
        """No file is open, once those who are reading are done."""
        with self._lock:
            self._open.clear()

    def __getstate__(self) -> tuple[Path, ...]:
        return self._paths

    def __setstate__(self, paths: tuple[Path, ...]) -> None:
        self._paths = paths
        self._open = OrderedDict()
        self._lock = threading.Lock()
