"""A small made recording, to try the whole way on."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.errors import Code, TargetRefused
from stores.disk import replace_file, storage_faults

SAMPLES, ROWS, COLUMNS = 256, 128, 128
SAMPLING_FREQUENCY_HZ = 30.0


def make_recording(folder: Path) -> Path:
    """Put `movie.raw` and its layout file into `folder`, unless they are there; gives the first.

    What a two-photon microscope could have recorded: round cells that light up now and then, and shot noise.

    Raises
    ------
    TargetRefused
        There is another `movie.raw`.
    StorageFailed
        The folder cannot be made or written.
    """
    with storage_faults(folder):
        return _make_recording(folder)


def _make_recording(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    layout = folder / "movie.layout.json"
    if not layout.exists():
        if os.path.lexists(folder / "movie.raw"):
            raise TargetRefused(
                Code.TARGET_EXISTS,
                path=folder / "movie.raw",
                expected="nothing there yet, or the recording of an earlier example",
                found="another file, without the example's movie.layout.json",
                todo="Name another folder, or move this file away; it was not touched.",
            )
        replace_file(folder / "movie.raw", _movie().tobytes())
        description = {
            "version": 1,
            "dtype": "<u2",
            "axes": "tyx",
            "rows": ROWS,
            "columns": COLUMNS,
            "sampling_frequency_hz": SAMPLING_FREQUENCY_HZ,
            "pixel_size_um": [1.5, 1.5],
            "files": ["movie.raw"],
        }
        # Last: where it is, the movie is whole.
        replace_file(layout, f"{json.dumps(description, indent=2)}\n".encode())
    return folder / "movie.raw"


def _movie() -> NDArray[Any]:
    random = np.random.default_rng(1)
    time = np.arange(SAMPLES) / SAMPLING_FREQUENCY_HZ
    y, x = np.mgrid[:ROWS, :COLUMNS]
    photons = np.full((SAMPLES, ROWS, COLUMNS), 20.0)
    for _ in range(12):
        row, column, start = random.uniform((10, 10, 0), (ROWS - 10, COLUMNS - 10, time[-1]))
        cell = np.exp(-((y - row) ** 2 + (x - column) ** 2) / 18)
        calcium = np.where(time >= start, np.exp(-(time - start) / 0.8), 0)
        photons += 80 * (0.2 + calcium)[:, None, None] * cell
    return np.asarray(random.poisson(photons), "<u2")
