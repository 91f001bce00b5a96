"""VideoStructure: the sizes of a four-dimensional video, and which axis on disk is which."""

import operator
from dataclasses import dataclass, fields
from math import prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused

_AXES = {"frame_axis": "t", "rows_axis": "y", "columns_axis": "x", "channels_axis": "c"}


@dataclass(frozen=True)
class VideoStructure:
    """Sizes of a frame, and the position on disk of its axes and of the frames; 0 is the slowest axis.

    Parameters
    ----------
    num_rows, num_columns, num_channels
        Sizes, 1 or more.
    rows_axis, columns_axis, channels_axis, frame_axis
        Positions: 0, 1, 2 and 3, each once.

    Raises
    ------
    InputRefused
        A size or position is not such an integer; all that are wrong are named.

    Examples
    --------
    Interleaved colour movie, one frame after another:

    >>> structure = VideoStructure(
    ...     num_rows=10, num_columns=5, num_channels=3, frame_axis=0, rows_axis=1, columns_axis=2, channels_axis=3
    ... )
    >>> structure.frame_shape
    (10, 5, 3)
    """

    num_rows: int
    num_columns: int
    num_channels: int
    rows_axis: int
    columns_axis: int
    channels_axis: int
    frame_axis: int

    def __post_init__(self) -> None:
        wrong = []
        for field in fields(self):
            value = getattr(self, field.name)
            try:
                number = -1 if isinstance(value, bool | np.bool_) else operator.index(value)
            except TypeError:
                number = -1
            if field.name in _AXES and not 0 <= number <= 3:  # noqa: PLR2004 - there are four axes
                wrong.append(f"{field.name}={value!r}")
            if field.name not in _AXES and number < 1:
                wrong.append(f"{field.name}={value!r}")
            object.__setattr__(self, field.name, number)
        positions = {name: getattr(self, name) for name in _AXES}
        if not wrong and len(set(positions.values())) < len(positions):
            wrong = [f"{name}={position}" for name, position in positions.items()]
        if wrong:
            raise InputRefused(
                Code.LAYOUT_INVALID,
                path=None,
                expected="sizes of 1 or more, and for the four axes the numbers 0 to 3, each once",
                found=", ".join(wrong),
                todo="Correct the video structure.",
            )

    @property
    def axes(self) -> str:
        """Letters of the axes on disk, slowest first, such as "tyxc"."""
        return "".join(sorted(_AXES.values(), key=lambda letter: self._positions()[letter]))

    @property
    def frame_shape(self) -> tuple[int, int, int]:
        """Sizes of one frame, in the order of its axes on disk."""
        first, second, third = (self._sizes()[letter] for letter in self.axes if letter != "t")
        return first, second, third

    @property
    def number_of_pixels_per_frame(self) -> int:
        """Pixels of one frame, all channels; a Python integer, which does not overflow."""
        return prod(self.frame_shape)

    def build_video_shape(self, n_frames: int) -> tuple[int, int, int, int]:
        """Sizes of a video of `n_frames` frames, in the order of its axes on disk."""
        sizes = {**self._sizes(), "t": n_frames}
        first, second, third, fourth = (sizes[letter] for letter in self.axes)
        return first, second, third, fourth

    def transform_video_to_canonical_form(self, video: Any) -> NDArray[Any]:
        """A view of `video`, whose axes lie as on disk, with the axes (samples, rows, columns, channels).

        Raises
        ------
        InputRefused
            `video` is not an array with four axes.
        """
        if not isinstance(video, np.ndarray) or video.ndim != len(_AXES):
            raise InputRefused(
                Code.LAYOUT_INVALID,
                path=None,
                expected="a numpy array with four axes",
                found=f"{type(video).__name__} of shape {getattr(video, 'shape', None)}",
                todo="Give the video as it lies on disk, such as a numpy.memmap.",
            )
        return video.transpose([self._positions()[letter] for letter in "tyxc"])

    def _positions(self) -> dict[str, int]:
        return {letter: getattr(self, name) for name, letter in _AXES.items()}

    def _sizes(self) -> dict[str, int]:
        return {"y": self.num_rows, "x": self.num_columns, "c": self.num_channels}
