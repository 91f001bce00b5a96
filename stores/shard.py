"""One window, one shard file: pixels stream chunk by chunk from the extractor into the file.

The bytes are those of the `sharding_indexed` codec of the Zarr v3 specification: encoded chunks one after another,
then the index (offset and size of each chunk as little-endian unsigned 64-bit, all ones for a chunk that is not
there), then the index's crc32c.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from itertools import groupby
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from extractors.imaging import ImagingExtractor
from stores.codec import Codec
from stores.direct import DirectWriter
from stores.disk import storage_faults
from stores.plan import MOST_WINDOW_BYTES, Chunk, Plan
from stores.summary import Digest, Summary

# Pixels are read, digested and counted in pieces that stay in the cache that cores share, and large enough for Python,
# of which one thread runs at a time, not to count: pieces of 1 MiB took two cores a fifth more time.
_PIECE_BYTES = 4 * 1024 * 1024
_CHECKSUM_BYTES = 4
_ABSENT = np.uint64(2**64 - 1)
_NOTHING: Iterator[None] = iter(())

ReadWindow = Callable[[int, NDArray[Any]], None]
"""Fills an array with the pixels of a window."""


class WindowReader:
    """Gives the pixels of windows in the order and form in which they are stored.

    Holds one chunk in memory; where samples do not lie one after another on disk, one window, if it is not too large.
    Not for sharing between threads.

    Parameters
    ----------
    extractor
        The recording.
    plan
        The plan of its store.
    read_window
        Reads the pixels of a whole window, in the store's axes, in place of the extractor.
    """

    def __init__(self, extractor: ImagingExtractor, plan: Plan, read_window: ReadWindow | None = None) -> None:
        self._extractor = extractor
        self._plan = plan
        self._dtype = np.dtype(plan.dtype)
        self._chunk = np.zeros(plan.chunk_shape, self._dtype)
        self._read_window = read_window
        self._window: NDArray[Any] | None = None
        if takes_whole_windows(extractor, plan):
            start, end = plan.window_samples(0)
            self._window = np.empty((end - start, *plan.shape[1:]), self._dtype)

    def chunks(self, window: int, digest: Digest) -> Iterator[tuple[Chunk, NDArray[Any]]]:
        """Yield each chunk and its pixels, in the full shape of a chunk and valid until the next one is asked for.

        What lies past the array's end is zero. Every pixel inside is added to `digest`.
        """
        start, end = self._plan.window_samples(window)
        # Judged by the last sample: to the first ones the kernel, reading ahead for the window before, has often come.
        in_memory = self._extractor.is_in_memory(end - 1)
        if self._window is not None:
            pixels = self._window[: end - start]
            if self._read_window is not None:
                self._read_window(window, pixels)
            else:
                everything = (slice(start, end), *(slice(0, size) for size in self._plan.shape[1:]))
                read_region(self._extractor, self._plan.axes, everything, pixels)
        for samples, chunks in groupby(self._plan.window_chunks(window), lambda chunk: chunk.region[0]):
            try:
                for chunk in chunks:
                    yield chunk, self._filled(chunk, start, digest)
            finally:
                # What nobody else had in memory leaves it after its use. Nothing is asked for ahead of time: the kernel
                # does, and more cheaply (WILLNEED took a third of a second of CPU per GB more, in pages of 4 KiB).
                if not in_memory:
                    self._extractor.forget(samples.start, samples.stop)

    def _filled(self, chunk: Chunk, start_sample: int, digest: Digest) -> NDArray[Any]:
        """The chunk's pixels; `start_sample` is the window's."""
        if chunk.extent != self._plan.chunk_shape:
            self._chunk.fill(0)
        inside = self._chunk[tuple(slice(0, size) for size in chunk.extent)]
        for part in pieces(chunk.extent, _PIECE_BYTES // self._dtype.itemsize):
            pixels = inside[part]
            region = tuple(
                slice(whole.start + cut.start, whole.start + cut.stop)
                for whole, cut in zip(chunk.region, part, strict=True)
            )
            if self._window is None:
                read_region(self._extractor, self._plan.axes, region, pixels)
            else:
                rows = slice(region[0].start - start_sample, region[0].stop - start_sample)
                pixels[...] = self._window[(rows, *region[1:])]
            digest.add(region[0].start, np.ascontiguousarray(pixels))
        digest.end_chunk(chunk.region, inside)
        return self._chunk


def takes_whole_windows(extractor: ImagingExtractor, plan: Plan) -> bool:
    """Whether one goes through the file once for a window, instead of once for each of its chunks."""
    return not extractor.time_is_slowest and plan.window_bytes(0) <= MOST_WINDOW_BYTES


def read_region(extractor: ImagingExtractor, axes: str, region: tuple[slice, ...], out: NDArray[Any]) -> None:
    """Read a region given in the store's `axes` into `out`, by the extractor's axes."""
    parts = dict(zip(axes, region, strict=True))
    missing = tuple(position for position, axis in enumerate(extractor.axes) if axis not in axes)
    view = out.transpose([axes.index(axis) for axis in extractor.axes if axis in axes])
    selection = tuple(parts.get(axis, slice(0, 1)) for axis in extractor.axes)
    extractor.read(selection, np.expand_dims(view, missing))


def pieces(extent: tuple[int, ...], pixels: int) -> Iterator[tuple[slice, ...]]:
    """Cut `extent` into runs of at most about `pixels` in C order, each contiguous in an array of that shape."""
    axis, inner = 0, prod(extent[1:])
    leading: list[range] = []
    while inner > pixels and axis < len(extent) - 1:
        leading.append(range(extent[axis]))
        axis += 1
        inner //= extent[axis]
    step = max(1, pixels // max(1, inner))
    for at in np.ndindex(*(len(counts) for counts in leading)):
        for low in range(0, extent[axis], step):
            yield (
                *(slice(i, i + 1) for i in at),
                slice(low, min(low + step, extent[axis])),
                *(slice(0, size) for size in extent[axis + 1 :]),
            )


def write_shard(
    reader: WindowReader, plan: Plan, codec: Codec, window: int, path: Path, *, meanwhile: Iterator[None] = _NOTHING
) -> tuple[Summary, DirectWriter]:
    """Write the shard file of `window` at `path`.

    Parameters
    ----------
    reader
        Gives the pixels.
    plan, codec
        The store.
    window, path
        What is written, and where.
    meanwhile
        Taken one step further after each chunk.

    Returns
    -------
    summary
        Digest, statistics and mean image of the window's pixels.
    file
        The finished file, to be closed by the caller: it is on the disk once waited for.

    Raises
    ------
    StorageFailed
        The disk is full or failed.
    SourceChanged
        The recording became shorter while it was read.
    """
    summary = Summary(plan, window)
    index = np.full((*plan.chunks_per_shard, 2), _ABSENT, "<u8")
    with storage_faults(path), ExitStack() as unfinished:
        file = unfinished.enter_context(DirectWriter(path))
        for chunk, pixels in reader.chunks(window, summary):
            encoded = codec.encode(pixels)
            index[chunk.place] = file.size_bytes, len(encoded) + _CHECKSUM_BYTES
            file.write(encoded)
            file.write(crc32c(encoded).to_bytes(_CHECKSUM_BYTES, "little"))
            next(meanwhile, None)
        table = index.tobytes()
        file.write(table)
        file.write(crc32c(table).to_bytes(_CHECKSUM_BYTES, "little"))
        file.finish()
        unfinished.pop_all()
    return summary, file
