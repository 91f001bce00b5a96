"""What becomes of one recording that changes no more: it is known, new, refused, or not whole yet."""

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import xxhash
from pydantic import BaseModel, ConfigDict

from extractors.discovery import FileState, Found, look_at
from extractors.errors import Code, InputRefused, TargetRefused
from extractors.imaging import ImagingExtractor
from extractors.recording import open_recording
from stores.ledger import Entry, Fault, Ledger, recording_key
from stores.metadata import RunMetadata
from stores.published import published

PASSING = frozenset({Code.SOURCE_MISSING, Code.SOURCE_UNREADABLE})
"""Refusals that a share which went away or a wrong permission cause too: they pass without the recording changing."""

_NOT_WHOLE = frozenset({Code.NPY_REFUSED, Code.SIZE_MISMATCH, Code.SOURCE_MISSING})


class Waiting(BaseModel):
    """A recording that is not complete, as far as can be told."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str
    reason: str


class Candidate(NamedTuple):
    """A recording in a landing folder, and its files as they are now."""

    landing: Path
    found: Found
    states: Mapping[str, FileState | None]

    def entry(self, key: str, name: str) -> Entry:
        """The entry of a recording that is to be converted."""
        return Entry(
            key=key,
            landing=str(self.landing),
            recording=self.found.path,
            files=dict(self.states),
            target=PurePosixPath(self.found.path).with_name(f"{name}.zarr").as_posix(),
            outcome="started",
            recorded=datetime.now(UTC),
        )


def judge(candidate: Candidate, ledger: Ledger, *, patient: bool) -> Entry | Waiting:
    """Decide what becomes of a recording; nothing is written.

    Parameters
    ----------
    candidate
        The recording; its files are quiet.
    ledger
        What is known.
    patient
        Whether a recording with too few bytes is waited for.

    Returns
    -------
    entry
        `started`: to be converted, to its target. `stored`, `refused`: to be recorded, if the ledger does not say so.
    """
    found = candidate.found
    try:
        try:
            if found.fault is not None:
                raise found.fault
            with open_recording(candidate.landing / found.path) as extractor:
                extractor.get_sampling_frequency()
                return _judge_readable(candidate, ledger, extractor)
        except InputRefused as fault:
            if fault.code == Code.SOURCE_UNREADABLE or (patient and fault.code in _NOT_WHOLE):
                return Waiting(recording=found.path, reason=str(fault))
            return _refuse(candidate, fault)
    except OSError as fault:
        return Waiting(recording=found.path, reason=f"cannot be read: {fault.strerror or fault}")


def _judge_readable(candidate: Candidate, ledger: Ledger, extractor: ImagingExtractor) -> Entry:
    info = extractor.info
    description = info.model_dump_json(exclude={"name"}).encode()
    key = recording_key(description, [Path(source.path) for source in extractor.sources])
    new = candidate.entry(key, info.name)
    known = ledger.entry(key)
    if known is not None and _is_elsewhere(known, candidate):
        # Two copies, each in its place: each has its store.
        place = f"{key} {candidate.landing} {candidate.found.path}"
        new = candidate.entry(xxhash.xxh3_128_hexdigest(place.encode()), info.name)
        known = ledger.entry(new.key)
    if known is not None:
        here = {"landing": new.landing, "recording": new.recording, "files": new.files}
        known = known.model_copy(update=here)
        if known.outcome == "stored":
            return known
        new = known.now("started")  # with its own target: what an earlier sweep staged there is gone on with
    target = ledger.archive / new.target
    if not os.path.lexists(target):
        return new
    metadata = published(target)
    if metadata is not None and metadata.info == info and _identities(metadata) == _identities(extractor):
        return new.now("stored")
    taken = TargetRefused(
        Code.TARGET_EXISTS,
        path=target,
        expected=f"nothing there yet, or the store of {candidate.landing / candidate.found.path} as it is now",
        found="something else, such as the store of a recording that had this name before",
        todo="Rename the recording, or move the store away; nothing was overwritten.",
    )
    return new.now("refused", Fault.of(taken))


def _refuse(candidate: Candidate, fault: InputRefused) -> Entry:
    """Refuse what cannot be opened: it is told apart by its place and all of its files, the sidecar included."""
    found = candidate.found
    key = recording_key(found.path.encode(), [candidate.landing / name for name in found.files])
    return candidate.entry(key, PurePosixPath(found.name).name).now("refused", Fault.of(fault))


def _is_elsewhere(known: Entry, candidate: Candidate) -> bool:
    """Whether the recording of a ledger entry still lies, unchanged, in another place."""
    landing = Path(known.landing)
    if (landing, known.recording) == (candidate.landing, candidate.found.path):
        return False
    return all(look_at(landing, name) == state for name, state in known.files.items())


def _identities(of: ImagingExtractor | RunMetadata) -> list[tuple[str, int, int]]:
    """Name, size and modification time of each source: what a copy to another disk keeps."""
    return [(Path(source.path).name, source.size_bytes, source.mtime_ns) for source in of.sources]
