"""What all tests share: how examples are made, and real recordings with what is known of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from numpy.typing import NDArray

# How long an example takes says something of the machine, and of what else it does, not of the code.
settings.register_profile("zarrmill", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("zarrmill")

# Beside the checkout, never in it: the recordings are other people's.
REAL = Path(__file__).parents[2] / "shared" / "realdata"
LAYOUTS: dict[str, tuple[str, dict[str, Any]]] = {
    "thorimage": (
        "Image_0001_0001.raw",
        {
            "dtype": "<u2",
            "axes": "tcyx",
            "rows": 256,
            "columns": 256,
            "channels": 2,
            "channel_names": ["ChanA", "ChanB"],
            "sampling_frequency_hz": 1.426,
            "pixel_size_um": [2.345, 2.345],
        },
    ),
    "norpix": (
        "sample_norpix6.seq",
        {
            "dtype": "u1",
            "axes": "tyx",
            "rows": 36,
            "columns": 32,
            "offset_bytes": 8192,
            "frame_trailer_bytes": 8192 - 1152,
            "timestamps": {"offset_bytes": 1152, "fields": [["<u4", 1], ["<u2", 1e-3], ["<u2", 1e-6]]},
        },
    ),
    "photron": (
        "beam.mraw",
        {"dtype": "<u2", "axes": "tyx", "rows": 80, "columns": 1024, "sampling_frequency_hz": 50_000},
    ),
}


@pytest.fixture
def real_recording(tmp_path: Path) -> Callable[..., Path]:
    """Give `real_recording(name, **layout)`: the path of a copy, with its layout file beside it."""

    def copy(name: str, **layout: Any) -> Path:
        file, known = LAYOUTS[name]
        path = tmp_path / file
        shutil.copyfile(_real_file(f"{name}/{file}"), path)
        path.with_name(f"{file}.layout.json").write_text(json.dumps(known | layout), encoding="utf-8")
        return path

    return copy


@pytest.fixture
def vendors_previews() -> tuple[NDArray[Any], NDArray[Any]]:
    """What the vendor's software saved of the last frame of the ThorImage recording, channel A and B."""
    first, second = (_preview(_real_file(f"thorimage/Chan{name}_Preview.tif")) for name in "AB")
    return first, second


def _real_file(name: str) -> Path:
    if not (REAL / name).is_file():
        pytest.skip(f"no real recordings in {REAL}")
    return REAL / name


def _preview(path: Path) -> NDArray[Any]:
    """The pixels of an uncompressed 16-bit TIFF with one picture of 256 x 256 in strips that follow one another."""
    content = path.read_bytes()
    assert content[:4] == b"II*\0"
    entry = int.from_bytes(content[4:8], "little")
    tags = {}
    for index in range(int.from_bytes(content[entry : entry + 2], "little")):
        tag = content[entry + 2 + 12 * index :][:12]
        tags[int.from_bytes(tag[:2], "little")] = (
            int.from_bytes(tag[4:8], "little"),
            int.from_bytes(tag[8:12], "little"),
        )
    assert tags[259][1] == 1  # not compressed
    strips, offset = tags[273]
    if strips > 1:
        offset = int.from_bytes(content[offset : offset + 4], "little")
    return np.frombuffer(content, "<u2", 256 * 256, offset).reshape(256, 256)
