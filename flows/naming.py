"""The handle of a recording on the dashboard: in artifact keys, tags and events."""

import re
from pathlib import Path

import xxhash

_LONGEST = 60


def handle(path: Path) -> str:
    """Give the handle of what lies at `path`: lower-case letters, digits and dashes, as artifact keys must be.

    It is read as folder and name, `monday-movie-raw-0f4c19ab`, and ends in a digest of the whole path: two recordings
    share no handle, however they are called.
    """
    absolute = path.absolute()
    words = re.sub(r"[^a-z0-9]+", "-", f"{absolute.parent.name} {absolute.name}".lower()).strip("-")
    digest = xxhash.xxh3_64_hexdigest(str(absolute).encode("utf-8", "surrogateescape"))[:8]
    return f"{words[-_LONGEST:].lstrip('-')}-{digest}".lstrip("-")
