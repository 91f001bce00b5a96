"""Real processes and a real Prefect server."""

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

SCRIPTS = Path(sys.executable).parent
ZARRMILL = SCRIPTS / "zarrmill"
PATIENCE_S = 120
# One sample a window: 300 windows take seconds, so that there is always time to interrupt them.
SMALL_WINDOWS = ["--chunk-bytes", "4096", "--shard-bytes", "4096"]

Environment = dict[str, str]
Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    """300 samples of 4 KiB."""
    movie = np.arange(300 * 32 * 64, dtype="<u2").reshape(300, 32, 64)
    (tmp_path / "movie.raw").write_bytes(movie.tobytes())
    layout = {"version": 1, "dtype": "<u2", "axes": "tyx", "rows": 32, "columns": 64, "sampling_frequency_hz": 30.0}
    (tmp_path / "movie.layout.json").write_text(json.dumps(layout))
    return tmp_path / "movie.raw"


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """No Prefect API, and nobody else's settings."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    return kept | {"PREFECT_HOME": str(tmp_path / "prefect"), "HOME": str(tmp_path)}


@pytest.fixture
def zarrmill(environment: Environment) -> Run:
    """Runs one command in a process of its own."""

    def run(*words: str | Path, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [ZARRMILL, *words],
            env=environment | settings,
            text=True,
            capture_output=True,
            timeout=PATIENCE_S,
            check=False,
        )

    return run


@pytest.fixture
def interrupted(environment: Environment) -> Callable[..., tuple[int, str]]:
    """Runs `zarrmill convert`, and sends it a signal when the first of its windows is stored."""

    def run(recording: Path, target: Path, word: signal.Signals, **settings: str) -> tuple[int, str]:
        journal = target.with_name(f"{target.name}.partial") / "journal.jsonl"
        command = [ZARRMILL, "convert", recording, target, *SMALL_WINDOWS]
        with subprocess.Popen(command, env=environment | settings, stderr=subprocess.PIPE, text=True) as process:
            wait_for(journal.exists, process)
            process.send_signal(word)
            _, said = process.communicate(timeout=PATIENCE_S)
        return process.returncode, said

    return run


@pytest.fixture(scope="session")
def prefect_api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Address of the API of a Prefect server that runs as long as the tests do."""
    home = tmp_path_factory.mktemp("prefect-server")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    settings = {
        "HOME": str(home),
        "PREFECT_HOME": str(home),
        "PREFECT_SERVER_API_PORT": port,
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
    }
    command = [SCRIPTS / "prefect", "server", "start", "--host", "127.0.0.1", "--port", port]
    with (home / "server.log").open("w") as log:
        server = subprocess.Popen(command, env=kept | settings, stdout=log, stderr=log)
        try:
            api = f"http://127.0.0.1:{port}/api"
            wait_for(lambda: answers(f"{api}/health"), server)
            yield api
        finally:
            server.terminate()
            try:
                server.wait(30)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False


def wait_for(condition: Callable[[], bool], process: subprocess.Popen[Any]) -> None:
    """Wait until `condition` holds; fail when the process ends before, or takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert process.poll() is None, f"{process.args!r} ended with {process.returncode}"
        assert time.monotonic() < deadline, f"{process.args!r} took more than {PATIENCE_S} s"
        time.sleep(0.01)
