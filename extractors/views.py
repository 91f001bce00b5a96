"""Lazy views: extractors that give a part of another one's samples, rows and columns, or planes."""

import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from extractors.bounds import checked_range, checked_selection
from extractors.errors import Code, InputRefused
from extractors.imaging import ImagingExtractor


class _View(ImagingExtractor):
    """A part of `parent`; closing it leaves the parent open.

    `part` is one (start, end) per canonical axis of the parent; `axes` leaves out the axes that it drops.
    """

    def __init__(self, parent: ImagingExtractor, part: list[tuple[int, int]], axes: str) -> None:
        if any(start == end for start, end in part):
            raise InputRefused(
                Code.SELECTION_OUT_OF_BOUNDS,
                path=None,
                expected="at least one sample, row and column in a view",
                found=f"parts {part} of axes {parent.axes}",
                todo="Leave out views of nothing.",
            )
        super().__init__(
            axes=axes,
            shape=tuple(end - start for axis, (start, end) in zip(parent.axes, part, strict=True) if axis in axes),
            dtype=parent.get_dtype(),
            info=parent.info,
            sources=parent.sources,
            time_is_slowest=parent.time_is_slowest,
            axes_on_disk="".join(axis for axis in parent.axes_on_disk if axis in axes),
        )
        self._parent = parent
        self._part = part
        self._continue_times(parent, *part[0])

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`, counted from the view's start; see `ImagingExtractor.read`."""
        self._refuse_if_closed()
        asked = dict(zip(self.axes, checked_selection(selection, self.shape), strict=True))
        shifted = tuple(
            slice(first + asked[axis][0], first + asked[axis][1]) if axis in asked else slice(first, last)
            for axis, (first, last) in zip(self._parent.axes, self._part, strict=True)
        )
        dropped = tuple(place for place, axis in enumerate(self._parent.axes) if axis not in asked)
        self._parent.read(shifted, np.expand_dims(out, dropped))

    def get_native_timestamps(
        self, start_sample: SupportsIndex | None = None, end_sample: SupportsIndex | None = None
    ) -> NDArray[np.float64] | None:
        """Times in seconds that the recording itself holds for these samples of the view; None if it holds none."""
        start, end = checked_range(start_sample, end_sample, self.get_num_samples())
        first = self._part[0][0]
        return self._parent.get_native_timestamps(first + start, first + end)

    def _whole(self, parent: ImagingExtractor) -> list[tuple[int, int]]:
        return [(0, size) for size in parent.shape]


class SampleRange(_View):
    """Samples from `start_sample` up to, not including, `end_sample` of `parent`; made by `slice_samples`."""

    extractor_name = "SampleRange"

    def __init__(
        self, parent: ImagingExtractor, start_sample: SupportsIndex | None, end_sample: SupportsIndex | None
    ) -> None:
        part = self._whole(parent)
        part[0] = checked_range(start_sample, end_sample, parent.shape[0])
        super().__init__(parent, part, parent.axes)


class FieldOfView(_View):
    """A rectangle of every sample of `parent`; made by `slice_field_of_view`."""

    extractor_name = "FieldOfView"

    def __init__(
        self,
        parent: ImagingExtractor,
        row_start: SupportsIndex | None,
        row_end: SupportsIndex | None,
        column_start: SupportsIndex | None,
        column_end: SupportsIndex | None,
    ) -> None:
        part = self._whole(parent)
        part[1] = checked_range(row_start, row_end, parent.shape[1], "row")
        part[2] = checked_range(column_start, column_end, parent.shape[2], "column")
        super().__init__(parent, part, parent.axes)


class SinglePlane(_View):
    """One plane of every volume of `parent`; made by `select_plane`."""

    extractor_name = "SinglePlane"

    def __init__(self, parent: ImagingExtractor, plane_index: SupportsIndex) -> None:
        if not parent.is_volumetric:
            raise InputRefused(
                Code.SELECTION_OUT_OF_BOUNDS,
                path=None,
                expected="a volumetric recording to select a plane of",
                found=f"axes {parent.axes}",
                todo="Leave select_plane out: there is one plane only.",
            )
        part = self._whole(parent)
        plane = operator.index(plane_index)
        part[3] = checked_range(plane, plane + 1, parent.get_num_planes(), "plane")
        super().__init__(parent, part, parent.axes.replace("z", ""))
