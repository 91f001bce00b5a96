"""A sweep: every new recording of a landing folder goes to the archive, once.

Free of Prefect: the flow and the command line share it, and differ in how one recording is converted.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict

from extractors.errors import Code, InputRefused, TargetRefused
from stores.candidate import PASSING, Waiting
from stores.disk import storage_faults
from stores.landing import Scan
from stores.ledger import FOLDER, Entry, Fault, Ledger
from stores.lock import hold

Convert = Callable[[Path, Path], Awaitable[object]]
"""Converts a recording to a target, or raises."""


class Problem(BaseModel):
    """A recording that did not get into the archive."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str
    code: str
    message: str
    new: bool = True
    """False if an earlier sweep found it."""

    @classmethod
    def of(cls, entry: Entry, *, new: bool = True) -> Self:
        """Take it from a ledger entry with a fault."""
        fault = entry.fault or Fault(code="unexpected", message="unknown")
        return cls(recording=entry.recording, code=fault.code, message=fault.message, new=new)


class Stored(BaseModel):
    """A recording that was stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str
    target: str


class SweepReport(BaseModel):
    """What became of every recording in a landing folder."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stored: tuple[Stored, ...] = ()
    refused: tuple[Problem, ...] = ()
    """Not tried again until they change."""
    failed: tuple[Problem, ...] = ()
    """Tried again by the next sweep."""
    waiting: tuple[Waiting, ...] = ()
    stored_before: int = 0
    notices: tuple[str, ...] = ()
    unreachable: str | None = None
    """Why the landing folder could not be looked at."""
    skipped: str | None = None
    """Why this sweep did nothing: another one was running."""

    @property
    def summary(self) -> str:
        """One line."""
        if aside := self.skipped or self.unreachable:
            return aside
        counts = (
            (len(self.stored), "stored"),
            (len(self.refused), "refused"),
            (len(self.failed), "failed"),
            (len(self.waiting), "waiting"),
            (self.stored_before, "stored before"),
        )
        return ", ".join(f"{count} {what}" for count, what in counts)


@contextmanager
def only_sweep(archive: Path) -> Iterator[None]:
    """Hold the archive against other sweeps; its folder is made where only that is missing.

    Raises
    ------
    TargetRefused
        TARGET_BUSY: another sweep is running. TARGET_FOLDER_MISSING: there is no place for the archive.
    """
    if not archive.parent.is_dir():
        raise TargetRefused(
            Code.TARGET_FOLDER_MISSING,
            path=archive,
            expected="a folder for the archive",
            found=f"no folder {archive.parent}",
            todo="Make the folder, mount the disk, or name another archive.",
        )
    with storage_faults(archive):
        archive.mkdir(exist_ok=True)
    Ledger(archive).make()
    with hold(archive / FOLDER / "sweep.lock", archive):
        yield


def skipped(fault: TargetRefused) -> SweepReport:
    """Report that another sweep holds the archive, if that is the fault; else raise it."""
    if fault.code is not Code.TARGET_BUSY:
        raise fault
    return SweepReport(skipped=f"skipped: another sweep is running, {fault.found}")


async def store_all(scan: Scan, archive: Path, convert: Convert, *, at_a_time: int) -> SweepReport:
    """Convert each recording that is ready, and record in the ledger what became of it.

    The archive must be held by this sweep. A recording that fails does not stop the others.

    Parameters
    ----------
    scan
        What the landing folder holds.
    archive
        The folder of the stores.
    convert
        Called with each recording and its target.
    at_a_time
        How many at the same time, at most.
    """
    ledger = Ledger(archive)
    room = asyncio.Semaphore(at_a_time)

    async def store(entry: Entry) -> Entry:
        async with room:
            return await _store(ledger, entry, convert)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(store(entry)) for entry in scan.ready]
    entries = [task.result() for task in tasks]
    refused = [*scan.refused, *(entry for entry in entries if entry.outcome == "refused")]
    return SweepReport(
        stored=tuple(
            Stored(recording=entry.recording, target=str(ledger.archive / entry.target))
            for entry in entries
            if entry.outcome == "stored"
        ),
        refused=(
            *(Problem.of(entry) for entry in refused),
            *(Problem.of(entry, new=False) for entry in scan.refused_before),
        ),
        failed=tuple(Problem.of(entry) for entry in entries if entry.outcome == "started"),
        waiting=scan.waiting,
        stored_before=scan.stored_before,
        notices=scan.notices,
        unreachable=scan.unreachable,
    )


async def _store(ledger: Ledger, entry: Entry, convert: Convert) -> Entry:
    try:
        await asyncio.to_thread(_start, ledger, entry)
        await convert(Path(entry.landing, entry.recording), ledger.archive / entry.target)
        outcome = entry.now("stored")
    except InputRefused as fault:
        outcome = entry.now("started" if fault.code in PASSING else "refused", Fault.of(fault))
    except Exception as fault:  # noqa: BLE001 - whatever it is, it must not stop the other recordings
        outcome = entry.now("started", Fault.of(fault))
    try:
        await asyncio.to_thread(ledger.record, outcome)
    except Exception as fault:  # noqa: BLE001 - the next sweep finds the store, and records it
        return entry.now("started", Fault.of(fault))
    return outcome


def _start(ledger: Ledger, entry: Entry) -> None:
    target = ledger.archive / entry.target
    with storage_faults(target):
        target.parent.mkdir(parents=True, exist_ok=True)
    ledger.record(entry)
