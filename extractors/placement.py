"""Byte arithmetic: how far apart a layout's pixels and samples lie, and how many samples fill its files exactly.

Plain functions of a layout's fields, because a layout that is still being validated has some of them only.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from extractors.errors import Code, InputRefused

SIZES = frozenset({"dtype", "axes", "rows", "columns", "planes", "channels", "samples", "flyback_planes"})
"""The fields without which there are no strides; headers, trailers and row strides that are absent count as none."""

PADDING = frozenset({"frame_header_bytes", "frame_trailer_bytes", "row_stride_bytes"})
"""The fields that a sample's size depends on besides."""


def strides(layout: Mapping[str, Any]) -> tuple[dict[str, int], int]:
    """Bytes from a pixel to the next along each axis on disk, and the bytes that all pixels take.

    If t is the slowest axis, the latter are those of one sample, without its header and trailer.
    """
    sizes = {
        "t": layout["samples"],
        "z": layout["planes"] + layout["flyback_planes"],
        "c": layout["channels"],
        "y": layout["rows"],
        "x": layout["columns"],
    }
    found: dict[str, int] = {}
    step = np.dtype(layout["dtype"]).itemsize
    for axis in reversed(layout["axes"].removeprefix("t")):
        if axis == "y" and layout.get("row_stride_bytes") is not None:
            step = layout["row_stride_bytes"]
        found[axis] = step
        step *= sizes[axis]
    if layout["axes"].startswith("t"):
        found["t"] = layout.get("frame_header_bytes", 0) + step + layout.get("frame_trailer_bytes", 0)
    return found, step


def samples_per_file(layout: Mapping[str, Any], paths: Sequence[Path], sizes_bytes: Sequence[int]) -> tuple[int, ...]:
    """How many samples each file holds.

    Raises
    ------
    InputRefused
        SIZE_MISMATCH: a file is longer or shorter than the layout says, by however little.
    """
    around = layout["offset_bytes"] + layout["footer_bytes"]
    declared, may_drop = layout["samples"], layout["partial_tail"] == "drop"
    steps, pixels = strides(layout)
    if declared and len(paths) == 1 and not may_drop:
        data = declared * steps["t"] if layout["axes"].startswith("t") else pixels
        surplus = sizes_bytes[0] - around - data
        if surplus:
            found = f"{sizes_bytes[0]} bytes, {abs(surplus)} {'more' if surplus > 0 else 'fewer'}"
            raise _mismatch(
                paths[0], f"{around + data} bytes: {around} around {declared} samples, {data} in them", found
            )
        return (declared,)
    counts: list[int] = []
    for path, size in zip(paths, sizes_bytes, strict=True):
        count, rest = divmod(max(size - around, 0), steps["t"])
        counts.append(count)
        is_last = len(counts) == len(paths)
        if count == 0 or (rest and not (may_drop and is_last)):
            expected = f"whole samples of {steps['t']} bytes, at least one"
            if around:
                expected += f", and {around} bytes around them"
            raise _mismatch(path, expected, f"{size} bytes: {count} samples and {rest} bytes more")
    if declared not in {None, sum(counts)}:
        files = f"{len(paths)} files" if len(paths) > 1 else "the file"
        expected = f"{declared} samples of {steps['t']} bytes in {files}"
        raise _mismatch(paths[-1], expected, f"{sum(counts)} samples in {sum(sizes_bytes)} bytes")
    return tuple(counts)


def _mismatch(path: Path, expected: str, found: str) -> InputRefused:
    return InputRefused(
        Code.SIZE_MISMATCH,
        path=path,
        expected=expected,
        found=found,
        todo='Correct the layout; if the recording was cut short, set its partial_tail to "drop" or copy it again.',
    )
