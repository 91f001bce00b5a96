"""The identity of a recording's files: which file it is, whether it may be read, whether it changed.

A same-size overwrite whose mtime was set back still changes ctime, which no user can set: both are kept.
"""

import errno
import os
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from extractors.errors import Code, InputRefused, SourceChanged

_KINDS = {
    stat.S_IFDIR: "a directory",
    stat.S_IFIFO: "a FIFO",
    stat.S_IFSOCK: "a socket",
    stat.S_IFCHR: "a character device",
    stat.S_IFBLK: "a block device",
}


class SourceFile(BaseModel):
    """One regular file as it was when it was looked at."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    path: str = Field(min_length=1)
    device: int
    inode: int
    size_bytes: int = Field(ge=0)
    mtime_ns: int
    ctime_ns: int


@contextmanager
def open_regular(path: str | os.PathLike[str]) -> Iterator[tuple[int, os.stat_result]]:
    """A read-only descriptor of a regular file and its status, closed at the end; never waits, whatever the path is.

    Raises
    ------
    InputRefused
        The file is missing, is not a regular file, or may not be read.
    """
    shown = printable(path)
    try:
        # Looked at before it is opened: opening a device can do something. Opened without waiting: it may have become
        # a FIFO in between, and a FIFO without a writer blocks open(2) for ever.
        _refuse_irregular(shown, Path(path).stat())
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except (OSError, ValueError) as error:
        if isinstance(error, InputRefused):
            raise
        raise _refusal(shown, error) from error
    try:
        status = os.fstat(descriptor)
        _refuse_irregular(shown, status)
        yield descriptor, status
    finally:
        os.close(descriptor)


def identify(path: str | os.PathLike[str]) -> SourceFile:
    """The identity of a regular file that could be opened for reading just now; its path is made absolute.

    Raises
    ------
    InputRefused
        The file is missing, is not a regular file, may not be read, or its name is not Unicode text.
    """
    with open_regular(path) as (_, status):
        absolute = os.fspath(Path(path).absolute())
        if absolute != printable(absolute):
            raise InputRefused(
                Code.SOURCE_UNREADABLE,
                path=printable(absolute),
                expected="a file name that is UTF-8 text",
                found="other bytes (shown here as \\x..)",
                todo="Rename the file: metadata and journals are UTF-8.",
            )
        return SourceFile(path=absolute, **_identity(status))


def check_unchanged(files: Sequence[SourceFile]) -> None:
    """Every file is still the one that was identified, as far as device, inode, size, mtime and ctime tell.

    Raises
    ------
    SourceChanged
        At least one is not; the message gives the first one's differences and how many files changed.
    """
    changed = [(file, difference) for file in files if (difference := _difference(file))]
    if not changed:
        return
    first, (expected, found) = changed[0]
    more = f" (and {len(changed) - 1} more of {len(files)} files changed)" if len(changed) > 1 else ""
    raise SourceChanged(
        Code.SOURCE_CHANGED,
        path=first.path,
        expected=f"the file as it was: {expected}",
        found=found + more,
        todo="Run again when nothing writes to the recording any more.",
    )


def printable(path: str | os.PathLike[str]) -> str:
    r"""The path as text that any stream can take: bytes of a file name that are not UTF-8 become ``\x..``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def _identity(status: os.stat_result) -> dict[str, int]:
    return {
        "device": status.st_dev,
        "inode": status.st_ino,
        "size_bytes": status.st_size,
        "mtime_ns": status.st_mtime_ns,
        "ctime_ns": status.st_ctime_ns,
    }


def _difference(file: SourceFile) -> tuple[str, str] | None:
    before = file.model_dump(exclude={"path"})
    try:
        now = _identity(Path(file.path).stat())
    except OSError as error:
        return f"size_bytes={file.size_bytes}", f"no such file any more ({error.strerror})"
    differing = [key for key in before if before[key] != now[key]]
    if not differing:
        return None
    return (
        ", ".join(f"{key}={before[key]}" for key in differing),
        ", ".join(f"{key}={now[key]}" for key in differing),
    )


def _refuse_irregular(shown: str, status: os.stat_result) -> None:
    if stat.S_ISREG(status.st_mode):
        return
    kind = _KINDS.get(stat.S_IFMT(status.st_mode), "something else")
    raise InputRefused(
        Code.SOURCE_NOT_REGULAR,
        path=shown,
        expected="a regular file",
        found=kind,
        todo="Name the recording's layout file or data file itself.",
    )


def _refusal(shown: str, error: OSError | ValueError) -> InputRefused:
    # A ValueError is stat's word for a NUL inside the path.
    number = error.errno if isinstance(error, OSError) else errno.ENOENT
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if number in {errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG}:
        return InputRefused(
            Code.SOURCE_MISSING,
            path=shown,
            expected="an existing file",
            found=f"none ({reason})",
            todo="Check the path.",
        )
    return InputRefused(
        Code.SOURCE_UNREADABLE,
        path=shown,
        expected="a file that may be opened for reading",
        found=reason,
        todo="Give this user permission to read it and to enter its folders.",
    )
