"""StridedReader: regions of strided files, by positional reads."""

import os
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.strided import StridedFiles


class StridedReader:
    """Reads regions of a recording's files; may be shared by threads, and pickles as a description.

    Parameters
    ----------
    files
        Where every pixel lies.
    """

    def __init__(self, files: StridedFiles) -> None:
        self.files = files

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`."""
        files = self.files
        ranges = [(s.start, s.stop) for s in selection]
        t0, t1 = ranges[0]
        begin = 0
        for path, count in zip(files.paths, files.samples_per_file, strict=True):
            a, b = max(t0, begin), min(t1, begin + count)
            if a < b:
                self._read_file(os.fspath(path), [(a - begin, b - begin), *ranges[1:]], out[a - t0 : b - t0])
            begin += count

    def _read_file(self, path: str, ranges: list[tuple[int, int]], out: NDArray[Any]) -> None:
        files = self.files
        shape = tuple(b - a for a, b in ranges)
        if 0 in shape:
            return
        start = files.offset_bytes + sum(a * s for (a, _), s in zip(ranges, files.strides_bytes, strict=True))
        spans = [(n - 1) * s for n, s in zip(shape, files.strides_bytes, strict=True)]
        low = start + sum(s for s in spans if s < 0)
        high = start + sum(s for s in spans if s > 0) + files.dtype.itemsize
        with open(path, "rb") as f:
            data = os.pread(f.fileno(), high - low, low)
        view = np.ndarray(shape, files.dtype, data, start - low, files.strides_bytes)
        np.copyto(out, ~view if files.inverted else view, casting="unsafe")

    def close(self) -> None:
        """Nothing is held open any more."""
