import os
import struct
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.lib import format as npy_format

from extractors.errors import Code, InputRefused
from extractors.recording import open_recording


def refused(path: Path) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        open_recording(path)
    return caught.value


def write_header(path: Path, header: str, magic: bytes = b"\x93NUMPY\x01\x00") -> Path:
    """A .npy file with any header, right or wrong, and 24 bytes of data."""
    size = struct.pack("<H" if magic[6] == 1 else "<I", len(header))
    path.write_bytes(magic + size + header.encode("latin1") + bytes(24))
    return path


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("shape", [(5, 3, 4), (5, 3, 4, 2), (1, 1, 1)])
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i4", ">f4", "<f8", "<f2", ">u8"])
def test_an_array_reads_as_it_was_saved(tmp_path: Path, order: Any, shape: tuple[int, ...], dtype: str) -> None:
    random = np.random.default_rng(1).bytes(int(np.prod(shape)) * np.dtype(dtype).itemsize)
    array = np.frombuffer(random, dtype).reshape(shape)
    path = tmp_path / "movie.npy"
    np.save(path, np.asarray(array, order=order))
    with open_recording(path, sampling_frequency_hz=30) as recording:
        series = recording.get_series()
        assert series.dtype == array.dtype
        assert series.reshape(shape).tobytes() == array.tobytes()
        assert recording.axes == "tyxc"
        assert recording.info.name == "movie"
        assert recording.info.format == "npy"
        assert recording.get_sampling_frequency() == 30


@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_version_of_the_format_is_read(tmp_path: Path, version: tuple[int, int]) -> None:
    array = np.arange(24, dtype="<u2").reshape(2, 3, 4)
    path = tmp_path / "movie.npy"
    with path.open("wb") as file:
        npy_format.write_array(file, array, version=version)
    with open_recording(path) as recording:
        assert np.array_equal(recording.get_series()[..., 0], array)


@pytest.mark.parametrize(
    ("array", "told"),
    [
        (np.array([[[{}]]], dtype=object), "Python objects"),
        (np.zeros((2, 2, 2), "c8"), "complex64"),
        (np.zeros((2, 2, 2), "?"), "bool"),
        (np.zeros((2, 2, 2), "U3"), "str"),
        (np.zeros((2, 2, 2), "S3"), "bytes"),
        (np.zeros((2, 2, 2), "M8[s]"), "datetime64"),
        (np.zeros((2, 2, 2), [("a", "u1"), ("b", "<f4")]), "structured"),
        (np.zeros((2, 2, 2), [("a", object)]), "Python objects"),
        (np.zeros((2, 2, 2), "V4"), "void"),
        (np.zeros((2, 2, 2), np.longdouble), "float"),
    ],
)
def test_what_are_no_plain_numbers_is_refused(tmp_path: Path, array: np.ndarray[Any, Any], told: str) -> None:
    np.save(tmp_path / "a.npy", array)
    error = refused(tmp_path / "a.npy")
    assert error.code is Code.NPY_REFUSED
    assert told in error.found


def test_a_pickle_is_never_run(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (os.mkdir, (str(tmp_path / "trapped"),))

    np.save(tmp_path / "a.npy", np.array([[[Trap()]]]))
    assert refused(tmp_path / "a.npy").code is Code.NPY_REFUSED
    assert not (tmp_path / "trapped").exists()


@pytest.mark.parametrize("shape", [(), (3,), (3, 4), (2, 3, 4, 5, 6), (0, 3, 4), (2, 0, 4), (2, 3, 4, 0)])
def test_other_shapes_are_refused_with_the_way_out(tmp_path: Path, shape: tuple[int, ...]) -> None:
    np.save(tmp_path / "a.npy", np.zeros(shape, "u1"))
    error = refused(tmp_path / "a.npy")
    assert error.code is Code.NPY_REFUSED
    assert error.found == f"shape {shape}"
    assert "3 axes (samples, rows, columns) or 4" in error.expected
    assert "a.npy.layout.json, with offset_bytes 128" in error.todo


def test_another_order_of_axes_opens_by_a_layout_file(tmp_path: Path) -> None:
    array = np.arange(120, dtype="u1").reshape(2, 3, 4, 5, 1)
    np.save(tmp_path / "a.npy", array)
    (tmp_path / "a.npy.layout.json").write_text(
        '{"dtype": "u1", "axes": "tzyxc", "planes": 3, "rows": 4, "columns": 5, "channels": 1, "offset_bytes": 128}'
    )
    with open_recording(tmp_path / "a.npy") as recording:
        assert np.array_equal(recording.get_series(), array.transpose(0, 2, 3, 1, 4))


@pytest.mark.parametrize("size", [-24, -1, 1, 24])
def test_a_truncated_or_longer_file_is_refused(tmp_path: Path, size: int) -> None:
    path = tmp_path / "a.npy"
    np.save(path, np.zeros((2, 3, 4), "<u2"))
    os.truncate(path, 128 + 48 + size)
    error = refused(path)
    assert error.code is Code.SIZE_MISMATCH
    assert "176 bytes: 128 around 2 samples" in error.expected
    assert error.found.startswith(f"{176 + size} bytes, {abs(size)} ")


HEADER = "{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 4), }"


@pytest.mark.parametrize(
    "header",
    [
        "",
        "{",
        "[]",
        "{'descr': '|u1'}",
        HEADER.replace("'|u1'", "'nonsense'"),
        HEADER.replace("False", "'no'"),
        HEADER.replace("(2, 3, 4)", "[2, 3, 4]"),
        HEADER.replace("(2, 3, 4)", "(2.0, 3, 4)"),
        HEADER.replace("(2, 3, 4)", "(-2, 3, 4)"),
        HEADER.replace("(2, 3, 4)", f"({10**30}, 3, 4)"),
        HEADER.replace("(2, 3, 4)", "(" * 4000 + ")" * 4000),
        HEADER.replace("(2, 3, 4)", "__import__('os').getpid()"),
        HEADER + " " * 20_000,
        HEADER.replace("|u1", "\x00"),
        HEADER.replace("'|u1'", "('|u1', (2,))"),
    ],
)
def test_a_wrong_header_is_refused(tmp_path: Path, header: str) -> None:
    error = refused(write_header(tmp_path / "a.npy", header))
    assert error.code is Code.NPY_REFUSED
    assert len(str(error)) < 1000


HEADERS = st.builds(
    lambda at, length, junk: HEADER[:at] + junk + HEADER[at + length :],
    st.integers(0, len(HEADER)),
    st.integers(0, 8),
    st.text("{}[]()'\",:0123456789 |<>uifObTrueFalse\\\n\0-_L", max_size=8) | st.text(max_size=3),
)


@given(HEADERS)
@pytest.mark.filterwarnings("ignore::UserWarning")  # numpy's, of headers that look as if Python 2 had written them
@pytest.mark.filterwarnings("ignore::SyntaxWarning", "ignore::DeprecationWarning")  # Python's, of what is evaluated
def test_whatever_a_header_holds_the_error_is_ours(header: str) -> None:
    content = header.encode()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a.npy")
        path.write_bytes(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(content)) + content + bytes(24))
        with suppress(InputRefused):
            open_recording(path).close()


def test_an_overflowing_shape_is_refused(tmp_path: Path) -> None:
    error = refused(write_header(tmp_path / "a.npy", HEADER.replace("(2, 3, 4)", f"({2**62}, {2**62}, 4)")))
    assert error.code is Code.SIZE_MISMATCH
    assert str(2**126) in error.expected


@pytest.mark.parametrize("magic", [b"\x93NUMPX\x01\x00", b"\x93NUMPY\x09\x00"])
def test_another_magic_is_refused(tmp_path: Path, magic: bytes) -> None:
    assert refused(write_header(tmp_path / "a.npy", HEADER, magic)).code is Code.NPY_REFUSED


@pytest.mark.parametrize("content", [b"", b"\x93NUM", b"\x93NUMPY\x01\x00\xff", b"\x93NUMPY\x02\x00\xff\xff\xff\xff{"])
def test_a_file_that_ends_in_its_header_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.npy").write_bytes(content)
    assert refused(tmp_path / "a.npy").code is Code.NPY_REFUSED
