"""NumPy's `.npy`: a header, then the numbers in C or Fortran order.

Only the header is parsed, by `numpy.lib.format`; nothing is unpickled. Three axes are (samples, rows, columns), four
are (samples, rows, columns, channels). The format is specified in numpy's NEP 1.
"""

import io
import os
import tokenize
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy_format

from extractors.binary import BinaryImagingExtractor
from extractors.errors import Code, InputRefused
from extractors.fields import LARGEST
from extractors.info import RecordingInfo
from extractors.layout import Layout
from extractors.source import identify, open_regular, printable

# numpy refuses longer headers by default as well: their evaluation could take the interpreter down.
_LARGEST_HEADER = 10_000
_NUMBERS = {"u": (1, 2, 4, 8), "i": (1, 2, 4, 8), "f": (2, 4, 8)}
# Version 3 differs from 2 in its encoding only, which matters to field names and thus to no plain number.
_READERS = {
    (1, 0): npy_format.read_array_header_1_0,
    (2, 0): npy_format.read_array_header_2_0,
    (3, 0): npy_format.read_array_header_2_0,
}
_AXES = {3: "tyx", 4: "tyxc"}


def claims(path: Path) -> bool:
    """Whether the name ends in `.npy`."""
    return path.suffix.lower() == ".npy"


def open_file(path: Path, *, sampling_frequency_hz: float | None = None) -> BinaryImagingExtractor:
    """The array as a recording.

    Raises
    ------
    InputRefused
        NPY_REFUSED: not an array of plain numbers with 3 or 4 axes. SIZE_MISMATCH: truncated, or followed by more.
    """
    source = identify(path)
    layout = read_layout(path)
    files = layout.resolve([Path(source.path)], [source.size_bytes])
    info = RecordingInfo(
        name=path.stem,
        format="npy",
        sampling_frequency_hz=sampling_frequency_hz,
        layout=layout.model_dump(mode="json"),
    )
    return BinaryImagingExtractor(files, info, (source,))


def read_layout(path: Path) -> Layout:
    """The layout that the header describes."""
    shape, fortran_order, dtype, offset = _read_header(path)
    if dtype.itemsize not in _NUMBERS.get(dtype.kind, ()):
        kind = (
            "Python objects (pickles)"
            if dtype.hasobject
            else f"dtype {dtype.name if not dtype.names else 'structured'}"
        )
        raise _refusal(
            path,
            "integers or floats of 1, 2, 4 or 8 bytes",
            kind,
            "Save an array of plain numbers: pickles are never read, complex and structured values are not pixels.",
        )
    axes = _AXES.get(len(shape))
    if axes is None or min(shape) < 1 or max(shape) > LARGEST:
        raise _refusal(
            path,
            "3 axes (samples, rows, columns) or 4 (samples, rows, columns, channels), each of 1 or more",
            f"shape {shape}",
            f"Describe any other order in {path.name}.layout.json, with offset_bytes {offset}.",
        )
    sizes = dict(zip(axes, shape, strict=True))
    return Layout(
        dtype=dtype.str,
        offset_bytes=offset,
        axes=axes[::-1] if fortran_order else axes,
        rows=sizes["y"],
        columns=sizes["x"],
        channels=sizes.get("c", 1),
        samples=sizes["t"],
    )


def _read_header(path: Path) -> tuple[tuple[int, ...], bool, np.dtype[Any], int]:
    with open_regular(path) as (descriptor, _):
        # Bounded here: numpy would read whatever length the header states, up to 4 GiB.
        start = io.BytesIO(os.pread(descriptor, 2 * _LARGEST_HEADER, 0))
    try:
        version = npy_format.read_magic(start)
        if version not in _READERS:
            raise ValueError(f"version {version}")
        shape, fortran_order, dtype = _READERS[version](start, max_header_size=_LARGEST_HEADER)
    except (ValueError, TypeError, SyntaxError, tokenize.TokenError, RecursionError, MemoryError) as error:
        reason = f"{type(error).__name__}: {error}".splitlines()[0][:200]
        raise _refusal(path, "the header of a .npy file", reason, "Save it again with numpy.save.") from error
    return shape, fortran_order, dtype, start.tell()


def _refusal(path: Path, expected: str, found: str, todo: str) -> InputRefused:
    return InputRefused(Code.NPY_REFUSED, path=printable(path), expected=expected, found=found, todo=todo)
