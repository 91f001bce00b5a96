"""The commands about an archive, in processes of their own."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest

Run = Callable[..., CompletedProcess[str]]
AT_ONCE = ["--minimum-age", "0", "--settle", "0", "--patience", "0"]


@pytest.fixture
def landing(recording: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - it makes the files
    """One good recording, and one whose layout does not fit."""
    landing = tmp_path / "landing"
    landing.mkdir()
    for path in tmp_path.glob("movie.*"):
        shutil.move(path, landing)
    (landing / "bad.raw").write_bytes(bytes(5))
    shutil.copy(landing / "movie.layout.json", landing / "bad.raw.layout.json")
    return landing


def test_ingest_stores_what_is_good_and_tells_what_is_not(zarrmill: Run, landing: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    first = zarrmill("ingest", landing, archive, *AT_ONCE)
    assert first.returncode == 1
    assert "stored   movie.raw" in first.stdout
    assert "[size-mismatch]" in first.stdout
    second = zarrmill("ingest", landing, archive, *AT_ONCE, "--json")
    assert second.returncode == 0
    found = json.loads(second.stdout)
    assert (found["stored"], found["stored_before"]) == ([], 1)
    assert [problem["code"] for problem in found["refused"]] == ["size-mismatch"]


def test_status_needs_no_server_and_no_prefect(zarrmill: Run, landing: Path, tmp_path: Path) -> None:
    zarrmill("ingest", landing, tmp_path / "archive", *AT_ONCE)
    status = zarrmill("status", tmp_path / "archive", "--json", PYTHONPROFILEIMPORTTIME="1")
    assert status.returncode == 0
    assert "prefect" not in status.stderr
    found = json.loads(status.stdout)
    assert (found["stored"], found["in_progress"]) == (1, [])
    assert list(found["refused"]) == [str(landing / "bad.raw")]


def test_audit_names_a_damaged_shard_and_repair_makes_it_whole(zarrmill: Run, landing: Path, tmp_path: Path) -> None:
    archive = tmp_path / "archive"
    zarrmill("ingest", landing, archive, *AT_ONCE)
    (shard,) = (path for path in (archive / "movie.zarr" / "0" / "c").rglob("*") if path.is_file())
    data = np.fromfile(shard, "u1")
    data[len(data) // 2] ^= 1
    data.tofile(shard)
    audit = zarrmill("audit", archive)
    assert audit.returncode == 1
    assert str(shard) in audit.stdout
    assert str(shard) in zarrmill("status", archive).stdout
    assert "window 0" in zarrmill("repair", archive / "movie.zarr").stdout
    assert zarrmill("audit", archive).returncode == 0


@pytest.mark.parametrize("words", [["--settle", "-1"], ["--sentinel", "a/b"]])
def test_settings_that_make_no_sense_are_told_by_their_option(
    zarrmill: Run, landing: Path, tmp_path: Path, words: list[str]
) -> None:
    found = zarrmill("ingest", landing, tmp_path / "archive", *words)
    assert found.returncode == 2
    assert words[0] in found.stderr
    assert not (tmp_path / "archive").exists()


@pytest.mark.slow
def test_ingest_runs_as_a_flow_where_an_api_is_configured(
    zarrmill: Run, landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    done = zarrmill("ingest", landing, tmp_path / "archive", *AT_ONCE, "--json", PREFECT_API_URL=prefect_api)
    found = json.loads(done.stdout)
    assert [stored["recording"] for stored in found["stored"]] == ["movie.raw"]
    assert found["flow_run"]["name"] == "sweep of landing"
