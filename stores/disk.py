"""What the disk owes us: whole writes, flushes, atomic replacement, and faults in our own words."""

import errno
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from extractors.errors import Code, StorageFailed

_FULL = {errno.ENOSPC, errno.EDQUOT}


@contextmanager
def storage_faults(path: Path) -> Iterator[None]:
    """Turn the kernel's word about writing `path` into a StorageFailed."""
    try:
        yield
    except OSError as fault:
        where = fault.filename or path
        if fault.errno in _FULL:
            raise StorageFailed(
                Code.NO_SPACE,
                path=where,
                expected="room to write",
                found=f"{shutil.disk_usage(path.parent).free} bytes free ({fault.strerror})",
                todo="Free some space, then run the same command again: it goes on where it stopped.",
            ) from fault
        raise StorageFailed(
            Code.STORAGE_FAILED,
            path=where,
            expected="a write that succeeds",
            found=fault.strerror or str(fault),
            todo="See to the disk or its permissions, then run the same command again: it goes on where it stopped.",
        ) from fault


def write_whole(descriptor: int, data: bytes | memoryview) -> None:
    """Write all of `data`; a short write is continued until the kernel takes it or says why not."""
    view = memoryview(data).cast("B")
    while view:
        view = view[os.write(descriptor, view) :]


def replace_file(path: Path, data: bytes) -> None:
    """Put `data` at `path`, whole or not at all, and flushed."""
    temporary = path.with_name(f".{path.name}.tmp")
    with storage_faults(path):
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        try:
            write_whole(descriptor, data)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        temporary.replace(path)


def sync_path(path: Path) -> None:
    """Flush one file or folder to the disk."""
    with storage_faults(path):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def sync_tree(folder: Path) -> None:
    """Flush every file and folder below `folder`, and `folder` itself."""
    for parent, _, names in os.walk(folder, topdown=False):
        for name in names:
            sync_path(Path(parent, name))
        sync_path(Path(parent))
