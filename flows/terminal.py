"""How things look in a terminal."""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from stores.convert import Progress

_STEP = 1024


def amount(size_bytes: float) -> str:
    """A size in the unit that suits it: 512 B, 1.5 MiB, 2.0 TiB."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if size_bytes < _STEP:
            return f"{size_bytes:.0f} B" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= _STEP
    return f"{size_bytes:.1f} TiB"


def duration(seconds: float) -> str:
    """A time in hours, minutes and seconds: 8.25 s, 3 min 20 s, 1 h 0 min 5 s."""
    minute, hour = 60, 3600
    if seconds < minute:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    hours, minutes = divmod(whole // minute, minute)
    return f"{hours} h {minutes} min {whole % minute} s" if whole >= hour else f"{minutes} min {whole % minute} s"


def table(rows: Mapping[str, str]) -> str:
    """One line per row, its values below each other."""
    width = max(map(len, rows))
    return "\n".join(f"{name:<{width}}  {value}" for name, value in rows.items())


def say(line: str) -> None:
    """Tell people something on the way; standard output is for the answer."""
    print(line, file=sys.stderr, flush=True)


@contextmanager
def progress_bar(title: str, *, quiet: bool) -> Iterator["Progress | None"]:
    """A bar on standard error while the block runs; nothing if that is not a terminal."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn, TransferSpeedColumn

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(binary_units=True),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True)) as bars:
        bar = bars.add_task(title, total=None)
        yield lambda done, total: bars.update(bar, completed=done, total=total)
