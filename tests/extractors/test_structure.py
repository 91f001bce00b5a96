"""VideoStructure."""

import itertools
import pickle
from typing import Any

import numpy as np
import pytest

from extractors.errors import Code, InputRefused
from extractors.structure import VideoStructure

SIZES = {"num_rows": 10, "num_columns": 5, "num_channels": 3}
AXES = {"frame_axis": 0, "rows_axis": 1, "columns_axis": 2, "channels_axis": 3}


def structure(**changes: Any) -> VideoStructure:
    return VideoStructure(**{**SIZES, **AXES, **changes})


def test_sizes_follow_the_order_on_disk() -> None:
    made = structure(frame_axis=3, rows_axis=2, columns_axis=0, channels_axis=1)
    assert made.axes == "xcyt"
    assert made.frame_shape == (5, 3, 10)
    assert made.number_of_pixels_per_frame == 150
    assert made.build_video_shape(7) == (5, 3, 10, 7)


@pytest.mark.parametrize("places", list(itertools.permutations(range(4))))
def test_a_video_becomes_samples_rows_columns_channels(places: tuple[int, ...]) -> None:
    made = structure(**dict(zip(AXES, places, strict=True)))
    video = np.arange(7 * 150).reshape(made.build_video_shape(7))
    canonical = made.transform_video_to_canonical_form(video)
    assert canonical.shape == (7, 10, 5, 3)
    assert canonical.base is not None
    index = [0] * 4
    for axis, at in zip(AXES, (6, 8, 4, 2), strict=True):
        index[getattr(made, axis)] = at
    assert canonical[6, 8, 4, 2] == video[tuple(index)]


@pytest.mark.parametrize("wrong", [np.zeros((7, 10, 5)), [[[[1]]]], None])
def test_only_arrays_of_four_axes_are_transformed(wrong: Any) -> None:
    with pytest.raises(InputRefused, match="four axes"):
        structure().transform_video_to_canonical_form(wrong)


@pytest.mark.parametrize(
    "changes",
    [
        {"channels_axis": 4},
        {"frame_axis": -1, "channels_axis": 0},
        {"rows_axis": 2},
        {"rows_axis": 1.0},
        {"rows_axis": True},
        {"frame_axis": None},
        {"num_rows": 0},
        {"num_columns": -5},
        {"num_channels": 1.5},
        {"num_rows": "10"},
        {"num_rows": True},
    ],
)
def test_a_structure_that_cannot_be_is_refused_when_it_is_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(changes))) as caught:
        structure(**changes)
    assert isinstance(caught.value, InputRefused)
    assert caught.value.code == Code.LAYOUT_INVALID


def test_every_wrong_field_is_named_at_once() -> None:
    with pytest.raises(InputRefused, match=r"num_rows=0.*channels_axis=9"):
        structure(num_rows=0, channels_axis=9)


def test_numpy_integers_are_taken_as_integers() -> None:
    made = structure(num_rows=np.int32(10), frame_axis=np.uint8(0))
    assert made == structure()
    assert type(made.num_rows) is int


def test_pixel_counts_do_not_overflow() -> None:
    assert structure(num_rows=2**40, num_columns=2**40).number_of_pixels_per_frame == 3 * 2**80


def test_a_structure_is_a_value() -> None:
    assert pickle.loads(pickle.dumps(structure())) == structure()  # noqa: S301 - our own
    assert len({structure(), structure()}) == 1
    with pytest.raises(AttributeError):
        structure().num_rows = 3  # type: ignore[misc]
