"""BinaryImagingExtractor: a recording in flat files."""

from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import NDArray

from extractors.bounds import checked_range
from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from extractors.reader import StridedReader
from extractors.source import SourceFile
from extractors.strided import StridedFiles, StridedTimes


class BinaryImagingExtractor(ImagingExtractor):
    """Gives the samples of flat files by positional reads; pickles as a description, never as pixels.

    Parameters
    ----------
    files
        Where every pixel lies.
    info
        What else is known of the recording.
    sources
        Identities of the files, as they were when the description was made.
    timestamps
        Where each sample's own time lies, if it carries one.
    """

    extractor_name = "BinaryImagingExtractor"

    def __init__(
        self,
        files: StridedFiles,
        info: RecordingInfo,
        sources: tuple[SourceFile, ...],
        timestamps: StridedTimes | None = None,
    ) -> None:
        super().__init__(
            axes=files.axes,
            shape=files.shape,
            dtype=files.dtype,
            info=info,
            sources=sources,
            time_is_slowest=files.time_is_slowest,
            axes_on_disk=files.axes_on_disk,
        )
        self._reader = StridedReader(files)
        fields = () if timestamps is None else timestamps.as_strided_files(files)
        self._time_fields = tuple((StridedReader(field), seconds_per_unit) for field, seconds_per_unit in fields)

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out` with the pixels of `selection`, see `ImagingExtractor.read`.

        Raises
        ------
        InputRefused
            The selection is out of bounds, or the extractor was closed.
        SourceChanged
            A file is gone, or shorter than it was.
        StorageFailed
            The disk failed.
        """
        self._refuse_if_closed()
        self._reader.read(selection, out)

    def is_in_memory(self, sample: int) -> bool:
        """Whether this sample, if it lies in one piece, can be read without waiting for a disk."""
        return all(file.is_cached(begin) for file, begin, _ in self._reader.spans(sample, sample + 1))

    def forget(self, start_sample: int, end_sample: int) -> None:
        """The system may use the page cache's memory of these samples for others, if they lie one after another."""
        for file, begin_bytes, length_bytes in self._reader.spans(start_sample, end_sample):
            file.forget(begin_bytes, length_bytes)

    def get_native_timestamps(
        self, start_sample: SupportsIndex | None = None, end_sample: SupportsIndex | None = None
    ) -> NDArray[np.float64] | None:
        """Times in seconds, as float64, that the files themselves hold for these samples; None if they hold none.

        Seconds since 1970 keep a resolution of a quarter of a microsecond in float64.
        """
        start, end = checked_range(start_sample, end_sample, self.get_num_samples())
        if not self._time_fields:
            return None
        self._refuse_if_closed()
        seconds = np.zeros(end - start)
        for reader, seconds_per_unit in self._time_fields:
            field = np.empty(end - start, reader.files.dtype.newbyteorder("="))
            reader.read((slice(start, end),), field)
            seconds += field * seconds_per_unit
        return seconds

    def close(self) -> None:
        """No file is open any more, and every further read is refused."""
        super().close()
        for reader in (self._reader, *(reader for reader, _ in self._time_fields)):
            reader.close()
