"""StridedReader against numpy's own reading of the same bytes."""

import itertools
import math
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from extractors import fetch, reader, region
from extractors.reader import StridedReader
from extractors.strided import StridedFiles

ORDERS = ["".join(order) for order in itertools.permutations("tyxc")]
DTYPES = [f"{order}{kind}" for kind in ("u2", "i2", "u4", "i4", "f4", "f8") for order in "<>"] + ["u1", "i1"]


@dataclass
class Made:
    """Files on disk, their description, and the pixels that numpy finds there."""

    files: StridedFiles
    pixels: np.ndarray


def make(
    folder: Path,
    *,
    order: str = "tyxc",
    axes: str = "tyxc",
    sizes: tuple[int, ...] = (5, 4, 3, 2),
    dtype: str = "<u2",
    offset: int = 0,
    header: int = 0,
    trailer: int = 0,
    row_padding: int = 0,
    flipped: str = "",
    inverted: bool = False,
    samples_per_file: tuple[int, ...] | None = None,
) -> Made:
    """Random bytes in files, seen as pixels by way of np.memmap alone."""
    size = dict(zip(axes, sizes, strict=True))
    itemsize = np.dtype(dtype).itemsize
    counts = samples_per_file or (size["t"],)
    strides, step = {}, itemsize
    for axis in reversed(order):
        if axis == "t":
            step += (header + trailer) if order[0] == "t" else 0
        strides[axis] = step
        step *= size[axis]
        if axis == "x" and order[-1] == "x":
            step += row_padding
    rng = np.random.default_rng(sum(sizes) + offset)
    paths, parts = [], []
    first = offset + (header if order[0] == "t" else 0)
    for number, count in enumerate(counts):
        per_file = {**size, "t": count}
        span = itemsize + sum((per_file[axis] - 1) * strides[axis] for axis in order)
        path = folder / f"{number}.raw"
        path.write_bytes(rng.integers(0, 256, first + span + trailer, dtype=np.uint8).tobytes())
        mapped = np.memmap(path, np.uint8, "r")
        parts.append(
            np.ndarray(
                tuple(per_file[axis] for axis in axes), dtype, mapped, first, tuple(strides[axis] for axis in axes)
            )
        )
        paths.append(path)
    pixels = np.concatenate(parts)
    begin, steps = first, dict(strides)
    for axis in flipped:
        begin += (size[axis] - 1) * strides[axis]
        steps[axis] = -steps[axis]
    pixels = np.flip(pixels, [axes.index(axis) for axis in flipped])
    files = StridedFiles(
        paths=tuple(paths),
        samples_per_file=counts,
        dtype=np.dtype(dtype),
        offset_bytes=begin,
        axes=axes,
        shape=sizes,
        strides_bytes=tuple(steps[axis] for axis in axes),
        inverted=inverted,
    )
    return Made(files, np.iinfo(dtype).max - pixels if inverted else pixels)


def same(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal values; NaN is equal to NaN."""
    return np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")


def whole(made: Made) -> np.ndarray:
    out = np.empty(made.files.shape, made.files.dtype)
    StridedReader(made.files).read(tuple(slice(0, size) for size in out.shape), out)
    return out


@pytest.fixture(params=["blocks of a few bytes", "usual blocks"])
def block_size(request, monkeypatch):
    """Small limits too, so that small arrays take every way through the reader."""
    if request.param == "blocks of a few bytes":
        monkeypatch.setattr(region, "LIMIT_BYTES", 64)
        monkeypatch.setattr(region, "_GAP_BYTES", 3)
        monkeypatch.setattr(region, "_LINE_BYTES", 4)
        monkeypatch.setattr(reader, "_DIRECT_BYTES", 8)
        monkeypatch.setattr(reader, "_FEW_RUNS", 1)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_order_and_dtype_reads_as_numpy_reads_it(tmp_path, block_size, order, dtype):
    made = make(tmp_path, order=order, dtype=dtype, offset=7)
    assert same(whole(made), made.pixels)


@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("tyxzc")])
def test_every_order_of_five_axes_reads_as_numpy_reads_it(tmp_path, block_size, order):
    made = make(tmp_path, order=order, axes="tyxzc", sizes=(3, 4, 5, 2, 2), dtype=">i4")
    assert same(whole(made), made.pixels)
