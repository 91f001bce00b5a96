"""One run at a time on one target: a lock that the kernel frees when its holder dies."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

from pydantic import BaseModel, ConfigDict, ValidationError

from extractors.errors import Code, TargetRefused
from stores.disk import storage_faults, write_whole


class Holder(BaseModel):
    """Who writes: told to whoever comes second."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    session: str
    """A name of its own for each run, used in the journal."""
    process: int
    host: str
    since: datetime

    def __str__(self) -> str:
        return f"process {self.process} on {self.host}, since {self.since:%Y-%m-%d %H:%M:%S} UTC"


def read_holder(path: Path) -> Holder | None:
    """Who holds, or last held, the lock at `path`; None where that cannot be told."""
    try:
        return Holder.model_validate_json(path.read_bytes())
    except (OSError, ValidationError):
        return None


@contextmanager
def hold(path: Path, target: Path) -> Iterator[Holder]:
    """Hold the lock file `path` while the block runs.

    The folder it lies in is made where it is not there, and may be removed by the holder while it holds.

    Raises
    ------
    TargetRefused
        Another run holds it; its process, host and start are named.
    """
    with storage_faults(path):
        descriptor = _acquire(path, target)
        try:
            holder = Holder(
                session=uuid4().hex, process=os.getpid(), host=socket.gethostname(), since=datetime.now(UTC)
            )
            os.ftruncate(descriptor, 0)
            write_whole(descriptor, holder.model_dump_json().encode())
        except BaseException:
            os.close(descriptor)
            raise
    try:
        yield holder
    finally:
        os.close(descriptor)


def _acquire(path: Path, target: Path) -> int:
    while True:
        path.parent.mkdir(exist_ok=True)
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        except FileNotFoundError:
            continue  # its holder ended, and removed the folder, between the two calls
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_at(descriptor, path):
                return descriptor
        except BlockingIOError:
            os.close(descriptor)
            raise TargetRefused(
                Code.TARGET_BUSY,
                path=target,
                expected="no other run on this target",
                found=f"one by {read_holder(path) or 'a process that has not said its name yet'}",
                todo="Wait until it has ended, or end it; then run the same command again.",
            ) from None
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)  # a lock on a file that is no longer there protects nothing


def _is_at(descriptor: int, path: Path) -> bool:
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    ours = os.fstat(descriptor)
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)
