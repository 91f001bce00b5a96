"""What a crash between publishing a store and recording it leaves behind, and how it is put in order."""

from collections.abc import Iterable
from pathlib import Path

from extractors.discovery import FileState
from extractors.errors import ZarrmillError
from stores.ledger import Entry, Ledger
from stores.metadata import RunMetadata, read_run_metadata
from stores.staging import Staging


def settle(ledger: Ledger, entry: Entry) -> Entry:
    """Record an entry that says started as stored, if its store was published; gives the entry as it is now."""
    if entry.outcome != "started":
        return entry
    metadata = published(ledger.archive / entry.target)
    if metadata is None or not _made_of(metadata, entry.files.values()):
        return entry
    Staging(ledger.archive / entry.target).remove_leftover()
    stored = entry.now("stored")
    ledger.record(stored)
    return stored


def published(target: Path) -> RunMetadata | None:
    """The run metadata of the store at `target`; None if there is no store of ours."""
    try:
        return read_run_metadata(target)
    except ZarrmillError:
        return None


def _made_of(metadata: RunMetadata, states: Iterable[FileState | None]) -> bool:
    """Whether every file that a store was made of is among these, judged by size, modification time and inode."""
    known = set(states)
    sources = {FileState(file.size_bytes, file.mtime_ns, file.inode) for file in metadata.sources}
    return bool(sources) and sources <= known
