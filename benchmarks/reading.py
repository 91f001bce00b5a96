"""`python -m benchmarks.reading`: 1000 frames of a published store, by zarrmill, zarr-python and tensorstore.

All in one process and in turns, warm, each into memory of its own; figures are medians.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.case import Case
from benchmarks.movie import make_movie
from benchmarks.ours import describe
from benchmarks.report import machine

_FRAMES = 1000


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.reading", description=__doc__)
    parser.add_argument("--folder", type=Path, help="to work in (default: a temporary one)")
    parser.add_argument("--rounds", type=int, default=7, help="counted ones (default: %(default)s)")
    options = parser.parse_args()
    case = Case(samples=2048)
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zarrmill-")))
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="run-", dir=folder)))
        readers = _open(case, folder, scratch / "movie.zarr")
        seconds: dict[str, list[float]] = {name: [] for name in readers}
        expected = readers["zarrmill"](100)
        for number in range(options.rounds + 1):
            for name, read in readers.items():
                begun = time.perf_counter()
                series = read(100)
                took = time.perf_counter() - begun
                if number:
                    seconds[name].append(took)
                else:
                    np.testing.assert_array_equal(series.reshape(expected.shape), expected)
    print(", ".join(f"{name} {value}" for name, value in machine().items()) + ".\n")
    print(f"{_FRAMES} frames of {case.rows}x{case.columns} {case.dtype}, medians of {options.rounds} rounds:\n")
    print("| reader | MB/s | times zarr-python |\n|---|--:|--:|")
    for name, times in seconds.items():
        speed = _FRAMES * case.sample_bytes / median(times) / 1e6
        print(f"| {name} | {speed:.0f} | {median(seconds['zarr-python']) / median(times):.2f} |")


def _open(case: Case, folder: Path, store: Path) -> dict[str, Callable[[int], Any]]:
    """Give each reader as a function of the first frame."""
    import tensorstore
    import zarr

    from stores.convert import convert
    from stores.reading import ZarrImagingExtractor

    convert(describe(case, make_movie(case, folder)), store)
    extractor = ZarrImagingExtractor(store)
    array: Any = zarr.open_group(store, mode="r")["0"]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(store / "0")}}
    opened = tensorstore.open(spec, read=True).result()
    return {
        "zarrmill": lambda first: extractor.get_series(first, first + _FRAMES),
        "zarr-python": lambda first: array[first : first + _FRAMES],
        "tensorstore": lambda first: opened[first : first + _FRAMES].read().result(),
    }


if __name__ == "__main__":
    main()
