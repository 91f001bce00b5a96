"""Extractors for arrays: mapped from a file, or in memory."""

import operator
import os
from pathlib import Path
from typing import Any, Literal, SupportsIndex

import numpy as np
from numpy.typing import DTypeLike, NDArray

from extractors.bounds import checked_selection
from extractors.errors import Code, InputRefused
from extractors.fields import RANGE
from extractors.formats.layout_file import validate_layout
from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from extractors.mapped import locate
from extractors.reader import StridedReader
from extractors.source import SourceFile, identify
from extractors.strided import StridedFiles
from extractors.structure import VideoStructure


class MemmapImagingExtractor(ImagingExtractor):
    """Gives the samples of an array of (samples, rows, columns[, channels]).

    A `numpy.memmap`, or any view of one, is read from its file by positional reads, not through the mapping: a file
    that shrinks is an error here, where a mapped page would kill the process; and pickling carries the file's name, not
    its pixels. Any other array is kept in memory, and pickled whole.

    Parameters
    ----------
    video
        The array; one of three axes has one channel.
    sampling_frequency
        Samples per second, in hertz; None if unknown.

    Raises
    ------
    InputRefused
        It is not such an array, or its file is gone or shorter than the array.
    """

    extractor_name = "MemmapImagingExtractor"

    def __init__(self, video: NDArray[Any], sampling_frequency: float | None = None) -> None:
        frequency_hz = None if sampling_frequency is None else _checked_frequency(sampling_frequency)
        canonical = _canonical(video)
        located = locate(canonical, "tyxc")
        if located is not None:
            files, source = located
            self._read_from_files(
                files,
                source,
                RecordingInfo(name=files.paths[0].stem, format="memmap", sampling_frequency_hz=frequency_hz),
            )
            return
        info = RecordingInfo(name="array", format="memory", sampling_frequency_hz=frequency_hz)
        super().__init__(axes="tyxc", shape=canonical.shape, dtype=canonical.dtype, info=info)
        self._reader: StridedReader | _ArrayReader = _ArrayReader(canonical)

    def _read_from_files(self, files: StridedFiles, source: SourceFile, info: RecordingInfo) -> None:
        super().__init__(
            axes=files.axes,
            shape=files.shape,
            dtype=files.dtype,
            info=info,
            sources=(source,),
            time_is_slowest=files.time_is_slowest,
            axes_on_disk=files.axes_on_disk,
        )
        self._reader = StridedReader(files)

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`, see `ImagingExtractor.read`.

        Raises
        ------
        InputRefused
            The selection is out of bounds, or the extractor was closed.
        SourceChanged
            The file is gone, or shorter than it was.
        StorageFailed
            The disk failed.
        """
        self._refuse_if_closed()
        self._reader.read(selection, out)

    def close(self) -> None:
        """No file is open and no array is held any more, and every further read is refused."""
        super().close()
        self._reader.close()


class NumpyMemmapImagingExtractor(MemmapImagingExtractor):
    """Gives the samples of a flat binary file that a `VideoStructure` describes.

    Parameters
    ----------
    file_path
        The file.
    video_structure
        Sizes of a frame, and the order of the axes on disk.
    sampling_frequency
        Samples per second, in hertz.
    dtype
        Number type on disk, with its byte order.
    offset
        Bytes before the first pixel.
    num_samples
        Number of samples in the file. Needed unless frames lie one after another, because the size of the file alone
        would then hide that some of it is missing; where it is given, the size must fit it exactly.
    partial_tail
        What to do with an incomplete last sample: "refuse" the file, or "drop" it.

    Raises
    ------
    InputRefused
        The file is missing, not regular, or unreadable, its size does not fit, or a parameter is not valid.
    """

    extractor_name = "NumpyMemmapImagingExtractor"

    def __init__(
        self,
        file_path: str | os.PathLike[str],
        video_structure: VideoStructure,
        sampling_frequency: float,
        dtype: DTypeLike,
        offset: SupportsIndex = 0,
        *,
        num_samples: SupportsIndex | None = None,
        partial_tail: Literal["refuse", "drop"] = "refuse",
    ) -> None:
        self.file_path = Path(file_path)
        self.video_structure = video_structure
        self.offset = operator.index(offset)
        self.dtype = np.dtype(dtype)
        source = identify(self.file_path)
        layout = validate_layout(
            {
                "dtype": self.dtype.str,
                "axes": video_structure.axes,
                "rows": video_structure.num_rows,
                "columns": video_structure.num_columns,
                "channels": video_structure.num_channels,
                "samples": None if num_samples is None else operator.index(num_samples),
                "offset_bytes": self.offset,
                "partial_tail": partial_tail,
                "sampling_frequency_hz": float(sampling_frequency),
            },
            self.file_path,
        )
        info = RecordingInfo(
            name=self.file_path.stem,
            format="memmap",
            sampling_frequency_hz=layout.sampling_frequency_hz,
            layout=layout.model_dump(mode="json"),
        )
        self._read_from_files(layout.resolve([Path(source.path)], [source.size_bytes]), source, info)


class _ArrayReader:
    """Reads an array that is in memory."""

    def __init__(self, array: NDArray[Any]) -> None:
        self._array: NDArray[Any] | None = array

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        if self._array is not None:
            checked_selection(selection, self._array.shape)
            out[...] = self._array[selection]

    def close(self) -> None:
        self._array = None


def _checked_frequency(sampling_frequency: float) -> float:
    frequency_hz = float(sampling_frequency)
    if not RANGE[0] <= frequency_hz <= RANGE[1]:
        raise InputRefused(
            Code.SAMPLING_FREQUENCY_INVALID,
            path=None,
            expected=f"a sampling frequency from {RANGE[0]} to {RANGE[1]} Hz",
            found=f"{sampling_frequency!r}",
            todo="Correct it.",
        )
    return frequency_hz


def _canonical(video: object) -> NDArray[Any]:
    without_channels, with_channels = 3, 4
    is_array = isinstance(video, np.ndarray) and video.ndim in {without_channels, with_channels}
    if not isinstance(video, np.ndarray) or not is_array or video.dtype.hasobject or not video.size:
        raise InputRefused(
            Code.LAYOUT_INVALID,
            path=None,
            expected="a numpy array of (samples, rows, columns[, channels]) with numbers in it",
            found=f"{type(video).__name__} of shape {getattr(video, 'shape', None)}",
            todo="Give a numpy.memmap or another numpy array of numbers.",
        )
    return np.expand_dims(video, without_channels) if video.ndim == without_channels else video
