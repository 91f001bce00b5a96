"""The time axis of a recording: set by hand, native, or regular."""

from abc import ABC, abstractmethod
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.bounds import checked_range
from extractors.errors import Code, InputRefused


class TimeAxis(ABC):
    """Says when each sample was taken, in seconds.

    Times that were set with `set_times` come first, then the recording's native ones, then the sampling frequency.
    """

    _times: NDArray[np.float64] | None = None
    _native_times: NDArray[np.float64] | None = None
    _samples_before: int = 0  # of the recording, before the first sample here: a slice keeps its regular times

    @abstractmethod
    def get_num_samples(self) -> int:
        """Number of samples: frames, or volumes."""

    @abstractmethod
    def get_sampling_frequency(self) -> float:
        """Samples per second, in hertz."""

    def get_native_timestamps(
        self,
        start_sample: SupportsIndex | None = None,  # noqa: ARG002 - the interface's
        end_sample: SupportsIndex | None = None,  # noqa: ARG002 - the interface's
    ) -> NDArray[np.float64] | None:
        """Times in seconds that the recording itself holds for these samples; None if it holds none."""
        return None

    def get_timestamps(
        self, start_sample: SupportsIndex | None = None, end_sample: SupportsIndex | None = None
    ) -> NDArray[np.float64]:
        """Times in seconds of samples from `start_sample` up to, not including, `end_sample`, as a fresh array.

        Raises
        ------
        InputRefused
            Out of bounds, or there are no times and no sampling frequency.
        """
        start, end = checked_range(start_sample, end_sample, self.get_num_samples())
        if self._times is not None:
            return self._times[start:end].copy()
        native = self.get_native_timestamps(start, end)
        if native is not None:
            return native
        indices = np.arange(start + self._samples_before, end + self._samples_before)
        return indices / self.get_sampling_frequency()

    def time_to_sample_indices(self, times: ArrayLike) -> Any:
        """The samples at these times.

        Parameters
        ----------
        times
            Seconds, one number or an array.

        Returns
        -------
        numpy.int64 or numpy.ndarray
            With a time vector or native times: the last sample that is not later than the time, -1 before the first.
            With a sampling frequency: the nearest sample, not limited to those that exist.
        """
        vector = self._times
        if vector is None:
            if self._native_times is None:
                self._native_times = self.get_native_timestamps()
            vector = self._native_times
        if vector is not None:
            return (np.searchsorted(vector, times, side="right") - 1).astype("int64")
        nearest = np.round(np.asarray(times, dtype=np.float64) * self.get_sampling_frequency())
        return nearest.astype("int64") - self._samples_before

    def set_times(self, times: ArrayLike) -> None:
        """The time of each sample is what `times` says, in seconds.

        Raises
        ------
        InputRefused
            There is not exactly one time per sample.
        """
        vector = np.array(times, dtype=np.float64)
        if vector.shape != (self.get_num_samples(),):
            raise InputRefused(
                Code.SIZE_MISMATCH,
                path=None,
                expected=f"{self.get_num_samples()} times, one per sample",
                found=f"an array of shape {vector.shape}",
                todo="Give one time in seconds for each sample.",
            )
        self._times = vector

    def has_time_vector(self) -> bool:
        """Whether times were set with `set_times`, here or before this view was made."""
        return self._times is not None

    def copy_times(self, extractor: "TimeAxis") -> None:
        """The times that were set on `extractor`, if any were, are set here too."""
        if extractor.has_time_vector():
            self.set_times(extractor.get_timestamps())

    def _continue_times(self, parent: "TimeAxis", start: int, end: int) -> None:
        """Times are those that `parent` gives its samples from `start` to `end` now."""
        self._times = None if parent._times is None else parent._times[start:end]  # noqa: SLF001 - one of this class
        self._samples_before = parent._samples_before + start  # noqa: SLF001 - one of this class
