"""StridedReader against numpy's own reading of the same bytes."""

import itertools
import math
import tempfile
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from extractors import copying, reader, region
from extractors.errors import InputRefused
from extractors.reader import StridedReader
from extractors.strided import StridedFiles

ORDERS = ["".join(order) for order in itertools.permutations("tyxc")]
DTYPES = [f"{order}{kind}" for kind in ("u2", "i2", "u4", "i4", "f4", "f8") for order in "<>"] + ["u1", "i1"]


@dataclass
class Made:
    """Files on disk, their description, and the pixels that numpy finds there."""

    files: StridedFiles
    pixels: NDArray[Any]


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
        if axis == "t" and order[0] == "t":
            step += header + trailer
        if axis == "y" and "x" in order.partition("y")[2]:
            step += row_padding
        strides[axis] = step
        step *= size[axis]
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


def same(found: NDArray[Any], expected: NDArray[Any]) -> bool:
    """Equal values; NaN is equal to NaN."""
    return np.array_equal(found, expected, equal_nan=found.dtype.kind == "f")


def open_files() -> int:
    """How many files this process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


def whole(made: Made) -> NDArray[Any]:
    out = np.empty(made.files.shape, made.files.dtype)
    StridedReader(made.files).read(tuple(slice(0, size) for size in out.shape), out)
    return out


@pytest.fixture(params=["blocks of a few bytes", "usual blocks"])
def block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Small limits too, so that small arrays take every way through the reader."""
    if request.param == "blocks of a few bytes":
        monkeypatch.setattr(region, "LIMIT_BYTES", 64)
        monkeypatch.setattr(region, "_GAP_BYTES", 3)
        monkeypatch.setattr(region, "_LINE_BYTES", 4)
        monkeypatch.setattr(reader, "_DIRECT_BYTES", 8)
        monkeypatch.setattr(reader, "_FEW_RUNS", 1)


@pytest.mark.usefixtures("block_size")
@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_every_order_and_dtype_reads_as_numpy_reads_it(tmp_path: Path, order: str, dtype: str) -> None:
    made = make(tmp_path, order=order, dtype=dtype, offset=7)
    assert same(whole(made), made.pixels)


@pytest.mark.usefixtures("block_size")
@pytest.mark.parametrize("order", ["".join(order) for order in itertools.permutations("tyxzc")])
def test_every_order_of_five_axes_reads_as_numpy_reads_it(tmp_path: Path, order: str) -> None:
    made = make(tmp_path, order=order, axes="tyxzc", sizes=(3, 4, 5, 2, 2), dtype=">i4")
    assert same(whole(made), made.pixels)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize(("dtype", "samples"), [("<u2", 2000), (">f4", 300)])
def test_recordings_of_many_blocks_read_as_numpy_reads_them(
    tmp_path: Path, order: str, dtype: str, samples: int
) -> None:
    made = make(tmp_path, order=order, sizes=(samples, 33, 43, 2), dtype=dtype, offset=11)
    for window in (slice(0, samples), slice(100, 229), slice(samples - 1, samples)):
        out = np.empty(made.pixels[window].shape, np.dtype(dtype).newbyteorder("<"))
        StridedReader(made.files).read((window, slice(0, 33), slice(0, 43), slice(0, 2)), out)
        assert same(out, made.pixels[window])


@pytest.mark.usefixtures("block_size")
@pytest.mark.parametrize("order", ["tyxc", "tcyx", "yxct"])
@pytest.mark.parametrize("dtype", ["u1", "<u2", ">u2", ">u4"])
def test_inverted_pixels_are_the_maximum_less_the_stored_number(tmp_path: Path, order: str, dtype: str) -> None:
    made = make(tmp_path, order=order, dtype=dtype, inverted=True)
    assert same(whole(made), made.pixels)


@pytest.mark.usefixtures("block_size")
@pytest.mark.parametrize(
    "described",
    [
        {"header": 3, "trailer": 5},
        {"row_padding": 6, "flipped": "y"},
        {"flipped": "yx", "order": "yxtc"},
        {"header": 512, "samples_per_file": (1, 3, 1)},
    ],
)
def test_headers_padding_flips_and_files_in_a_row(tmp_path: Path, described: dict[str, Any]) -> None:
    made = make(tmp_path, **described)
    assert same(whole(made), made.pixels)


@st.composite
def readings(draw: st.DrawFn) -> Any:
    """A description, and a region with an array to read it into."""
    axes = draw(st.sampled_from(["tyxc", "tyxz", "tyxzc"]))
    order = "".join(draw(st.permutations(axes)))
    sizes = tuple(draw(st.integers(1, 7)) for _ in axes)
    dtype = draw(st.sampled_from(DTYPES))
    time_is_slowest = order[0] == "t"
    parts = draw(st.lists(st.integers(1, 3), min_size=1, max_size=3)) if time_is_slowest else None
    if parts:
        sizes = (sum(parts), *sizes[1:])
    described = {
        "axes": axes,
        "order": order,
        "sizes": sizes,
        "dtype": dtype,
        "offset": draw(st.integers(0, 9)),
        "header": draw(st.integers(0, 5)) if time_is_slowest else 0,
        "trailer": draw(st.integers(0, 5)) if time_is_slowest else 0,
        "row_padding": draw(st.integers(0, 5)),
        "flipped": "".join(draw(st.sets(st.sampled_from(axes[1:])))),
        "inverted": draw(st.booleans()) if "u" in dtype else False,
        "samples_per_file": tuple(parts) if parts else None,
    }
    bounds = [sorted(draw(st.tuples(st.integers(0, size), st.integers(0, size)))) for size in sizes]
    selection = tuple(slice(first, last) for first, last in bounds)
    memory = draw(st.permutations(range(len(axes))))
    step = draw(st.sampled_from([1, 2, -1]))
    out_dtype = np.dtype(dtype).newbyteorder(draw(st.sampled_from("<>")))
    return described, selection, memory, step, out_dtype


@settings(max_examples=400, deadline=None)
@given(reading=readings(), small=st.booleans())
def test_any_region_of_any_files_into_any_array_reads_as_numpy_reads_it(*, reading: Any, small: bool) -> None:
    described, selection, memory, step, out_dtype = reading
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        if small:
            patch.setattr(region, "LIMIT_BYTES", 32)
            patch.setattr(region, "_GAP_BYTES", 2)
            patch.setattr(region, "_LINE_BYTES", 8)
            patch.setattr(region, "_LONG_BYTES", 8)
            patch.setattr(reader, "_DIRECT_BYTES", 6)
            patch.setattr(reader, "_FEW_RUNS", 1)
            patch.setattr(copying, "_SHORT", 1)
            patch.setattr(copying, "_TILE_BYTES", 8)
        made = make(Path(folder), **described)
        expected = made.pixels[selection]
        room = np.zeros([expected.shape[axis] * abs(step) for axis in memory], out_dtype)[..., ::step]
        out = room[tuple(slice(0, expected.shape[axis]) for axis in memory)].transpose(np.argsort(memory))
        StridedReader(made.files).read(selection, out)
        assert same(out, expected)


def test_a_number_type_of_the_callers_is_assigned_as_numpy_assigns(tmp_path: Path) -> None:
    made = make(tmp_path, dtype=">u2", order="yxtc")
    out = np.empty(made.files.shape, np.float64)
    StridedReader(made.files).read(tuple(slice(0, size) for size in out.shape), out)
    assert same(out, made.pixels.astype(np.float64))


def test_a_stride_of_nothing_repeats_the_pixels(tmp_path: Path) -> None:
    made = make(tmp_path)
    files = replace(made.files, strides_bytes=(0, *made.files.strides_bytes[1:3], 0))
    assert same(whole(Made(files, made.pixels)), np.broadcast_to(made.pixels[:1, :, :, :1], files.shape))


def test_overlapping_strides_read_each_place_as_often_as_asked(tmp_path: Path) -> None:
    path = tmp_path / "a.raw"
    np.arange(40, dtype="<u2").tofile(path)
    files = StridedFiles((path,), (6,), np.dtype("<u2"), 0, "tyxc", (6, 5, 4, 1), (2, 4, 2, 2))
    expected = np.arange(6)[:, None, None] + 2 * np.arange(5)[:, None] + np.arange(4)
    assert same(whole(Made(files, expected)), expected[..., None].astype("<u2"))


def test_only_the_files_of_the_selection_are_opened(tmp_path: Path) -> None:
    made = make(tmp_path, samples_per_file=(2, 3))
    made.files.paths[0].unlink()
    out = np.empty((3, 4, 3, 2), "<u2")
    StridedReader(made.files).read((slice(2, 5), slice(0, 4), slice(0, 3), slice(0, 2)), out)
    assert same(out, made.pixels[2:])


def test_more_files_than_may_be_open_are_read(tmp_path: Path) -> None:
    made = make(tmp_path, sizes=(80, 4, 3, 2), samples_per_file=(1,) * 80)
    reader_ = StridedReader(made.files)
    out = np.empty(made.files.shape, made.files.dtype)
    before = open_files()
    reader_.read(tuple(slice(0, size) for size in out.shape), out)
    assert same(out, made.pixels)
    assert open_files() - before <= 32
    reader_.close()
    assert open_files() == before


@pytest.mark.parametrize(
    "selection",
    [
        (slice(0, 6), slice(0, 4), slice(0, 3), slice(0, 2)),
        (slice(-1, 5), slice(0, 4), slice(0, 3), slice(0, 2)),
        (slice(0, 5), slice(3, 2), slice(0, 3), slice(0, 2)),
        (slice(0, 5, 2), slice(0, 4), slice(0, 3), slice(0, 2)),
        (slice(0, 5), slice(0, 4), slice(0, 3)),
    ],
)
def test_a_selection_outside_the_recording_is_refused(tmp_path: Path, selection: tuple[slice, ...]) -> None:
    made = make(tmp_path)
    with pytest.raises(InputRefused, match="selection-out-of-bounds"):
        StridedReader(made.files).read(selection, np.empty((5, 4, 3, 2), "<u2"))


def test_an_array_of_another_shape_is_refused(tmp_path: Path) -> None:
    made = make(tmp_path)
    with pytest.raises(InputRefused, match="selection-out-of-bounds"):
        StridedReader(made.files).read((slice(0, 1), *(slice(0, s) for s in (4, 3, 2))), np.empty((5, 4, 3, 2), "<u2"))


def test_an_empty_selection_reads_nothing(tmp_path: Path) -> None:
    made = make(tmp_path)
    made.files.paths[0].unlink()
    StridedReader(made.files).read((slice(2, 2), *(slice(0, s) for s in (4, 3, 2))), np.empty((0, 4, 3, 2), "<u2"))


@pytest.mark.parametrize("order", ["tyxc", "tcyx", "yxct", "xytc"])
def test_blocks_cover_a_region_once_and_fetch_no_more_than_the_limit(order: str) -> None:
    sizes = dict(zip(order, (600, 300, 200, 100), strict=True))
    strides, step = {}, 2
    for axis in reversed(order):
        strides[axis] = step
        step *= sizes[axis]
    out = np.lib.stride_tricks.as_strided(
        np.zeros(1, "u2"), [sizes[axis] for axis in "tyxc"], [1 << 40, 1 << 30, 512, 2]
    )
    made = region.Region.of(0, tuple(strides[axis] for axis in "tyxc"), 2, out)
    block = made.block_shape()
    assert made.runs(block).total_bytes <= region.LIMIT_BYTES * 1.3
    assert sum(target.size for _, target in made.blocks(block)) == math.prod(sizes.values())
