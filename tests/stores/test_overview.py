"""Statistics of each sample and the mean image, as they stand in the published store."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray
import zarr
from numpy.typing import NDArray

from stores.convert import convert
from stores.options import ConvertOptions

MakeRecording = Callable[..., tuple[Path, NDArray[Any]]]


def published(source: Path, **options: Any) -> zarr.Group:
    convert(source, source.with_suffix(".zarr"), ConvertOptions(**options))
    return zarr.open_group(source.with_suffix(".zarr"), mode="r")


@pytest.mark.parametrize("dtype", ["|u1", "<u2", ">i4", "<f4"])
def test_each_sample_has_its_minimum_maximum_and_mean(make_recording: MakeRecording, dtype: str) -> None:
    source, pixels = make_recording(dtype=dtype, sizes=(40, 6, 8))
    store = published(source, chunk_bytes=400, shard_bytes=800)
    assert np.array_equal(store["sample_minimum"][:], pixels.min(axis=(1, 2)))
    assert np.array_equal(store["sample_maximum"][:], pixels.max(axis=(1, 2)))
    assert np.allclose(store["sample_mean"][:], pixels.mean(axis=(1, 2), dtype=float), rtol=1e-14)


def test_the_mean_image_of_small_frames_is_the_mean_over_all_samples(make_recording: MakeRecording) -> None:
    source, pixels = make_recording(sizes=(37, 6, 8))
    store = published(source, chunk_bytes=400, shard_bytes=800)
    assert np.allclose(store["mean_image"][:], pixels.mean(axis=0), rtol=1e-6)


@pytest.mark.parametrize("chunk_bytes", [900, 9000, 10**6])
def test_the_mean_image_of_large_frames_leaves_rows_and_columns_out(
    make_recording: MakeRecording, chunk_bytes: int
) -> None:
    source, pixels = make_recording(sizes=(9, 300, 600))
    store = published(source, chunk_bytes=chunk_bytes, shard_bytes=10**6)
    assert np.allclose(store["mean_image"][:], pixels.mean(axis=0)[::3, ::3], rtol=1e-6)


@pytest.mark.parametrize("chunk_bytes", [30, 200, 10**6])
def test_the_mean_image_shows_the_first_channel_and_the_middle_plane(
    make_recording: MakeRecording, chunk_bytes: int
) -> None:
    source, pixels = make_recording(axes="tczyx", sizes=(5, 2, 3, 6, 8))
    store = published(source, chunk_bytes=chunk_bytes, shard_bytes=1000)
    assert np.allclose(store["mean_image"][:], pixels[:, 0, 1].mean(axis=0), rtol=1e-6)


def test_a_picture_never_overflows_where_pixels_fill_their_type(make_recording: MakeRecording) -> None:
    source, pixels = make_recording(sizes=(64, 6, 8))
    source.write_bytes(np.full_like(pixels, 65535).tobytes())
    assert (published(source)["mean_image"][:] == 65535).all()


def test_xarray_shows_the_statistics_over_time_and_the_picture_apart(make_recording: MakeRecording) -> None:
    source, _ = make_recording(pixel_size_um=[2.0, 2.0])
    published(source)
    with xarray.open_zarr(source.with_suffix(".zarr"), consolidated=False, zarr_format=3) as data:
        assert data["sample_mean"].dims == ("t",)
        assert data["sample_mean"].t[1] == pytest.approx(1 / 30)
        assert data["mean_image"].dims == ("picture_y", "picture_x")
