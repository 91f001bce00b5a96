"""StridedReader: regions of strided files, by positional reads."""

from collections.abc import Iterator
from contextlib import closing, suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.bounds import checked_selection, same_shape
from extractors.copying import copy
from extractors.descriptors import OpenFile, OpenFiles
from extractors.fetch import Gatherer, OneByOne
from extractors.region import Region, Runs
from extractors.strided import StridedFiles

_DIRECT_BYTES = 1 << 14  # a run of this length is worth a call of its own
_FEW_RUNS = 16


class StridedReader:
    """Reads regions of a recording's files.

    Threads may share one, and do not wait for each other: nothing is kept between calls but open files. Pickles as a
    description. No page of the files is ever touched from here, so that whatever happens to them is an exception, never
    a signal.

    Parameters
    ----------
    files
        Where every pixel lies.
    """

    def __init__(self, files: StridedFiles) -> None:
        self.files = files
        self._open_files = OpenFiles(files.paths)

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`.

        Parameters
        ----------
        selection
            One slice of step 1 per canonical axis, inside the recording.
        out
            An array of the selection's shape, of any strides and dtype; numpy's assignment converts.

        Raises
        ------
        InputRefused
            The selection is out of bounds, or `out` has another shape.
        SourceChanged
            A file is gone, or shorter than it was.
        StorageFailed
            The disk failed.
        """
        ranges = checked_selection(selection, self.files.shape)
        same_shape(out, ranges)
        if out.size == 0:
            return
        (start, end), others = ranges[0], ranges[1:]
        for file, first, last, begin in self._files_of(start, end):
            corner = (first - begin, *(low for low, _ in others))
            self._read_file(file, corner, out[first - start : last - start])

    def spans(self, start_sample: int, end_sample: int) -> Iterator[tuple[OpenFile, int, int]]:
        """The stretches of files, by first byte and length, that these samples take where they lie one after another.

        Elsewhere there are none: every stretch would be the whole file.
        """
        files = self.files
        if not files.time_is_slowest or files.strides_bytes[0] < 0:
            return
        reach = [(size - 1) * by for size, by in zip(files.shape[1:], files.strides_bytes[1:], strict=True)]
        lowest = files.offset_bytes + sum(by for by in reach if by < 0)
        for file, first, last, begin in self._files_of(start_sample, end_sample):
            yield file, lowest + (first - begin) * files.strides_bytes[0], (last - first) * files.strides_bytes[0]

    def _files_of(self, start: int, end: int) -> Iterator[tuple[OpenFile, int, int, int]]:
        """Each file that has samples from `start` to `end`: the file, which of them, and the file's first sample."""
        begin = 0
        for index, count in enumerate(self.files.samples_per_file):
            first, last = max(start, begin), min(end, begin + count)
            if first < last:
                yield self._open_files[index], first, last, begin
            begin += count

    def close(self) -> None:
        """Nothing is held open, once those who are reading are done; a read after this opens the files again."""
        self._open_files.close()

    def _read_file(self, file: OpenFile, corner: tuple[int, ...], out: NDArray[Any]) -> None:
        files = self.files
        offset_bytes = files.offset_bytes + sum(at * by for at, by in zip(corner, files.strides_bytes, strict=True))
        region = Region.of(offset_bytes, files.strides_bytes, files.dtype.itemsize, out)
        as_stored = out.dtype == files.dtype and not files.inverted
        if as_stored and region.common_run_bytes >= _DIRECT_BYTES:
            for begin_bytes, target in region.blocks((*(1 for _ in region.out.shape[:-1]), region.out.shape[-1])):
                file.read_into(target.reshape(-1).view(np.uint8), begin_bytes)
        else:
            self._read_blocks(file, region)

    def _read_blocks(self, file: OpenFile, region: Region) -> None:
        """Fetch block after block into memory that stays in the core's cache, and copy each to its place from there."""
        file.require(region.end_bytes)
        largest = region.block_shape()
        ways = {largest: region.runs(largest)}
        with closing(self._fetcher(file, region, ways[largest])) as fetcher:
            for begin_bytes, target in region.blocks(largest):
                if target.shape not in ways:
                    ways[target.shape] = region.runs(target.shape)
                runs = ways[target.shape]
                fetched = fetcher.fetch(begin_bytes, runs)
                if self.files.inverted:
                    # The maximum less a number is the number with every bit flipped, in either byte order.
                    np.invert(fetched, out=fetched)
                pixels = np.ndarray(target.shape, self.files.dtype, fetched, 0, runs.strides_bytes)
                copy(pixels, target)

    def _fetcher(self, file: OpenFile, region: Region, runs: Runs) -> OneByOne | Gatherer:
        if runs.begins_bytes.size > _FEW_RUNS and runs.length_bytes < _DIRECT_BYTES:
            # Where there are no anonymous files or mappings, or they are forbidden, there is still the slow way.
            with suppress(OSError, ValueError):
                return Gatherer(file, region.end_bytes)
        if not self.files.time_is_slowest:
            file.expect_jumps()
        return OneByOne(file)
