"""kill -9 in the middle of a sweep: when everything runs again, each recording is stored once and nothing is left.

Real processes: the server of `zarrmill serve` with its database, a process worker, and flow runs that it starts.
"""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from flows.children import python
from stores.ledger import FOLDER, Ledger
from stores.lock import read_holder
from stores.status import read_status
from stores.verify import verify_store

RECORDINGS = 20
KILL_AFTER = 4
PATIENCE_S = 240

pytestmark = [pytest.mark.slow, pytest.mark.soak, pytest.mark.timeout(900)]


class Site:
    """A server, a worker and a deployment of `ingest`; any of them can be killed and started again."""

    def __init__(self, home: Path) -> None:
        self.home = home
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self._port = str(probe.getsockname()[1])
        self._api = f"http://127.0.0.1:{self._port}/api"
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._deployment = ""

    def start_server(self) -> None:
        self._start("server", "flows.server")
        self.wait_for(lambda: self._answers("GET", "/health"), "server")

    def start_worker(self) -> None:
        self._start("worker", "prefect", "worker", "start", "--pool", "rig", "--type", "process")

    def deploy(self) -> None:
        self.wait_for(lambda: self._answers("GET", "/work_pools/rig"), "worker")
        flow = self._call("POST", "/flows/", {"name": "ingest"})["id"]
        deployment = {
            "name": "test",
            "flow_id": flow,
            "entrypoint": "flows.ingest.ingest",
            "work_pool_name": "rig",
            "pull_steps": [],
            "job_variables": {"stream_output": False},
        }
        self._deployment = self._call("POST", "/deployments/", deployment)["id"]

    def sweep(self, landing: Path, archive: Path) -> str:
        """Ask for a sweep; gives the flow run's id."""
        settings = {
            "landing": str(landing),
            "archive": str(archive),
            "minimum_age_seconds": 0,
            "settle_seconds": 0,
            # One sample a window, so that each recording takes its time.
            "options": {"codec": "blosc-lz4", "chunk_bytes": 1, "shard_bytes": 1, "workers": 1},
        }
        body = {"parameters": {"settings": settings}, "state": {"type": "SCHEDULED"}}
        run: str = self._call("POST", f"/deployments/{self._deployment}/create_flow_run", body)["id"]
        return run

    def has_ended(self, run: str) -> bool:
        return bool(self._call("GET", f"/flow_runs/{run}")["state_type"] in {"COMPLETED", "FAILED", "CRASHED"})

    def kill(self, name: str) -> None:
        process = self._running.pop(name)
        process.kill()
        process.wait()

    def end(self) -> None:
        for process in reversed(self._running.values()):
            process.terminate()
        for process in self._running.values():
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def wait_for(self, condition: Callable[[], bool], name: str = "worker") -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            log = self.home / f"{name}.log"
            assert time.monotonic() < deadline, f"waited for too long; {name} said\n{log.read_text()[-3000:]}"
            time.sleep(0.02)

    def _start(self, name: str, module: str, *words: str) -> None:
        kept = {key: value for key, value in os.environ.items() if not key.startswith("PREFECT_")}
        settings = {
            "HOME": str(self.home),
            "PREFECT_HOME": str(self.home),
            "PREFECT_API_URL": self._api,
            "PREFECT_SERVER_API_HOST": "127.0.0.1",
            "PREFECT_SERVER_API_PORT": self._port,
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
        }
        with (self.home / f"{name}.log").open("ab") as log:
            command = python(module, *words)
            self._running[name] = subprocess.Popen(command, env=kept | settings, stdout=log, stderr=log)

    def _answers(self, method: str, path: str) -> bool:
        with suppress(httpx.TransportError):
            return httpx.request(method, self._api + path).is_success
        return False

    def _call(self, method: str, path: str, body: object = None) -> Any:
        # On a busy machine the server says 503 when its database was locked for a minute; its clients try again, too.
        for _ in range(10):
            answer = httpx.request(method, self._api + path, json=body, timeout=180)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                break
            time.sleep(1)
        answer.raise_for_status()
        return answer.json()


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("site"))
    try:
        site.start_server()
        site.start_worker()
        site.deploy()
        yield site
    finally:
        site.end()


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    landing = tmp_path / "landing"
    landing.mkdir()
    for number in range(RECORDINGS):
        path = landing / f"r{number:02}.raw"
        path.write_bytes(np.random.default_rng(number).integers(0, 4000, (24, 16, 16)).astype("<u2").tobytes())
        layout = {"dtype": "<u2", "axes": "tyx", "rows": 16, "columns": 16, "sampling_frequency_hz": 30.0}
        path.with_name(f"{path.name}.layout.json").write_text(json.dumps(layout))
    return landing


def kill_run(_site: Site, archive: Path) -> None:
    holder = read_holder(archive / FOLDER / "sweep.lock")
    assert holder is not None
    os.kill(holder.process, signal.SIGKILL)


def kill_worker(site: Site, _archive: Path) -> None:
    site.kill("worker")
    site.start_worker()


def kill_server(site: Site, _archive: Path) -> None:
    site.kill("server")
    site.start_server()


def kill_run_and_worker(site: Site, archive: Path) -> None:
    site.kill("worker")
    kill_run(site, archive)
    site.start_worker()


def kill_all(site: Site, archive: Path) -> None:
    site.kill("worker")
    kill_run(site, archive)
    site.kill("server")
    site.start_server()
    site.start_worker()


@pytest.mark.parametrize("kill", [kill_run, kill_worker, kill_server, kill_run_and_worker, kill_all])
def test_each_recording_is_stored_once_and_nothing_is_left(
    site: Site, landing: Path, tmp_path: Path, kill: Callable[[Site, Path], None]
) -> None:
    archive = tmp_path / "archive"
    site.sweep(landing, archive)
    site.wait_for(lambda: stored(archive) >= KILL_AFTER)
    kill(site, archive)
    assert stored(archive) < RECORDINGS, "the sweep ended before anything was killed"
    published = {path: path.stat().st_ino for path in archive.glob("*.zarr")}

    # What was not killed may go on; then the next sweeps come, as by a schedule.
    for _ in range(3):
        site.wait_for(lambda: read_status(archive).sweep is None)
        run = site.sweep(landing, archive)
        site.wait_for(lambda run=run: site.has_ended(run))  # type: ignore[misc]

    entries = list(Ledger(archive).entries())
    assert sorted(entry.recording for entry in entries) == [f"r{number:02}.raw" for number in range(RECORDINGS)]
    assert {entry.outcome for entry in entries} == {"stored"}
    assert sorted(path.name for path in archive.iterdir()) == [
        FOLDER,
        *(f"r{number:02}.zarr" for number in range(RECORDINGS)),
    ]
    for path in landing.glob("*.raw"):
        assert verify_store(archive / f"{path.stem}.zarr", source=path).findings == ()
    assert {path: path.stat().st_ino for path in published} == published


def stored(archive: Path) -> int:
    return sum(entry.outcome == "stored" for entry in Ledger(archive).entries())
