"""`python -m benchmarks.sweep`: many small recordings, one sweep, and what Prefect costs for each of them.

The same sweep by the engine alone and by the flow `ingest` on a running Prefect server, in turns, each in a process of
its own and into an empty archive; figures are medians.
"""

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import NamedTuple

import numpy as np

from benchmarks.report import machine
from benchmarks.server import Server, prefect_server

_SHAPE = (16, 512, 512)
_AT_A_TIME = 3


class Sweep(NamedTuple):
    """What one sweep took, in seconds."""

    wall: float
    client_cpu: float
    server_cpu: float


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--folder", type=Path, help="to work in (default: a temporary one)")
    parser.add_argument("--recordings", type=int, default=200, help="of 8 MiB each (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=3, help="counted ones (default: %(default)s)")
    parser.add_argument("--child", choices=list(_SWEEPS), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    if options.child:
        _SWEEPS[options.child](options.folder / "landing", options.folder / "archive")
        return
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zarrmill-", dir=options.folder)))
        _make_recordings(folder / "landing", options.recordings)
        server = stack.enter_context(prefect_server(folder / "prefect"))
        took: dict[str, list[Sweep]] = {name: [] for name in _SWEEPS}
        for number in range(options.rounds + 1):
            for name in _SWEEPS:
                sweep = _measure(name, folder, server)
                _check(folder / "archive", options.recordings)
                shutil.rmtree(folder / "archive")
                if number:
                    took[name].append(sweep)
    print(", ".join(f"{name} {value}" for name, value in machine().items()) + ".\n")
    size = np.prod(_SHAPE) * 2 / 2**20
    what = f"{options.recordings} recordings of {size:g} MiB, {_AT_A_TIME} at a time"
    print(f"{what}, medians of {options.rounds} rounds:\n")
    print("| sweep by | recordings/s | ms each | CPU ms each | CPU ms each of the server |\n|---|--:|--:|--:|--:|")
    for name, sweeps in took.items():
        wall, client, server_cpu = (median(times) / options.recordings for times in zip(*sweeps, strict=True))
        print(f"| {name} | {1 / wall:.1f} | {wall * 1e3:.0f} | {client * 1e3:.0f} | {server_cpu * 1e3:.0f} |")


def _make_recordings(landing: Path, count: int) -> None:
    """Each in a folder of its own, as rigs do; older than what is waited for."""
    random = np.random.default_rng(1)
    base = random.poisson(100, _SHAPE).astype("<u2")
    layout = {"dtype": "<u2", "axes": "tyx", "rows": _SHAPE[1], "columns": _SHAPE[2], "sampling_frequency_hz": 30.0}
    for number in range(count):
        folder = landing / f"session-{number:04}"
        folder.mkdir(parents=True)
        (folder / "movie.raw").write_bytes((base + number).tobytes())
        (folder / "movie.raw.layout.json").write_text(json.dumps(layout))


def _measure(name: str, folder: Path, server: Server) -> Sweep:
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.sweep", "--child", name, "--folder", str(folder)]
    os.sync()
    before = server.cpu_seconds()
    done = subprocess.run(
        command, env=os.environ | server.environment, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    wall, client = json.loads(done.stdout.splitlines()[-1])
    return Sweep(wall, client, server.cpu_seconds() - before)


def _check(archive: Path, count: int) -> None:
    stored = len(list(archive.glob("*/*.zarr/zarr.json")))
    if stored != count:
        msg = f"{stored} of {count} recordings are in the archive"
        raise RuntimeError(msg)


def _by_engine(landing: Path, archive: Path) -> None:
    from stores.convert import convert
    from stores.landing import Completeness, scan_landing
    from stores.options import ConvertOptions
    from stores.sweep import only_sweep, store_all

    async def store(recording: Path, target: Path) -> object:
        return await asyncio.to_thread(convert, recording, target, ConvertOptions())

    async def sweep() -> None:
        with only_sweep(archive):
            scan = scan_landing(landing, archive, Completeness(minimum_age_seconds=0, settle_seconds=0))
            await store_all(scan, archive, store, at_a_time=_AT_A_TIME)

    _time(sweep)


def _by_flow(landing: Path, archive: Path) -> None:
    from flows.ingest import ingest
    from flows.settings import IngestSettings

    settings = IngestSettings(
        landing=landing, archive=archive, minimum_age_seconds=0, settle_seconds=0, at_a_time=_AT_A_TIME
    )

    async def sweep() -> None:
        await ingest(settings)

    _time(sweep)


def _time(sweep: Callable[[], Coroutine[None, None, None]]) -> None:
    begun, cpu = time.perf_counter(), time.process_time()
    asyncio.run(sweep())
    print(json.dumps([time.perf_counter() - begun, time.process_time() - cpu]))


_SWEEPS: Mapping[str, Callable[[Path, Path], None]] = {
    "the engine alone": _by_engine,
    "the flow `ingest`": _by_flow,
}


if __name__ == "__main__":
    main()
