"""Opening a recording: the first format that claims a file gives its extractor."""

import numbers
from pathlib import Path

from extractors.errors import Code, InputRefused
from extractors.fields import RANGE
from extractors.formats import Format, layout_file, npy
from extractors.imaging import ImagingExtractor
from extractors.source import identify, printable

# In the order they are asked: a layout file is put beside data on purpose, so it comes first.
FORMATS: tuple[Format, ...] = (layout_file, npy)
"""Every format that is known, in the order that they are asked."""


def open_recording(path: str | Path, *, sampling_frequency_hz: float | None = None) -> ImagingExtractor:
    """An extractor for the recording at `path`; sizes were checked, pixels are read when they are asked for.

    Parameters
    ----------
    path
        A layout file (`NAME.layout.json`, `NAME.layout.toml`), a data file with one beside it, or a `.npy` file.
    sampling_frequency_hz
        Samples per second; comes before what the recording says of itself.

    Raises
    ------
    InputRefused
        The file is missing, not regular, unreadable, of no known format, or not what its description says.
    """
    frequency = _checked_frequency(sampling_frequency_hz)
    path = Path(path)
    identify(path)
    for known in FORMATS:
        if known.claims(path):
            return known.open_file(path, sampling_frequency_hz=frequency)
    raise InputRefused(
        Code.UNKNOWN_FORMAT,
        path=printable(path),
        expected="a layout file, a data file with a layout file beside it, or a .npy file",
        found="none of them",
        todo=f"Describe its bytes in {path.name}.layout.json.",
    )


def _checked_frequency(value: object) -> float | None:
    if value is None:
        return None
    lowest, highest = RANGE
    is_number = isinstance(value, numbers.Real) and not isinstance(value, bool)
    # Compared before it is made a float: a huge integer has none.
    if is_number and lowest <= value <= highest:  # type: ignore[operator]
        return float(value)  # type: ignore[arg-type]
    raise InputRefused(
        Code.SAMPLING_FREQUENCY_INVALID,
        path=None,
        expected=f"a sampling frequency from {lowest:g} to {highest:g} Hz",
        found=repr(value),
        todo="Give the number of samples per second.",
    )
