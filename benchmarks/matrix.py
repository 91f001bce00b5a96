"""`python -m benchmarks.matrix`: the engine over many kinds of recordings, each against its own limit.

The limit encodes chunks straight from the mapped file, so that where time is not the slowest axis it pays for the
strides of that file by numpy's own copy. Speeds are medians of interleaved rounds.
"""

import argparse
import os
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from benchmarks.case import MIB, Case, parse_size
from benchmarks.convert import compare
from benchmarks.measure import Measurement
from benchmarks.movie import make_movie
from benchmarks.report import machine

_ENGINES = ("limit", "engine-writing", "engine")


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    case: Case
    workers: int
    cold: bool = False


def rows(size_bytes: int, workers: int) -> list[Row]:
    """Every kind of recording, of about `size_bytes` each."""

    def case(rows: int = 512, columns: int = 512, channels: int = 1, dtype: str = "<u2", axes: str = "tyx") -> Case:
        sample = Case(samples=1, rows=rows, columns=columns, channels=channels, dtype=dtype, disk_axes=axes)
        samples = max(1, size_bytes // sample.sample_bytes)
        return Case(samples, rows=rows, columns=columns, channels=channels, dtype=dtype, disk_axes=axes)

    return [
        Row("two-photon, (t, y, x)", case(), workers),
        Row("the same, one worker", case(), 1),
        Row("the same, cold", case(), workers, cold=True),
        Row("(y, t, x)", case(axes="ytx"), workers),
        Row("(y, x, t)", case(axes="yxt"), workers),
        Row("(x, y, t)", case(axes="xyt"), workers),
        Row("8 bit", case(dtype="|u1"), workers),
        Row("float32", case(dtype="<f4"), workers),
        Row("16 bit, big-endian", case(dtype=">u2"), workers),
        Row("frames of 64 x 64", case(rows=64, columns=64), workers),
        Row("frames of 2048 x 2048", case(rows=2048, columns=2048), workers),
        Row("two channels, (t, c, y, x)", case(channels=2, axes="tcyx"), workers),
        Row("two channels, (t, y, x, c)", case(channels=2, axes="tyxc"), workers),
    ]


def line(row: Row, measurements: list[Measurement], reference: float | None) -> tuple[str, float]:
    """Give a row of the table, and the engine's speed in MB/s."""
    speeds: dict[str, float] = {}
    for name in {measurement.contender for measurement in measurements}:
        runs = [run for run in measurements if run.contender == name]
        speeds[name] = median(row.case.total_bytes / run.seconds / 1e6 for run in runs)
    limit, writing, engine = (speeds[name] for name in _ENGINES)
    memory = max(run.peak_anonymous_bytes for run in measurements if run.contender == "engine") / MIB
    busy = median(run.other_cores for run in measurements)
    disk = f"{speeds['direct-read']:.0f}" if row.cold else ""
    cells = [
        row.title,
        f"{limit:.0f}",
        disk,
        f"{writing:.0f}",
        f"{writing / limit:.2f}",
        f"{engine:.0f}",
        f"{engine / limit:.2f}",
        f"{engine / (reference or engine):.2f}",
        f"{memory:.0f}",
        f"{busy:.1f}",
    ]
    return f"| {' | '.join(cells)} |", engine


def main() -> None:
    """Measure every row, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.matrix", description=__doc__)
    parser.add_argument("--size", type=parse_size, default="1GiB", help="of each recording (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="to work in (default: a temporary one)")
    parser.add_argument("--rounds", type=int, default=3, help="counted ones (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="threads (default: cores)")
    options = parser.parse_args()
    print(", ".join(f"{name} {value}" for name, value in machine().items()) + ".\n")
    print(f"{options.size / MIB:.0f} MiB each, {options.workers} workers, medians of {options.rounds} rounds, MB/s:\n")
    print(
        "| recording | limit | disk | writing alone | of the limit | verified | of the limit | of the first row "
        "| peak anonymous MiB | other cores busy |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|"
    )
    reference: float | None = None
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zarrmill-")))
        for row in rows(options.size, options.workers):
            contenders = [*_ENGINES, *(["direct-read"] if row.cold else [])]
            measurements = compare(
                row.case, folder, contenders, rounds=options.rounds, workers=row.workers, cold=row.cold
            )
            text, engine = line(row, measurements, reference)
            reference = reference or engine
            print(text, flush=True)
            make_movie(row.case, folder).unlink()


if __name__ == "__main__":
    main()
