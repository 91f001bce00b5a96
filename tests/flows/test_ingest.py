"""The flows `ingest` and `audit` on a real server: what it knows of them afterwards."""

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from stores.ledger import FOLDER, Ledger
from stores.lock import hold

Run = Callable[..., subprocess.CompletedProcess[str]]
AT_ONCE = ["--minimum-age", "0", "--settle", "0", "--patience", "0", "--json"]
AUDIT = """
import asyncio, sys
from pathlib import Path
from flows.audit import audit
from flows.settings import AuditSettings
asyncio.run(audit(AuditSettings(archive=Path(sys.argv[1])), return_state=True))
"""

pytestmark = pytest.mark.slow


@pytest.fixture
def landing(recording: Path, tmp_path: Path) -> Path:  # noqa: ARG001 - it makes the files
    """Two good recordings, and one whose layout does not fit."""
    landing = tmp_path / "landing"
    landing.mkdir()
    for name in ("one", "two"):
        (landing / name).mkdir()
        for path in tmp_path.glob("movie.*"):
            shutil.copy(path, landing / name)
    (landing / "bad.raw").write_bytes(bytes(5))
    shutil.copy(tmp_path / "movie.layout.json", landing / "bad.raw.layout.json")
    return landing


def ask(api: str, kind: str, **body: Any) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api}/{kind}/filter", json=body, timeout=30).raise_for_status().json()
    assert isinstance(answer, list)
    return answer


def sweep(zarrmill: Run, landing: Path, archive: Path, api: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """What the command answers, and the flow run as the server knows it."""
    told = zarrmill("ingest", landing, archive, *AT_ONCE, PREFECT_API_URL=api)
    answer = json.loads(told.stdout)
    return answer, ask(api, "flow_runs", flow_runs={"id": {"any_": [answer["flow_run"]["id"]]}})[0]


def test_each_recording_has_a_run_of_its_own_below_the_sweep(
    zarrmill: Run, landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    answer, run = sweep(zarrmill, landing, tmp_path / "archive", prefect_api)
    assert {stored["recording"] for stored in answer["stored"]} == {"one/movie.raw", "two/movie.raw"}
    assert run["name"] == "sweep of landing"
    assert run["state"]["message"] == "2 stored, 1 refused, 0 failed, 0 waiting, 0 stored before"
    below = ask(prefect_api, "flow_runs", flow_runs={"parent_flow_run_id": {"any_": [run["id"]]}})
    assert sorted((child["name"], child["state_type"]) for child in below) == [
        ("one/movie.raw", "COMPLETED"),
        ("two/movie.raw", "COMPLETED"),
    ]


def test_a_sweep_with_nothing_new_is_one_task_run(
    zarrmill: Run, landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    sweep(zarrmill, landing, tmp_path / "archive", prefect_api)
    answer, run = sweep(zarrmill, landing, tmp_path / "archive", prefect_api)
    assert answer["stored_before"] == 2
    while not (tasks := ask(prefect_api, "task_runs", task_runs={"flow_run_id": {"any_": [run["id"]]}})):
        time.sleep(0.1)  # the server records them some time after they happened
    assert len(tasks) == 1


def test_a_sweep_that_would_overlap_is_seen_as_skipped(
    zarrmill: Run, landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    archive = tmp_path / "archive"
    Ledger(archive).make()
    with hold(archive / FOLDER / "sweep.lock", archive):
        _, run = sweep(zarrmill, landing, archive, prefect_api)
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Skipped")
    assert "another sweep is running" in run["state"]["message"]
    assert list(archive.iterdir()) == [archive / FOLDER]


def test_a_landing_folder_that_vanished_is_seen_as_unreachable(
    zarrmill: Run, landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    landing.rename(tmp_path / "away")
    _, run = sweep(zarrmill, landing, tmp_path / "archive", prefect_api)
    assert (run["state_type"], run["state_name"]) == ("COMPLETED", "Unreachable")


def test_an_audit_fails_where_a_store_is_damaged(
    zarrmill: Run, environment: dict[str, str], landing: Path, tmp_path: Path, prefect_api: str
) -> None:
    archive = tmp_path / "audited"
    sweep(zarrmill, landing, archive, prefect_api)
    (shard,) = (path for path in (archive / "one" / "movie.zarr" / "0" / "c").rglob("*") if path.is_file())

    def audit() -> tuple[str, str]:
        subprocess.run(
            [sys.executable, "-c", AUDIT, str(archive)], env=environment | {"PREFECT_API_URL": prefect_api}, check=True
        )
        run = ask(prefect_api, "flow_runs", flows={"name": {"any_": ["audit"]}}, sort="START_TIME_DESC")[0]
        assert run["name"] == "audit of audited"
        return run["state_type"], run["state"]["message"]

    assert audit() == ("COMPLETED", "2 stores read back, 0 damaged")
    shard.write_bytes(shard.read_bytes()[:-9])
    kind, message = audit()
    assert kind == "FAILED"
    assert str(archive / "one" / "movie.zarr") in message
