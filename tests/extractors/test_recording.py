import json
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused
from extractors.recording import open_recording

RealRecording = Callable[..., Path]


def test_the_thorimage_recording_equals_the_vendors_previews(
    real_recording: RealRecording, vendors_previews: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    path = real_recording("thorimage")
    with open_recording(path) as recording:
        assert recording.axes == "tyxc"
        assert recording.get_volume_shape() == (5, 256, 256, 2)
        assert recording.info.channel_names == ("ChanA", "ChanB")
        assert recording.get_sampling_frequency() == 1.426
        last = recording.get_series(4, 5)[0]
        whole = recording.get_series()
    for channel, preview in enumerate(vendors_previews):
        assert np.array_equal(last[..., channel], preview)
    raw = np.fromfile(path, "<u2").reshape(5, 2, 256, 256)
    assert np.array_equal(whole, raw.transpose(0, 2, 3, 1))


def test_the_norpix_recording_has_its_pixels_and_its_timestamps(real_recording: RealRecording) -> None:
    path = real_recording("norpix")
    content = path.read_bytes()
    with open_recording(path) as recording:
        series, times = recording.get_series(), recording.get_native_timestamps()
    assert series.shape == (6, 36, 32, 1)
    assert times is not None
    for index in range(6):
        start = 8192 * (index + 1)
        assert series[index].tobytes() == content[start : start + 1152]
        stamp = content[start + 1152 : start + 1160]
        seconds, ms, us = (int.from_bytes(part, "little") for part in (stamp[:4], stamp[4:6], stamp[6:]))
        assert times[index] == pytest.approx(seconds + ms / 1e3 + us / 1e6, abs=1e-6)
    assert (np.diff(times) > 0).all()


@pytest.mark.parametrize("by", [-1, 1, -8192])
def test_the_norpix_recording_with_another_size_is_refused(real_recording: RealRecording, by: int) -> None:
    path = real_recording("norpix", samples=6)
    os.truncate(path, 57344 + by)
    with pytest.raises(InputRefused) as caught:
        open_recording(path)
    assert caught.value.code is Code.SIZE_MISMATCH
    assert "57344 bytes: 8192 around 6 samples" in caught.value.expected


def test_the_photron_recording_reads_as_a_flat_file(real_recording: RealRecording) -> None:
    path = real_recording("photron")
    with open_recording(path) as recording:
        series = recording.get_series()
    assert np.array_equal(series[..., 0], np.fromfile(path, "<u2").reshape(4, 80, 1024))


def test_a_file_of_no_known_format_is_refused_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "movie.raw"
    path.write_bytes(bytes(24))
    with pytest.raises(InputRefused) as caught:
        open_recording(path)
    assert caught.value.code is Code.UNKNOWN_FORMAT
    assert "movie.raw.layout.json" in caught.value.todo


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("name", "code"),
    [
        ("none.raw", Code.SOURCE_MISSING),
        ("none.layout.json", Code.SOURCE_MISSING),
        ("none.npy", Code.SOURCE_MISSING),
        ("folder", Code.SOURCE_NOT_REGULAR),
        ("folder.npy", Code.SOURCE_NOT_REGULAR),
        ("pipe.npy", Code.SOURCE_NOT_REGULAR),
        ("pipe.layout.json", Code.SOURCE_NOT_REGULAR),
        ("", Code.SOURCE_NOT_REGULAR),
    ],
)
def test_what_is_no_file_is_refused(tmp_path: Path, name: str, code: Code) -> None:
    for folder in ("folder", "folder.npy"):
        (tmp_path / folder).mkdir()
    for pipe in ("pipe.npy", "pipe.layout.json"):
        os.mkfifo(tmp_path / pipe)
    with pytest.raises(InputRefused) as caught:
        open_recording(tmp_path / name)
    assert caught.value.code is code
    assert caught.value.path == str(tmp_path / name)


@pytest.mark.parametrize("frequency", [0, -1.0, float("nan"), float("inf"), True, "30", 10**400, 5e-324])
def test_a_wrong_sampling_frequency_is_refused(tmp_path: Path, frequency: Any) -> None:
    np.save(tmp_path / "a.npy", np.zeros((2, 3, 4), "u1"))
    with pytest.raises(InputRefused) as caught:
        open_recording(tmp_path / "a.npy", sampling_frequency_hz=frequency)
    assert caught.value.code is Code.SAMPLING_FREQUENCY_INVALID


@pytest.mark.parametrize("frequency", [7, 7.0, np.float32(7), np.int16(7)])
def test_a_sampling_frequency_that_is_given_comes_before_the_layouts(tmp_path: Path, frequency: Any) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(24))
    layout = {"dtype": "u1", "axes": "tyx", "rows": 3, "columns": 4, "sampling_frequency_hz": 30}
    (tmp_path / "a.layout.json").write_text(json.dumps(layout))
    with open_recording(str(tmp_path / "a.raw")) as recording:
        assert recording.get_sampling_frequency() == 30
    with open_recording(tmp_path / "a.raw", sampling_frequency_hz=frequency) as recording:
        assert recording.get_sampling_frequency() == 7


def test_a_recording_is_pickled_as_a_description(tmp_path: Path) -> None:
    array = np.arange(2_000_000, dtype="<u2").reshape(2, 1000, 1000)
    np.save(tmp_path / "a.npy", array)
    with open_recording(tmp_path / "a.npy") as recording:
        pickled = pickle.dumps(recording)
    assert len(pickled) < 10_000
    with pickle.loads(pickled) as again:  # noqa: S301 - our own
        assert np.array_equal(again.get_series()[..., 0], array)


def test_opening_needs_no_more_than_numpy_and_pydantic() -> None:
    code = "import sys, extractors.recording; print(*{name.partition('.')[0] for name in sys.modules})"
    loaded = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split()
    assert {"numpy", "pydantic", "extractors"} <= set(loaded)
    assert not {"zarr", "prefect", "numcodecs", "rich", "dask", "stores", "flows"} & set(loaded)
