"""What a recording looks like at a glance: statistics of each sample, and a mean image.

Both come from the pass that stores the windows. They are kept in two files of the staging folder, with a fixed place
for each window, and end as small arrays beside array `0`.
"""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import zarr
from numpy.typing import NDArray

from stores.disk import storage_faults, write_whole
from stores.metadata import PixelStatistics
from stores.ngff import write_along_time, write_picture
from stores.picture import picture_shape
from stores.plan import Plan
from stores.summary import STATISTICS, Summary


class Overview:
    """Statistics and mean images of the windows of one staging store.

    Parameters
    ----------
    folder
        The staging folder.
    plan
        The store.
    """

    def __init__(self, folder: Path, plan: Plan) -> None:
        self._plan = plan
        self._statistics_file = folder / "statistics.bin"
        self._pictures_file = folder / "pictures.bin"

    def begin(self) -> None:
        """Make room for all windows; it takes none on the disk before it is used.

        Raises
        ------
        StorageFailed
            The disk is full or failed.
        """
        sizes = {
            self._statistics_file: self._plan.shape[0] * STATISTICS.itemsize,
            self._pictures_file: self._plan.window_count * self._picture_bytes,
        }
        for path, size in sizes.items():
            with storage_faults(path), path.open("wb") as file:
                file.truncate(size)

    def keep(self, window: int, summary: Summary) -> None:
        """Keep what a window's pass told.

        Raises
        ------
        StorageFailed
            The disk is full or failed.
        """
        start, _ = self._plan.window_samples(window)
        self._write(self._statistics_file, summary.statistics(), start * STATISTICS.itemsize)
        self._write(self._pictures_file, summary.picture(), window * self._picture_bytes)

    def pixel_statistics(self) -> PixelStatistics:
        """Minimum, maximum and mean of all pixels."""
        samples = self._statistics()
        return PixelStatistics(
            minimum=float(samples["minimum"].min()),
            maximum=float(samples["maximum"].max()),
            mean=float(samples["mean"].mean()),
        )

    def mean_image(self) -> NDArray[np.float32]:
        """Mean of all samples: of the first channel and the middle plane, at most `picture.SIDE` pixels a side."""
        pictures = np.memmap(
            self._pictures_file, "<f4", "r", shape=(self._plan.window_count, *picture_shape(self._plan))
        )
        total = np.zeros(picture_shape(self._plan))
        for window in range(self._plan.window_count):
            start, end = self._plan.window_samples(window)
            total += pictures[window] * np.float64(end - start)
        return (total / self._plan.shape[0]).astype(np.float32)

    def write_arrays(self, store: Path) -> None:
        """Put arrays `sample_minimum`, `sample_maximum`, `sample_mean` and `mean_image` into the store's group.

        Raises
        ------
        StorageFailed
            The disk is full or failed.
        """
        with storage_faults(store):
            group = zarr.open_group(store, mode="r+", use_consolidated=False)
            for field in STATISTICS.names or ():
                write_along_time(
                    group,
                    f"sample_{field}",
                    self._plan.shape[0],
                    self._values(field),
                    f"{field} of each sample's pixels",
                )
            write_picture(group, "mean_image", self.mean_image(), "mean of all samples: first channel, middle plane")

    def _values(self, field: str) -> Callable[[int, int], NDArray[np.float64]]:
        samples = self._statistics()
        return lambda start, end: samples[field][start:end]

    def _statistics(self) -> NDArray[Any]:
        return np.memmap(self._statistics_file, STATISTICS, mode="r")

    @property
    def _picture_bytes(self) -> int:
        rows, columns = picture_shape(self._plan)
        return rows * columns * np.dtype(np.float32).itemsize

    @staticmethod
    def _write(path: Path, records: NDArray[Any], offset: int) -> None:
        with storage_faults(path):
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            try:
                os.lseek(descriptor, offset, os.SEEK_SET)
                write_whole(descriptor, records.tobytes())
            finally:
                os.close(descriptor)
