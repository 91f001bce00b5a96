"""What one pass over a window's pixels tells: its digest, and the minimum, maximum and mean of each sample.

Made for pieces that lie in the core's cache already: of the time that encoding takes, this is a few per cent.
"""

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

# One record per sample; a record that was never written holds three NaN.
STATISTICS = np.dtype([("minimum", "<f8"), ("maximum", "<f8"), ("mean", "<f8")])


class Digest:
    """xxh3-128 of a window's pixels, fed piece by piece in the order of `Plan.window_chunks`."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_128()

    def add(self, first_sample: int, pixels: NDArray[Any]) -> None:  # noqa: ARG002 - a Summary needs it
        """Add `pixels` (samples, ...), C-contiguous and little-endian; `first_sample` is the sample of `pixels[0]`."""
        self._digest.update(pixels.data)

    @property
    def digest(self) -> str:
        """The digest of all that was added, hexadecimal."""
        return self._digest.hexdigest()


class Summary(Digest):
    """Digest and statistics of samples `start_sample` to `end_sample`.

    Parameters
    ----------
    start_sample, end_sample
        The samples, end exclusive.
    pixels_per_sample
        Pixels of one sample.
    """

    def __init__(self, start_sample: int, end_sample: int, pixels_per_sample: int) -> None:
        super().__init__()
        count = end_sample - start_sample
        self._start_sample = start_sample
        self._pixels_per_sample = pixels_per_sample
        self._minimum = np.full(count, np.inf)
        self._maximum = np.full(count, -np.inf)
        self._total = np.zeros(count)

    def add(self, first_sample: int, pixels: NDArray[Any]) -> None:
        """Add `pixels`, as `Digest.add` does, and count them."""
        super().add(first_sample, pixels)
        block = pixels.reshape(len(pixels), -1)
        first = first_sample - self._start_sample
        rows = slice(first, first + len(block))
        maximum = block.max(axis=1)
        np.minimum(self._minimum[rows], block.min(axis=1), out=self._minimum[rows])
        np.maximum(self._maximum[rows], maximum, out=self._maximum[rows])
        self._total[rows] += _sums(block, maximum.max())

    def statistics(self) -> NDArray[Any]:
        """One record of type `STATISTICS` per sample; NaN where a sample's pixels hold NaN."""
        records = np.empty(len(self._total), STATISTICS)
        records["minimum"] = self._minimum
        records["maximum"] = self._maximum
        records["mean"] = self._total / self._pixels_per_sample
        return records


def _sums(block: NDArray[Any], maximum: Any) -> NDArray[Any]:
    """Sum each row of `block`, exactly where pixels are integers of at most 4 bytes.

    numpy adds small integers in their own type at several times the speed of widening each one first. Detectors
    rarely fill their type (12 bits of 16 are usual), so that some pixels can be added before anything overflows.
    """
    kind, width = block.dtype.kind, block.dtype.itemsize
    wide: Any = np.int64
    if kind == "f" or width == np.dtype(np.int64).itemsize:
        wide = np.float64
    elif kind == "u" and width <= np.dtype(np.uint16).itemsize:
        together, maximum = 16, int(maximum)
        if maximum * together <= np.iinfo(block.dtype).max and block.shape[1] % together == 0:
            block = np.add.reduce(block.reshape(len(block), together, -1), axis=1, dtype=block.dtype)
            maximum *= together
        wide = np.uint32 if block.shape[1] * maximum <= np.iinfo(np.uint32).max else np.uint64
    with np.errstate(invalid="ignore", over="ignore"):
        sums: NDArray[Any] = np.add.reduce(block, axis=1, dtype=wide)
    return sums
