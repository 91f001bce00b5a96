"""Two ways to fetch runs of a file: a few long ones each by a call of its own, many short ones all by one call."""

import ctypes
import errno
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from extractors.descriptors import OpenFile

_MOST_RUNS = 1024  # IOV_MAX of Linux

_pwritev = ctypes.CDLL(None, use_errno=True).pwritev
_pwritev.restype = ctypes.c_ssize_t
_pwritev.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64]


class OneByOne:
    """Reads each run by a call of its own.

    Parameters
    ----------
    file
        The source.
    capacity_bytes
        The most that is read at once.
    """

    def __init__(self, file: OpenFile, capacity_bytes: int) -> None:
        self._file = file
        self._scratch = np.empty(capacity_bytes, np.uint8)

    def close(self) -> None:
        """Nothing is held."""

    def fetch(self, begins_bytes: NDArray[np.int64], length_bytes: int) -> NDArray[np.uint8]:
        """The bytes of every run, one after another; valid until the next call."""
        fetched = self._scratch[: begins_bytes.size * length_bytes]
        for run, begin_bytes in zip(fetched.reshape(-1, length_bytes), begins_bytes.tolist(), strict=True):
            self._file.read_into(run, begin_bytes)
        return fetched


class Gatherer:
    """Copies short runs of a file at 0.1 µs each, where a call of `os.preadv` costs 1 µs and holds the interpreter.

    The file is mapped, but only the kernel looks at the mapping: pwritev(2) copies from there to an anonymous file in
    memory, which is mapped too. Where a page of the source is gone or unreadable, that call returns EFAULT; the same
    page touched from here would be a SIGBUS, which ends the process.

    Parameters
    ----------
    file
        The source.
    begin_bytes, end_bytes
        The part of it in which all runs lie.
    capacity_bytes
        The most that is copied at once.

    Raises
    ------
    OSError
        The system has no anonymous files, or cannot map this one.
    """

    def __init__(self, file: OpenFile, begin_bytes: int, end_bytes: int, capacity_bytes: int) -> None:
        self._file = file
        self._end_bytes = end_bytes
        aligned_bytes = begin_bytes - begin_bytes % mmap.ALLOCATIONGRANULARITY
        mapped = mmap.mmap(file.descriptor, end_bytes - aligned_bytes, access=mmap.ACCESS_READ, offset=aligned_bytes)
        self._source = np.frombuffer(mapped, np.uint8)
        self._origin = self._source.ctypes.data - aligned_bytes
        descriptor = os.memfd_create("zarrmill")
        try:
            os.ftruncate(descriptor, capacity_bytes)
            self._scratch = np.frombuffer(mmap.mmap(descriptor, capacity_bytes), np.uint8)
        except BaseException:
            os.close(descriptor)
            raise
        self._descriptor = descriptor

    def close(self) -> None:
        """The anonymous file is closed; the mappings go with this object and with the arrays that `fetch` gave."""
        os.close(self._descriptor)

    def fetch(self, begins_bytes: NDArray[np.int64], length_bytes: int) -> NDArray[np.uint8]:
        """The bytes of every run, one after another; valid until the next call.

        Raises
        ------
        SourceChanged
            The file ends before a run does.
        StorageFailed
            The disk failed.
        """
        vector = np.empty((begins_bytes.size, 2), dtype=np.uint64)  # struct iovec: address, length
        vector[:, 0] = begins_bytes + self._origin
        vector[:, 1] = length_bytes
        done = 0
        for first in range(0, begins_bytes.size, _MOST_RUNS):
            part = vector[first : first + _MOST_RUNS]
            wanted = len(part) * length_bytes
            copied = _pwritev(self._descriptor, part.ctypes.data, len(part), done)
            if copied != wanted:
                self._file.require(self._end_bytes)
                # A copy that stopped half-way gives no reason: a page that cannot be read is the only one left.
                number = ctypes.get_errno() if copied < 0 else errno.EIO
                number = errno.EIO if number == errno.EFAULT else number
                raise self._file.fault(OSError(number, os.strerror(number)))
            done += copied
        # Of the page in which a file ends, a mapping shows zeros after the end: a file that was cut looks whole.
        self._file.require(self._end_bytes)
        return self._scratch[:done]
