"""ImagingExtractor: the contract between those who give samples and those who take them."""

from abc import abstractmethod
from itertools import pairwise
from math import prod
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.bounds import checked_indices, checked_range
from extractors.errors import Code, InputRefused
from extractors.info import RecordingInfo
from extractors.source import SourceFile
from extractors.times import TimeAxis

if TYPE_CHECKING:
    from extractors.views import FieldOfView, SampleRange, SinglePlane


class ImagingExtractor(TimeAxis):
    """Gives the samples of one recording, by the interface of roiextractors' class of this name.

    A subclass implements `read`, and where they exist `get_native_timestamps` and `close`; all else is built on these.

    Parameters
    ----------
    axes
        Letters of the series' axes: "tyxc", "tyxz", "tyxzc", or "tyx".
    shape
        Sizes of the whole recording, in the order of `axes`.
    dtype
        Number type of the series.
    info
        What else is known of the recording.
    sources
        Identities of the files it is read from; empty for what is in memory.
    time_is_slowest
        Whether few samples are cheap to read; if not, each read of a sample goes through the whole file.
    axes_on_disk
        Letters of `axes` in their order on disk, slowest first; that of `axes` by default.
    """

    extractor_name = "ImagingExtractor"

    def __init__(
        self,
        *,
        axes: str,
        shape: tuple[int, ...],
        dtype: np.dtype[Any],
        info: RecordingInfo,
        sources: tuple[SourceFile, ...] = (),
        time_is_slowest: bool = True,
        axes_on_disk: str | None = None,
    ) -> None:
        self.name = type(self).__name__
        self.axes = axes
        self.shape = tuple(int(size) for size in shape)
        self.info = info
        self.sources = sources
        self.time_is_slowest = time_is_slowest
        self.axes_on_disk = axes_on_disk or axes
        self._dtype = np.dtype(dtype)
        self._closed = False

    @abstractmethod
    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`.

        Parameters
        ----------
        selection
            One slice of step 1 per canonical axis, inside the recording.
        out
            An array of the selection's shape, of any strides and dtype; numpy's assignment converts.
        """

    def is_in_memory(self, sample: int) -> bool:  # noqa: ARG002 - here nothing else can be
        """Whether this sample can be read without waiting for a disk."""
        return True

    def forget(self, start_sample: int, end_sample: int) -> None:
        """The system may use the memory in which it keeps these samples for others. A hint: it may do nothing."""

    def close(self) -> None:
        """Nothing is held open any more, and every further read is refused. May be called twice."""
        self._closed = True

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def get_series(
        self, start_sample: SupportsIndex | None = None, end_sample: SupportsIndex | None = None
    ) -> NDArray[Any]:
        """Samples from `start_sample` up to, not including, `end_sample`, as a fresh array.

        Parameters
        ----------
        start_sample, end_sample
            None is the first, and the end. Negative numbers and numbers past the end are refused.

        Returns
        -------
        numpy.ndarray
            (samples, rows, columns, channels), or (samples, rows, columns, planes[, channels]), of `get_dtype()`.
        """
        start, end = checked_range(start_sample, end_sample, self.shape[0])
        series = np.empty((end - start, *self.shape[1:]), self._dtype)
        self.read((slice(start, end), *(slice(0, size) for size in self.shape[1:])), series)
        return series

    def get_samples(self, sample_indices: ArrayLike) -> NDArray[Any]:
        """Samples at these indices, in this order, as a fresh array.

        Parameters
        ----------
        sample_indices
            Integers in any order, also repeated; a negative one counts from the end, as in numpy.

        Returns
        -------
        numpy.ndarray
            As `get_series`, one sample per index.
        """
        indices = checked_indices(sample_indices, self.shape[0])
        samples = np.empty((indices.size, *self.shape[1:]), self._dtype)
        rest = tuple(slice(0, size) for size in self.shape[1:])
        # Neighbours are read together, each stretch straight into its place.
        breaks = (np.flatnonzero(np.diff(indices) != 1) + 1).tolist()
        for start, end in pairwise([0, *breaks, indices.size]):
            if start < end:
                first = int(indices[start])
                self.read((slice(first, first + end - start), *rest), samples[start:end])
        return samples

    def get_image_shape(self) -> tuple[int, int]:
        """(rows, columns) of a frame."""
        return self.shape[1], self.shape[2]

    def get_frame_shape(self) -> tuple[int, int]:
        """(rows, columns) of a frame, the same as `get_image_shape`."""
        return self.get_image_shape()

    def get_sample_shape(self) -> tuple[int, ...]:
        """(rows, columns), or (rows, columns, planes) of a volumetric recording."""
        return self.get_volume_shape() if self.is_volumetric else self.get_frame_shape()

    def get_num_samples(self) -> int:
        """Number of samples: frames, or volumes."""
        return self.shape[0]

    def get_num_planes(self) -> int:
        """Number of planes of a volumetric recording."""
        if not self.is_volumetric:
            raise NotImplementedError(f"{self.name} is not volumetric: it has no planes, see is_volumetric.")
        return self.shape[3]

    def get_volume_shape(self) -> tuple[int, ...]:
        """(samples, rows, columns, channels), or (rows, columns, planes) of a volumetric recording.

        The two meanings are roiextractors'; `shape` is the whole shape in either case.
        """
        return self.shape[1:4] if self.is_volumetric else self.shape

    @property
    def is_volumetric(self) -> bool:
        """Whether a sample has planes."""
        return "z" in self.axes

    def get_dtype(self) -> np.dtype[Any]:
        """Number type of the series, with its byte order."""
        return self._dtype

    def get_sampling_frequency(self) -> float:
        """Samples per second, in hertz.

        Raises
        ------
        InputRefused
            Nobody said what it is.
        """
        if self.info.sampling_frequency_hz is None:
            raise InputRefused(
                Code.SAMPLING_FREQUENCY_UNKNOWN,
                path=self.sources[0].path if self.sources else None,
                expected="a sampling frequency",
                found="none, in the recording or from the caller",
                todo="Say how many samples per second were taken: in the layout file, or by sampling_frequency_hz.",
            )
        return self.info.sampling_frequency_hz

    def slice_samples(
        self, start_sample: SupportsIndex | None = None, end_sample: SupportsIndex | None = None
    ) -> "SampleRange":
        """A lazy view of the samples from `start_sample` up to, not including, `end_sample`; it keeps their times.

        Bounds that are negative, reversed or past the end are refused, and so is a view of nothing.
        """
        from extractors.views import SampleRange  # noqa: PLC0415 - views are extractors

        return SampleRange(self, start_sample, end_sample)

    def slice_field_of_view(
        self,
        row_start: SupportsIndex | None = None,
        row_end: SupportsIndex | None = None,
        column_start: SupportsIndex | None = None,
        column_end: SupportsIndex | None = None,
    ) -> "FieldOfView":
        """A lazy view of these rows and columns of every sample; ends are exclusive.

        Bounds that are negative, reversed or past the end are refused, and so is a view of nothing.
        """
        from extractors.views import FieldOfView  # noqa: PLC0415 - views are extractors

        return FieldOfView(self, row_start, row_end, column_start, column_end)

    def select_plane(self, plane_index: SupportsIndex) -> "SinglePlane":
        """A lazy view of one plane of a volumetric recording: (samples, rows, columns[, channels]).

        Refused if the recording is not volumetric, or has no such plane.
        """
        from extractors.views import SinglePlane  # noqa: PLC0415 - views are extractors

        return SinglePlane(self, plane_index)

    def __repr__(self) -> str:
        sizes = ", ".join(f"{axis}={size}" for axis, size in zip(self.axes, self.shape, strict=True))
        frequency = self.info.sampling_frequency_hz
        rate = "unknown sampling frequency" if frequency is None else f"{frequency:g} Hz"
        size_bytes = prod(self.shape) * self._dtype.itemsize
        return f"<{self.name} {self.info.name}: {sizes}, {self._dtype}, {rate}, {size_bytes:,} bytes>"

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise InputRefused(
                Code.EXTRACTOR_CLOSED,
                path=self.sources[0].path if self.sources else None,
                expected="an open extractor",
                found=f"{self.name} was closed",
                todo="Open the recording again.",
            )
