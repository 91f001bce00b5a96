"""The geometry of one read: a region of a file, cut into blocks that are cheap to fetch and to copy."""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple

import numpy as np
from numpy.lib.stride_tricks import as_strided
from numpy.typing import NDArray

LIMIT_BYTES = 1 << 19
"""Of a block on its way: it fits into the second level of a core's cache, and hides what Python costs per block."""

_GAP_BYTES = 1024  # reading over so many bytes costs less than another run
_LINE_BYTES = 64  # of the cache
_LONG_BYTES = 4 * _LINE_BYTES  # a run that is worth padding


class Runs(NamedTuple):
    """Stretches of a file that hold a block's pixels, and how these lie once the stretches are put together."""

    begins_bytes: NDArray[np.int64]
    """Counted from the block's first pixel."""
    length_bytes: int
    """Of every one; gaps that are not worth a second read are included."""
    pitch_bytes: int
    """From one to the next, put together."""
    strides_bytes: tuple[int, ...]
    """Between pixels along the block's axes, in the stretches put together."""

    @property
    def total_bytes(self) -> int:
        """Of all stretches put together."""
        return self.begins_bytes.size * self.pitch_bytes


@dataclass(frozen=True)
class Region:
    """Some pixels of one file, and the array that they go to.

    Axes are in the order of the disk, slowest first; none has size 1, and neighbours that are one on both sides are
    merged. Strides on disk are not negative.
    """

    offset_bytes: int
    """Of the first pixel."""
    strides_bytes: tuple[int, ...]
    """On disk."""
    itemsize: int
    """Bytes of a pixel on disk."""
    out: NDArray[Any]
    """The array, with these axes."""

    @classmethod
    def of(cls, offset_bytes: int, strides_bytes: tuple[int, ...], itemsize: int, out: NDArray[Any]) -> "Region":
        """The region whose first pixel is at `offset_bytes`, with strides of any sign, or 0."""
        sources: list[int] = []
        for axis, stride in enumerate(strides_bytes):
            if stride < 0:
                offset_bytes += (out.shape[axis] - 1) * stride
                out = np.flip(out, axis)
            sources.append(abs(stride))
        axes = sorted(zip(sources, out.shape, out.strides, strict=True), key=lambda axis: -axis[0])
        merged: list[tuple[int, int, int]] = []
        for source, size, target in axes:
            if size == 1:
                continue
            if merged and merged[-1][0] == size * source and merged[-1][2] == size * target:
                merged[-1] = (source, merged[-1][1] * size, target)
            else:
                merged.append((source, size, target))
        shape, targets = tuple(axis[1] for axis in merged), tuple(axis[2] for axis in merged)
        return cls(offset_bytes, tuple(axis[0] for axis in merged), itemsize, as_strided(out, shape, targets))

    @property
    def end_bytes(self) -> int:
        """Of the byte after the last pixel."""
        return self.offset_bytes + self._span_bytes(self.out.shape, 0)

    def blocks(self, extents: tuple[int, ...]) -> Iterator[tuple[int, NDArray[Any]]]:
        """Parts of this shape, or cut at the ends, that together are the whole region.

        Yields where each begins in the file, and the array that it goes to; none is larger than the first.
        """
        starts = (range(0, size, extent) for size, extent in zip(self.out.shape, extents, strict=True))
        for start in product(*starts):
            part: list[Any] = [slice(at, at + extent) for at, extent in zip(start, extents, strict=True)]
            offset_bytes = sum(at * stride for at, stride in zip(start, self.strides_bytes, strict=True))
            # With the dots it is an array even if there are no axes left.
            yield self.offset_bytes + offset_bytes, self.out[(*part, ...)]

    @property
    def common_run_bytes(self) -> int:
        """Length of the runs that are the same on disk and in `out`; 0 if the fastest axes differ."""
        if not self.strides_bytes or not self.strides_bytes[-1] == self.out.strides[-1] == self.itemsize:
            return 0
        return int(self.out.shape[-1]) * self.itemsize

    def runs(self, shape: tuple[int, ...]) -> Runs:
        """How to fetch a block of this shape."""
        inner = self._first_of_run(shape)
        length = self._span_bytes(shape, inner)
        pitch = length
        if inner > 0 and length >= _LONG_BYTES:
            # An odd number of cache lines: then a walk across the runs finds each in another set of the cache. At a
            # power of two they would all share one, and the copy would take three times as long.
            pitch = (-(-length // _LINE_BYTES) | 1) * _LINE_BYTES
        strides = list(self.strides_bytes)
        begins = np.zeros(1, dtype=np.int64)
        step = pitch * prod(shape[:inner])
        # Neighbours in memory are neighbours here too.
        for axis in sorted(range(inner), key=lambda axis: -abs(self.out.strides[axis])):
            begins = (begins[:, np.newaxis] + np.arange(shape[axis], dtype=np.int64) * strides[axis]).reshape(-1)
            step //= shape[axis]
            strides[axis] = step
        return Runs(begins, length, pitch, tuple(strides))

    def block_shape(self) -> tuple[int, ...]:
        """Sizes of a block: whole lines in memory first, then what lies next on disk, up to `LIMIT_BYTES`."""
        shape = self.out.shape
        if self._fetched_bytes(shape) <= LIMIT_BYTES:
            return shape
        extents = [1] * len(shape)
        line = 4 * _LINE_BYTES
        for axis in sorted(range(len(shape)), key=lambda axis: abs(self.out.strides[axis])):
            extents[axis] = min(shape[axis], -(-line // self.out.itemsize))
            line = -(-line // extents[axis])
        for axis in reversed(range(len(shape))):

            def fetched_bytes(extent: int, axis: int = axis) -> int:
                return self._fetched_bytes((*extents[:axis], extent, *extents[axis + 1 :]))

            fitting = bisect_right(range(1, shape[axis] + 1), LIMIT_BYTES, key=fetched_bytes)
            extents[axis] = max(extents[axis], fitting)
        return tuple(extents)

    def _fetched_bytes(self, shape: tuple[int, ...]) -> int:
        inner = self._first_of_run(shape)
        return self._span_bytes(shape, inner) * prod(shape[:inner])

    def _first_of_run(self, shape: tuple[int, ...]) -> int:
        """The slowest axis that is still read as one run: gaps between its pieces are short, or shorter than these."""
        span = self.itemsize
        for axis in reversed(range(len(shape))):
            gap = self.strides_bytes[axis] - span
            if shape[axis] > 1 and gap > max(_GAP_BYTES, span):
                return axis + 1
            span += (shape[axis] - 1) * self.strides_bytes[axis]
        return 0

    def _span_bytes(self, shape: tuple[int, ...], inner: int) -> int:
        steps = zip(shape[inner:], self.strides_bytes[inner:], strict=True)
        return self.itemsize + sum((size - 1) * stride for size, stride in steps)
