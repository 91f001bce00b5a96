"""Recordings made on the spot: a flat file and the layout file that describes it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

MakeRecording = Callable[..., tuple[Path, NDArray[Any]]]
NAMES = {"y": "rows", "x": "columns", "z": "planes", "c": "channels"}


@pytest.fixture
def make_recording(tmp_path: Path) -> MakeRecording:
    """Give `make(axes=..., sizes=..., dtype=...)`: the data file's path, and its pixels in the order on disk."""

    def make(
        name: str = "rec", *, axes: str = "tyx", sizes: tuple[int, ...] = (20, 6, 8), dtype: str = "<u2", **layout: Any
    ) -> tuple[Path, NDArray[Any]]:
        pixels = np.random.default_rng(0).poisson(100, sizes).astype(dtype)
        path = tmp_path / f"{name}.raw"
        path.write_bytes(pixels.tobytes())
        described = {"dtype": dtype, "axes": axes, "sampling_frequency_hz": 30.0}
        described |= {NAMES[axis]: size for axis, size in zip(axes, sizes, strict=True) if axis != "t"}
        if axes[0] != "t":
            described["samples"] = sizes[axes.index("t")]
        (tmp_path / f"{name}.raw.layout.json").write_text(json.dumps(described | layout))
        return path, pixels

    return make
