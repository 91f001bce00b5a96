"""Processes that others run for us: started so that they end with their parent, and ended in order.

A child is in a session of its own, so that Ctrl-C in the terminal reaches only the parent, which then ends its
children one after another; and the kernel ends it if its parent is killed.
"""

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Self

RESTART_SECONDS = 5.0
"""A child that cannot start is not started again and again at once."""

_PR_SET_PDEATHSIG = 1  # prctl(2)
_PR_SET_CHILD_SUBREAPER = 36
_LIBC = ctypes.CDLL(None, use_errno=True)


def python(*words: str) -> list[str]:
    """Give the command that runs a module with this interpreter."""
    return [sys.executable, "-m", *words]


def start(command: Sequence[str], environment: Mapping[str, str], log: Path | None = None) -> subprocess.Popen[bytes]:
    """Start a child that ends by SIGTERM when this process ends, however it ends.

    Only from the main thread: the kernel watches the thread that started the child.

    Parameters
    ----------
    command
        Program and arguments.
    environment
        All of its environment.
    log
        What it prints is added to this file; to where this process prints if None.
    """
    output = None if log is None else log.open("ab")
    try:
        return subprocess.Popen(  # noqa: S603 - our own words
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_end_with_parent(os.getpid()),  # noqa: PLW1509 - nothing here has threads that hold locks
        )
    finally:
        if output is not None:
            output.close()


def _end_with_parent(parent: int) -> Callable[[], None]:
    def in_child() -> None:
        _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent:  # it ended before the line above
            os._exit(1)

    return in_child


def end(child: subprocess.Popen[bytes], seconds: float) -> None:
    """Ask a child to end; kill it if it is still there after `seconds`."""
    if child.poll() is None:
        child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()


def adopt_orphans() -> None:
    """Become the parent of descendants whose own parent ends, as init is."""
    _LIBC.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children_of(process: int) -> set[int]:
    """Processes that `process` started or adopted, those that ended and were not waited for left out."""
    children: set[int] = set()
    for folder in Path("/proc").iterdir():
        if folder.name.isdecimal():
            try:
                # "pid (name) state parent ...": the name may hold spaces and parentheses
                state, parent = (folder / "stat").read_text().rpartition(")")[2].split()[:2]
            except (FileNotFoundError, ProcessLookupError):
                continue
            if int(parent) == process and state != "Z":
                children.add(int(folder.name))
    return children


class Kept:
    """A child that is there while the block runs, and that `keep` starts again if it ended by itself.

    Parameters
    ----------
    command, environment
        As of `start`.
    log
        What it prints is added to this file.
    ends_seconds
        How long it may take to end; it is killed after that.
    """

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: Path, ends_seconds: float) -> None:
        self.log = log
        self._command = command
        self._environment = environment
        self._ends_seconds = ends_seconds

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        end(self._child, self._ends_seconds)

    def is_there(self) -> bool:
        """Whether it has not ended."""
        return self._child.poll() is None

    def keep(self, say: Callable[[str], None]) -> None:
        """Start it again if it ended by itself, and say so."""
        if not self.is_there() and time.monotonic() - self._started > RESTART_SECONDS:
            say(f"{self.log.stem} ended by itself, with {self._child.returncode}, and is started again: see {self.log}")
            self._start()

    def _start(self) -> None:
        self._started = time.monotonic()
        self._child = start(self._command, self._environment, self.log)
