import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.children import Kept, children_of, end, start
from flows.every import parse_every

SLEEPS = [sys.executable, "-c", "import time; print('here', flush=True); time.sleep(600)"]
STUBBORN = [
    sys.executable,
    "-c",
    "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('here', flush=True); time.sleep(600)",
]


def until_it_prints(log: Path) -> None:
    deadline = time.monotonic() + 60
    while not (log.exists() and "here" in log.read_text()):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def is_alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False


def test_a_child_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    child = start(SLEEPS, os.environ, tmp_path / "log")
    until_it_prints(tmp_path / "log")
    assert child.pid in children_of(os.getpid())
    end(child, 60)
    assert child.returncode == -signal.SIGTERM
    assert child.pid not in children_of(os.getpid())


def test_a_child_that_does_not_listen_is_killed(tmp_path: Path) -> None:
    child = start(STUBBORN, os.environ, tmp_path / "log")
    until_it_prints(tmp_path / "log")
    end(child, 0.1)
    assert child.returncode == -signal.SIGKILL


def test_a_child_ends_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    log = tmp_path / "log"
    code = (
        "import os, sys, time; from pathlib import Path; from flows.children import start; "
        f"print(start({SLEEPS!r}, os.environ, Path({str(log)!r})).pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        child = int(parent.stdout.readline())
        until_it_prints(log)
        parent.kill()
    deadline = time.monotonic() + 60
    while is_alive(child):
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_a_kept_child_is_started_again_and_this_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flows.children.RESTART_SECONDS", 0.0)
    said: list[str] = []
    with Kept([sys.executable, "-c", "raise SystemExit(3)"], os.environ, tmp_path / "server.log", 10) as kept:
        deadline = time.monotonic() + 60
        while not said:
            assert time.monotonic() < deadline
            kept.keep(said.append)
    assert said[0].startswith("server ended by itself, with 3, and is started again")


@pytest.mark.parametrize(("text", "seconds"), [("30s", 30), ("5m", 300), (" 2h ", 7200), ("1d", 86400)])
def test_times_are_read(text: str, seconds: int) -> None:
    assert parse_every(text).total_seconds() == seconds
