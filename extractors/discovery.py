"""Which recordings a folder holds, told by names and sidecars, without reading pixels.

Asked again and again of folders with tens of thousands of files, often on a network share: each folder is listed once,
and a file that belongs to a recording that is known already is not opened.
"""

import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from extractors.errors import InputRefused
from extractors.formats import layout_file
from extractors.recording import FORMATS
from extractors.source import printable

# Stores are folders of very many files, none of which is a recording.
_STORES = (".zarr", ".zarr.partial")


class FileState(NamedTuple):
    """What tells, without reading it, whether a file is the one that was seen earlier."""

    size_bytes: int
    mtime_ns: int
    inode: int


class Found(NamedTuple):
    """One recording; every path is relative to the folder that was searched."""

    path: str
    """As `open_recording` takes it."""
    name: str
    """The path without the data file's endings."""
    files: tuple[str, ...]
    """Sidecar and data files, those too that should be there and are not."""
    sidecar: str | None
    """Which of the files describes the others."""
    fault: InputRefused | None = None
    """Why the description cannot be used."""


class Listing(NamedTuple):
    """Every regular file below a folder."""

    files: dict[str, FileState]
    """By its path relative to the folder."""
    unusable: list[str]
    """Folders that may not be entered, and names that are not UTF-8 text."""


def list_files(root: Path, *, skip: Path | None = None) -> Listing:
    """List the regular files below `root`; hidden ones, stores, and the folder `skip` are passed over.

    Symbolic links are not followed: they lead out of the folder, or to what is found at its own place.

    Raises
    ------
    OSError
        The folder, or the share that it is on, is not there: a listing that goes on without it would look as if the
        recordings had been deleted.
    """
    found = Listing({}, [])
    skipped = None if skip is None else os.path.realpath(skip)
    pending = [""]
    while pending:
        folder = pending.pop()
        try:
            with os.scandir(root / folder) as entries:
                pending += _list_folder(entries, folder, skipped, found)
        except PermissionError:
            if not folder:
                raise
            found.unusable.append(folder.rstrip("/"))
        except (FileNotFoundError, NotADirectoryError):
            if not folder:
                raise  # any other folder was moved away since its parent was listed
    return found


def _list_folder(
    entries: Iterator[os.DirEntry[str]], folder: str, skipped: str | None, found: Listing
) -> Iterator[str]:
    """Add the files of one folder to `found`; gives the folders in it."""
    for entry in entries:
        name = f"{folder}{entry.name}"
        if entry.name.startswith("."):
            continue
        if (shown := printable(name)) != name:
            found.unusable.append(shown)  # journals and ledgers are UTF-8, and so are the paths in them
        elif entry.is_dir(follow_symlinks=False):
            if not entry.name.endswith(_STORES) and os.path.realpath(entry.path) != skipped:
                yield f"{name}/"
        elif entry.is_file(follow_symlinks=False) and (state := _state(entry)):
            found.files[name] = state


def look_at(root: Path, name: str) -> FileState | None:
    """The state of one file as it is now; None if there is none."""
    try:
        status = (root / name).stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return _of(status) if stat.S_ISREG(status.st_mode) else None


def states_of(root: Path, names: Iterable[str], listed: Mapping[str, FileState]) -> dict[str, FileState | None]:
    """The states of a recording's files: as listed, or looked at where they are not (a link inside the folder)."""
    return {name: listed[name] if name in listed else look_at(root, name) for name in names}


def find_recordings(root: Path, names: Iterable[str]) -> Iterator[Found]:
    """Find the recordings among some files of the folder `root`; a file that no format claims is no recording.

    Parameters
    ----------
    root
        The folder.
    names
        Files below it.

    Yields
    ------
    found
        Each recording once, whichever of its files are among `names`.
    """
    taken: set[str] = set()
    seen: set[str] = set()
    # Layout files first: what they describe is theirs, whatever other format would claim it.
    for name in sorted(names, key=lambda name: (not layout_file.is_layout_file(Path(name)), name)):
        if name in taken:
            continue
        found = _find(root, name)
        if found is not None and found.path not in seen:
            seen.add(found.path)
            taken.update(found.files)
            yield found


def _find(root: Path, name: str) -> Found | None:
    path = root / name
    if layout_file.is_layout_file(path):
        return _described(root, path)
    claimed_by = []
    for known in FORMATS:
        try:
            if known.claims(path):
                claimed_by.append(known)
        except InputRefused as fault:
            return _refused(root, path, fault)
    if not claimed_by:
        return None
    if layout_file not in claimed_by:
        return Found(name, _stem(name), (name,), None)
    sidecar = layout_file.find_sidecar(path)
    assert sidecar is not None  # noqa: S101 - it is why the file was claimed
    found = _described(root, sidecar)
    if name in found.files or found.fault is not None:
        return found
    # A sidecar is found by its name: notes.txt beside notes.layout.json are no recording because of it.
    return Found(name, _stem(name), (name,), None) if len(claimed_by) > 1 else None


def _described(root: Path, sidecar: Path) -> Found:
    """The recording that a layout file describes."""
    try:
        layout = layout_file.load_layout(sidecar)
        data = layout_file.find_data(sidecar, layout)
    except InputRefused as fault:
        return _refused(root, sidecar, fault)
    if layout.files is not None:
        path, stem = sidecar, _without_ending(_relative(root, sidecar))
        stem = _stem(_relative(root, data[0])) if len(data) == 1 else stem
    else:
        path, stem = data[0], _stem(_relative(root, data[0]))
        try:
            sidecar = layout_file.find_sidecar(path) or sidecar
        except InputRefused as fault:
            return _refused(root, path, fault)
    names = tuple(_relative(root, file) for file in (sidecar, *data))
    return Found(_relative(root, path), stem, names, names[0])


def _refused(root: Path, path: Path, fault: InputRefused) -> Found:
    name = _relative(root, path)
    is_sidecar = layout_file.is_layout_file(path)
    return Found(name, _stem(_without_ending(name)), (name,), name if is_sidecar else None, fault)


def _relative(root: Path, path: Path) -> str:
    return path.relative_to(root).as_posix()


def _without_ending(name: str) -> str:
    for ending in layout_file.SUFFIXES:
        name = name.removesuffix(ending)
    return name


def _stem(name: str) -> str:
    return PurePosixPath(name).with_suffix("").as_posix()


def _state(entry: os.DirEntry[str]) -> FileState | None:
    try:
        return _of(entry.stat(follow_symlinks=False))
    except FileNotFoundError:
        return None


def _of(status: os.stat_result) -> FileState:
    return FileState(status.st_size, status.st_mtime_ns, status.st_ino)
