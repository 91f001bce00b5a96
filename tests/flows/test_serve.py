"""`zarrmill serve` as a user runs it: a process, its dashboard's API, files that are dropped."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from flows.children import children_of
from stores.verify import verify_store

ZARRMILL = Path(sys.executable).with_name("zarrmill")
PATIENCE_S = 180


class Served:
    """One landing folder, one archive, and the `serve` that is between them."""

    def __init__(self, folder: Path) -> None:
        self.landing, self.archive, self.state = folder / "landing", folder / "archive", folder / "state"
        self.landing.mkdir()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = str(probe.getsockname()[1])
        self.process: subprocess.Popen[str] | None = None

    def command(self) -> list[str | Path]:
        where = [self.landing, self.archive, "--every", "10s", "--port", self.port, "--state", self.state]
        return [ZARRMILL, "serve", *where]

    def start(self) -> subprocess.Popen[str]:
        """Start it, and wait until it says where the dashboard is."""
        self.process = subprocess.Popen(self.command(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        said = ""
        while "Ctrl-C" not in said:
            line = self.process.stderr.readline()
            assert line, f"it ended: {said} {self.logs()}"
            said += line
        assert f"http://127.0.0.1:{self.port}" in said
        return self.process

    def logs(self) -> str:
        return "\n".join(f"{log.name}: {log.read_text()[-2000:]}" for log in self.state.glob("*.log"))

    def sweeps(self, *kinds: str) -> list[dict[str, Any]]:
        query = {"flows": {"name": {"any_": ["ingest"]}}, "flow_runs": {"state": {"type": {"any_": kinds}}}}
        answer = httpx.post(f"http://127.0.0.1:{self.port}/api/flow_runs/filter", json=query, timeout=30)
        runs: list[dict[str, Any]] = answer.raise_for_status().json()
        return runs

    def drop(self, name: str) -> None:
        """Put a recording into the landing folder, as old as if it were complete."""
        layout = {"version": 1, "dtype": "<u2", "axes": "tyx", "rows": 32, "columns": 64, "sampling_frequency_hz": 30.0}
        data, sidecar = self.landing / f"{name}.raw", self.landing / f"{name}.layout.json"
        data.write_bytes(np.random.default_rng(len(name)).integers(0, 4096, (50, 32, 64), dtype="<u2").tobytes())
        sidecar.write_text(json.dumps(layout))
        long_ago = time.time() - 86400
        for path in (data, sidecar):
            os.utime(path, (long_ago, long_ago))

    def is_stored(self, name: str) -> bool:
        return (self.archive / f"{name}.zarr").exists()

    def until(self, condition: Callable[[], object]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < deadline, self.logs()
            time.sleep(0.1)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Served]:
    served = Served(tmp_path)
    yield served
    if served.process is not None:
        served.process.kill()  # its children are ended by the kernel
        served.process.communicate()


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_it_stores_what_is_dropped_ends_in_the_midst_of_a_sweep_and_goes_on(served: Served) -> None:
    served.drop("first")
    process = served.start()
    family = children_of(process.pid)
    assert len(family) == 2, "a server and a worker"
    served.until(lambda: served.is_stored("first"))
    assert verify_store(served.archive / "first.zarr", source=served.landing / "first.raw").findings == ()

    # Another one would run every sweep twice.
    second = subprocess.run(served.command(), capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert second.returncode == 1
    assert f"process {process.pid} on" in second.stderr

    served.drop("second")  # a sweep looks at it twice, some seconds apart
    served.until(lambda: served.sweeps("RUNNING"))
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0
    assert not any(map(is_alive, family))

    served.start()
    served.until(lambda: served.is_stored("second"))
    assert verify_store(served.archive / "second.zarr", source=served.landing / "second.raw").findings == ()
    assert served.sweeps("CRASHED"), "the dashboard remembers the sweep that was ended"
    assert served.sweeps("COMPLETED")


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_it_goes_on_after_it_was_killed_and_starts_what_was_killed_below_it(served: Served) -> None:
    process = served.start()
    family = children_of(process.pid)
    process.kill()
    process.communicate()
    served.until(lambda: not any(map(is_alive, family)))

    process = served.start()
    for child in children_of(process.pid):
        os.kill(child, signal.SIGKILL)
    served.drop("late")
    served.until(lambda: served.is_stored("late"))
    assert len(children_of(process.pid)) == 2


def refused(*words: str | Path) -> str:
    done = subprocess.run([ZARRMILL, "serve", *words], capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode in {1, 2}
    return done.stderr


def test_a_landing_folder_that_is_not_there_is_refused(tmp_path: Path) -> None:
    said = refused(tmp_path / "landing", tmp_path / "archive", "--state", tmp_path / "state")
    assert "source-missing" in said
    assert not (tmp_path / "archive").exists()


def test_a_port_that_is_taken_is_refused(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        said = refused(tmp_path, tmp_path / "archive", "--state", tmp_path / "state", "--port", str(port))
    assert f"port {port}" in said
    assert "--port" in said


@pytest.mark.parametrize("every", ["5", "5 m", "-5m", "9s", "0m", "5w", ""])
def test_an_interval_that_is_none_is_refused(every: str, tmp_path: Path) -> None:
    assert "--every" in refused(tmp_path, tmp_path / "archive", f"--every={every}")
