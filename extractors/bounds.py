"""Checks of what is asked for: nothing wraps around, nothing is cut short in silence."""

import operator
from typing import Any, SupportsIndex

import numpy as np
from numpy.typing import ArrayLike, NDArray

from extractors.errors import Code, InputRefused


def checked_range(
    start: SupportsIndex | None, end: SupportsIndex | None, size: int, what: str = "sample"
) -> tuple[int, int]:
    """`start` (None: 0) and `end` (None: `size`) as integers with 0 <= start <= end <= size.

    Raises
    ------
    InputRefused
        They are not.
    """
    first = 0 if start is None else operator.index(start)
    last = size if end is None else operator.index(end)
    if not 0 <= first <= last <= size:
        raise _refusal(f"0 <= start_{what} <= end_{what} <= {size}", f"start_{what}={start}, end_{what}={end}")
    return first, last


def checked_selection(selection: tuple[slice, ...], shape: tuple[int, ...]) -> tuple[tuple[int, int], ...]:
    """The (start, end) of each slice of `selection`, one per axis of `shape` and inside it.

    Raises
    ------
    InputRefused
        There are more or fewer slices than axes, a step other than 1, or a bound outside the axis.
    """
    if len(selection) != len(shape) or any(part.step not in {None, 1} for part in selection):
        raise _refusal(f"one slice of step 1 for each of {len(shape)} axes", f"{selection}")
    return tuple(
        checked_range(part.start, part.stop, size, f"of_axis_{axis}")
        for axis, (part, size) in enumerate(zip(selection, shape, strict=True))
    )


def checked_indices(indices: ArrayLike, size: int) -> NDArray[np.int64]:
    """`indices` as numbers from 0 to `size` - 1; negative ones count from the end, as in numpy.

    Raises
    ------
    InputRefused
        They are not a list of integers, or one is outside -size ... size - 1.
    """
    asked = np.asarray(indices)
    if asked.ndim != 1 or (asked.size and asked.dtype.kind not in "iu"):
        raise _refusal("a list of integers", f"{asked.ndim} dimensions of {asked.dtype}")
    wrong = asked[(asked < -size) | (asked >= size)] if asked.dtype.kind == "i" else asked[asked >= size]
    if wrong.size:
        raise _refusal(f"sample indices from {-size} to {size - 1}", f"{int(wrong[0])}")
    found = asked.astype(np.int64)
    return np.where(found < 0, found + size, found)


def _refusal(expected: str, found: str) -> InputRefused:
    return InputRefused(
        Code.SELECTION_OUT_OF_BOUNDS,
        path=None,
        expected=expected,
        found=found,
        todo="Ask for what the recording holds.",
    )


def same_shape(out: NDArray[Any], ranges: tuple[tuple[int, int], ...]) -> None:
    """`out` has the shape of the selection.

    Raises
    ------
    InputRefused
        It has another.
    """
    shape = tuple(end - start for start, end in ranges)
    if out.shape != shape:
        raise _refusal(f"an array of the selection's shape {shape}", f"{out.shape}")
