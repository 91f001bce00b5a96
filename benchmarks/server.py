"""A Prefect server for one benchmark, as `zarrmill serve` runs it: on a free port, with a home of its own."""

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

from flows.children import python

_START_SECONDS = 120


@dataclass(frozen=True)
class Server:
    """A server that runs."""

    pid: int
    environment: dict[str, str]
    """Of its clients."""

    def cpu_seconds(self) -> float:
        """Processor time that it and its children, if it waited for them, took so far."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@contextmanager
def prefect_server(home: Path) -> Iterator[Server]:
    """A server runs, and is healthy.

    Raises
    ------
    RuntimeError
        It did not start; the message holds the end of its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home.mkdir(parents=True, exist_ok=True)
    environment = {"PREFECT_HOME": str(home), "PREFECT_API_URL": f"http://127.0.0.1:{port}/api"}
    own = {
        "PREFECT_SERVER_API_HOST": "127.0.0.1",
        "PREFECT_SERVER_API_PORT": str(port),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        # As `zarrmill serve` sets them: one by one, the server falls behind a sweep.
        "PREFECT_SERVER_SERVICES_TASK_RUN_RECORDER_BATCH_SIZE": "200",
        "PREFECT_SERVER_SERVICES_EVENT_PERSISTER_BATCH_SIZE": "200",
    }
    log = home / "server.log"
    with (
        log.open("w") as said,
        subprocess.Popen(
            python("flows.server"), stdout=said, stderr=said, env=os.environ | environment | own
        ) as process,
    ):
        try:
            _wait(f"{environment['PREFECT_API_URL']}/health", process, log)
            yield Server(process.pid, environment)
        finally:
            process.terminate()
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urlopen(address, timeout=5) as answer:  # noqa: S310 - our own address
                if answer.status == 200:
                    return
        except (URLError, OSError):
            pass
        time.sleep(0.2)
    raise RuntimeError(f"no healthy Prefect server at {address} within {_START_SECONDS} s:\n{log.read_text()[-4000:]}")
