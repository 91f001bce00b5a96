"""The recording: photon noise over a smooth structure that drifts, as a two-photon microscope gives it.

Photons are drawn by table: each pixel has one of 64 brightnesses, each brightness a table of 4096 quantiles of its
Poisson distribution, and 12 random bits choose one. That is ten times as fast as a Poisson generator.
"""

import os
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from math import lgamma, prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.case import MIB, Case

_LEVELS = 64
_QUANTILE_BITS = 12
_DRIFT_PIXELS = 4
_BLOCK_BYTES = 16 * MIB
# The generator: a movie made by another one is another movie.
_VERSION = 1


def make_movie(case: Case, folder: Path) -> Path:
    """The movie of `case` lies in `folder`, made now or by an earlier run.

    A movie in another order on disk holds the same pixels as the one with `t` slowest, and is made from it.
    """
    path = folder / f"movie{_VERSION}-{case.file_name}"
    if path.exists() and path.stat().st_size == case.total_bytes:
        return path
    folder.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_suffix(".partial")
    if case.disk_axes == case.axes:
        _draw(case, unfinished)
    else:
        plain = make_movie(replace(case, disk_axes=case.axes), folder)
        _reorder(case, plain, unfinished)
    unfinished.replace(path)
    return path


def open_movie(case: Case, path: Path) -> NDArray[Any]:
    """Map the movie read-only, by the axes of the store."""
    return case.canonical(np.memmap(path, dtype=case.dtype, mode="r", shape=case.disk_shape))


def _draw(case: Case, path: Path) -> None:
    """Write the movie block by block, as many at a time as there are cores."""
    step = max(1, _BLOCK_BYTES // case.sample_bytes)
    scene = np.stack([_scene(case, channel) for channel in range(case.channels)])
    table = _photons(np.dtype(case.dtype))
    with path.open("wb") as file, ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:

        def write(start: int) -> None:
            data = _block(case, scene, table, range(start, min(start + step, case.samples))).data.cast("B")
            offset = start * case.sample_bytes
            while data:
                written = os.pwrite(file.fileno(), data, offset)
                offset += written
                data = data[written:]

        list(pool.map(write, range(0, case.samples, step)))


def _block(case: Case, scene: NDArray[np.int32], table: NDArray[Any], samples: range) -> NDArray[Any]:
    """Some samples of the movie; their noise depends on the first one's number alone."""
    shape = (len(samples), case.channels, case.rows, case.columns)
    words = np.random.SFC64([case.seed, samples.start]).random_raw(-(-prod(shape) // 4))
    quantile = (words.view(np.uint16)[: prod(shape)] >> (16 - _QUANTILE_BITS)).reshape(shape)
    place = np.empty(shape, np.int32)
    for i, sample in enumerate(samples):
        # A slow drift, as of an animal that breathes.
        down = _DRIFT_PIXELS + round(_DRIFT_PIXELS * np.sin(sample / 301))
        right = _DRIFT_PIXELS + round(_DRIFT_PIXELS * np.sin(sample / 173))
        np.add(scene[:, down : down + case.rows, right : right + case.columns], quantile[i], out=place[i])
    block: NDArray[Any] = table[place]
    return block


def _scene(case: Case, channel: int) -> NDArray[np.int32]:
    """Brightness of each pixel, as the place of its quantiles in the table; with a border to drift over."""
    generator = np.random.Generator(np.random.SFC64([case.seed, 1_000_003, channel]))
    rows, columns = case.rows + 2 * _DRIFT_PIXELS, case.columns + 2 * _DRIFT_PIXELS
    y, x = np.mgrid[:rows, :columns]
    image = 0.15 + 0.1 * np.sin(y / 61 + channel) * np.cos(x / 83)
    for _ in range(max(1, rows * columns // 1600)):
        at_y, at_x, radius = generator.uniform(0, rows), generator.uniform(0, columns), generator.uniform(4, 9)
        near_y = slice(max(0, int(at_y - 4 * radius)), int(at_y + 4 * radius))
        near_x = slice(max(0, int(at_x - 4 * radius)), int(at_x + 4 * radius))
        distance = ((y[near_y, near_x] - at_y) ** 2 + (x[near_y, near_x] - at_x) ** 2) / (2 * radius**2)
        image[near_y, near_x] += generator.uniform(0.1, 0.7) * np.exp(-distance)
    place: NDArray[np.int32] = np.clip(image * _LEVELS, 0, _LEVELS - 1).astype(np.int32) << _QUANTILE_BITS
    return place


def _photons(dtype: np.dtype[Any]) -> NDArray[Any]:
    """Quantiles of each brightness, one after another: whole photons, or for floats a calibrated, continuous value."""
    brightest = 60.0 if dtype.itemsize == 1 else 330.0
    count = np.arange(int(brightest * 2) + 40)
    log_factorial = np.array([lgamma(k + 1) for k in count])
    at = (np.arange(1 << _QUANTILE_BITS) + 0.5) / (1 << _QUANTILE_BITS)
    rows = []
    for mean in np.linspace(brightest / 16, brightest, _LEVELS):
        cumulative = np.cumsum(np.exp(count * np.log(mean) - mean - log_factorial))
        rows.append(np.interp(at, cumulative, count + 1.0) * 0.37 if dtype.kind == "f" else cumulative.searchsorted(at))
    return np.concatenate(rows).astype(dtype)


def _reorder(case: Case, plain: Path, path: Path) -> None:
    """Write a movie in another order on disk: strips of its slowest axis, in blocks that stay in a core's cache."""
    whole = np.memmap(plain, dtype=case.dtype, mode="r", shape=case.shape)
    source = whole.transpose([case.axes.index(axis) for axis in case.disk_axes])
    strip_bytes = case.total_bytes // source.shape[0]
    step = max(1, 4 * _BLOCK_BYTES // strip_bytes)
    time = case.disk_axes.index("t")
    with path.open("wb") as file:
        for start in range(0, source.shape[0], step):
            part = source[start : start + step]
            strip = np.empty(part.shape, part.dtype)
            for first in range(0, part.shape[time], 64):
                block = (*(slice(None) for _ in range(time)), slice(first, first + 64))
                strip[block] = part[block]
            strip.tofile(file)
