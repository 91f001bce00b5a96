"""The example's recording: made once, and never over somebody else's."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from extractors.errors import Code, StorageFailed, TargetRefused
from extractors.recording import open_recording
from flows.example import make_recording

Run = Callable[..., subprocess.CompletedProcess[str]]


def test_it_can_be_opened_and_is_not_made_twice(tmp_path: Path) -> None:
    path = make_recording(tmp_path)
    before = path.stat()
    assert make_recording(tmp_path) == path
    assert path.stat().st_mtime_ns == before.st_mtime_ns
    with open_recording(path) as recording:
        assert recording.shape[:3] == (256, 128, 128)


def test_a_recording_of_that_name_is_refused_and_still_stands(tmp_path: Path) -> None:
    (tmp_path / "movie.raw").write_bytes(b"precious")
    with pytest.raises(TargetRefused) as refusal:
        make_recording(tmp_path)
    assert refusal.value.code == Code.TARGET_EXISTS
    assert (tmp_path / "movie.raw").read_bytes() == b"precious"


def test_a_folder_that_cannot_be_made_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageFailed):
        make_recording(tmp_path / "file")


def test_a_home_that_cannot_be_written_is_one_clear_error(zarrmill: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    told = zarrmill("example", tmp_path / "demo", PREFECT_HOME=str(tmp_path / "file" / "prefect"))
    assert told.returncode == 1
    assert f"[storage-failed] {tmp_path}/file/prefect: expected a folder for Prefect's temporary server" in told.stderr
    assert "Traceback" not in told.stderr
