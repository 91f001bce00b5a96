"""The archive's memory: one small file per recording, that says what became of it.

`ARCHIVE/.zarrmill/ledger/KEY.json`, replaced atomically. The key is made from what the recording is, not from where it
lies, so that a folder that was renamed is known and a file that was replaced is not. Lose the folder and nothing is
lost but time: a store says by its run metadata which recording it holds.
"""

import os
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, Self

import xxhash
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from extractors.discovery import FileState
from extractors.errors import ZarrmillError
from stores.disk import replace_file, storage_faults

FOLDER = ".zarrmill"
_BLOCK_BYTES = 64 * 1024


class Fault(BaseModel):
    """What went wrong, as `ZarrmillError` says it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str
    """One of `extractors.errors.Code`, or `unexpected`."""
    message: str

    @classmethod
    def of(cls, fault: BaseException) -> Self:
        """Take it from an exception."""
        if isinstance(fault, ZarrmillError):
            return cls(code=str(fault.code), message=str(fault))
        return cls(code="unexpected", message=f"{type(fault).__name__}: {fault}")


class Entry(BaseModel):
    """What became of one recording."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    version: Literal[1] = 1
    key: str = Field(pattern="^[0-9a-f]{32}$")
    landing: str
    """The folder it was found in."""
    recording: str
    """Its path there, as `open_recording` takes it."""
    files: dict[str, FileState | None]
    """The states of its files there; None for one that should be there and is not."""
    target: str
    """The path of its store in the archive."""
    outcome: Literal["started", "stored", "refused"]
    """A recording that is started is finished by the next sweep, if not by the one that started it."""
    fault: Fault | None = None
    """Why it is refused; or what happened when it was last tried."""
    recorded: datetime
    audited: datetime | None = None
    """When its store was last read back."""
    damage: tuple[str, ...] = ()
    """What was found wrong then."""

    def now(self, outcome: Literal["started", "stored", "refused"], fault: Fault | None = None) -> Self:
        """Give this entry with another outcome, as of now."""
        return self.model_copy(update={"outcome": outcome, "fault": fault, "recorded": datetime.now(UTC)})


class Ledger:
    """The entries of one archive.

    Parameters
    ----------
    archive
        The folder of the stores.
    """

    def __init__(self, archive: Path) -> None:
        self.archive = archive.absolute()
        self._folder = archive / FOLDER / "ledger"

    def make(self) -> None:
        """Make the ledger's folder, where it is not there."""
        with storage_faults(self.archive):
            self._folder.mkdir(parents=True, exist_ok=True)

    def entries(self) -> Iterator[Entry]:
        """Every entry that can be read, in no order. One that cannot be read counts as absent: it is made again."""
        try:
            with os.scandir(self._folder) as files:
                names = [file.path for file in files if file.name.endswith(".json") and not file.name.startswith(".")]
        except FileNotFoundError:
            return
        for name in names:
            if (entry := _read(name)) is not None:
                yield entry

    def entry(self, key: str) -> Entry | None:
        """The entry of the recording with this key."""
        return _read(self._path(key))

    def record(self, entry: Entry) -> None:
        """Put `entry` into the ledger, in place of an earlier one of the same recording; whole, and flushed."""
        replace_file(self._path(entry.key), entry.model_dump_json().encode())

    def forget(self, entry: Entry) -> None:
        """Remove an entry."""
        with storage_faults(self._folder):
            self._path(entry.key).unlink(missing_ok=True)

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.json"


def recording_key(description: bytes, data: Iterable[Path]) -> str:
    """What the recording is: its description, and of each data file size, modification time, and some of its bytes.

    Parameters
    ----------
    description
        How its bytes are to be read; without the recording's name.
    data
        The data files. Their names do not count, nor where they are. Those that are not there are passed over.

    Returns
    -------
    key
        xxh3-128, hexadecimal.
    """
    digest = xxhash.xxh3_128(description)
    for path in data:
        try:
            descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        except FileNotFoundError:
            continue
        try:
            status = os.fstat(descriptor)
            digest.update(f"|{status.st_size} {status.st_mtime_ns}|".encode())
            last = max(0, status.st_size - _BLOCK_BYTES)
            for offset in sorted({0, last // 2, last}):
                digest.update(os.pread(descriptor, _BLOCK_BYTES, offset))
        finally:
            os.close(descriptor)
    return digest.hexdigest()


def _read(path: str | Path) -> Entry | None:
    try:
        with open(path, "rb") as file:  # noqa: PTH123 - ten thousand times per sweep
            return Entry.model_validate_json(file.read())
    except (FileNotFoundError, ValidationError):
        return None
