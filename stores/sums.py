"""Sums of pixels, exact where pixels are integers of at most 4 bytes."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

_TOGETHER = 16


def add_up(pixels: NDArray[Any], maximum: float) -> NDArray[Any]:
    """Add along the first axis.

    numpy adds small integers in their own type at several times the speed of widening each one first. Detectors
    rarely fill their type (12 bits of 16 are usual), so that some pixels can be added before anything overflows.

    Parameters
    ----------
    pixels
        Of any shape and number type.
    maximum
        No pixel is larger.

    Returns
    -------
    numpy.ndarray
        Of the shape of `pixels` without its first axis, of a type that holds every sum.
    """
    kind, width, count = pixels.dtype.kind, pixels.dtype.itemsize, len(pixels)
    wide: Any = np.int64
    if kind == "f" or width == np.dtype(np.int64).itemsize:
        wide = np.float64
    elif kind == "u" and width <= np.dtype(np.uint16).itemsize:
        top = int(maximum)
        if top * _TOGETHER <= np.iinfo(pixels.dtype).max and count % _TOGETHER == 0:
            grouped = pixels.reshape(_TOGETHER, count // _TOGETHER, *pixels.shape[1:])
            pixels = np.add.reduce(grouped, axis=0, dtype=pixels.dtype)
        wide = np.uint32 if count * top <= np.iinfo(np.uint32).max else np.uint64
    with np.errstate(invalid="ignore", over="ignore"):
        sums: NDArray[Any] = np.add.reduce(pixels, axis=0, dtype=wide)
    return sums
