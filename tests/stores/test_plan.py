"""The plan: every pixel in one chunk of one window, sizes within what was asked."""

import math
from typing import Any

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from stores.options import MIB, ConvertOptions
from stores.plan import MOST_WINDOW_BYTES, NGFF_ORDER, Plan, plan_store


class Shape(ImagingExtractor):
    """A recording that has a shape and no pixels."""

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        raise AssertionError(selection, out)


def plan(axes: str, shape: tuple[int, ...], dtype: str = "<u2", **options: Any) -> Plan:
    info = RecordingInfo(name="r", format="made")
    return plan_store(Shape(axes=axes, shape=shape, dtype=np.dtype(dtype), info=info), ConvertOptions(**options))


def test_a_two_photon_movie_gets_chunks_of_16_frames_and_shards_of_128_mib() -> None:
    made = plan("tyxc", (100_000, 512, 512, 1))
    assert made.axes == "tyx"
    assert made.chunk_shape == (16, 512, 512)
    assert made.shard_shape == (256, 512, 512)
    assert made.window_count == 391
    assert made.window_samples(390) == (99840, 100_000)
    assert made.window_key(390) == "c/390/0/0"


def test_channels_and_planes_stay_with_their_sample() -> None:
    made = plan("tyxzc", (100, 512, 512, 3, 2))
    assert made.axes == "tczyx"
    assert made.shape == (100, 2, 3, 512, 512)
    assert made.chunk_shape == (2, 2, 3, 512, 512)


def test_a_sample_larger_than_a_chunk_is_cut_into_planes_and_a_frame_larger_than_a_chunk_into_rows() -> None:
    assert plan("tyxz", (10, 2048, 2048, 40)).chunk_shape == (1, 1, 2048, 2048)
    assert plan("tyxc", (10, 8192, 8192, 1)).chunk_shape == (1, 512, 8192)


@given(
    st.sampled_from(["tyxc", "tyxz", "tyxzc"]),
    st.tuples(*[st.integers(1, 9)] * 5),
    st.sampled_from(["|u1", "<u2", ">f4", "<f8"]),
    st.integers(1, 600),
    st.integers(1, 2000),
)
def test_every_pixel_lies_in_exactly_one_chunk_of_one_window(
    axes: str, sizes: tuple[int, ...], dtype: str, chunk_bytes: int, shard_bytes: int
) -> None:
    made = plan(axes, sizes[: len(axes)], dtype, chunk_bytes=chunk_bytes, shard_bytes=shard_bytes)
    seen = np.zeros(made.shape, int)
    for window in range(made.window_count):
        start, end = made.window_samples(window)
        for chunk in made.window_chunks(window):
            assert start <= chunk.region[0].start < chunk.region[0].stop <= end
            seen[chunk.region] += 1
            assert all(i < n for i, n in zip(chunk.place, made.chunks_per_shard, strict=True))
    assert (seen == 1).all()
    assert all(shard % chunk == 0 for shard, chunk in zip(made.shard_shape, made.chunk_shape, strict=True))
    assert math.prod(made.chunk_shape) * made.pixel_bytes <= max(chunk_bytes, made.pixel_bytes)
    assert sum(map(made.window_bytes, range(made.window_count))) == made.total_bytes


@given(st.integers(1, 10**12), st.integers(1, 4096), st.integers(1, 4096))
def test_windows_stay_near_the_size_asked_for_however_long_the_recording(samples: int, rows: int, columns: int) -> None:
    made = plan("tyxc", (samples, rows, columns, 1))
    assert made.window_bytes(0) <= max(128 * MIB, made.sample_bytes)
    if made.window_count > 1:
        assert made.window_bytes(0) > 32 * MIB
    if made.total_bytes >= 2048 * MIB:
        assert made.window_bytes(0) > 64 * MIB
    assert [axis for axis in NGFF_ORDER if axis in made.axes] == list(made.axes)


def test_a_recording_of_few_shards_gets_smaller_ones_for_threads_to_end_together() -> None:
    assert plan("tyxc", (4095, 512, 512, 1)).samples_per_window == 128
    assert plan("tyxc", (4096, 512, 512, 1)).samples_per_window == 256


def test_windows_of_frame_last_recordings_fit_in_memory() -> None:
    info = RecordingInfo(name="r", format="made")
    shape = Shape(axes="tyxc", shape=(100_000, 512, 512, 1), dtype=np.dtype("<u2"), info=info, time_is_slowest=False)
    made = plan_store(shape, ConvertOptions(shard_bytes=1024 * MIB))
    assert made.window_bytes(0) == MOST_WINDOW_BYTES
