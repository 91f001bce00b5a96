"""ZarrImagingExtractor: a published store, read by the extractor interface."""

import os
from pathlib import Path
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from extractors.bounds import checked_range, checked_selection, same_shape
from extractors.imaging import ImagingExtractor
from extractors.source import identify
from stores.codec import Codec
from stores.coordinates import coordinate_codec, coordinate_plan
from stores.metadata import read_run_metadata
from stores.sharded import ShardedArray


class ZarrImagingExtractor(ImagingExtractor):
    """Gives the samples of a store as the extractor of its recording gives them: same axes, shape, times and info.

    Every read checks the checksums of what it reads. No file is held open; pickles as the path.

    Parameters
    ----------
    path
        The store's folder.

    Attributes
    ----------
    metadata
        What was converted, from what, how, when and by which versions.

    Raises
    ------
    InputRefused
        It is not a store that zarrmill published.
    StoreDamaged
        What it says of itself cannot be.
    """

    extractor_name = "ZarrImagingExtractor"

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path).absolute()
        self.metadata = read_run_metadata(self._path)
        plan = self.metadata.plan
        super().__init__(
            axes=self.metadata.source_array.axes,
            shape=self.metadata.source_array.shape,
            dtype=np.dtype(plan.dtype),
            info=self.metadata.info,
            sources=(identify(self._path / "zarr.json"),),
        )
        self._array = ShardedArray(self._path / "0", plan, Codec(self.metadata.options.codec, plan.pixel_bytes))
        self._clock = ShardedArray(self._path / "t", coordinate_plan("t", plan.shape[0]), coordinate_codec())
        if self._clock.attributes.get("origin") == "set":
            self.set_times(self._stored_times(0, plan.shape[0]))

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._path,), {"_times": self._times}

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`, see `ImagingExtractor.read`.

        Raises
        ------
        InputRefused
            The selection is out of bounds, or the extractor was closed.
        StoreDamaged
            A shard or a chunk is missing or not what was written; the file is named.
        StorageFailed
            The disk failed.
        """
        self._refuse_if_closed()
        ranges = checked_selection(selection, self.shape)
        same_shape(out, ranges)
        if out.size == 0:
            return
        stored = self.metadata.plan.axes
        parts = dict(zip(self.axes, (slice(*bounds) for bounds in ranges), strict=True))
        dropped = tuple(place for place, axis in enumerate(self.axes) if axis not in stored)
        kept = [axis for axis in self.axes if axis in stored]
        view = out.squeeze(dropped).transpose([kept.index(axis) for axis in stored])
        self._array.read(tuple(parts[axis] for axis in stored), view)

    def get_native_timestamps(
        self, start_sample: SupportsIndex | None = None, end_sample: SupportsIndex | None = None
    ) -> NDArray[np.float64] | None:
        """Times in seconds that the recording itself held for these samples; None if it held none."""
        start, end = checked_range(start_sample, end_sample, self.get_num_samples())
        if self._clock.attributes.get("origin") != "native":
            return None
        self._refuse_if_closed()
        return self._stored_times(start, end)

    def _stored_times(self, start: int, end: int) -> NDArray[np.float64]:
        times = np.empty(end - start)
        self._clock.read((slice(start, end),), times)
        return times
