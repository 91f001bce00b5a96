"""The byte arithmetic against files that are written pixel by pixel, without any arithmetic."""

import struct
import tempfile
from itertools import permutations, product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused
from extractors.layout import Layout
from extractors.reader import StridedReader
from extractors.strided import StridedFiles

ORDERS = ["".join(order) for letters in ("tyx", "tzyx", "tcyx", "tzcyx") for order in permutations(letters)]
JUNK = b"\xa5\x5a\x3c"


def junk(size: int) -> bytes:
    return (JUNK * (size // 3 + 1))[:size]


class Recording:
    """A layout, the canonical pixels (t, y, x, z, c), and the files that hold them."""

    def __init__(self, layout: Layout, counts: tuple[int, ...], seed: int) -> None:
        self.layout = layout
        self.counts = counts
        shape = (sum(counts), layout.rows, layout.columns, layout.planes, layout.channels)
        dtype = np.dtype(layout.dtype)
        random = np.random.default_rng(seed).bytes(int(np.prod(shape)) * dtype.itemsize)
        self.pixels: NDArray[Any] = np.frombuffer(random, dtype).reshape(shape)
        self.bits = self.pixels.view(dtype.str.translate(str.maketrans("if", "uu")))
        self.files = [self.file(first, count) for first, count in zip(np.cumsum((0, *counts)), counts, strict=False)]

    def stored(self, at: dict[str, int]) -> bytes:
        """One pixel as it is on disk, by struct and not by numpy."""
        layout = self.layout
        if at["z"] >= layout.planes:
            return junk(np.dtype(layout.dtype).itemsize)
        row = layout.rows - 1 - at["y"] if layout.flip_rows else at["y"]
        number = int(self.bits[at["t"], row, at["x"], at["z"], at["c"]])
        if layout.inverted:
            number = 2 ** (8 * self.bits.itemsize) - 1 - number
        order = ">" if layout.dtype.startswith(">") else "<"
        return struct.pack(order + {1: "B", 2: "H", 4: "I", 8: "Q"}[self.bits.itemsize], number)

    def emit(self, axes: str, at: dict[str, int], samples: range) -> bytes:
        layout = self.layout
        if not axes:
            return self.stored({"z": 0, "c": 0, **at})
        ranges = {
            "t": samples,
            "z": range(layout.planes + layout.flyback_planes),
            "c": range(layout.channels),
            "y": range(layout.rows),
            "x": range(layout.columns),
        }
        out = b""
        for index in ranges[axes[0]]:
            part = self.emit(axes[1:], {**at, axes[0]: index}, samples)
            if axes[0] == "y" and layout.row_stride_bytes is not None:
                part += junk(layout.row_stride_bytes - len(part))
            if axes[0] == "t" and layout.time_is_slowest:
                part = junk(layout.frame_header_bytes) + part + junk(layout.frame_trailer_bytes)
            out += part
        return out

    def file(self, first: int, count: int) -> bytes:
        layout = self.layout
        body = self.emit(layout.axes, {}, range(first, first + count))
        return junk(layout.offset_bytes) + body + junk(layout.footer_bytes)

    def canonical(self) -> NDArray[Any]:
        """The pixels as a series has them: without axes that the layout does not have, c excepted."""
        axes = self.layout.axes
        if "z" in axes and "c" in axes:
            return self.pixels
        return self.pixels[..., 0] if "z" in axes else self.pixels[..., 0, :]

    def resolve(self, folder: str = "") -> StridedFiles:
        paths = [Path(folder, f"part{index}") for index in range(len(self.files))]
        if folder:
            for path, content in zip(paths, self.files, strict=True):
                path.write_bytes(content)
        return self.layout.resolve(paths, [len(content) for content in self.files])


@st.composite
def recordings(draw: st.DrawFn) -> Recording:
    small = st.integers(0, 9)
    axes = draw(st.sampled_from(ORDERS))
    time_is_slowest = axes[0] == "t"
    dtype = draw(
        st.sampled_from(
            ["u1", "i1", *(o + k for o in "<>" for k in ("u2", "i2", "u4", "i4", "u8", "i8", "f2", "f4", "f8"))]
        )
    )
    counts = tuple(draw(st.lists(st.integers(1, 3), min_size=1, max_size=3 if time_is_slowest else 1)))
    fields: dict[str, Any] = {
        "dtype": dtype,
        "axes": axes,
        "rows": draw(st.integers(1, 4)),
        "columns": draw(st.integers(1, 4)),
        "offset_bytes": draw(small),
        "footer_bytes": draw(small),
        "flip_rows": draw(st.booleans()),
        "inverted": "u" in dtype and draw(st.booleans()),
    }
    if "z" in axes:
        fields |= {"planes": draw(st.integers(1, 3)), "flyback_planes": draw(st.integers(0, 2))}
    if "c" in axes:
        fields["channels"] = draw(st.integers(1, 3))
    if time_is_slowest:
        fields |= {"frame_header_bytes": draw(small), "frame_trailer_bytes": draw(small)}
    if not time_is_slowest or draw(st.booleans()):
        fields["samples"] = sum(counts)
    if "x" in axes.partition("y")[2]:
        sizes = {
            "t": sum(counts),
            "z": fields.get("planes", 1) + fields.get("flyback_planes", 0),
            "c": fields.get("channels", 1),
            "x": fields["columns"],
        }
        row = np.dtype(dtype).itemsize * int(np.prod([sizes[axis] for axis in axes.partition("y")[2]]))
        fields["row_stride_bytes"] = draw(st.one_of(st.none(), small.map(lambda padding: row + padding)))
    return Recording(Layout.model_validate(fields), counts, draw(st.integers(0, 2**32)))


@given(recordings())
def test_each_pixel_lies_where_it_was_written(recording: Recording) -> None:
    found = recording.resolve()
    expected = recording.canonical()
    assert found.shape == expected.shape
    assert found.samples_per_file == recording.counts
    first_samples = np.cumsum((0, *recording.counts))
    for index in product(*(range(size) for size in found.shape)):
        number = int(np.searchsorted(first_samples, index[0], side="right")) - 1
        inside = (index[0] - int(first_samples[number]), *index[1:])
        place = found.offset_bytes + sum(i * stride for i, stride in zip(inside, found.strides_bytes, strict=True))
        stored = recording.files[number][place : place + found.dtype.itemsize]
        if found.inverted:
            stored = bytes(255 - byte for byte in stored)
        assert stored == expected[tuple(slice(i, i + 1) for i in index)].tobytes(), index


@given(recordings(), st.data())
def test_a_region_reads_as_it_was_written(recording: Recording, data: st.DataObject) -> None:
    expected = recording.canonical()
    bounds = [sorted(data.draw(st.tuples(st.integers(0, n - 1), st.integers(1, n)))) for n in expected.shape]
    selection = tuple(slice(low, max(high, low + 1)) for low, high in bounds)
    out = np.empty(expected[selection].shape, recording.layout.dtype)
    with tempfile.TemporaryDirectory() as folder:
        reader = StridedReader(recording.resolve(folder))
        reader.read(selection, out)
        reader.close()
    assert out.tobytes() == expected[selection].tobytes()


@given(recordings(), st.data())
def test_a_size_that_is_off_is_refused(recording: Recording, data: st.DataObject) -> None:
    layout = recording.layout
    sizes = [len(content) for content in recording.files]
    number = data.draw(st.integers(0, len(sizes) - 1))
    unit = layout.sample_stride_bytes if layout.time_is_slowest else np.dtype(layout.dtype).itemsize
    by = data.draw(st.sampled_from([-1, 1, -unit, unit, -sizes[number], 10**12 * unit]))
    if (
        layout.time_is_slowest
        and by % unit == 0
        and layout.samples is None
        and recording.counts[number] + by // unit >= 1
    ):
        return  # one sample more or less is a valid recording when no count is declared
    sizes[number] += by
    paths = [Path(f"part{index}") for index in range(len(sizes))]
    with pytest.raises(InputRefused) as caught:
        layout.resolve(paths, sizes)
    assert caught.value.code is Code.SIZE_MISMATCH
    assert str(sum(sizes) if "samples in" in caught.value.found else sizes[number]) in caught.value.found


FRAMES: dict[str, Any] = {"dtype": "<u2", "axes": "tyx", "rows": 3, "columns": 4}


@pytest.mark.parametrize(
    ("fields", "sizes", "expected", "found"),
    [
        ({}, [49], "whole samples of 24 bytes, at least one", "49 bytes: 2 samples and 1 bytes more"),
        ({}, [0], "at least one", "0 bytes: 0 samples"),
        ({"offset_bytes": 100}, [90], "100 bytes around", "90 bytes: 0 samples"),
        ({"samples": 2}, [47], "48 bytes: 0 around 2 samples", "47 bytes, 1 fewer"),
        ({"samples": 2}, [72], "48 bytes: 0 around 2 samples", "72 bytes, 24 more"),
        ({"samples": 2, "partial_tail": "drop"}, [73], "2 samples of 24 bytes in the file", "3 samples in 73 bytes"),
        ({"samples": 10**12}, [48], "24000000000000 bytes", "48 bytes, 23999999999952 fewer"),
        ({"axes": "yxt", "samples": 10**12}, [48], "24000000000000 bytes", "48 bytes, 23999999999952 fewer"),
        (
            {"rows": 2**63 - 1, "columns": 2**63 - 1, "samples": 2**63 - 1},
            [48],
            str((2**63 - 1) ** 3 * 2),
            f"48 bytes, {(2**63 - 1) ** 3 * 2 - 48} fewer",
        ),
        ({"rows": 2**62, "columns": 2**62}, [48], f"whole samples of {2**125} bytes", "48 bytes: 0 samples and 48"),
        ({}, [48, 25], "whole samples of 24 bytes", "25 bytes: 1 samples and 1 bytes more"),
        ({"partial_tail": "drop"}, [25, 48], "whole samples of 24 bytes", "25 bytes: 1 samples and 1 bytes more"),
        ({"samples": 4}, [48, 24], "4 samples of 24 bytes in 2 files", "3 samples in 72 bytes"),
    ],
)
def test_a_refused_size_tells_its_numbers(fields: dict[str, Any], sizes: list[int], expected: str, found: str) -> None:
    layout = Layout.model_validate({**FRAMES, **fields})
    with pytest.raises(InputRefused) as caught:
        layout.resolve([Path(f"part{index}") for index in range(len(sizes))], sizes)
    assert caught.value.code is Code.SIZE_MISMATCH
    assert expected in caught.value.expected
    assert found in caught.value.found


@pytest.mark.parametrize(("sizes", "counts"), [([47], (1,)), ([48], (2,)), ([48, 25], (2, 1))])
def test_a_partial_tail_is_dropped_when_asked(sizes: list[int], counts: tuple[int, ...]) -> None:
    layout = Layout.model_validate({**FRAMES, "partial_tail": "drop"})
    found = layout.resolve([Path(f"part{index}") for index in range(len(sizes))], sizes)
    assert found.samples_per_file == counts
    assert found.shape[0] == sum(counts)


def test_timestamps_lie_in_each_samples_stride() -> None:
    layout = Layout.model_validate(
        {
            **FRAMES,
            "offset_bytes": 100,
            "frame_header_bytes": 16,
            "timestamps": {"offset_bytes": 8, "fields": [["<u4", 1], [">u2", 0.001]]},
        }
    )
    times = layout.resolve_timestamps()
    assert times is not None
    assert (times.offset_bytes, times.stride_bytes) == (108, 40)
    assert times.fields == ((np.dtype("<u4"), 1.0), (np.dtype(">u2"), 0.001))
    assert Layout.model_validate(FRAMES).resolve_timestamps() is None
