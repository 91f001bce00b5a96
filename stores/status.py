"""What an archive holds, told from its own files: no server is asked."""

import os
import socket
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from stores.ledger import FOLDER, Entry, Ledger
from stores.lock import Holder, read_holder
from stores.staging import Staging


class InProgress(BaseModel):
    """A recording that is being converted, or whose conversion was interrupted."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str
    target: str
    running: bool
    """False if nobody is at work: the next sweep goes on with it."""
    windows_stored: int
    windows: int
    """0 if it has not begun."""
    fault: str | None
    """What ended it when it was last tried."""


class ArchiveStatus(BaseModel):
    """What an archive holds, and what is going on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stored: int
    refused: dict[str, str]
    """Why, by recording."""
    in_progress: tuple[InProgress, ...]
    damaged: dict[str, tuple[str, ...]]
    """What the last audit found, by store."""
    never_audited: int
    oldest_audit: datetime | None
    sweep: str | None
    """Who sweeps now."""


def read_status(archive: Path) -> ArchiveStatus:
    """Read what the ledger and the staging stores say."""
    entries = sorted(Ledger(archive).entries(), key=lambda entry: entry.recording)
    stored = [entry for entry in entries if entry.outcome == "stored"]
    sweep = read_holder(archive / FOLDER / "sweep.lock")
    return ArchiveStatus(
        stored=len(stored),
        refused={
            str(Path(entry.landing, entry.recording)): entry.fault.message if entry.fault else ""
            for entry in entries
            if entry.outcome == "refused"
        },
        in_progress=tuple(_progress(archive, entry) for entry in entries if entry.outcome == "started"),
        damaged={entry.target: entry.damage for entry in stored if entry.damage},
        never_audited=sum(entry.audited is None for entry in stored),
        oldest_audit=min((entry.audited for entry in stored if entry.audited is not None), default=None),
        sweep=str(sweep) if _is_alive(sweep) else None,
    )


def _progress(archive: Path, entry: Entry) -> InProgress:
    staging = Staging(archive / entry.target)
    job = staging.job()
    return InProgress(
        recording=str(Path(entry.landing, entry.recording)),
        target=entry.target,
        running=_is_alive(read_holder(staging.folder / "lock")),
        windows_stored=0 if job is None else len(staging.journal.stored()),
        windows=0 if job is None else job.plan.window_count,
        fault=None if entry.fault is None else entry.fault.message,
    )


def _is_alive(holder: Holder | None) -> bool:
    """Whether who held a lock still lives; taken for granted on another machine. Trying the lock could stop a run."""
    if holder is None:
        return False
    if holder.host != socket.gethostname():
        return True
    try:
        os.kill(holder.process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
