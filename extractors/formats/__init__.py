"""One format per module; each module is a `Format`."""

from pathlib import Path
from typing import Protocol

from extractors.imaging import ImagingExtractor


class Format(Protocol):
    """What the module of a format offers."""

    def claims(self, path: Path) -> bool:
        """Whether this format is the one to open the file with, told by names and without reading it."""

    def open_file(self, path: Path, *, sampling_frequency_hz: float | None = None) -> ImagingExtractor:
        """The recording at `path`; a sampling frequency that is given comes before what the recording says."""
