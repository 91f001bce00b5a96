"""The mean image: what a recording looks like, small enough for a report."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.codec import Codec
from stores.plan import Plan
from stores.sums import add_up

SIDE = 256
"""The most rows and columns that a picture has."""


class Picture:
    """Mean over samples of the first channel and the middle plane; of larger frames, every so many rows and columns.

    Parameters
    ----------
    plan
        The store whose chunks are added.
    """

    def __init__(self, plan: Plan) -> None:
        rows, columns = plan.shape[-2:]
        self._axes = plan.axes
        self._plane = dict(zip(plan.axes, plan.shape, strict=True)).get("z", 1) // 2
        self._step = math.ceil(max(rows, columns) / SIDE)
        self._sum = np.zeros(picture_shape(plan))

    def add(self, region: tuple[slice, ...], pixels: NDArray[Any], maximum: float) -> None:
        """Add the pixels of a region of the store; none of them is larger than `maximum`."""
        block = pixels
        for axis, at in (("z", self._plane), ("c", 0)):
            if axis in self._axes:
                part = region[self._axes.index(axis)]
                if not part.start <= at < part.stop:
                    return
                block = block.take(at - part.start, axis=self._axes.index(axis))
        step = self._step
        first_row, first_column = (-part.start % step for part in region[-2:])
        # columns are left out only after adding: neighbours in memory are added faster than every second one
        added = add_up(block[:, first_row::step], maximum)[:, first_column::step]
        top, left = (-(-part.start // step) for part in region[-2:])
        self._sum[top : top + added.shape[0], left : left + added.shape[1]] += added

    def mean(self, samples: int) -> NDArray[np.float32]:
        """Give the mean, of shape `picture_shape`, where `samples` samples were added."""
        with np.errstate(over="ignore"):
            return (self._sum / samples).astype(np.float32)


def picture_shape(plan: Plan) -> tuple[int, int]:
    """Rows and columns of the picture of a store."""
    rows, columns = plan.shape[-2:]
    step = math.ceil(max(rows, columns) / SIDE)
    return math.ceil(rows / step), math.ceil(columns / step)


def picture_plan(shape: tuple[int, ...]) -> Plan:
    """Plan the array of a picture."""
    return Plan(axes="yx", shape=shape, dtype="<f4", chunk_shape=shape, shard_shape=shape)


def picture_codec() -> Codec:
    """Give the codec of the picture."""
    return Codec("blosc-zstd", 4)
