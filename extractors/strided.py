"""Where every pixel of a recording lies in its files."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np


@dataclass(frozen=True)
class StridedFiles:
    """The place of every pixel: pure arithmetic in Python's integers, which do not overflow.

    The pixel at canonical index `i` of file `f` starts at byte `offset_bytes + sum(i * strides_bytes)`, `i[0]` counted
    from the file's first sample. Whoever makes one has checked it against the files' sizes.
    """

    paths: tuple[Path, ...]
    """The files in order of time; more than one only if time is the slowest axis on disk."""
    samples_per_file: tuple[int, ...]
    """How many samples each file holds."""
    dtype: np.dtype[Any]
    """The stored number type, with its byte order."""
    offset_bytes: int
    """Of the pixel at canonical index 0, in every file."""
    axes: str
    """Canonical order: t, y, x, then z and c where they exist."""
    shape: tuple[int, ...]
    """Canonical, of all files together."""
    strides_bytes: tuple[int, ...]
    """Canonical, of any sign and size."""
    inverted: bool = False
    """Whether a pixel is the dtype's maximum minus the stored number (unsigned integers only)."""

    @property
    def time_is_slowest(self) -> bool:
        """Whether samples lie one after another, so that few samples are few bytes of disk."""
        others = zip(self.shape[1:], self.strides_bytes[1:], strict=True)
        span = self.dtype.itemsize + sum((size - 1) * abs(stride) for size, stride in others)
        return self.shape[0] == 1 or abs(self.strides_bytes[0]) >= span

    @property
    def axes_on_disk(self) -> str:
        """Letters of `axes` in their order on disk, slowest first."""
        steps = zip(self.axes, self.strides_bytes, strict=True)
        return "".join(axis for axis, _ in sorted(steps, key=lambda step: -abs(step[1])))


@dataclass(frozen=True)
class StridedTimes:
    """The place of each sample's own time: fields one after another, whose sum is the time in seconds."""

    offset_bytes: int
    """Of the first field of a file's first sample, from the start of every file."""
    stride_bytes: int
    """From one sample's first field to the next sample's."""
    fields: tuple[tuple[np.dtype[Any], float], ...]
    """The fields in their order on disk: number type, and the seconds in one unit."""

    def as_strided_files(self, files: StridedFiles) -> tuple[tuple[StridedFiles, float], ...]:
        """Each field as a recording of one number per sample in the same files, with its unit in seconds."""
        found = []
        offset_bytes = self.offset_bytes
        for dtype, seconds_per_unit in self.fields:
            field = replace(
                files,
                dtype=dtype,
                offset_bytes=offset_bytes,
                axes="t",
                shape=files.shape[:1],
                strides_bytes=(self.stride_bytes,),
                inverted=False,
            )
            found.append((field, seconds_per_unit))
            offset_bytes += dtype.itemsize
        return tuple(found)
