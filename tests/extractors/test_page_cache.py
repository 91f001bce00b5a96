"""The page cache is left as it was found: what nobody else had read is let go of."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from extractors.descriptors import OpenFile
from extractors.imaging import ImagingExtractor
from extractors.recording import open_recording

MIB = 1024 * 1024


def recording(folder: Path, axes: str = "tyx") -> Path:
    path = folder / "movie.raw"
    with path.open("wb") as file:
        file.write(np.random.default_rng(0).integers(0, 4000, (16, 512, 512), "<u2").tobytes())
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    layout = {"dtype": "<u2", "axes": axes, "rows": 512, "columns": 512, "sampling_frequency_hz": 30.0}
    if axes != "tyx":
        layout["samples"] = 16
    (folder / "movie.raw.layout.json").write_text(json.dumps(layout))
    return path


def in_memory(extractor: ImagingExtractor) -> list[bool]:
    return [extractor.is_in_memory(sample) for sample in range(16)]


@pytest.fixture
def extractor(tmp_path: Path) -> ImagingExtractor:
    extractor = open_recording(recording(tmp_path))
    if any(in_memory(extractor)):
        pytest.skip("this file system keeps its files in memory, or does not say what it keeps")
    return extractor


def test_samples_are_in_memory_after_they_were_read_and_not_after_they_were_forgotten(
    extractor: ImagingExtractor,
) -> None:
    extractor.get_series(0, 16)
    assert all(in_memory(extractor))
    extractor.forget(4, 12)
    assert in_memory(extractor) == [True] * 4 + [False] * 8 + [True] * 4


def test_asking_brings_nothing_into_memory(extractor: ImagingExtractor) -> None:
    assert not any(in_memory(extractor))
    assert not any(in_memory(extractor))


def test_where_samples_do_not_lie_one_after_another_nothing_is_said_and_nothing_forgotten(tmp_path: Path) -> None:
    extractor = open_recording(recording(tmp_path, "yxt"))
    assert extractor.is_in_memory(15)
    extractor.forget(0, 16)


def test_where_each_read_jumps_no_more_is_read_than_was_asked_for(tmp_path: Path) -> None:
    """Of every MiB the first 32 KiB: what follows would be wanted many windows later."""
    rows = 16
    path = tmp_path / "movie.raw"
    with path.open("wb") as file:
        file.write(os.urandom(rows * MIB))
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    layout = {
        "dtype": "<u2",
        "axes": "ytx",
        "rows": rows,
        "columns": 64,
        "samples": 8192,
        "sampling_frequency_hz": 30.0,
    }
    (tmp_path / "movie.raw.layout.json").write_text(json.dumps(layout))
    file_asked = OpenFile(path)
    if file_asked.is_cached(0):
        pytest.skip("this file system keeps its files in memory, or does not say what it keeps")
    open_recording(path).get_series(0, 256)
    for begin in range(0, rows * MIB, MIB):
        assert file_asked.is_cached(begin)
        assert not any(file_asked.is_cached(begin + offset) for offset in range(32 * 1024, MIB, 4096))
