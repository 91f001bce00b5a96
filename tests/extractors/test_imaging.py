"""The interface that all extractors share, its times, and its views."""

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extractors.binary import BinaryImagingExtractor
from extractors.errors import Code, InputRefused
from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from extractors.strided import StridedFiles, StridedTimes

SHAPES = {"tyxc": (9, 4, 5, 2), "tyxz": (9, 4, 5, 3), "tyxzc": (9, 4, 5, 3, 2)}
SECONDS = np.array([10.0, 10.1, 10.2, 10.9, 11.0, 12.0, 12.5, 13.0, 99.0])


def binary(folder: Path, axes: str = "tyxc", *, native: bool = False, hz: float | None = 4.0) -> Any:
    """An extractor and its pixels; with native times, each sample is followed by seconds (u4) and 1/10 seconds (u2)."""
    shape = SHAPES[axes]
    pixels = np.random.default_rng(1).integers(0, 9999, shape).astype(">u2")
    tail = np.zeros(shape[0], [("seconds", "<u4"), ("tenths", "<u2")])
    tail["seconds"] = SECONDS.astype(int)
    tail["tenths"] = np.round(SECONDS * 10) % 10
    with (folder / "a.raw").open("wb") as file:
        for sample, time in zip(pixels, tail, strict=True):
            file.write(sample.tobytes() + (time.tobytes() if native else b""))
    stride = pixels[0].nbytes + (6 if native else 0)
    files = StridedFiles((folder / "a.raw",), (9,), pixels.dtype, 0, axes, shape, (stride, *pixels.strides[1:]))
    times = StridedTimes(pixels[0].nbytes, stride, ((np.dtype("<u4"), 1.0), (np.dtype("<u2"), 0.1)))
    info = RecordingInfo(name="a", format="test", sampling_frequency_hz=hz)
    return BinaryImagingExtractor(files, info, (), times if native else None), pixels


@pytest.fixture(params=SHAPES)
def made(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[ImagingExtractor, NDArray[Any]]:
    extractor, pixels = binary(tmp_path, request.param)
    return extractor, pixels


def test_a_series_is_fresh_writable_and_of_the_stored_number_type(made: tuple[ImagingExtractor, NDArray[Any]]) -> None:
    extractor, pixels = made
    series = extractor.get_series()
    assert np.array_equal(series, pixels)
    assert series.dtype == extractor.get_dtype() == np.dtype(">u2")
    series[...] = 0
    assert np.array_equal(extractor.get_series(2, 5), pixels[2:5])
    assert np.array_equal(extractor.get_series(start_sample=np.int64(7)), pixels[7:])
    assert extractor.get_series(3, 3).shape == (0, *pixels.shape[1:])


@pytest.mark.parametrize("bounds", [(0, 10), (-1, 3), (-3, None), (5, 4), (9, 10), (0, -1), (2**70, None)])
def test_series_and_times_outside_the_recording_are_refused(tmp_path: Path, bounds: tuple[int, int]) -> None:
    extractor, _ = binary(tmp_path)
    for ask in (extractor.get_series, extractor.get_timestamps, extractor.get_native_timestamps):
        with pytest.raises(ValueError, match=rf"end_sample={bounds[1]}") as caught:
            ask(*bounds)
        assert isinstance(caught.value, InputRefused)
        assert caught.value.code == Code.SELECTION_OUT_OF_BOUNDS


def test_a_bound_that_is_no_integer_is_refused(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path)
    with pytest.raises(TypeError):
        extractor.get_series(0, 2.0)


@pytest.mark.parametrize(
    "indices", [[0], [8, 0, 3], [2, 2, 2], [-1, -9, 4], [1, 2, 3, 7, 8, 0], [], range(9), np.array([5, 1], np.uint8)]
)
def test_samples_come_in_the_order_of_their_indices(made: tuple[ImagingExtractor, NDArray[Any]], indices: Any) -> None:
    extractor, pixels = made
    assert np.array_equal(extractor.get_samples(indices), pixels[np.asarray(indices, dtype=np.int64)])


@pytest.mark.parametrize("indices", [[9], [0, -10], [0.5], 3, [[1]], [True, False], ["a"], np.array([2**64 - 1])])
def test_indices_that_are_no_samples_are_refused(tmp_path: Path, indices: Any) -> None:
    extractor, _ = binary(tmp_path)
    with pytest.raises(InputRefused, match=r"expected (a list of integers|sample indices from -9 to 8)"):
        extractor.get_samples(indices)


def test_shapes_are_those_of_roiextractors(tmp_path: Path) -> None:
    flat, _ = binary(tmp_path)
    assert not flat.is_volumetric
    assert flat.get_num_samples() == 9
    assert flat.get_image_shape() == flat.get_frame_shape() == flat.get_sample_shape() == (4, 5)
    assert flat.get_volume_shape() == flat.shape == (9, 4, 5, 2)
    with pytest.raises(NotImplementedError):
        flat.get_num_planes()
    deep, _ = binary(tmp_path, "tyxzc")
    assert deep.is_volumetric
    assert deep.get_image_shape() == (4, 5)
    assert deep.get_sample_shape() == deep.get_volume_shape() == (4, 5, 3)
    assert deep.get_num_planes() == 3


def test_an_unknown_sampling_frequency_is_refused_where_it_is_needed(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path, hz=None)
    for ask in (
        extractor.get_sampling_frequency,
        extractor.get_timestamps,
        lambda: extractor.time_to_sample_indices(0),
    ):
        with pytest.raises(InputRefused, match="sampling-frequency-unknown"):
            ask()
    assert "unknown sampling frequency" in repr(extractor)


def test_repr_says_what_it_is(made: tuple[ImagingExtractor, NDArray[Any]]) -> None:
    extractor, pixels = made
    for part in ("BinaryImagingExtractor", "t=9", "y=4", "x=5", ">u2", "4 Hz", f"{pixels.nbytes:,} bytes"):
        assert part in repr(extractor)


@pytest.mark.parametrize(
    "ask",
    [
        lambda extractor: extractor.get_series(),
        lambda extractor: extractor.get_samples([0]),
        lambda extractor: extractor.get_native_timestamps(),
        lambda extractor: extractor.slice_samples(0, 3).get_series(),
    ],
)
def test_a_closed_extractor_says_so(tmp_path: Path, ask: Callable[[Any], Any]) -> None:
    with binary(tmp_path, native=True)[0] as extractor:
        assert extractor.get_series().shape == (9, 4, 5, 2)
    extractor.close()
    with pytest.raises(ValueError, match="closed") as caught:
        ask(extractor)
    assert caught.value.code == Code.EXTRACTOR_CLOSED
    assert "BinaryImagingExtractor" in repr(extractor)


def test_closing_a_view_leaves_its_parent_open(tmp_path: Path) -> None:
    extractor, pixels = binary(tmp_path)
    view = extractor.slice_samples(0, 3)
    view.close()
    with pytest.raises(InputRefused, match="extractor-closed"):
        view.get_series()
    assert np.array_equal(extractor.get_series(), pixels)


def test_pickling_carries_the_description_and_the_times(tmp_path: Path) -> None:
    extractor, pixels = binary(tmp_path, native=True)
    extractor.get_series()
    view = extractor.slice_samples(2, 8).slice_field_of_view(1, 3, 0, 4)
    pickled = pickle.dumps(view)
    assert len(pickled) < 3000
    again = pickle.loads(pickled)  # noqa: S301 - our own
    assert np.array_equal(again.get_series(), pixels[2:8, 1:3, :4])
    assert np.array_equal(again.get_timestamps(), SECONDS[2:8])


# Times


def test_regular_times_come_from_the_sampling_frequency(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path)
    assert not extractor.has_time_vector()
    assert extractor.get_native_timestamps() is None
    assert np.array_equal(extractor.get_timestamps(), np.arange(9) / 4)
    assert np.array_equal(extractor.get_timestamps(3, 5), [0.75, 1.0])
    assert extractor.time_to_sample_indices(1.6) == 6
    assert np.array_equal(extractor.time_to_sample_indices([0.1, 2.0]), [0, 8])


def test_native_times_are_read_for_the_samples_asked_for(tmp_path: Path) -> None:
    extractor, pixels = binary(tmp_path, native=True)
    native = extractor.get_native_timestamps()
    assert native.dtype == np.float64
    assert np.allclose(native, SECONDS, rtol=0, atol=1e-12)
    assert np.array_equal(extractor.get_native_timestamps(3, 5), native[3:5])
    assert np.array_equal(extractor.get_timestamps(), native)
    assert not extractor.has_time_vector()
    assert extractor.time_to_sample_indices(12.6) == 6
    assert np.array_equal(extractor.get_series(), pixels)


def test_native_times_of_this_century_keep_their_microseconds(tmp_path: Path) -> None:
    stored = np.zeros(3, [("s", "<u4"), ("ms", "<u2"), ("us", "<u2")])
    stored["s"], stored["ms"], stored["us"] = 1_700_000_000, 123, [455, 456, 457]
    stored.tofile(tmp_path / "a.raw")
    files = StridedFiles((tmp_path / "a.raw",), (3,), np.dtype("u1"), 0, "tyxc", (3, 1, 8, 1), (8, 8, 1, 1))
    times = StridedTimes(0, 8, ((np.dtype("<u4"), 1.0), (np.dtype("<u2"), 1e-3), (np.dtype("<u2"), 1e-6)))
    extractor = BinaryImagingExtractor(files, RecordingInfo(name="a", format="test"), (), times)
    found = extractor.get_native_timestamps()
    assert found is not None
    expected = np.array([1_700_000_000.123455, 1_700_000_000.123456, 1_700_000_000.123457])
    assert np.abs(found - expected).max() <= np.spacing(1.7e9)


def test_times_that_were_set_come_first(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path, native=True)
    extractor.set_times(list(range(100, 109)))
    assert extractor.has_time_vector()
    assert np.array_equal(extractor.get_timestamps(1, 3), [101.0, 102.0])
    assert extractor.get_timestamps().dtype == np.float64
    assert extractor.time_to_sample_indices(104.5) == 4
    assert extractor.time_to_sample_indices(99) == -1
    assert np.array_equal(extractor.get_timestamps(), np.arange(100.0, 109.0))


def test_times_that_were_given_out_cannot_be_changed_from_outside(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path)
    given = np.arange(9.0)
    extractor.set_times(given)
    given[:] = -1
    extractor.get_timestamps()[:] = -1
    assert np.array_equal(extractor.get_timestamps(), np.arange(9.0))


@pytest.mark.parametrize("times", [[1.0], np.zeros(10), np.zeros((9, 1))])
def test_a_time_vector_of_another_length_is_refused(tmp_path: Path, times: Any) -> None:
    extractor, _ = binary(tmp_path)
    with pytest.raises(ValueError, match="9 times") as caught:
        extractor.set_times(times)
    assert isinstance(caught.value, InputRefused)


def test_times_are_copied_only_if_some_were_set(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path)
    other, _ = binary(tmp_path)
    extractor.copy_times(other)
    assert not extractor.has_time_vector()
    other.set_times(SECONDS)
    extractor.copy_times(other)
    assert np.array_equal(extractor.get_timestamps(), SECONDS)


# Views


def test_views_of_views_give_what_numpy_gives(made: tuple[ImagingExtractor, NDArray[Any]]) -> None:
    extractor, pixels = made
    view = extractor.slice_samples(1, 8).slice_field_of_view(1, 4, 2, 5).slice_samples(2).slice_field_of_view(row_end=2)
    expected = pixels[3:8, 1:3, 2:5]
    assert view.get_num_samples() == 5
    assert view.get_image_shape() == (2, 3)
    assert view.get_dtype() == pixels.dtype
    assert np.array_equal(view.get_series(), expected)
    assert np.array_equal(view.get_series(1, 4), expected[1:4])
    assert np.array_equal(view.get_samples([4, 0, -1, 0]), expected[[4, 0, -1, 0]])
    assert view.is_volumetric == extractor.is_volumetric


def test_a_view_cannot_read_past_its_end(tmp_path: Path) -> None:
    view = binary(tmp_path)[0].slice_samples(2, 5)
    rest = (slice(0, 4), slice(0, 5), slice(0, 2))
    for ask in (
        lambda: view.get_series(0, 4),
        lambda: view.get_series(-1, 2),
        lambda: view.get_samples([3]),
        lambda: view.get_timestamps(0, 4),
        lambda: view.get_native_timestamps(0, 4),
        lambda: view.slice_samples(0, 4),
        lambda: view.read((slice(2, 4), *rest), np.empty((2, 4, 5, 2), ">u2")),
        lambda: view.read((slice(-1, 1), *rest), np.empty((2, 4, 5, 2), ">u2")),
    ):
        with pytest.raises(InputRefused, match="selection-out-of-bounds"):
            ask()


@pytest.mark.parametrize("bounds", [(-2, 3), (5, 3), (0, 10), (3, 3), (9, None)])
def test_sample_views_with_senseless_bounds_are_refused(tmp_path: Path, bounds: tuple[int, int]) -> None:
    with pytest.raises(InputRefused, match="selection-out-of-bounds"):
        binary(tmp_path)[0].slice_samples(*bounds)


@pytest.mark.parametrize(
    "bounds", [(-1, 2, 0, 5), (2, 1, 0, 5), (0, 5, 0, 5), (0, 4, 0, 6), (1, 1, 0, 5), (0, 4, -5, -1)]
)
def test_fields_of_view_with_senseless_bounds_are_refused(tmp_path: Path, bounds: tuple[int, int, int, int]) -> None:
    with pytest.raises(InputRefused, match="selection-out-of-bounds"):
        binary(tmp_path)[0].slice_field_of_view(*bounds)


def test_open_bounds_mean_the_ends(tmp_path: Path) -> None:
    extractor, pixels = binary(tmp_path)
    assert np.array_equal(extractor.slice_samples().get_series(), pixels)
    assert np.array_equal(extractor.slice_samples(end_sample=4).get_series(), pixels[:4])
    assert np.array_equal(extractor.slice_field_of_view(column_start=3).get_series(), pixels[:, :, 3:])


def test_a_slice_keeps_its_regular_times(tmp_path: Path) -> None:
    view = binary(tmp_path)[0].slice_samples(3, 8).slice_field_of_view(0, 2).slice_samples(1)
    assert np.array_equal(view.get_timestamps(), np.arange(4, 8) / 4)
    assert view.time_to_sample_indices(1.25) == 1
    assert not view.has_time_vector()


def test_a_slice_keeps_its_native_times(tmp_path: Path) -> None:
    view = binary(tmp_path, native=True)[0].slice_samples(3, 8).slice_field_of_view(0, 2).slice_samples(1)
    assert np.allclose(view.get_timestamps(), SECONDS[4:8])
    assert np.allclose(view.get_native_timestamps(1, 3), SECONDS[5:7])
    assert view.time_to_sample_indices(12.7) == 2


def test_a_slice_keeps_the_times_that_were_set(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path)
    extractor.set_times(SECONDS)
    view = extractor.slice_samples(3, 8)
    assert view.has_time_vector()
    assert np.array_equal(view.get_timestamps(), SECONDS[3:8])
    assert np.array_equal(view.get_timestamps(1, 2), SECONDS[4:5])
    assert view.time_to_sample_indices(12.7) == 3
    view.set_times(np.arange(5.0))
    assert np.array_equal(extractor.get_timestamps(), SECONDS)


def test_times_set_on_a_slice_are_its_own(tmp_path: Path) -> None:
    extractor, _ = binary(tmp_path)
    view = extractor.slice_samples(3, 8)
    view.set_times(np.arange(5.0))
    assert view.has_time_vector()
    assert not extractor.has_time_vector()
    assert np.array_equal(view.get_timestamps(), np.arange(5.0))


def test_a_plane_of_a_volume_is_flat(tmp_path: Path) -> None:
    extractor, pixels = binary(tmp_path, "tyxzc")
    plane = extractor.select_plane(1)
    assert not plane.is_volumetric
    assert plane.axes == "tyxc"
    assert np.array_equal(plane.slice_samples(2, 4).get_series(), pixels[2:4, :, :, 1])
    extractor, pixels = binary(tmp_path, "tyxz")
    assert np.array_equal(extractor.select_plane(2).get_series(), pixels[..., 2])
    for wrong in (3, -1):
        with pytest.raises(ValueError, match="selection-out-of-bounds"):
            extractor.select_plane(wrong)
    with pytest.raises(ValueError, match="volumetric"):
        binary(tmp_path)[0].select_plane(0)
