"""What one pass over a window's pixels tells: its digest, the minimum, maximum and mean of each sample, a mean image.

Made for pixels that lie in the core's cache already: of the time that encoding takes, this is a few per cent.
"""

from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from stores.picture import Picture
from stores.plan import Plan
from stores.sums import add_up

STATISTICS = np.dtype([("minimum", "<f8"), ("maximum", "<f8"), ("mean", "<f8")])
"""One record per sample; NaN where a sample's pixels hold NaN."""


class Digest:
    """xxh3-128 of a window's pixels, fed piece by piece in the order of `Plan.window_chunks`."""

    def __init__(self) -> None:
        self._digest = xxhash.xxh3_128()

    def add(self, first_sample: int, pixels: NDArray[Any]) -> None:  # noqa: ARG002 - a Summary needs it
        """Add `pixels` (samples, ...), C-contiguous and little-endian; `first_sample` is the sample of `pixels[0]`."""
        self._digest.update(pixels.data)

    def end_chunk(self, region: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        """Take note that all pixels of a chunk, which are those of `region`, were added."""

    @property
    def digest(self) -> str:
        """The digest of all that was added, hexadecimal."""
        return self._digest.hexdigest()


class Summary(Digest):
    """Digest, statistics and mean image of one window.

    Parameters
    ----------
    plan
        The store.
    window
        Which of its windows.
    """

    def __init__(self, plan: Plan, window: int) -> None:
        super().__init__()
        self._start_sample, end_sample = plan.window_samples(window)
        count = end_sample - self._start_sample
        self._pixels_per_sample = plan.pixels_per_sample
        self._minimum = np.full(count, np.inf)
        self._maximum = np.full(count, -np.inf)
        self._total = np.zeros(count)
        self._picture = Picture(plan)

    def add(self, first_sample: int, pixels: NDArray[Any]) -> None:
        """Add `pixels`, as `Digest.add` does, and count them."""
        super().add(first_sample, pixels)
        block = pixels.reshape(len(pixels), -1)
        first = first_sample - self._start_sample
        rows = slice(first, first + len(block))
        maximum = block.max(axis=1)
        np.minimum(self._minimum[rows], block.min(axis=1), out=self._minimum[rows])
        np.maximum(self._maximum[rows], maximum, out=self._maximum[rows])
        self._total[rows] += add_up(block.T, maximum.max())

    def end_chunk(self, region: tuple[slice, ...], pixels: NDArray[Any]) -> None:
        """Add the pixels of a chunk to the mean image."""
        rows = slice(region[0].start - self._start_sample, region[0].stop - self._start_sample)
        self._picture.add(region, pixels, self._maximum[rows].max())

    def statistics(self) -> NDArray[Any]:
        """One record of type `STATISTICS` per sample."""
        records = np.empty(len(self._total), STATISTICS)
        records["minimum"] = self._minimum
        records["maximum"] = self._maximum
        records["mean"] = self._total / self._pixels_per_sample
        return records

    def picture(self) -> NDArray[np.float32]:
        """Give the mean image of the window."""
        return self._picture.mean(len(self._total))
