"""Copying pixels from one order of axes to another at the speed of the cache."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TILE_BYTES = 1 << 15  # of a core's first level of cache
_SHORT = 16  # of an axis: numpy's loop along it would cost more than what it copies


def copy(source: NDArray[Any], target: NDArray[Any]) -> None:
    """Assign `source`, which is in the cache, to `target` of the same shape and of any strides and dtype.

    numpy walks in the order of `target`'s memory. Where that crosses `source`, the piece that it walks over is kept so
    small that the lines it needs again are still in the cache.
    """
    walk = sorted((axis for axis in range(target.ndim) if target.shape[axis] > 1), key=lambda a: abs(target.strides[a]))
    if not walk or walk[0] == min(walk, key=lambda axis: abs(source.strides[axis])):
        np.copyto(target, source, casting="unsafe")
        return
    fastest = walk[0]
    size = target.shape[fastest]
    step = 1
    if size > _SHORT:
        step = max(_SHORT, _TILE_BYTES // (source.size // size * source.itemsize))
    sources, targets = np.moveaxis(source, fastest, 0), np.moveaxis(target, fastest, 0)
    for first in range(0, size, step):
        np.copyto(targets[first : first + step], sources[first : first + step], casting="unsafe")
