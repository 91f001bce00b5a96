"""One look at a landing folder: which recordings are new and complete, which are waited for, which are refused."""

import os
import time
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple, Self

import xxhash
from pydantic import BaseModel, ConfigDict, ValidationError

from extractors.discovery import FileState, find_recordings, list_files, states_of
from extractors.errors import Code
from extractors.quiet import Sighting, Wait, is_open_for_writing, last_change, sight, wait_for
from stores.candidate import Candidate, Waiting, judge
from stores.disk import replace_file
from stores.ledger import FOLDER, Entry, Ledger
from stores.published import settle
from stores.staging import Staging


class Completeness(BaseModel):
    """When a recording counts as complete; the fields are explained in the settings of the flow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    minimum_age_seconds: float = 60
    settle_seconds: float = 5
    patience_seconds: float = 3600
    sentinel: str | None = None


class Scan(BaseModel):
    """What a look at a landing folder found."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ready: tuple[Entry, ...] = ()
    """New and complete recordings, with their targets; not in the ledger yet."""
    waiting: tuple[Waiting, ...] = ()
    refused: tuple[Entry, ...] = ()
    """Refused now."""
    refused_before: tuple[Entry, ...] = ()
    """Refused by an earlier sweep, and unchanged since."""
    stored_before: int = 0
    """Recordings in the folder that are in the archive already."""
    notices: tuple[str, ...] = ()
    unreachable: str | None = None
    """Why the folder could not be looked at. Nothing is forgotten then."""


class _Memory(BaseModel):
    """Since when the files of recordings that are not in the archive were seen as they are."""

    model_config = ConfigDict(extra="forbid")

    landing: str
    files: dict[str, Sighting] = {}

    @classmethod
    def read(cls, path: Path, landing: Path) -> Self:
        try:
            return cls.model_validate_json(path.read_bytes())
        except (FileNotFoundError, ValidationError):
            return cls(landing=str(landing))


class _Look(NamedTuple):
    """A candidate that was looked at, and why it is waited for, if it is."""

    candidate: Candidate
    sightings: dict[str, Sighting]
    wait: Wait | None


def scan_landing(landing: Path, archive: Path, completeness: Completeness) -> Scan:
    """Look at a landing folder, twice where the sweep before did not; what is refused is recorded in the ledger.

    The archive must be held by this sweep.

    Raises
    ------
    StorageFailed
        The archive cannot be written.
    """
    landing, archive = landing.absolute(), archive.absolute()
    try:
        listing = list_files(landing, skip=archive)
    except OSError as fault:
        return Scan(unreachable=f"{landing}: {fault.strerror or fault}. Is the share mounted? Nothing is forgotten.")
    ledger = Ledger(archive)
    earlier: dict[str, list[Entry]] = defaultdict(list)
    for entry in ledger.entries():
        now = settle(ledger, entry)
        if now.landing == str(landing):
            earlier[now.recording].append(now)
    if earlier and not listing.files:
        notice = f"{landing} is empty, but was not. If a share should be mounted there: nothing is forgotten."
        return Scan(notices=(notice,))
    for gone in (
        entry for entries in earlier.values() for entry in entries if listing.files.keys().isdisjoint(entry.files)
    ):
        if gone.outcome == "refused":
            ledger.forget(gone)  # it was deleted or renamed; should it come back, it is refused again
    known = {entry.key: entry for entry in _known(archive, landing, earlier, listing.files)}
    passed = {name for entry in known.values() for name in entry.files}
    candidates = []
    for found in find_recordings(landing, (name for name in listing.files if name not in passed)):
        states = states_of(landing, found.files, listing.files)
        same = [entry for entry in earlier[found.path] if _stands(archive, entry, states)]
        known |= {entry.key: entry for entry in same}
        if not same:
            candidates.append(Candidate(landing, found, states))
    memory = archive / FOLDER / f"seen-{xxhash.xxh3_64_hexdigest(str(landing).encode())}.json"
    looks = list(_look_twice(candidates, memory, landing, completeness))
    outcomes = [_decide(look, ledger, earlier, completeness) for look in looks]
    return _scan(known.values(), outcomes, [f"{landing / name} cannot be used" for name in listing.unusable])


def _known(
    archive: Path, landing: Path, earlier: dict[str, list[Entry]], listed: dict[str, FileState]
) -> Iterator[Entry]:
    """Give the entries that say all there is to say of a recording in the folder, told by its files' states."""
    for entries in earlier.values():
        for entry in entries:
            # Recordings that were deleted after they were stored must not cost a look each.
            if any(name in listed for name in entry.files) and _stands(
                archive, entry, states_of(landing, entry.files, listed)
            ):
                yield entry


def _stands(archive: Path, entry: Entry, states: dict[str, FileState | None]) -> bool:
    if entry.outcome == "started" or entry.files != states:
        return False
    # What was in the way of a store may have been moved, which does not change the recording.
    in_the_way = entry.fault is not None and entry.fault.code == Code.TARGET_EXISTS
    return not in_the_way or os.path.lexists(archive / entry.target)


def _look_twice(
    candidates: list[Candidate], memory: Path, landing: Path, completeness: Completeness
) -> Iterator[_Look]:
    """Look at each candidate, and, after a pause, again at those that would be complete if they have not changed."""
    earlier = _Memory.read(memory, landing).files
    looks = [_look(candidate, earlier, completeness) for candidate in candidates]
    pauses = [look.wait.seconds for look in looks if look.wait is not None and look.wait.seconds is not None]
    pauses = [pause for pause in pauses if pause <= completeness.settle_seconds]
    if pauses:
        time.sleep(max(pauses))
        for position, (candidate, sightings, wait) in enumerate(looks):
            if wait is not None and wait.seconds in pauses:
                now = candidate._replace(states=states_of(landing, candidate.found.files, {}))
                looks[position] = _look(now, sightings, completeness)
    seen = {name: sighting for look in looks for name, sighting in look.sightings.items()}
    if seen != earlier:
        replace_file(memory, _Memory(landing=str(landing), files=seen).model_dump_json().encode())
    yield from looks


def _look(candidate: Candidate, earlier: dict[str, Sighting], completeness: Completeness) -> _Look:
    now = time.time()
    sightings = sight(candidate.states, earlier, now)
    if completeness.sentinel is None:
        wait = wait_for(
            sightings,
            now,
            minimum_age_seconds=completeness.minimum_age_seconds,
            settle_seconds=completeness.settle_seconds,
        )
    else:
        wait = None if _is_marked(candidate, completeness.sentinel) else Wait(f"no {completeness.sentinel} beside it")
    if wait is None:
        writing = [name for name in candidate.states if is_open_for_writing(candidate.landing / name)]
        wait = Wait(f"{writing[0]} is open for writing") if writing else None
    return _Look(candidate, sightings, wait)


def _is_marked(candidate: Candidate, sentinel: str) -> bool:
    path = candidate.landing / candidate.found.name
    return os.path.lexists(path.with_name(sentinel.replace("{name}", path.name)))


def _decide(
    look: _Look, ledger: Ledger, earlier: dict[str, list[Entry]], completeness: Completeness
) -> Entry | Waiting:
    """Judge a recording that is quiet, and put into the ledger what is known of it now."""
    path = look.candidate.found.path
    if look.wait is not None:
        return Waiting(recording=path, reason=look.wait.reason)
    quiet_seconds = time.time() - last_change(look.sightings)
    patient = completeness.sentinel is None and quiet_seconds < completeness.patience_seconds
    verdict = judge(look.candidate, ledger, patient=patient)
    if isinstance(verdict, Entry):
        if verdict.outcome != "started":
            ledger.record(verdict)
        # One file of a recording that was refused may have been the recording then: its broken sidecar.
        for old in (entry for name in {path, *look.candidate.found.files} for entry in earlier.get(name, ())):
            if old.key != verdict.key and old.outcome != "stored":
                ledger.forget(old)
                if old.outcome == "started" and (verdict.outcome, verdict.target) != ("started", old.target):
                    Staging(ledger.archive / old.target).remove_leftover()
    return verdict


def _scan(known: Iterable[Entry], outcomes: list[Entry | Waiting], notices: list[str]) -> Scan:
    ready: list[Entry] = []
    taken: dict[str, str] = {}
    waiting = [outcome for outcome in outcomes if isinstance(outcome, Waiting)]
    entries = [outcome for outcome in outcomes if isinstance(outcome, Entry)]
    for entry in (entry for entry in entries if entry.outcome == "started"):
        # Equal copies, and names that differ in their endings only, are told apart when the first of them is stored.
        if first := taken.get(entry.target) or taken.get(entry.key):
            waiting.append(Waiting(recording=entry.recording, reason=f"its turn is after {first}"))
            continue
        ready.append(entry)
        taken |= {entry.target: entry.recording, entry.key: entry.recording}
    before = list(known)
    return Scan(
        ready=tuple(ready),
        waiting=tuple(waiting),
        refused=tuple(entry for entry in entries if entry.outcome == "refused"),
        refused_before=tuple(entry for entry in before if entry.outcome == "refused"),
        stored_before=sum(entry.outcome == "stored" for entry in [*before, *entries]),
        notices=tuple(notices),
    )
