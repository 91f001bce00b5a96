"""How a worker ends, with stand-ins for `prefect worker start` and for the flow runs that it starts."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flows.children import children_of

# A flow run says how it ended. What it is started by is a worker.
RUN = """
import signal, sys, time
from pathlib import Path
def told(*_):
    Path(sys.argv[1]).write_text("told")
    sys.exit()
signal.signal(signal.SIGTERM, {handler})
Path(sys.argv[1]).write_text("running")
time.sleep(600)
"""
WORKER = """
import subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], start_new_session=True)
time.sleep(600)
"""
MAIN = """
import sys
from flows import process_worker
process_worker.RESTART_SECONDS = 0.0
process_worker.RUNS_END_SECONDS = {patience}
process_worker.python = lambda *words: [sys.executable, "-c", {worker!r}, {run!r}, {outcome!r}]
process_worker.main()
"""


class Worker:
    def __init__(self, outcome: Path, handler: str, patience: float) -> None:
        self.outcome = outcome
        code = MAIN.format(patience=patience, worker=WORKER, run=RUN.format(handler=handler), outcome=str(outcome))
        self.process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)

    def says(self, word: str) -> None:
        self.until(lambda: self.outcome.exists() and self.outcome.read_text() == word)

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def the_worker(self) -> int:
        self.until(lambda: len(children_of(self.process.pid)) == 1)
        return next(iter(children_of(self.process.pid)))


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[str, float], Worker]]:
    started: list[Worker] = []

    def start(handler: str, patience: float) -> Worker:
        started.append(Worker(tmp_path / "outcome", handler, patience))
        started[-1].says("running")
        return started[-1]

    yield start
    for worker in started:
        worker.process.kill()
        worker.process.communicate()


@pytest.mark.parametrize("word", [signal.SIGTERM, signal.SIGINT])
def test_runs_are_told_before_the_worker_ends(word: signal.Signals, start: Callable[[str, float], Worker]) -> None:
    worker = start("told", 60)
    worker.process.send_signal(word)
    assert worker.process.wait(60) == 0
    assert worker.outcome.read_text() == "told"


def test_a_run_that_does_not_listen_is_killed(start: Callable[[str, float], Worker]) -> None:
    worker = start("signal.SIG_IGN", 0.1)
    (run,) = children_of(worker.the_worker())
    worker.process.terminate()
    assert worker.process.wait(60) == 0
    assert worker.outcome.read_text() == "running"
    worker.until(lambda: not is_alive(run))


def test_runs_of_a_worker_that_was_killed_go_on_and_are_told_at_the_end(start: Callable[[str, float], Worker]) -> None:
    worker = start("told", 60)
    (run,) = children_of(worker.the_worker())
    os.kill(worker.the_worker(), signal.SIGKILL)
    worker.until(lambda: len(children_of(worker.process.pid)) == 2)  # the run, adopted, and another worker
    assert run in children_of(worker.process.pid)
    worker.process.terminate()
    output, _ = worker.process.communicate(timeout=60)
    assert "the worker ended by itself, with -9" in output
    assert worker.outcome.read_text() == "told"
