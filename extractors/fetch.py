"""Two ways to fetch runs of a file: long ones each by a call of its own, short ones many by one call."""

import ctypes
import errno
import mmap
import os

import numpy as np
from numpy.typing import NDArray

from extractors.descriptors import OpenFile
from extractors.region import Runs

_MOST_VECTORS = 1024  # IOV_MAX of Linux

_pwritev = ctypes.CDLL(None, use_errno=True).pwritev
_pwritev.restype = ctypes.c_ssize_t
_pwritev.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_int64]


class OneByOne:
    """Reads each run by a call of its own.

    Parameters
    ----------
    file
        The source.
    """

    def __init__(self, file: OpenFile) -> None:
        self._file = file
        self._scratch = np.empty(0, np.uint8)

    def fetch(self, begin_bytes: int, runs: Runs) -> NDArray[np.uint8]:
        """The bytes of every run, counted from `begin_bytes`; they are valid until the next call.

        Raises
        ------
        SourceChanged
            The file ends before a run does.
        StorageFailed
            The disk failed.
        """
        if self._scratch.size < runs.total_bytes:
            self._scratch = np.empty(runs.total_bytes, np.uint8)
        fetched = self._scratch[: runs.total_bytes]
        places = fetched.reshape(-1, runs.pitch_bytes)[:, : runs.length_bytes]
        for place, begin in zip(places, (begin_bytes + runs.begins_bytes).tolist(), strict=True):
            self._file.read_into(place, begin)
        return fetched

    def close(self) -> None:
        """Nothing is held."""


class Gatherer:
    """Copies runs at 0.1 µs each, where a call of `os.preadv` takes 1 µs, most of it with the interpreter's lock.

    The file is mapped, but only the kernel looks at the mapping: pwritev(2) copies from there to an anonymous file in
    memory, which is mapped too. Where a page of the source is gone or unreadable, that call returns EFAULT; the same
    page touched from here would be a SIGBUS, which ends the process.

    Parameters
    ----------
    file
        The source.
    end_bytes
        Where the last of its runs ends.

    Raises
    ------
    OSError, ValueError
        The system has no anonymous files, or cannot map this one.
    """

    def __init__(self, file: OpenFile, end_bytes: int) -> None:
        self._file = file
        self._end_bytes = end_bytes
        self._source = file.mapped()
        if self._source.size < end_bytes:
            raise ValueError("the file has grown since it was mapped")
        self._padding = np.zeros(mmap.PAGESIZE, np.uint8)
        self._scratch = np.empty(0, np.uint8)
        self._descriptor = os.memfd_create("zarrmill")

    def fetch(self, begin_bytes: int, runs: Runs) -> NDArray[np.uint8]:
        """The bytes of every run, counted from `begin_bytes`; they are valid until the next call.

        Raises
        ------
        SourceChanged
            The file ends before a run does.
        StorageFailed
            The disk failed.
        """
        if self._scratch.size < runs.total_bytes:
            os.ftruncate(self._descriptor, runs.total_bytes)
            self._scratch = np.frombuffer(mmap.mmap(self._descriptor, runs.total_bytes), np.uint8)
        padding = runs.pitch_bytes - runs.length_bytes
        vectors = np.empty((runs.begins_bytes.size, 2 if padding else 1, 2), dtype=np.uint64)  # address, length
        vectors[:, 0, 0] = runs.begins_bytes + (self._source.ctypes.data + begin_bytes)
        vectors[:, 0, 1] = runs.length_bytes
        vectors[:, 1:] = self._padding.ctypes.data, padding
        at_once = _MOST_VECTORS // vectors.shape[1]
        for first in range(0, len(vectors), at_once):
            part = vectors[first : first + at_once]
            place = first * runs.pitch_bytes
            copied = _pwritev(self._descriptor, part.ctypes.data, part.size // 2, place)
            if copied != len(part) * runs.pitch_bytes:
                self._fail(ctypes.get_errno() if copied < 0 else errno.EIO)
        # Of the page in which a file ends, a mapping shows zeros after the end: a file that was cut looks whole.
        self._file.require(self._end_bytes)
        return self._scratch[: runs.total_bytes]

    def close(self) -> None:
        """The anonymous file is closed; the mappings go with this object and the arrays that it gave."""
        os.close(self._descriptor)

    def _fail(self, number: int) -> None:
        self._file.require(self._end_bytes)
        # EFAULT without a shorter file: the page is there, and the disk cannot read it.
        number = errno.EIO if number == errno.EFAULT else number
        raise self._file.fault(OSError(number, os.strerror(number)))
