"""A copy of a recording's pixels in the order of time, for frame-last files that are larger than memory.

Where time is the fastest axis on disk, the pixels of each window lie all over the file, some in every page. A file
that the system can keep in memory is read from the disk once all the same. Of a larger one, every window would read
most of it anew. Its pixels go through this copy first: one pass through the file in its own order, then one through the
copy in the order of time. So each byte is read from the source once, and written and read once more, whatever the size.

In the staging folder:

```
reordered.raw      window after window; in each, the blocks of the pass through the source, in C order of the store
reordered.digests  xxh3-64 of each block's part of each window; named so in the end, so that it says that all is there
```
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import xxhash
from numpy.typing import NDArray

from extractors.errors import Code, StorageFailed
from extractors.imaging import ImagingExtractor
from stores.disk import storage_faults, sync_path
from stores.lanes import work_off
from stores.memory import available_bytes
from stores.plan import Plan
from stores.shard import pieces, read_region, takes_whole_windows

# Each thread holds one: a block's part in a window should be long enough for a disk.
_BLOCK_BYTES = 64 * 1024 * 1024
# Stretches of a file of this length are worth reading one by one: what the disk reads beside them matters little.
_LONG_STRETCH_BYTES = 64 * 1024
# The page cache has to hold the file beside all else that runs.
_SHARE_OF_MEMORY = 0.5


def needs_reordering(extractor: ImagingExtractor, plan: Plan) -> bool:
    """Whether the system could not keep the source in memory while each window reads a little of all its pages."""
    if not takes_whole_windows(extractor, plan):
        return False
    faster = extractor.axes_on_disk.partition("t")[2]
    pixels = math.prod(size for axis, size in zip(extractor.axes, extractor.shape, strict=True) if axis in faster)
    stretch_bytes = plan.samples_per_window * pixels * plan.pixel_bytes
    source_bytes = sum(source.size_bytes for source in extractor.sources)
    return stretch_bytes < _LONG_STRETCH_BYTES and source_bytes > available_bytes() * _SHARE_OF_MEMORY


class Reordered:
    """The copy of one recording. Threads may share one.

    Parameters
    ----------
    folder
        Where its files are.
    plan
        The plan of the store.
    axes_on_disk
        The recording's axes, slowest on disk first.
    """

    def __init__(self, folder: Path, plan: Plan, axes_on_disk: str) -> None:
        self._pixels_file = folder / "reordered.raw"
        self._digests_file = folder / "reordered.digests"
        self._unfinished_file = folder / ".reordered.digests.tmp"
        self._plan = plan
        self._axes_on_disk = axes_on_disk

    @property
    def is_complete(self) -> bool:
        """Whether all pixels are there."""
        return self._digests_file.exists()

    @property
    def block_count(self) -> int:
        """Number of blocks of the pass through the source."""
        return len(self._blocks)

    @cached_property
    def _blocks(self) -> list[tuple[slice, ...]]:
        """Regions in the store's axes, one after another on disk: all samples of some pixels."""
        axes, shape = self._plan.axes, self._plan.shape
        on_disk = [axes.index(axis) for axis in self._axes_on_disk if axis in axes[1:]]
        room = max(1, _BLOCK_BYTES // (shape[0] * self._plan.pixel_bytes))
        found = []
        for piece in pieces(tuple(shape[axis] for axis in on_disk), room):
            parts = dict(zip(on_disk, piece, strict=True))
            found.append((slice(0, shape[0]), *(parts[axis] for axis in range(1, len(shape)))))
        return found

    @cached_property
    def _pixels_before(self) -> list[int]:
        """Pixels of a sample that are in the blocks before each block."""
        return [0, *accumulate(math.prod(_extent(block[1:])) for block in self._blocks)]

    def _place(self, block: int, window: int) -> tuple[int, int]:
        """Where a block's part of a window lies: begin and length in bytes."""
        start, end = self._plan.window_samples(window)
        before, after = self._pixels_before[block : block + 2]
        sample_bytes = (end - start) * self._plan.pixel_bytes
        return start * self._plan.sample_bytes + before * sample_bytes, (after - before) * sample_bytes

    def write(self, extractor: ImagingExtractor, blocks: Iterable[int], threads: int) -> None:
        """Copy every pixel; all of it is on the disk then.

        Parameters
        ----------
        extractor
            The recording.
        blocks
            All of them, in order; whoever wants to stop in between raises an exception.
        threads
            How many copy, each a block at a time.

        Raises
        ------
        SourceChanged
            The recording became shorter.
        StorageFailed
            The disk is full or failed.
        """
        largest = max(math.prod(_extent(block)) for block in self._blocks)
        with (
            storage_faults(self._pixels_file),
            _opened(self._pixels_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as pixels_file,
            _opened(self._unfinished_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC) as digests_file,
        ):

            def lane(blocks: Iterator[int], done: Callable[[int], None]) -> None:
                memory = np.empty(largest, self._plan.dtype)
                for block in blocks:
                    region = self._blocks[block]
                    extent = _extent(region)
                    pixels = memory[: math.prod(extent)].reshape(extent)
                    read_region(extractor, self._plan.axes, region, pixels)
                    digests = np.zeros(self._plan.window_count, "<u8")
                    for window in range(self._plan.window_count):
                        part = pixels[slice(*self._plan.window_samples(window))].reshape(-1).view(np.uint8)
                        digests[window] = xxhash.xxh3_64_intdigest(part.data)
                        _write_at(pixels_file, part.data, self._place(block, window)[0])
                    _write_at(digests_file, digests.view(np.uint8).data, block * digests.nbytes)
                    done(block)

            work_off(blocks, lane, threads, lambda _: None)
            os.fsync(pixels_file)
            os.fsync(digests_file)
            self._unfinished_file.rename(self._digests_file)
            sync_path(self._digests_file.parent)

    def read(self, window: int, out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of a window, in the store's axes.

        Raises
        ------
        StorageFailed
            The copy is not what was written there; it is withdrawn, so that a second run makes it anew.
        """
        shape = (self.block_count, self._plan.window_count)
        digests = np.memmap(self._digests_file, "<u8", "r", shape=shape)[:, window].tolist()
        with storage_faults(self._pixels_file), _opened(self._pixels_file, os.O_RDONLY) as file:
            for block, digest in enumerate(digests):
                begin, length = self._place(block, window)
                data = os.pread(file, length, begin)
                if xxhash.xxh3_64_intdigest(data) != digest:
                    self._digests_file.unlink(missing_ok=True)
                    raise StorageFailed(
                        Code.STORAGE_FAILED,
                        path=self._pixels_file,
                        expected=f"the pixels of window {window} as they were copied there",
                        found="others",
                        todo="See to the disk, then run the same command again: the copy is made anew.",
                    )
                place = out[(slice(None), *self._blocks[block][1:])]
                place[...] = np.frombuffer(data, self._plan.dtype).reshape(place.shape)
            begin, _ = self._place(0, window)
            os.posix_fadvise(file, begin, self._plan.window_bytes(window), os.POSIX_FADV_DONTNEED)


def _extent(region: tuple[slice, ...]) -> tuple[int, ...]:
    return tuple(part.stop - part.start for part in region)


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    descriptor = os.open(path, flags, 0o644)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _write_at(descriptor: int, data: memoryview, begin_bytes: int) -> None:
    while data:
        written = os.pwrite(descriptor, data, begin_bytes)
        data, begin_bytes = data[written:], begin_bytes + written
