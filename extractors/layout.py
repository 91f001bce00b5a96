"""Layout: how the bytes of a recording become pixels.

The frozen model behind layout files. Each rule is checked at the field it is about, so that one validation reports
every problem of a layout. The arithmetic is in `placement`: all of it in Python's integers, which do not overflow.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from pydantic import BaseModel, ValidationInfo, field_validator, model_validator

from extractors import placement
from extractors.fields import (
    MODEL,
    Axes,
    Bytes,
    Count,
    Dtype,
    FileName,
    JsonObject,
    Label,
    Listed,
    NotEmpty,
    Positive,
    Version,
    problem,
)
from extractors.strided import StridedFiles, StridedTimes
from extractors.timestamps import TimestampField


class Layout(BaseModel):
    """How the bytes of one recording become pixels.

    A file holds offset_bytes, whole samples, and footer_bytes. A sample is one time point: a header, its pixels, a
    trailer. Sizes are checked exactly: a file that is one byte off is refused.
    """

    model_config = MODEL

    version: Version = 1
    """The version of this description."""
    dtype: Dtype
    """The stored numbers with their byte order: "<u2" is little-endian unsigned 16 bit, ">f4" big-endian float 32."""
    axes: Axes
    """The axes on disk, slowest first: t sample, z plane, c channel, y row, x column; z and c only where they exist."""
    rows: Count
    """Number of rows (y)."""
    columns: Count
    """Number of columns (x)."""
    planes: Count = 1
    """Number of planes (z), without flyback planes. Needed if axes has z."""
    channels: Count = 1
    """Number of channels (c). Needed if axes has c."""
    samples: Count | None = None
    """Number of samples in all files together. Needed unless t is the slowest axis: the size would not show damage."""
    offset_bytes: Bytes = 0
    """Bytes before the first sample, in every file."""
    footer_bytes: Bytes = 0
    """Bytes after the last sample, in every file."""
    frame_header_bytes: Bytes = 0
    """Bytes before the pixels of each sample. Needs t as the slowest axis."""
    frame_trailer_bytes: Bytes = 0
    """Bytes after the pixels of each sample, padding included. Needs t as the slowest axis."""
    flyback_planes: Bytes = 0
    """Planes on disk after the kept ones of each volume, recorded while the focus flew back. They are dropped."""
    row_stride_bytes: Bytes | None = None
    """Bytes from the start of a row to the start of the next, where rows are padded. Needs x faster than y."""
    inverted: bool = False
    """Whether a pixel is the dtype's maximum minus the stored number (unsigned integers only)."""
    flip_rows: bool = False
    """Whether the rows are stored from the bottom up."""
    partial_tail: Literal["refuse", "drop"] = "refuse"
    """What to do with an incomplete sample at the very end. Dropping it needs t as the slowest axis, and no footer."""
    files: NotEmpty[FileName] | None = None
    """The data files in order of time, relative to this file's folder. Without it: the file this one is named after."""
    sampling_frequency_hz: Positive | None = None
    """Samples (frames, or volumes) per second."""
    pixel_size_um: Annotated[tuple[Positive, Positive], Listed] | None = None
    """Distance of neighbouring pixels in micrometres: along y, along x."""
    plane_spacing_um: Positive | None = None
    """Distance of neighbouring planes in micrometres."""
    channel_names: Annotated[tuple[Label, ...], Listed] | None = None
    """One name per channel."""
    timestamps: TimestampField | None = None
    """Where each sample carries its own time. Needs t as the slowest axis."""
    vendor: JsonObject = {}
    """Anything else that is known of the recording; it is kept with the store."""

    @property
    def time_is_slowest(self) -> bool:
        """Whether samples lie one after another on disk."""
        return self.axes[0] == "t"

    @property
    def sample_stride_bytes(self) -> int:
        """Bytes from the start of a sample to the start of the next, if t is the slowest axis."""
        return placement.strides(vars(self))[0]["t"]

    def resolve(self, paths: Sequence[Path], sizes_bytes: Sequence[int]) -> StridedFiles:
        """Where every pixel lies in these files, whose sizes fit this layout exactly.

        Raises
        ------
        InputRefused
            SIZE_MISMATCH: a file is longer or shorter than the layout says, by however little.
        """
        counts = placement.samples_per_file(vars(self), paths, sizes_bytes)
        strides, _ = placement.strides(vars(self))
        offset = self.offset_bytes + self.frame_header_bytes
        if self.flip_rows:
            offset += (self.rows - 1) * strides["y"]
            strides["y"] = -strides["y"]
        sizes = {"t": sum(counts), "y": self.rows, "x": self.columns, "z": self.planes, "c": self.channels}
        axes = "tyx" + "".join(letter for letter in "zc" if letter in self.axes)
        axes = "tyxc" if axes == "tyx" else axes
        dtype = np.dtype(self.dtype)
        return StridedFiles(
            paths=tuple(paths),
            samples_per_file=counts,
            dtype=dtype,
            offset_bytes=offset,
            axes=axes,
            shape=tuple(sizes[letter] for letter in axes),
            strides_bytes=tuple(strides.get(letter, dtype.itemsize) for letter in axes),
            inverted=self.inverted,
        )

    def resolve_timestamps(self) -> StridedTimes | None:
        """Where each sample's own time lies in the files; None if samples carry none."""
        if self.timestamps is None:
            return None
        return self.timestamps.resolve(self.offset_bytes, self.sample_stride_bytes)

    @field_validator("planes")
    @classmethod
    def _are_an_axis(cls, value: int, info: ValidationInfo) -> int:
        if value > 1:
            _needs_letter("z", info)
        return value

    @field_validator("channels")
    @classmethod
    def _are_another_axis(cls, value: int, info: ValidationInfo) -> int:
        if value > 1:
            _needs_letter("c", info)
        return value

    @field_validator("flyback_planes")
    @classmethod
    def _follow_planes(cls, value: int, info: ValidationInfo) -> int:
        if value:
            _needs_letter("z", info)
        return value

    @field_validator("samples")
    @classmethod
    def _is_declared(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None:
            _needs_slowest_time(info, "must be declared where t is not")
        return value

    @field_validator("frame_header_bytes", "frame_trailer_bytes")
    @classmethod
    def _lies_between_samples(cls, value: int, info: ValidationInfo) -> int:
        if value:
            _needs_slowest_time(info)
        return value

    @field_validator("row_stride_bytes")
    @classmethod
    def _holds_a_row(cls, value: int | None, info: ValidationInfo) -> int | None:
        if value is None or not info.data.keys() >= placement.SIZES:
            return value
        if info.data["axes"].index("y") > info.data["axes"].index("x"):
            raise problem(f'needs x faster than y, but axes is "{info.data["axes"]}"')
        packed = placement.strides(info.data)[0]["y"]
        if value < packed:
            raise problem(f"is {value}, but a row takes {packed} bytes")
        return value

    @field_validator("inverted")
    @classmethod
    def _is_unsigned(cls, value: bool, info: ValidationInfo) -> bool:  # noqa: FBT001 - pydantic calls it
        if value and "u" not in info.data.get("dtype", "u"):
            raise problem(f"needs an unsigned integer dtype, not {info.data['dtype']}")
        return value

    @field_validator("partial_tail")
    @classmethod
    def _can_be_told(cls, value: str, info: ValidationInfo) -> str:
        if value == "drop":
            _needs_slowest_time(info)
            if info.data.get("footer_bytes"):
                raise problem("cannot drop a tail where footer_bytes is set: a file that was cut short has no footer")
        return value

    @field_validator("files")
    @classmethod
    def _follow_one_another(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if value is not None and len(value) > 1:
            _needs_slowest_time(info)
            if len(set(value)) < len(value):
                raise problem("must not name a file twice")
        return value

    @field_validator("channel_names")
    @classmethod
    def _name_every_channel(cls, value: tuple[str, ...] | None, info: ValidationInfo) -> tuple[str, ...] | None:
        if value is not None and len(value) != info.data.get("channels", len(value)):
            raise problem(f"has {len(value)} names for {info.data['channels']} channels")
        return value

    @field_validator("timestamps")
    @classmethod
    def _lie_in_the_sample(cls, value: TimestampField | None, info: ValidationInfo) -> TimestampField | None:
        if value is None:
            return value
        _needs_slowest_time(info)
        if info.data.keys() >= placement.SIZES | placement.PADDING:
            stride = placement.strides(info.data)[0]["t"]
            if value.end_bytes > stride:
                raise problem(f"end {value.end_bytes} bytes after the start of a sample, which has {stride} bytes")
        return value

    @model_validator(mode="after")
    def _sizes_of_axes_are_given(self) -> Self:
        # A forgotten size would count as 1, fit most files, and shear every picture.
        letters = {"planes": "z", "channels": "c"}
        needed = [name for name, letter in letters.items() if letter in self.axes]
        missing = [name for name in needed if name not in self.model_fields_set]
        if missing:
            raise problem(f'axes "{self.axes}" needs {" and ".join(missing)}')
        return self


def _needs_letter(letter: str, info: ValidationInfo) -> None:
    if letter not in info.data.get("axes", letter):
        raise problem(f'needs the letter {letter} in axes, which is "{info.data["axes"]}"')


def _needs_slowest_time(info: ValidationInfo, what: str = "needs t as") -> None:
    axes = info.data.get("axes", "t")
    if not axes.startswith("t"):
        raise problem(f'{what} the slowest axis on disk, but axes is "{axes}"')
