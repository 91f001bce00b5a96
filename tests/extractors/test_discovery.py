"""Recordings in a folder: found by their files' names and sidecars, each once."""

import json
from pathlib import Path

import numpy as np
import pytest

from extractors.discovery import Found, find_recordings, list_files, look_at
from extractors.errors import Code

LAYOUT = {"dtype": "<u2", "axes": "tyx", "rows": 2, "columns": 3, "sampling_frequency_hz": 30.0}


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    folder = tmp_path / "landing"
    folder.mkdir()
    return folder


def put(landing: Path, *names: str) -> None:
    for name in names:
        path = landing / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(bytes(24))


def describe(landing: Path, name: str, **fields: object) -> None:
    (landing / name).parent.mkdir(parents=True, exist_ok=True)
    (landing / name).write_text(json.dumps(LAYOUT | fields))


def find(landing: Path) -> dict[str, Found]:
    found = list(find_recordings(landing, list_files(landing).files))
    assert len({recording.path for recording in found}) == len(found)
    return {recording.path: recording for recording in found}


def test_a_data_file_and_its_sidecar_are_one_recording(landing: Path) -> None:
    put(landing, "day/a.raw")
    describe(landing, "day/a.raw.layout.json")
    assert find(landing) == {
        "day/a.raw": Found("day/a.raw", "day/a", ("day/a.raw.layout.json", "day/a.raw"), "day/a.raw.layout.json")
    }


def test_files_that_a_layout_names_are_one_recording_whether_they_are_there_or_not(landing: Path) -> None:
    put(landing, "a_1.raw")
    describe(landing, "a.layout.json", files=["a_1.raw", "a_2.raw"])
    assert find(landing) == {
        "a.layout.json": Found("a.layout.json", "a", ("a.layout.json", "a_1.raw", "a_2.raw"), "a.layout.json")
    }
    assert look_at(landing, "a_2.raw") is None


def test_npy_needs_no_sidecar_and_other_files_are_no_recordings(landing: Path) -> None:
    np.save(landing / "a.npy", np.zeros((2, 3, 4)))
    put(landing, "notes.txt", "b.raw", "c.npy.part")
    assert list(find(landing)) == ["a.npy"]


def test_npy_that_a_layout_describes_is_one_recording(landing: Path) -> None:
    np.save(landing / "a.npy", np.zeros((2, 3, 4)))
    describe(landing, "both.layout.json", files=["a.npy"])
    assert list(find(landing)) == ["both.layout.json"]


def test_notes_beside_a_layout_of_the_same_name_are_no_recording(landing: Path) -> None:
    put(landing, "a_1.raw", "a.txt")
    describe(landing, "a.layout.json", files=["a_1.raw"])
    assert list(find(landing)) == ["a.layout.json"]


def test_two_sidecars_for_one_file_are_a_fault_of_that_file(landing: Path) -> None:
    put(landing, "a.raw")
    describe(landing, "a.raw.layout.json")
    (landing / "a.raw.layout.toml").write_text('dtype = "<u2"\naxes = "tyx"\nrows = 2\ncolumns = 3\n')
    (found,) = find(landing).values()
    assert found.path == "a.raw"
    assert found.fault is not None
    assert found.fault.code == Code.LAYOUT_AMBIGUOUS


def test_a_broken_sidecar_is_a_recording_with_a_fault(landing: Path) -> None:
    put(landing, "a.raw")
    (landing / "a.raw.layout.json").write_text("{")
    (found,) = find(landing).values()
    assert found.path == "a.raw.layout.json"
    assert found.name == "a"
    assert found.fault is not None
    assert found.fault.code == Code.LAYOUT_INVALID


def test_hidden_files_stores_links_and_the_archive_are_passed_over(landing: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    put(outside, "o.npy")
    put(landing, ".rsync/a.npy", ".b.npy", "s.zarr/0/c.npy", "s.zarr.partial/d.npy", "archive/e.npy", "f.npy")
    (landing / "link").symlink_to(outside)
    (landing / "loop").symlink_to(landing)
    (landing / "g.npy").symlink_to(outside / "o.npy")
    assert list(list_files(landing, skip=landing / "archive").files) == ["f.npy"]


def test_a_folder_that_is_not_there_is_not_an_empty_one(landing: Path) -> None:
    with pytest.raises(FileNotFoundError):
        list_files(landing / "gone")


def test_names_that_are_not_text_are_told(landing: Path) -> None:
    (landing / "bad\udcff.npy").write_bytes(b"")
    listing = list_files(landing)
    assert listing.files == {}
    assert listing.unusable == ["bad\\xff.npy"]
