"""A published store, read back: the same samples, times and errors as its recording's extractor, and all damage found.

The stores are written by zarr-python.
"""

import json
import pickle
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused, StoreDamaged
from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from stores import coordinates
from stores.metadata import (
    PixelStatistics,
    RunMetadata,
    SourceArray,
    Versions,
    content_digest,
    write_run_metadata,
)
from stores.ngff import create_store
from stores.options import CodecName, ConvertOptions
from stores.plan import plan_store
from stores.reading import ZarrImagingExtractor
from stores.shardfile import ShardFile

SIZES = {"t": 23, "y": 6, "x": 8, "z": 3, "c": 2}
# Chunks of two samples, shards of three chunks; the last of both is cut short.
CASES = {
    "three": ("tyxc", {"c": 1}, 200, 600),
    "four with channels": ("tyxc", {}, 400, 1200),
    "four with planes": ("tyxz", {}, 600, 1800),
    "five": ("tyxzc", {}, 1200, 3600),
    "five, chunks of frames": ("tyxzc", {}, 100, 1200),
    "five, chunks of rows": ("tyxzc", {}, 64, 1),
    "three, one chunk": ("tyxc", {"c": 1}, 2**20, 2**20),
}


class InMemory(ImagingExtractor):
    """Pixels and times in memory."""

    def __init__(
        self, pixels: NDArray[Any], axes: str, info: RecordingInfo, native: NDArray[np.float64] | None = None
    ) -> None:
        super().__init__(axes=axes, shape=pixels.shape, dtype=pixels.dtype, info=info)
        self._pixels = pixels
        self._native = native

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        out[...] = self._pixels[selection]

    def get_native_timestamps(self, start_sample: Any = None, end_sample: Any = None) -> NDArray[np.float64] | None:
        return None if self._native is None else self._native[start_sample:end_sample].copy()


def recording(
    axes: str = "tyxc",
    sizes: dict[str, int] | None = None,
    dtype: str = "<u2",
    native: NDArray[np.float64] | None = None,
) -> InMemory:
    shape = tuple((SIZES | (sizes or {}))[axis] for axis in axes)
    pixels = np.random.default_rng(0).integers(0, 256, (*shape, np.dtype(dtype).itemsize), np.uint8)
    # any bytes at all: also NaN of every kind
    info = RecordingInfo(name="rec", format="test", sampling_frequency_hz=15.6, vendor={"gain": 2})
    return InMemory(pixels.view(dtype)[..., 0], axes, info, native)


def publish(path: Path, extractor: ImagingExtractor, **chosen: Any) -> Path:
    """Make a whole store at `path`, its pixels written by zarr-python."""
    options = ConvertOptions(**chosen)
    plan = plan_store(extractor, options)
    create_store(path, plan, options, extractor)
    kept = [axis for axis in extractor.axes if axis in plan.axes]
    dropped = tuple(place for place, axis in enumerate(extractor.axes) if axis not in kept)
    series = extractor.get_series().squeeze(dropped).transpose([kept.index(axis) for axis in plan.axes])
    zarr.open_group(path)["0"][...] = series
    digests = ("0" * 32,) * plan.window_count
    now = datetime.now(UTC)
    metadata = RunMetadata(
        recording="/data/rec.raw",
        sources=extractor.sources,
        source_array=SourceArray.of(extractor),
        info=extractor.info,
        plan=plan,
        options=options,
        versions=Versions.here(),
        started=now,
        finished=now,
        window_digests=digests,
        content_digest=content_digest(digests),
        pixels=PixelStatistics(minimum=0, maximum=1, mean=0.5),
    )
    write_run_metadata(path, metadata)
    return path


def same(one: NDArray[Any], other: NDArray[Any]) -> bool:
    """Whether two arrays hold the same pixels, bit for bit whatever their byte order."""
    little = other.dtype.newbyteorder("<")
    return one.shape == other.shape and one.astype(little).tobytes() == other.astype(little).tobytes()


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Give a store of four shards of three chunks of two samples."""
    return publish(tmp_path / "rec.zarr", recording(sizes={"c": 1}), chunk_bytes=200, shard_bytes=1200)


@pytest.fixture(params=CASES)
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[InMemory, ZarrImagingExtractor]:
    axes, sizes, chunk_bytes, shard_bytes = CASES[request.param]
    source = recording(axes, sizes)
    path = publish(tmp_path / "rec.zarr", source, chunk_bytes=chunk_bytes, shard_bytes=shard_bytes)
    return source, ZarrImagingExtractor(path)


def test_it_is_the_recording_again(pair: tuple[InMemory, ZarrImagingExtractor]) -> None:
    source, store = pair
    assert same(store.get_series(), source.get_series())
    assert store.axes == source.axes
    assert store.shape == source.shape
    assert store.info == source.info
    assert store.get_dtype() == source.get_dtype()
    assert store.get_volume_shape() == source.get_volume_shape()
    assert store.get_sampling_frequency() == 15.6
    assert store.metadata.recording == "/data/rec.raw"


def test_parts_of_samples_are_those_of_the_recording(pair: tuple[InMemory, ZarrImagingExtractor]) -> None:
    source, store = pair
    for start in range(0, 23, 3):
        for end in (start, start + 1, start + 2, 23):
            assert same(store.get_series(start, end), source.get_series(start, end))
    assert same(store.get_samples([22, 0, 5, 5, 6, -1]), source.get_samples([22, 0, 5, 5, 6, -1]))


@pytest.mark.parametrize("name", CASES)
def test_any_region_is_that_of_the_recording(name: str, tmp_path: Path) -> None:
    axes, sizes, chunk_bytes, shard_bytes = CASES[name]
    source = recording(axes, sizes)
    store = ZarrImagingExtractor(
        publish(tmp_path / "rec.zarr", source, chunk_bytes=chunk_bytes, shard_bytes=shard_bytes)
    )
    bounds = st.tuples(*(st.tuples(st.integers(0, size), st.integers(0, size)).map(sorted) for size in source.shape))

    @settings(deadline=None, max_examples=60, database=None)
    @given(bounds)
    def check(region: tuple[list[int], ...]) -> None:
        selection = tuple(slice(start, end) for start, end in region)
        shape = tuple(end - start for start, end in region)
        for out in (np.empty(shape, "<u2"), np.empty(shape, ">u2"), np.empty(shape[::-1], "<f8").T):
            store.read(selection, out)
            np.testing.assert_array_equal(out, source._pixels[selection])

    check()


@pytest.mark.parametrize("codec", get_args(CodecName))
@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", "<u4", ">i4", "<u8", "<i8", "<f4", ">f4", "<f8"])
def test_every_dtype_and_codec_comes_back_bit_for_bit(tmp_path: Path, dtype: str, codec: CodecName) -> None:
    source = recording(dtype=dtype)
    path = publish(tmp_path / "rec.zarr", source, codec=codec, chunk_bytes=800, shard_bytes=2400)
    found = ZarrImagingExtractor(path).get_series()
    assert found.dtype == np.dtype(dtype).newbyteorder("<")
    assert same(found, source.get_series())


@pytest.mark.parametrize("dtype", [">u2", "<i2", "<f8", "u1"])
def test_pixels_are_converted_to_what_is_given_to_fill(pair: tuple[InMemory, ZarrImagingExtractor], dtype: str) -> None:
    source, store = pair
    out = np.empty(source.shape, dtype)
    store.read(tuple(slice(0, size) for size in source.shape), out)
    np.testing.assert_array_equal(out, source.get_series().astype(dtype))


def test_a_series_is_fresh_and_writable(small: Path) -> None:
    store = ZarrImagingExtractor(small)
    first = store.get_series(0, 1)
    expected = first.copy()
    first[...] = 0
    assert same(store.get_series(0, 1), expected)


@pytest.mark.parametrize("bounds", [(-1, 2), (0, 24), (5, 4), (23, 24)])
def test_bounds_are_refused_as_by_any_extractor(small: Path, bounds: tuple[int, int]) -> None:
    with pytest.raises(InputRefused) as caught:
        ZarrImagingExtractor(small).get_series(*bounds)
    assert caught.value.code == Code.SELECTION_OUT_OF_BOUNDS


def test_single_samples_in_order_decode_each_chunk_once(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[tuple[int, ...]] = []
    decode = ShardFile.chunk

    def count(file: ShardFile, index: tuple[int, ...], out: NDArray[Any]) -> None:
        decoded.append(index)
        decode(file, index, out)

    monkeypatch.setattr(ShardFile, "chunk", count)
    store = ZarrImagingExtractor(small)
    frames = np.concatenate([store.get_series(sample, sample + 1) for sample in range(23)])
    assert same(frames, recording(sizes={"c": 1}).get_series())
    assert len(decoded) == 12


def test_threads_share_an_extractor(small: Path) -> None:
    store, source = ZarrImagingExtractor(small), recording(sizes={"c": 1})
    with ThreadPoolExecutor(4) as pool:
        for sample, series in enumerate(pool.map(lambda at: store.get_series(at % 23, at % 23 + 1), range(230))):
            assert same(series, source.get_series(sample % 23, sample % 23 + 1))


def test_regular_times_are_those_of_the_recording(small: Path) -> None:
    store, source = ZarrImagingExtractor(small), recording(sizes={"c": 1})
    assert not store.has_time_vector()
    assert store.get_native_timestamps() is None
    np.testing.assert_array_equal(store.get_timestamps(), source.get_timestamps())
    np.testing.assert_array_equal(store.get_timestamps(), zarr.open_group(small, mode="r")["t"][...])
    np.testing.assert_array_equal(store.slice_samples(3, 9).get_timestamps(1, 4), source.get_timestamps(4, 7))


def test_native_times_are_those_of_the_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coordinates, "_CHUNK", 4)
    monkeypatch.setattr(coordinates, "_CHUNKS_PER_SHARD", 2)
    source = recording(native=1.7e9 + np.random.default_rng(0).random(23).cumsum())
    store = ZarrImagingExtractor(publish(tmp_path / "rec.zarr", source))
    assert not store.has_time_vector()
    for start, end in [(None, None), (0, 1), (3, 20), (7, 9), (22, 23), (5, 5)]:
        expected = source.get_native_timestamps(start, end)
        np.testing.assert_array_equal(store.get_native_timestamps(start, end), expected)
        np.testing.assert_array_equal(store.get_timestamps(start, end), expected)
    at = source.get_timestamps()[11]
    assert store.time_to_sample_indices(at) == 11
    np.testing.assert_array_equal(store.slice_samples(3, 9).get_timestamps(), source.get_timestamps(3, 9))


def test_times_that_were_set_are_those_of_the_recording(tmp_path: Path) -> None:
    source = recording()
    source.set_times(np.arange(23.0) ** 2)
    store = ZarrImagingExtractor(publish(tmp_path / "rec.zarr", source))
    assert store.has_time_vector()
    np.testing.assert_array_equal(store.get_timestamps(4, 8), [16, 25, 36, 49])


def test_a_slice_of_a_recording_keeps_its_times(tmp_path: Path) -> None:
    source = recording().slice_samples(5, 12)
    store = ZarrImagingExtractor(publish(tmp_path / "rec.zarr", source))
    np.testing.assert_array_equal(store.get_timestamps(), source.get_timestamps())
    assert store.get_timestamps(0, 1)[0] == 5 / 15.6


def test_times_can_be_set_on_it(small: Path) -> None:
    store = ZarrImagingExtractor(small)
    store.set_times(np.arange(23.0))
    assert store.has_time_vector()
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(store)).get_timestamps(), np.arange(23.0))  # noqa: S301


def test_it_pickles_as_its_path(small: Path) -> None:
    store = ZarrImagingExtractor(small)
    store.get_series(0, 1)
    pickled = pickle.dumps(store)
    assert len(pickled) < len(str(small)) + 150
    assert same(pickle.loads(pickled).get_series(), store.get_series())  # noqa: S301


def test_a_closed_one_reads_no_more(small: Path) -> None:
    with ZarrImagingExtractor(small) as store:
        store.get_series(0, 1)
    with pytest.raises(InputRefused) as caught:
        store.get_series(0, 1)
    assert caught.value.code == Code.EXTRACTOR_CLOSED


def test_no_file_stays_open(small: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    store = ZarrImagingExtractor(small)
    store.get_series()
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_a_moved_store_is_read_where_it_is(small: Path, tmp_path: Path) -> None:
    moved = small.rename(tmp_path / "elsewhere.zarr")
    assert same(ZarrImagingExtractor(str(moved)).get_series(), recording(sizes={"c": 1}).get_series())


# What follows is damaged, one byte class after another.


def shards(store: Path) -> Iterator[Path]:
    yield from sorted((store / "0/c").glob("*/0/0"))


def test_a_missing_shard_is_damage_and_named(small: Path) -> None:
    second = list(shards(small))[1]
    second.unlink()
    store = ZarrImagingExtractor(small)
    store.get_series(0, 6)
    with pytest.raises(StoreDamaged) as caught:
        store.get_series(5, 7)
    assert caught.value.path == str(second)


@pytest.mark.parametrize("place", [0, 40, -1, -30])
def test_a_flipped_bit_is_damage_and_the_file_is_named(small: Path, place: int) -> None:
    last = list(shards(small))[-1]
    data = bytearray(last.read_bytes())
    data[place] ^= 4
    last.write_bytes(data)
    store = ZarrImagingExtractor(small)
    with pytest.raises(StoreDamaged) as caught:
        store.get_series()
    assert caught.value.path == str(last)


def test_a_truncated_shard_is_damage(small: Path) -> None:
    first = next(shards(small))
    first.write_bytes(first.read_bytes()[:-1])
    with pytest.raises(StoreDamaged):
        ZarrImagingExtractor(small).get_series(0, 1)


def test_damaged_times_are_damage(tmp_path: Path) -> None:
    source = recording(native=np.arange(23.0) ** 2)
    path = publish(tmp_path / "rec.zarr", source)
    shard = path / "t/c/0"
    data = bytearray(shard.read_bytes())
    data[20] ^= 1
    shard.write_bytes(data)
    with pytest.raises(StoreDamaged) as caught:
        ZarrImagingExtractor(path).get_timestamps()
    assert caught.value.path == str(shard)


@pytest.mark.parametrize("name", ["0", "t"])
def test_a_missing_array_is_damage(small: Path, name: str) -> None:
    shutil.rmtree(small / name)
    with pytest.raises(StoreDamaged) as caught:
        ZarrImagingExtractor(small)
    assert caught.value.path == str(small / name / "zarr.json")


@pytest.mark.parametrize(
    ("place", "value"),
    [
        (("shape",), [23, 6, 9]),
        (("data_type",), "int16"),
        (("chunk_grid", "configuration", "chunk_shape"), [4, 6, 8]),
        (("codecs", 0, "configuration", "chunk_shape"), [1, 6, 8]),
        (("codecs", 0, "configuration", "index_location"), "start"),
        (("codecs",), []),
        (("codecs",), [{"name": "bytes"}]),
        (("chunk_grid",), None),
    ],
)
def test_an_array_that_is_not_the_planned_one_is_damage(small: Path, place: tuple[Any, ...], value: Any) -> None:
    path = small / "0/zarr.json"
    node = json.loads(path.read_text())
    at = node
    for key in place[:-1]:
        at = at[key]
    at[place[-1]] = value
    path.write_text(json.dumps(node))
    with pytest.raises(StoreDamaged) as caught:
        ZarrImagingExtractor(small)
    assert caught.value.path == str(path)


def test_a_store_of_others_is_refused(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "other.zarr")
    with pytest.raises(InputRefused) as caught:
        ZarrImagingExtractor(tmp_path / "other.zarr")
    assert caught.value.code == Code.STORE_FOREIGN
