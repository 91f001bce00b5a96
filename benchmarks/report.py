"""The table of one run, and the machine it was made on."""

import os
import platform
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from statistics import median

from benchmarks.case import MIB, Case
from benchmarks.contenders import CONTENDERS, LIMIT
from benchmarks.measure import Measurement

_PACKAGES = ("numpy", "numcodecs", "zarr", "tensorstore", "dask", "roiextractors", "prefect", "zarrmill")


def machine() -> dict[str, str]:
    """What the figures depend on: processor, cores, memory, kernel, versions."""
    processor = next(
        (line.split(":")[1].strip() for line in _lines("/proc/cpuinfo") if line.startswith("model name")),
        platform.machine(),
    )
    memory = next((int(line.split()[1]) * 1024 for line in _lines("/proc/meminfo") if line.startswith("MemTotal")), 0)
    return {
        "processor": processor,
        "cores": str(len(os.sched_getaffinity(0))),
        "memory": f"{memory / 1024**3:.0f} GiB",
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
    }


def table(case: Case, measurements: list[Measurement], *, workers: int, cold: bool, facts: dict[str, str]) -> str:
    """One row per contender, as Markdown."""
    by_name: dict[str, list[Measurement]] = {}
    for measurement in measurements:
        by_name.setdefault(measurement.contender, []).append(measurement)
    speeds = {name: [case.total_bytes / run.seconds / 1e6 for run in runs] for name, runs in by_name.items()}
    others = median(run.other_cores for run in measurements)
    rounds = max((len(runs) for runs in by_name.values()), default=0)
    title = (
        f"{case.total_bytes / MIB:.0f} MiB of {case.dtype}, {'x'.join(map(str, case.disk_shape))} ({case.disk_axes})"
        f" on disk, {'cold' if cold else 'warm'}; {workers} workers; medians of {rounds} rounds. "
        f"Other processes kept {others:.1f} cores busy."
    )
    lines = [
        title,
        ", ".join(f"{name} {value}" for name, value in facts.items()) + ".",
        "",
        "| contender | MB/s | (least to most) | of the limit | CPU s/GB | peak anonymous MiB | stored MB | pixels |",
        "|---|--:|--:|--:|--:|--:|--:|---|",
    ]
    for name in (name for name in CONTENDERS if name in by_name):
        runs, speed = by_name[name], median(speeds[name])
        ratio = f"{speed / median(speeds[LIMIT]):.2f}" if LIMIT in speeds else ""
        cpu = median(run.cpu_seconds for run in runs) / case.total_bytes * 1e9
        memory = max(run.peak_anonymous_bytes for run in runs) / MIB
        stored = median(run.stored_bytes for run in runs) / 1e6
        checked = "equal" if CONTENDERS[name].check else "not checked"
        lines.append(
            f"| {CONTENDERS[name].title} | {speed:.0f} | {min(speeds[name]):.0f} to {max(speeds[name]):.0f} | {ratio} "
            f"| {cpu:.2f} | {memory:.0f} | {stored:.0f} | {checked} |"
        )
    return "\n".join(lines)


def _lines(path: str) -> list[str]:
    return Path(path).read_text().splitlines()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "-"
