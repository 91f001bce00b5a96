"""The plan of a store: which pixels go to which chunk of which shard. Pure arithmetic, nothing is read."""

import math
from collections.abc import Iterator
from functools import cached_property
from itertools import product
from typing import Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict

from extractors.imaging import ImagingExtractor
from stores.options import ConvertOptions

# The order of NGFF 0.5: time, channel, then space.
NGFF_ORDER = "tczyx"
FEW_SHARDS = 16
"""A recording of fewer shards gets shards of half the size."""
MOST_WINDOW_BYTES = 128 * 1024 * 1024
"""Where frames do not lie one after another on disk: each thread holds a window then."""


class Chunk(NamedTuple):
    """One chunk of a window: its place in the shard, and the part of the array it holds."""

    place: tuple[int, ...]
    """Position in the shard's grid of chunks."""
    region: tuple[slice, ...]
    """The part of the array, clipped at the array's end, one slice per axis."""

    @property
    def extent(self) -> tuple[int, ...]:
        """Sizes of the clipped part."""
        return tuple(part.stop - part.start for part in self.region)


class Plan(BaseModel):
    """Shape, chunks and shards of array `0`; a window is the samples of one shard."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    axes: str
    """Letters in NGFF order, `t[c][z]yx`."""
    shape: tuple[int, ...]
    dtype: str
    """Little-endian numpy name of the stored pixels, such as `<u2`."""
    chunk_shape: tuple[int, ...]
    shard_shape: tuple[int, ...]

    @cached_property
    def samples_per_window(self) -> int:
        """Samples in a window; the last one may hold fewer."""
        return self.shard_shape[0]

    @cached_property
    def window_count(self) -> int:
        """Number of windows, and of shards."""
        return math.ceil(self.shape[0] / self.samples_per_window)

    @cached_property
    def chunks_per_shard(self) -> tuple[int, ...]:
        """The shard's grid of chunks."""
        return tuple(shard // chunk for shard, chunk in zip(self.shard_shape, self.chunk_shape, strict=True))

    @cached_property
    def pixel_bytes(self) -> int:
        """Bytes of one pixel."""
        return np.dtype(self.dtype).itemsize

    @cached_property
    def pixels_per_sample(self) -> int:
        """Pixels of one sample, over all its channels and planes."""
        return math.prod(self.shape[1:])

    @cached_property
    def sample_bytes(self) -> int:
        """Bytes of one sample, uncompressed."""
        return self.pixels_per_sample * self.pixel_bytes

    @property
    def total_bytes(self) -> int:
        """Bytes of the array, uncompressed."""
        return self.shape[0] * self.sample_bytes

    def window_samples(self, window: int) -> tuple[int, int]:
        """`(start_sample, end_sample)` of a window."""
        if not 0 <= window < self.window_count:
            msg = f"window {window} is not one of {self.window_count}"
            raise IndexError(msg)
        start = window * self.samples_per_window
        return start, min(start + self.samples_per_window, self.shape[0])

    def window_bytes(self, window: int) -> int:
        """Bytes of a window's pixels, uncompressed."""
        start, end = self.window_samples(window)
        return (end - start) * self.sample_bytes

    def window_key(self, window: int) -> str:
        """The shard's key in array `0`, such as `c/3/0/0`."""
        return "/".join(["c", str(window), *("0" for _ in self.shape[1:])])

    def window_chunks(self, window: int) -> Iterator[Chunk]:
        """Chunks of a window in the order of its digest; those wholly past the array's end are left out."""
        start, end = self.window_samples(window)
        begin = (start, *(0 for _ in self.shape[1:]))
        limit = (end, *self.shape[1:])
        for place in product(*(range(count) for count in self.chunks_per_shard)):
            low = [origin + i * size for origin, i, size in zip(begin, place, self.chunk_shape, strict=True)]
            if all(at < stop for at, stop in zip(low, limit, strict=True)):
                yield Chunk(
                    place,
                    tuple(
                        slice(at, min(at + size, stop))
                        for at, size, stop in zip(low, self.chunk_shape, limit, strict=True)
                    ),
                )


def plan_store(extractor: ImagingExtractor, options: ConvertOptions) -> Plan:
    """Plan the store of a recording.

    A chunk is filled from the fastest axis on, x, y, z, c, t, up to `options.chunk_bytes`: whole rows first, whole
    frames next, then whole samples. A shard holds every chunk of its samples, and so many samples that it comes near
    `options.shard_bytes`; never less than one chunk's. Recordings of few shards get shards of half that size: threads
    take one each, and should end at about the same time. Where frames do not lie one after another on disk, a
    shard holds at most `MOST_WINDOW_BYTES`.
    """
    canonical = dict(zip(extractor.axes, extractor.shape, strict=True))
    channels_named = extractor.info.channel_names is not None
    axes = "".join(
        axis for axis in NGFF_ORDER if axis in canonical and (axis != "c" or canonical["c"] > 1 or channels_named)
    )
    shape = tuple(canonical[axis] for axis in axes)
    dtype = extractor.get_dtype().newbyteorder("<")
    room = max(1, options.chunk_bytes // dtype.itemsize)
    chunk: list[int] = []
    for size in reversed(shape):
        chunk.insert(0, min(size, max(1, room)))
        room //= chunk[0]
    sample_bytes = math.prod(shape[1:]) * dtype.itemsize
    shard_bytes = options.shard_bytes
    if shape[0] * sample_bytes < FEW_SHARDS * shard_bytes:
        shard_bytes //= 2
    if not extractor.time_is_slowest:
        shard_bytes = min(shard_bytes, MOST_WINDOW_BYTES)
    chunks_in_time = max(1, shard_bytes // (sample_bytes * chunk[0]))
    chunks_in_time = min(chunks_in_time, math.ceil(shape[0] / chunk[0]))
    shard = [chunk[0] * chunks_in_time]
    shard += [math.ceil(size / part) * part for size, part in zip(shape[1:], chunk[1:], strict=True)]
    return Plan(axes=axes, shape=shape, dtype=_name(dtype), chunk_shape=tuple(chunk), shard_shape=tuple(shard))


def _name(dtype: np.dtype[Any]) -> str:
    return dtype.str.replace("|", "<") if dtype.itemsize > 1 else dtype.str
