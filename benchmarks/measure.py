"""One run of one contender in a fresh process, with its time, its memory and its bytes."""

import json
import os
import shutil
import subprocess
import tempfile
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.case import MIB
from benchmarks.contenders import CONTENDERS
from benchmarks.job import Job

_SAMPLING_SECONDS = 0.02


@dataclass(frozen=True)
class Measurement:
    """What one run took."""

    contender: str
    round: int
    seconds: float
    cpu_seconds: float
    peak_anonymous_bytes: int
    """The most memory that is not pages of files, swapped memory included, seen every 20 ms; with all imports."""
    stored_bytes: int
    other_cores: float
    """Cores that others kept busy meanwhile: other processes (for the flow, the server too), the kernel, the host."""


def measure(
    contender: str, number: int, job: Job, *, cold: bool, check: bool, environment: dict[str, str]
) -> Measurement:
    """Run a contender once; its output is gone afterwards.

    Parameters
    ----------
    contender, number
        Who, and in which round.
    job
        What to do.
    cold
        Whether the movie's pages are dropped from the page cache before, or else read into it.
    check
        Whether the pixels stored are compared with the movie's after the run.
    environment
        Added to the process's own.

    Raises
    ------
    RuntimeError
        The contender failed; the message holds what it said.
    """
    command = [
        CONTENDERS[contender].python,
        "-m",
        "benchmarks.child",
        contender,
        job.to_json(),
        "check" if check else "",
    ]
    with (
        tempfile.TemporaryFile("w+") as said,
        subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=said,
            text=True,
            cwd=Path(__file__).parents[1],
            env=os.environ | environment,
        ) as process,
    ):
        try:
            result, peak, busy_seconds = _converse(process, job, cold=cold)
            stored = sum(path.stat().st_size for path in job.output.rglob("*") if path.is_file())
            _answer(process)  # the pixels are checked
        except ChildProcessError:
            process.wait()
            said.seek(0)
            raise RuntimeError(f"{contender} failed:\n{said.read()}") from None
        finally:
            process.kill()
            shutil.rmtree(job.output, ignore_errors=True)
    seconds, cpu_seconds = result["seconds"], result["cpu_seconds"]
    return Measurement(
        contender, number, seconds, cpu_seconds, peak, stored, max(0.0, busy_seconds - cpu_seconds) / seconds
    )


def _converse(process: subprocess.Popen[str], job: Job, *, cold: bool) -> tuple[dict[str, Any], int, float]:
    """Wait until it is ready, prepare the page cache, say go, and watch the machine until it answers.

    Gives its answer, its peak of anonymous memory, and the seconds that all processes together kept cores busy.
    """
    assert process.stdin is not None  # noqa: S101 - for mypy
    _answer(process)
    os.sync()  # what others left to be written must not slow this one
    if cold:
        _drop(job.movie)
    else:
        _warm(job.movie)
    peak = 0
    finished = threading.Event()

    def watch() -> None:
        nonlocal peak
        while not finished.is_set():
            peak = max(peak, _anonymous_bytes(process.pid))
            finished.wait(_SAMPLING_SECONDS)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        busy_seconds = _busy_seconds()
        process.stdin.write("go\n")
        process.stdin.flush()
        answer = _answer(process)
        return answer, peak, _busy_seconds() - busy_seconds
    finally:
        finished.set()
        watcher.join()


def _answer(process: subprocess.Popen[str]) -> dict[str, Any]:
    assert process.stdout is not None  # noqa: S101 - for mypy
    line = process.stdout.readline()
    if not line:
        raise ChildProcessError
    fields: dict[str, Any] = json.loads(line)
    return fields


def _anonymous_bytes(pid: int) -> int:
    """Anonymous memory of a process, resident or swapped; 0 once it has ended."""
    total = 0
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith(("RssAnon:", "VmSwap:")):
                total += int(line.split()[1]) * 1024
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return total


def _busy_seconds() -> float:
    """Time since boot that the machine's cores were not idle, or were taken by another machine on the same host."""
    with Path("/proc/stat").open() as file:
        user, nice, system, _, _, interrupts, soft_interrupts, stolen = map(int, file.readline().split()[1:9])
    return (user + nice + system + interrupts + soft_interrupts + stolen) / os.sysconf("SC_CLK_TCK")


def _warm(path: Path) -> None:
    buffer = bytearray(8 * MIB)
    with path.open("rb", buffering=0) as file:
        while file.readinto(buffer):
            pass


def _drop(path: Path) -> None:
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
