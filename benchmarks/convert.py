"""`python -m benchmarks.convert`: how fast a recording becomes a store, by all contenders in one run.

Rounds are interleaved, every second one in reverse order, after one round that is not counted and in which each
contender's pixels are compared with the movie's. Figures are medians.
"""

import argparse
import json
import os
import shutil
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path

from benchmarks.case import Case, parse_size
from benchmarks.contenders import CONTENDERS
from benchmarks.job import Job
from benchmarks.measure import Measurement, measure
from benchmarks.movie import make_movie
from benchmarks.report import machine, table
from benchmarks.server import prefect_server

# hdmf-zarr wants zarr 2, and with it a Python of its own.
_DEFAULT = [
    name for name in CONTENDERS if name != "direct-read" and (name != "neuroconv" or "NEUROCONV_PYTHON" in os.environ)
]


def compare(
    case: Case,
    folder: Path,
    contenders: Sequence[str],
    *,
    rounds: int,
    workers: int,
    cold: bool = False,
) -> list[Measurement]:
    """Measure each contender once a round.

    Parameters
    ----------
    case
        The recording; made in `folder` unless it lies there already.
    folder
        Where everything is written.
    contenders
        Names in `CONTENDERS`.
    rounds
        How many are counted; none where only the pixels are to be checked.
    workers
        Threads that each contender may use.
    cold
        Whether the movie is dropped from the page cache before each run.

    Raises
    ------
    RuntimeError
        A contender failed, or stored pixels that are not the movie's.
    """
    movie = make_movie(case, folder)
    scratch = Path(tempfile.mkdtemp(prefix="run-", dir=folder))
    measurements: list[Measurement] = []
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, scratch, ignore_errors=True)
        environment: dict[str, str] = {}
        if any(CONTENDERS[name].needs_server for name in contenders):
            environment = stack.enter_context(prefect_server(scratch / "prefect")).environment
        for number in range(rounds + 1):
            for name in contenders if number % 2 else reversed(contenders):
                print(f"\rround {number} of {rounds}: {name:<16}", end="", file=sys.stderr, flush=True)
                job = Job(case, movie, scratch / "output", workers)
                needs = environment if CONTENDERS[name].needs_server else {}
                done = measure(name, number, job, cold=cold, check=number == 0, environment=needs)
                if number:
                    measurements.append(done)
    print(f"\r{'':<40}\r", end="", file=sys.stderr)
    return measurements


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare as the command line says, and print a table."""
    options = _parse(arguments)
    case = Case(samples=max(1, options.size // Case(samples=1).sample_bytes), seed=options.seed)
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zarrmill-")))
        measurements = compare(
            case, folder, options.contenders, rounds=options.rounds, workers=options.workers, cold=options.cold
        )
    facts = machine()
    print(table(case, measurements, workers=options.workers, cold=options.cold, facts=facts))
    if options.json:
        result = {
            "machine": facts,
            "case": asdict(case),
            "workers": options.workers,
            "cold": options.cold,
            "measurements": [asdict(measurement) for measurement in measurements],
        }
        options.json.write_text(json.dumps(result, indent=1))


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.convert", description=__doc__)
    parser.add_argument("--size", type=parse_size, default="4GiB", help="of the movie (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="of the movie's noise (default: %(default)s)")
    parser.add_argument("--folder", type=Path, help="to work in, and to keep the movie in (default: a temporary one)")
    parser.add_argument("--rounds", type=int, default=5, help="counted ones (default: %(default)s)")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)), help="threads (default: cores)")
    parser.add_argument("--cold", action="store_true", help="drop the movie from the page cache before each run")
    parser.add_argument(
        "--contenders", nargs="+", choices=CONTENDERS, metavar="NAME", help=f"of {', '.join(CONTENDERS)} (default: all)"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every single measurement there")
    options = parser.parse_args(arguments)
    options.contenders = options.contenders or [*_DEFAULT, *(["direct-read"] if options.cold else [])]
    return options


if __name__ == "__main__":
    main()
