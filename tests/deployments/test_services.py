"""The services of docker-compose.yml as plain processes: its commands, environment, order and health checks."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from stores.verify import verify_store

POSTGRES = Path("/usr/lib/postgresql/15/bin")
SCRIPTS = Path(sys.executable).parent
PATIENCE_S = 180
AUTH = ("zarrmill", "secret")

pytestmark = [
    pytest.mark.slow,
    pytest.mark.soak,
    pytest.mark.timeout(900),
    pytest.mark.skipif(not POSTGRES.exists(), reason="needs PostgreSQL 15 (Debian: postgresql)"),
    pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs Redis (Debian: redis-server)"),
]


def free_ports(count: int) -> list[str]:
    probes = [socket.socket() for _ in range(count)]
    try:
        for probe in probes:
            probe.bind(("127.0.0.1", 0))
        return [str(probe.getsockname()[1]) for probe in probes]
    finally:
        for probe in probes:
            probe.close()


class Stack:
    """The services as processes. `words` and `hosts` are all that differs from the containers."""

    def __init__(self, document: Mapping[str, Any], folder: Path, postgres_folder: Path) -> None:
        database, broker, api, worker = free_ports(4)
        self.database_port = database
        self._as_postgres: dict[str, Any] = {"cwd": "/"}
        self.api = f"http://127.0.0.1:{api}/api"
        self.landing, self.archive = folder / "landing", folder / "archive"
        self.landing.mkdir()
        self.archive.mkdir()
        self._document, self._folder, self._postgres_folder = document, folder, postgres_folder
        self._words = {
            "/landing": str(self.landing),
            "/archive": str(self.archive),
            "python": sys.executable,
            "prefect": str(SCRIPTS / "prefect"),
            "pg_isready": str(POSTGRES / "pg_isready"),
            "redis": "127.0.0.1",
            "0.0.0.0": "127.0.0.1",  # noqa: S104 - it is what is replaced
            "6379": broker,
            "4200": api,
            "8080": worker,
        }
        self._hosts = {
            "postgres:5432": f"127.0.0.1:{database}",
            "redis:6379": f"127.0.0.1:{broker}",
            "server:4200": f"127.0.0.1:{api}",
            "127.0.0.1:4200": f"127.0.0.1:{api}",
            "127.0.0.1:8080": f"127.0.0.1:{worker}",
            "--port=5432": f"--port={database}",
        }
        self._started = {
            "postgres": lambda: self._start_postgres(database),
            "redis": lambda: self._start_redis(broker),
        }
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def up(self) -> None:
        """Start each service when those it waits for are as it wants them to be."""
        waiting = dict(self._document["services"])
        while waiting:
            name = next(
                each for each, said in waiting.items() if self.processes.keys() >= {*said.get("depends_on", ())}
            )
            for other, how in waiting.pop(name).get("depends_on", {}).items():
                self._await(other, how["condition"])
            self.processes[name] = self._started.get(name, lambda each=name: self._start(each))()

    def down(self) -> None:
        for process in reversed(self.processes.values()):
            process.terminate()
            try:
                process.wait(90)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    def _translate(self, text: str) -> str:
        text = self._words.get(text, text)
        for host, here in self._hosts.items():
            text = text.replace(host, here)
        return text

    def _environment(self, name: str) -> dict[str, str]:
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("PREFECT_", "ZARRMILL_"))}
        said = {key: self._translate(value) for key, value in self._document["services"][name]["environment"].items()}
        home = self._folder / name
        return kept | {"HOME": str(home), "PREFECT_HOME": str(home)} | said

    def _start(self, name: str, *more: str, **settings: Any) -> subprocess.Popen[bytes]:
        command = [self._translate(word) for word in self._document["services"][name]["command"]]
        with (self._folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                [*command, *more], cwd="/", env=self._environment(name), stdout=log, stderr=log, **settings
            )

    def _start_redis(self, port: str) -> subprocess.Popen[bytes]:
        """Start what the image's command says, where the container has its volume and its port."""
        command = self._document["services"]["redis"]["command"]
        with (self._folder / "redis.log").open("wb") as log:
            where = ["--bind", "127.0.0.1", "--port", port, "--dir", str(self._folder)]
            return subprocess.Popen([*command, *where], stdout=log, stderr=log)

    def _start_postgres(self, port: str) -> subprocess.Popen[bytes]:
        """Do what the image's entrypoint does: make the database that the environment describes, and serve it."""
        said = self._document["services"]["postgres"]["environment"]
        folder, user = self._postgres_folder, said["POSTGRES_USER"]
        password = folder / "password"
        password.write_text(said["POSTGRES_PASSWORD"])
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            self._as_postgres |= {"user": "postgres", "group": "postgres", "extra_groups": []}
            for path in (folder, password):
                shutil.chown(path, "postgres", "postgres")
        make = [POSTGRES / "initdb", "-D", folder / "data", "-U", user, "--pwfile", password, "--auth=scram-sha-256"]
        subprocess.run([*make, "--no-sync"], check=True, stdout=subprocess.DEVNULL, **self._as_postgres)
        process = self.serve_postgres(port)
        create = [POSTGRES / "createdb", "-h", "127.0.0.1", "-p", port, "-U", user, said["POSTGRES_DB"]]
        subprocess.run(create, check=True, env={"PGPASSWORD": said["POSTGRES_PASSWORD"]})
        return process

    def serve_postgres(self, port: str) -> subprocess.Popen[bytes]:
        """Serve the database that was made; as Docker does, again until it starts."""
        folder = self._postgres_folder
        command = [POSTGRES / "postgres", "-D", folder / "data", "-h", "127.0.0.1", "-p", port, "-k", folder]
        process: subprocess.Popen[bytes] | None = None

        def is_healthy() -> bool:
            nonlocal process
            if process is None or process.poll() is not None:
                with (self._folder / "postgres.log").open("ab") as log:
                    process = subprocess.Popen(command, stdout=log, stderr=log, **self._as_postgres)
            return self._is_healthy("postgres")

        until(is_healthy, lambda: self.log("postgres"))
        assert process is not None
        return process

    def kill_postgres(self) -> None:
        """Kill it, and start it again."""
        self.processes["postgres"].kill()
        self.processes["postgres"].wait()
        self.processes["postgres"] = self.serve_postgres(self.database_port)

    def _is_healthy(self, name: str) -> bool:
        how, *words = self._document["services"][name]["healthcheck"]["test"]
        assert how == "CMD"
        command = [self._translate(word) for word in words]
        return subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0

    def _await(self, name: str, condition: str) -> None:
        process = self.processes[name]
        if condition == "service_completed_successfully":
            assert process.wait(PATIENCE_S) == 0, self.log(name)
        else:
            until(lambda: process.poll() is not None or self._is_healthy(name), lambda: self.log(name))
            assert process.poll() is None, self.log(name)

    def log(self, name: str) -> str:
        """Give the end of what a service printed."""
        return f"{name}: {(self._folder / f'{name}.log').read_text()[-3000:]}"

    def post(self, path: str, body: Mapping[str, Any]) -> Any:
        response = httpx.post(f"{self.api}/{path}", json=body, auth=AUTH, timeout=30)
        response.raise_for_status()
        return response.json()

    def start_run(self, deployment: str, parameters: Mapping[str, Any] | None = None) -> str:
        found = httpx.get(f"{self.api}/deployments/name/{deployment}", auth=AUTH, timeout=30).raise_for_status().json()
        run: str = self.post(f"deployments/{found['id']}/create_flow_run", {"parameters": parameters or {}})["id"]
        return run

    def start_sweep(self) -> str:
        """Start a sweep, and another where that one is skipped because a scheduled one is at work; gives the run."""
        runs = [self.start_run("ingest/ingest")]

        def begun() -> bool:
            state = self.state(runs[-1])["type"]
            if state == "CANCELLED":
                runs.append(self.start_run("ingest/ingest"))
            return state in {"RUNNING", "COMPLETED"}

        until(begun, lambda: f"{self.state(runs[-1])} {self.log('worker')}")
        return runs[-1]

    def state(self, run: str) -> dict[str, Any]:
        found = httpx.get(f"{self.api}/flow_runs/{run}", auth=AUTH, timeout=30).raise_for_status().json()
        state: dict[str, Any] = found["state"]
        return state

    def outcome(self, run: str) -> dict[str, Any]:
        """Wait until a run has ended; gives its state."""
        ended = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
        until(lambda: self.state(run)["type"] in ended, lambda: f"{self.state(run)} {self.log('worker')}")
        return self.state(run)


def until(condition: Callable[[], bool], explain: Callable[[], str], *, patience_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + patience_s
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(explain())
        time.sleep(0.2)


@pytest.fixture(scope="module")
def stack(compose: Callable[..., dict[str, Any]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    variables = {"ZARRMILL_PASSWORD": "secret", "ZARRMILL_DATABASE_PASSWORD": "hidden"}
    # Schedules are other tests' matter: what happens here is what is asked for.
    variables |= {"ZARRMILL_LANDING": "/landing", "ZARRMILL_ARCHIVE": "/archive", "ZARRMILL_EVERY": "1d"}
    # Not below pytest's folder: that is its user's alone, and PostgreSQL is another.
    with tempfile.TemporaryDirectory(prefix="zarrmill-postgres-") as postgres_folder:
        stack = Stack(compose(variables), tmp_path_factory.mktemp("stack"), Path(postgres_folder))
        try:
            stack.up()
            yield stack
        finally:
            stack.down()


def drop(landing: Path, name: str, samples: int, *, missing_bytes: int = 0) -> None:
    """Put a recording into the landing folder, as old as if it were complete."""
    movie = np.random.default_rng(samples).integers(0, 4096, (samples, 32, 64), dtype="<u2")
    layout = {"version": 1, "dtype": "<u2", "axes": "tyx", "rows": 32, "columns": 64, "sampling_frequency_hz": 30.0}
    data, sidecar = landing / f"{name}.raw", landing / f"{name}.layout.json"
    data.write_bytes(movie.tobytes()[: movie.nbytes - missing_bytes])
    sidecar.write_text(json.dumps(layout))
    long_ago = time.time() - 86400
    for path in (data, sidecar):
        os.utime(path, (long_ago, long_ago))


def test_what_is_dropped_is_stored_and_seen_on_the_dashboard(stack: Stack) -> None:
    first = stack.post("flow_runs/filter", {"sort": "EXPECTED_START_TIME_ASC", "limit": 1})
    assert stack.outcome(first[0]["id"])["type"] == "COMPLETED", "deploy starts a first sweep"

    for name, samples in (("one", 40), ("two", 60), ("three", 80)):
        drop(stack.landing, name, samples)
    drop(stack.landing, "short", 50, missing_bytes=100)
    sweep = stack.start_sweep()

    assert stack.outcome(sweep)["type"] == "COMPLETED", stack.log("worker")
    assert sorted(path.name for path in stack.archive.glob("[!.]*")) == ["one.zarr", "three.zarr", "two.zarr"]
    for name in ("one", "two", "three"):
        assert verify_store(stack.archive / f"{name}.zarr", source=stack.landing / f"{name}.raw").findings == ()

    # API and services are two processes, and task runs are recorded by the second one.
    def conversions() -> list[dict[str, Any]]:
        runs = stack.post("flow_runs/filter", {"flows": {"name": {"any_": ["convert"]}}})
        return [run for run in runs if run["state_type"] == "COMPLETED"]

    until(lambda: len(conversions()) == 3, lambda: str(conversions()))
    for run in conversions():
        query = {"task_runs": {"flow_run_id": {"any_": [run["id"]]}, "state": {"type": {"any_": ["COMPLETED"]}}}}
        until(lambda query=query: stack.post("task_runs/count", query) >= 3, lambda: stack.log("services"))


def test_a_sweep_that_would_overlap_is_skipped_and_says_so(stack: Stack) -> None:
    drop(stack.landing, "four", 90)  # looked at twice, some seconds apart: the first sweep lasts longer than the start
    outcomes: list[dict[str, Any]] = []

    def one_has_swept() -> bool:  # unless a scheduled sweep was at work: then all are skipped
        runs = [stack.start_run("ingest/ingest") for _ in range(3)]
        outcomes[:] = [stack.outcome(run) for run in runs]
        return any(state["type"] != "CANCELLED" for state in outcomes)

    until(one_has_swept, lambda: str(outcomes))
    assert sorted(state["type"] for state in outcomes) == ["CANCELLED", "CANCELLED", "COMPLETED"]
    assert {state["message"] for state in outcomes if state["type"] == "CANCELLED"} == {
        "Deployment concurrency limit reached."
    }
    assert (stack.archive / "four.zarr").exists()


def test_one_recording_is_converted_when_asked_for(stack: Stack, tmp_path: Path) -> None:
    drop(tmp_path, "elsewhere", 30)
    target = tmp_path / "asked.zarr"
    parameters = {"recording": str(tmp_path / "elsewhere.raw"), "target": str(target)}
    assert stack.outcome(stack.start_run("convert/convert", parameters))["type"] == "COMPLETED"
    assert verify_store(target, source=tmp_path / "elsewhere.raw").findings == ()


def test_an_audit_reads_the_archive_back(stack: Stack) -> None:
    state = stack.outcome(stack.start_run("audit/audit"))
    assert state["type"] == "COMPLETED", state


def test_a_wrong_parameter_is_refused_before_there_is_a_run(stack: Stack) -> None:
    with pytest.raises(httpx.HTTPStatusError, match="409"):
        stack.start_run("convert/convert", {"recording": "/landing/one.raw", "options": {"workers": 0}})


def test_nothing_is_told_without_the_password(stack: Stack) -> None:
    assert httpx.post(f"{stack.api}/flow_runs/filter", json={}, timeout=30).status_code == 401


def test_deploying_again_changes_nothing(stack: Stack) -> None:
    def made() -> list[Any]:
        return [
            sorted((each["name"], each["id"]) for each in stack.post(f"{kind}/filter", {}))
            for kind in ("deployments", "automations", "work_pools")
        ]

    before = made()
    assert [len(each) for each in before] == [3, 1, 1]
    assert stack._start("deploy").wait(PATIENCE_S) == 0
    assert made() == before


def test_a_worker_that_is_told_to_end_ends_its_runs_and_the_next_sweep_goes_on(stack: Stack) -> None:
    drop(stack.landing, "five", 100)
    sweep = stack.start_sweep()
    stack.processes["worker"].terminate()
    assert stack.processes["worker"].wait(90) == 0, stack.log("worker")
    assert stack.outcome(sweep)["type"] == "CRASHED"

    stack.processes["worker"] = stack._start("worker")
    assert stack.outcome(stack.start_sweep())["type"] == "COMPLETED"
    assert (stack.archive / "five.zarr").exists()


def test_a_database_that_is_killed_in_the_midst_of_a_sweep_costs_no_recording(stack: Stack) -> None:
    names = [f"many{number:02}" for number in range(20)]
    for number, name in enumerate(names):
        drop(stack.landing, name, 20 + number)
    stack.start_run("ingest/ingest")
    until(lambda: any(stack.archive.glob("many*.zarr")), lambda: stack.log("worker"))
    stack.kill_postgres()
    assert len(list(stack.archive.glob("many*.zarr"))) < len(names), "it was not in the midst"

    def all_are_stored() -> bool:
        if all((stack.archive / f"{name}.zarr").exists() for name in names):
            return True
        # Skipped, while the first sweep goes on or its place is not free again.
        stack.outcome(stack.start_run("ingest/ingest"))
        return False

    until(all_are_stored, lambda: stack.log("worker"), patience_s=600)
    until(lambda: not list(stack.archive.glob("*.partial")), lambda: str(list(stack.archive.glob("*.partial"))))
    for name in names:
        assert verify_store(stack.archive / f"{name}.zarr", source=stack.landing / f"{name}.raw").findings == ()
    entries = [json.loads(path.read_text()) for path in stack.archive.glob(".zarrmill/ledger/*.json")]
    assert sorted(entry["recording"] for entry in entries if "many" in entry["recording"]) == [
        f"{name}.raw" for name in names
    ]


def test_the_logs_hold_no_password(stack: Stack) -> None:
    for name in stack.processes:
        assert not re.search("secret|hidden", stack.log(name)), name
