"""The exception tree: what went wrong, as data.

Classes are grouped by what a handler would do; `Code` names the fault itself and is stable: scripts, ledgers and
dashboards may rely on it.
"""

import os
from enum import StrEnum


class Code(StrEnum):
    """One stable name per fault."""

    EXTRACTOR_CLOSED = "extractor-closed"
    LAYOUT_AMBIGUOUS = "layout-ambiguous"
    LAYOUT_INVALID = "layout-invalid"
    NO_SPACE = "no-space"
    NPY_REFUSED = "npy-refused"
    PATH_ESCAPES = "path-escapes"
    PORT_TAKEN = "port-taken"
    PREFECT_UNREACHABLE = "prefect-unreachable"
    SAMPLING_FREQUENCY_INVALID = "sampling-frequency-invalid"
    SAMPLING_FREQUENCY_UNKNOWN = "sampling-frequency-unknown"
    SELECTION_OUT_OF_BOUNDS = "selection-out-of-bounds"
    SERVER_FAILED = "server-failed"
    SIZE_MISMATCH = "size-mismatch"
    SOURCE_CHANGED = "source-changed"
    SOURCE_DIFFERS = "source-differs"
    SOURCE_MISSING = "source-missing"
    SOURCE_NOT_REGULAR = "source-not-regular"
    SOURCE_UNREADABLE = "source-unreadable"
    STAGING_FOREIGN = "staging-foreign"
    STORAGE_FAILED = "storage-failed"
    STORE_DAMAGED = "store-damaged"
    STORE_FOREIGN = "store-foreign"
    STORE_VERSION = "store-version"
    TARGET_BUSY = "target-busy"
    TARGET_EXISTS = "target-exists"
    TARGET_FOLDER_MISSING = "target-folder-missing"
    UNKNOWN_FORMAT = "unknown-format"


class ZarrmillError(Exception):
    """One fault: where, what was expected, what was found, what to do.

    Parameters
    ----------
    code
        The fault's stable name.
    path
        The file or folder it is about; None where there is none.
    expected, found
        Two short phrases with the numbers in them.
    todo
        What the user can do about it.
    """

    def __init__(
        self, code: Code, *, path: str | os.PathLike[str] | None, expected: str, found: str, todo: str
    ) -> None:
        self.code = code
        self.path = None if path is None else os.fspath(path)
        self.expected = expected
        self.found = found
        self.todo = todo
        where = "" if self.path is None else f"{self.path}: "
        super().__init__(f"[{code}] {where}expected {expected}; found {found}. {todo}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (type(self), self.as_dict()))

    def as_dict(self) -> dict[str, str | None]:
        """The fault as a small JSON object."""
        return {
            "code": str(self.code),
            "path": self.path,
            "expected": self.expected,
            "found": self.found,
            "todo": self.todo,
        }


def _rebuild(kind: type[ZarrmillError], fields: dict[str, str]) -> ZarrmillError:
    return kind(Code(fields.pop("code")), **fields)


class InputRefused(ZarrmillError, ValueError):
    """What was handed in must change before it can work: never retry."""


class SourceChanged(ZarrmillError):
    """The recording changed while it was read: try again when it is quiet."""


class TargetRefused(ZarrmillError):
    """The target is taken, by a store or by another run: nothing was touched."""


class StorageFailed(ZarrmillError):
    """The disk is full or failed: what is finished stays, and a second run resumes."""


class StoreDamaged(ZarrmillError):
    """A store does not hold what its digests say."""
