"""A Prefect process worker that ends its flow runs in order: `python -m flows.process_worker --pool NAME`.

`prefect worker start` kills its flow runs when it is told to end, as `docker stop` does, and leaves them Running for
ever. Here they are told first: each ends after the window it is at, and is recorded as crashed. The next sweep goes on
where they stopped.
"""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from types import FrameType

from flows.children import adopt_orphans, children_of, end, python, start

RUNS_END_SECONDS = 60.0
"""How long flow runs may take to end."""
WORKER_ENDS_SECONDS = 20.0
RESTART_SECONDS = 5.0
LOOK_SECONDS = 0.2


class _Told(Exception):
    """SIGTERM or SIGINT came."""


def main() -> None:
    """Keep a worker running until SIGTERM or SIGINT; then end its flow runs, and the worker after them.

    The words of the command line are those of `prefect worker start`.
    """
    # Flow runs outlive a worker that is killed; they are ours then.
    adopt_orphans()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _tell)
    command = python("prefect", "worker", "start", "--type", "process", *sys.argv[1:])
    worker = start(command, os.environ)
    try:
        while True:
            process, status = os.wait()  # for the worker, and for what was adopted
            if process == worker.pid:
                worker.returncode = os.waitstatus_to_exitcode(status)
                print(f"the worker ended by itself, with {worker.returncode}: it is started again", flush=True)  # noqa: T201
                time.sleep(RESTART_SECONDS)
                worker = start(command, os.environ)
    except _Told:
        _end_runs(worker)
        end(worker, WORKER_ENDS_SECONDS)


def _tell(_number: int, _frame: FrameType | None) -> None:
    raise _Told


def _end_runs(worker: subprocess.Popen[bytes]) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, signal.SIG_IGN)
    told: set[int] = set()
    deadline = time.monotonic() + RUNS_END_SECONDS
    # The worker goes on meanwhile: it records how runs ended that could not do so themselves. It may start another.
    while runs := (children_of(worker.pid) | children_of(os.getpid())) - {worker.pid}:
        late = time.monotonic() > deadline
        for process in runs if late else runs - told:
            _signal(process, signal.SIGKILL if late else signal.SIGTERM)
        told |= runs
        time.sleep(LOOK_SECONDS)


def _signal(process: int, number: signal.Signals) -> None:
    with suppress(ProcessLookupError):  # it ended by itself
        os.kill(process, number)


if __name__ == "__main__":
    main()
