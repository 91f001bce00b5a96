"""Whether a recording is complete, told by looking at its files more than once: network shares send no events."""

import errno
import fcntl
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from extractors.discovery import FileState


class Sighting(NamedTuple):
    """A file in a state, and since when it was seen in that state again and again."""

    state: FileState | None
    """None: it was not there."""
    since: float
    """Seconds since 1970, by the clock of this machine."""


class Wait(NamedTuple):
    """Why a recording does not count as complete."""

    reason: str
    seconds: float | None = None
    """After so long it does, if nothing changes; None where time alone does not help."""


def sight(states: Mapping[str, FileState | None], earlier: Mapping[str, Sighting], now: float) -> dict[str, Sighting]:
    """Sightings of these files at the time `now`, each going back to when its state was first seen."""
    found: dict[str, Sighting] = {}
    for name, state in states.items():
        before = earlier.get(name)
        # A clock that was set back must not make a file look as if it had been seen in the future.
        since = min(before.since, now) if before is not None and before.state == state else now
        found[name] = Sighting(state, since)
    return found


def wait_for(
    sightings: Mapping[str, Sighting], now: float, *, minimum_age_seconds: float, settle_seconds: float
) -> Wait | None:
    """Why these files may still change; None if they were long enough as they are.

    Every file was seen in the same state for `settle_seconds`, and is `minimum_age_seconds` old. The age is counted
    from its modification time, or from when it was first seen: whichever is earlier, because a server's clock may be
    ahead of ours.
    """
    waits = []
    for name, (state, since) in sightings.items():
        if state is None:
            continue
        unchanged = now - since
        age = max(unchanged, now - state.mtime_ns / 1e9)
        missing = max(minimum_age_seconds - age, settle_seconds - unchanged)
        if missing > 0:
            waits.append(Wait(f"{name} changed {max(age, 0):.0f} s ago, or was not seen before", missing))
    return max(waits, key=lambda wait: wait.seconds or 0, default=None)


def last_change(sightings: Mapping[str, Sighting]) -> float:
    """When any of these files last changed, appeared or vanished, as far as is known: seconds since 1970."""
    return max(since if state is None else min(since, state.mtime_ns / 1e9) for state, since in sightings.values())


def is_open_for_writing(path: Path) -> bool:
    """Whether some process on this machine has the file open for writing; False where that cannot be told.

    The kernel grants a read lease only while nobody has. It grants none on most network shares, nor on another user's
    files, and knows nothing of other machines.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        # Who opens the file in this very moment breaks the lease, which is told by a signal. SIGIO would end us.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as fault:
        return fault.errno == errno.EAGAIN
    else:
        return False
    finally:
        os.close(descriptor)
