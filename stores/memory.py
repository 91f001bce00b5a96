"""Memory: what there is, and what is used again and again."""

import ctypes
import os
from pathlib import Path

# From <malloc.h>.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_MIB = 1024 * 1024


def keep_freed_blocks() -> None:
    """The C library keeps freed blocks of a chunk's size for the next chunk, where it is glibc.

    By default it gives each one back to the kernel, which zeroes it again, page by page: for the blocks into which
    chunks are encoded that takes half as long as encoding them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 * _MIB)
        mallopt(_TRIM_THRESHOLD, 64 * _MIB)


def available_bytes() -> int:
    """Bytes that this process could use, page cache included: of the machine, or of its control group if that is less.

    Where the system does not tell (https://docs.kernel.org/filesystems/proc.html, MemAvailable), all that it has.
    """
    found = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"), *_limits_bytes()]
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/meminfo").read_text().splitlines())
        found.append(int(fields["MemAvailable"].split()[0]) * 1024)
    except (OSError, KeyError):
        pass
    return min(found)


def _limits_bytes() -> list[int]:
    """Limits of the control groups, of either version, that this process is in; containers see theirs at the root."""
    try:
        groups = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    limits = []
    for line in groups:
        _, controllers, path = line.split(":", 2)
        if controllers and "memory" not in controllers.split(","):
            continue
        first_version = ("/sys/fs/cgroup/memory", "memory.limit_in_bytes")
        root, name = first_version if controllers else ("/sys/fs/cgroup", "memory.max")
        folder = Path(root, path.lstrip("/"))
        for group in (folder, *folder.parents):
            try:
                limits.append(int((group / name).read_text()))
            except (OSError, ValueError):  # not there, or "max"
                continue
    return limits
