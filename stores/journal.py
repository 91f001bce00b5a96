"""The journal of a staging store: which windows are stored, with which digest, and which of them were read back.

One JSON object a line. A line is appended by one `write` in append mode, so that threads and processes never mix
lines; a line torn by a crash does not parse, and its window counts as not stored.
"""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from stores.disk import storage_faults, write_whole


class Receipt(BaseModel):
    """One window is stored."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window: int
    digest: str
    """xxh3-128, hexadecimal, of the window's pixels in the order of `Plan.window_chunks`."""
    stored_bytes: int
    """Size of the shard file."""


class Line(BaseModel):
    """One line: in session `session`, the receipt came to be, was confirmed by reading back, or was withdrawn."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    event: Literal["stored", "verified", "damaged"]
    session: str
    receipt: Receipt


class Journal:
    """The journal file of one staging store.

    Parameters
    ----------
    path
        The file; made by the first line.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def record(self, event: Literal["stored", "verified", "damaged"], session: str, receipt: Receipt) -> None:
        """Append one line. It starts with a line end of its own, so that a torn line before it cannot spoil it.

        Raises
        ------
        StorageFailed
            The disk is full or failed.
        """
        line = Line(event=event, session=session, receipt=receipt).model_dump_json()
        with storage_faults(self.path):
            descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                write_whole(descriptor, f"\n{line}\n".encode())
            finally:
                os.close(descriptor)

    def lines(self) -> list[Line]:
        """Every whole line, oldest first."""
        found: list[Line] = []
        try:
            text = self.path.read_bytes()
        except FileNotFoundError:
            return found
        for raw in text.splitlines():
            if raw:
                try:
                    found.append(Line.model_validate_json(raw))
                except ValidationError:
                    continue  # torn by a crash: its window is written again
        return found

    def stored(self) -> dict[int, Receipt]:
        """The receipts that stand, by window: the newest of each that was not withdrawn."""
        standing: dict[int, Receipt] = {}
        for line in self.lines():
            if line.event == "damaged":
                standing.pop(line.receipt.window, None)
            else:
                standing[line.receipt.window] = line.receipt
        return standing

    def verified(self, session: str) -> dict[int, Receipt]:
        """The receipts that were confirmed in this session and still stand, by window."""
        standing: dict[int, Receipt] = {}
        for line in self.lines():
            if line.event == "verified" and line.session == session:
                standing[line.receipt.window] = line.receipt
            else:
                standing.pop(line.receipt.window, None)
        return standing
