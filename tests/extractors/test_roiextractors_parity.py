"""Code written for roiextractors gets the same answers here, wherever roiextractors is right."""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from extractors import memmap, structure

roiextractors = pytest.importorskip("roiextractors", reason="roiextractors is what these tests compare with")
tools = pytest.importorskip("roiextractors.extraction_tools", reason="roiextractors is what these tests compare with")

PLACES = list(itertools.permutations(range(4)))
TIMES = np.array([0.5, 0.6, 0.9, 1.0, 1.5, 1.6, 1.7, 2.0, 2.5, 9.0])


def both(folder: Path, places: tuple[int, ...] = (0, 1, 2, 3), dtype: str = "<u2", offset: int = 0) -> tuple[Any, Any]:
    """Theirs and ours, of one file, made by the same call but for the frame count that they do not ask for."""
    given = dict(zip(("frame_axis", "rows_axis", "columns_axis", "channels_axis"), places, strict=True))
    made = []
    for home in (tools, structure):
        shape = home.VideoStructure(num_rows=6, num_columns=7, num_channels=2, **given)
        stored = np.random.default_rng(3).integers(0, 200, shape.build_video_shape(10)).astype(dtype)
        (folder / "a.dat").write_bytes(bytes(offset) + stored.tobytes())
        here = home is structure
        kind = memmap.NumpyMemmapImagingExtractor if here else roiextractors.NumpyMemmapImagingExtractor
        more = {"num_samples": 10} if here else {}
        made.append(kind(folder / "a.dat", shape, 20.0, np.dtype(dtype), offset, **more))
    return made[0], made[1]


@pytest.mark.parametrize("places", PLACES)
def test_structures_agree(places: tuple[int, ...]) -> None:
    given = dict(zip(("frame_axis", "rows_axis", "columns_axis", "channels_axis"), places, strict=True))
    theirs = tools.VideoStructure(num_rows=6, num_columns=7, num_channels=2, **given)
    ours = structure.VideoStructure(num_rows=6, num_columns=7, num_channels=2, **given)
    assert ours.frame_shape == theirs.frame_shape
    assert ours.number_of_pixels_per_frame == theirs.number_of_pixels_per_frame
    assert ours.build_video_shape(10) == theirs.build_video_shape(10)
    video = np.arange(840).reshape(theirs.build_video_shape(10))
    assert np.array_equal(
        ours.transform_video_to_canonical_form(video), theirs.transform_video_to_canonical_form(video)
    )


def test_structures_take_the_same_positional_arguments() -> None:
    assert (
        vars(structure.VideoStructure(6, 7, 2, 1, 2, 3, 0)).items()
        <= vars(tools.VideoStructure(6, 7, 2, 1, 2, 3, 0)).items()
    )


@pytest.mark.parametrize("places", PLACES)
@pytest.mark.parametrize("dtype", ["u1", ">u2", "<i4", ">f8"])
@pytest.mark.parametrize("offset", [0, 11])
def test_series_and_samples_agree(tmp_path: Path, places: tuple[int, ...], dtype: str, offset: int) -> None:
    theirs, ours = both(tmp_path, places, dtype, offset)
    for bounds in [(), (3,), (None, 4), (2, 9), (4, 4)]:
        assert np.array_equal(ours.get_series(*bounds), theirs.get_series(*bounds))
    assert ours.get_series().dtype == theirs.get_series().dtype
    for indices in [[0], [2, 3, 4], [1, 5, 9]]:
        assert np.array_equal(ours.get_samples(sample_indices=indices), theirs.get_samples(sample_indices=indices))


@pytest.mark.parametrize(
    "ask",
    [
        "get_image_shape",
        "get_frame_shape",
        "get_sample_shape",
        "get_volume_shape",
        "get_num_samples",
        "get_sampling_frequency",
        "get_dtype",
        "get_native_timestamps",
        "has_time_vector",
    ],
)
def test_descriptions_agree(tmp_path: Path, ask: str) -> None:
    theirs, ours = both(tmp_path)
    assert getattr(ours, ask)() == getattr(theirs, ask)()


@pytest.mark.parametrize("attribute", ["name", "extractor_name", "file_path", "offset", "dtype", "is_volumetric"])
def test_attributes_agree(tmp_path: Path, attribute: str) -> None:
    theirs, ours = both(tmp_path)
    assert getattr(ours, attribute) == getattr(theirs, attribute)


@pytest.mark.parametrize("times", [None, TIMES, TIMES.tolist()])
def test_times_agree(tmp_path: Path, times: Any) -> None:
    theirs, ours = both(tmp_path)
    if times is not None:
        theirs.set_times(times)
        ours.set_times(times)
    assert ours.has_time_vector() == theirs.has_time_vector()
    for bounds in [(), (3,), (None, 4), (2, 9)]:
        assert np.array_equal(ours.get_timestamps(*bounds), theirs.get_timestamps(*bounds))
    asked = np.linspace(-1, 12, 200)
    assert np.array_equal(ours.time_to_sample_indices(asked), theirs.time_to_sample_indices(asked))
    assert ours.time_to_sample_indices(1.55) == theirs.time_to_sample_indices(1.55)
    assert ours.time_to_sample_indices(asked).dtype == theirs.time_to_sample_indices(asked).dtype


def test_views_agree(tmp_path: Path) -> None:
    theirs, ours = both(tmp_path)
    for one in (theirs, ours):
        one.set_times(TIMES)
    theirs, ours = (
        one.slice_samples(start_sample=2, end_sample=8).slice_field_of_view(1, 5, column_end=3)
        for one in (theirs, ours)
    )
    # They drop the sampling frequency's origin, and refuse open ends; these are the right answers that are left.
    assert np.array_equal(ours.get_series(), theirs.get_series())
    assert np.array_equal(ours.get_series(1, 3), theirs.get_series(1, 3))
    assert np.array_equal(ours.get_samples([0, 1, 5]), theirs.get_samples([0, 1, 5]))
    assert np.array_equal(ours.get_timestamps(), theirs.get_timestamps())
    assert np.array_equal(ours.time_to_sample_indices(TIMES), theirs.time_to_sample_indices(TIMES))
    for ask in ("get_num_samples", "get_image_shape", "get_sampling_frequency", "get_dtype", "has_time_vector"):
        assert getattr(ours, ask)() == getattr(theirs, ask)()


def test_times_are_copied_alike(tmp_path: Path) -> None:
    for one, other in zip(both(tmp_path), both(tmp_path), strict=True):
        one.set_times(TIMES)
        other.copy_times(one)
        assert np.array_equal(other.get_timestamps(), TIMES)


@pytest.mark.parametrize(
    "mistake",
    [
        lambda one: one.set_times([1.0, 2.0]),
        lambda one: one.select_plane(0),
        lambda one: type(one.video_structure)(6, 7, 2, 1, 1, 3, 0),
        lambda one: type(one.video_structure)(6, 7, 2, 1, 2, 5, 0),
    ],
)
def test_what_is_a_value_error_there_is_one_here(tmp_path: Path, mistake: Any) -> None:
    for one in both(tmp_path):
        with pytest.raises(ValueError):  # noqa: PT011 - the messages are each one's own
            mistake(one)


def test_nothing_public_is_missing() -> None:
    deprecated = {"get_channel_names"}
    internal = {"get_num_planes"}  # raises NotImplementedError on both sides
    for theirs, ours in [
        (roiextractors.NumpyMemmapImagingExtractor, memmap.NumpyMemmapImagingExtractor),
        (tools.VideoStructure, structure.VideoStructure),
    ]:
        names = {name for name in dir(theirs) if not name.startswith("_")} - deprecated - internal
        assert names <= set(dir(ours))
