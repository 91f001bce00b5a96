"""Shard files: what Zarr itself reads from them is the recording, pixel by pixel."""

import math
from itertools import permutations, product
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import xxhash
import zarr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from extractors.binary import BinaryImagingExtractor
from extractors.recording import open_recording
from stores.codec import Codec
from stores.options import CodecName, ConvertOptions
from stores.plan import Plan, plan_store
from stores.shard import WindowReader, pieces, write_shard
from stores.summary import Digest, Summary
from stores.verify import read_window

MakeRecording = Any

DTYPES = [order + kind for kind in ("u2", "i2", "u4", "i4", "f4", "f8") for order in "<>"] + ["|u1", "|i1"]


def write_array(folder: Path, source: Path, options: ConvertOptions) -> tuple[Plan, list[Summary]]:
    """Array `0` in `folder`, its metadata by Zarr and its shards by us."""
    with open_recording(source) as extractor:
        plan = plan_store(extractor, options)
        codec = Codec(options.codec, plan.pixel_bytes)
        zarr.create_array(
            folder,
            shape=plan.shape,
            chunks=plan.chunk_shape,
            shards=plan.shard_shape,
            dtype=plan.dtype,
            compressors=codec.zarr_codecs(),
            fill_value=0,
        )
        reader = WindowReader(extractor, plan)
        summaries = []
        for window in range(plan.window_count):
            shard = folder / plan.window_key(window)
            shard.parent.mkdir(parents=True)
            summary, file = write_shard(reader, plan, codec, window, shard)
            with file:
                file.wait()
            assert file.size_bytes == shard.stat().st_size
            summaries.append(summary)
    return plan, summaries


def in_store_order(pixels: NDArray[Any], axes: str, plan: Plan) -> NDArray[Any]:
    return pixels.transpose([axes.index(axis) for axis in plan.axes if axis in axes]).reshape(plan.shape)


@pytest.mark.parametrize("axes", ["".join(order) for order in permutations("tcyx")])
def test_every_order_of_four_axes(make_recording: MakeRecording, tmp_path: Path, axes: str) -> None:
    sizes = tuple({"t": 11, "c": 2, "y": 5, "x": 7}[axis] for axis in axes)
    source, pixels = make_recording(axes=axes, sizes=sizes)
    plan, _ = write_array(tmp_path / "a", source, ConvertOptions(chunk_bytes=300, shard_bytes=700))
    assert plan.window_count > 1
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], in_store_order(pixels, axes, plan))


@pytest.mark.parametrize(("dtype", "codec"), list(product(DTYPES, get_args(CodecName))))
def test_every_dtype_and_codec(make_recording: MakeRecording, tmp_path: Path, dtype: str, codec: CodecName) -> None:
    source, pixels = make_recording(dtype=dtype)
    plan, summaries = write_array(tmp_path / "a", source, ConvertOptions(codec=codec, chunk_bytes=300, shard_bytes=700))
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], pixels)
    for window, written in enumerate(summaries):
        digest = Digest()
        shard = tmp_path / "a" / plan.window_key(window)
        list(read_window(shard, plan, Codec(codec, plan.pixel_bytes), window, digest))
        assert digest.digest == written.digest


@pytest.mark.parametrize("chunk_bytes", [4, 40, 90, 300, 1000, 10**6])
def test_chunks_of_parts_of_rows_of_frames_and_of_samples(
    make_recording: MakeRecording, tmp_path: Path, chunk_bytes: int
) -> None:
    source, pixels = make_recording(axes="tzcyx", sizes=(5, 3, 2, 6, 7))
    plan, _ = write_array(tmp_path / "a", source, ConvertOptions(chunk_bytes=chunk_bytes, shard_bytes=2000))
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], in_store_order(pixels, "tzcyx", plan))


def test_a_window_s_digest_is_that_of_its_pixels_and_its_statistics_are_numpy_s(
    make_recording: MakeRecording, tmp_path: Path
) -> None:
    source, pixels = make_recording(sizes=(40, 16, 16))
    plan, summaries = write_array(tmp_path / "a", source, ConvertOptions(chunk_bytes=2048, shard_bytes=8192))
    for window, summary in enumerate(summaries):
        start, end = plan.window_samples(window)
        part = pixels[start:end]
        assert summary.digest == xxhash.xxh3_128_hexdigest(part.tobytes())
        records = summary.statistics()
        assert np.array_equal(records["minimum"], part.min(axis=(1, 2)))
        assert np.array_equal(records["maximum"], part.max(axis=(1, 2)))
        assert np.allclose(records["mean"], part.mean(axis=(1, 2)), rtol=1e-15)


def flat_plan(samples: int, rows: int, columns: int, dtype: str) -> Plan:
    shape = (samples, rows, columns)
    return Plan(axes="tyx", shape=shape, dtype=dtype, chunk_shape=shape, shard_shape=shape)


@pytest.mark.parametrize("dtype", ["|u1", "|i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"])
@pytest.mark.parametrize("extreme", [False, True])
def test_sums_never_overflow(dtype: str, extreme: bool) -> None:  # noqa: FBT001 - a parameter of the test
    kind = np.dtype(dtype)
    limits = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    top = limits.max if extreme and kind.kind != "f" else 100
    pixels = np.full((3, 64, 32), top, kind)
    summary = Summary(flat_plan(3, 64, 32, dtype), 0)
    summary.add(0, pixels)
    assert np.array_equal(summary.statistics()["mean"], np.full(3, float(top)))


def test_a_sample_with_nan_has_nan_statistics_and_the_others_do_not() -> None:
    pixels = np.ones((2, 3, 4), "<f4")
    pixels[1, 2, 3] = np.nan
    summary = Summary(flat_plan(2, 3, 4, "<f4"), 0)
    summary.add(0, pixels)
    records = summary.statistics()
    assert [records[field][0] for field in ("minimum", "maximum", "mean")] == [1, 1, 1]
    assert all(np.isnan(records[field][1]) for field in ("minimum", "maximum", "mean"))


@given(st.lists(st.integers(1, 6), min_size=1, max_size=5).map(tuple), st.integers(1, 300))
def test_pieces_are_contiguous_small_and_in_order(extent: tuple[int, ...], pixels: int) -> None:
    array = np.arange(math.prod(extent)).reshape(extent)
    parts = [array[part] for part in pieces(extent, pixels)]
    assert all(part.flags.c_contiguous and part.size <= pixels for part in parts)
    assert np.array_equal(np.concatenate([part.reshape(-1) for part in parts]), array.reshape(-1))


@pytest.mark.parametrize("damage", ["chunk", "index", "short", "missing"])
def test_a_damaged_shard_is_found(make_recording: MakeRecording, tmp_path: Path, damage: str) -> None:
    from extractors.errors import StoreDamaged

    source, _ = make_recording()
    plan, _ = write_array(tmp_path / "a", source, ConvertOptions(chunk_bytes=300, shard_bytes=700))
    shard = tmp_path / "a" / plan.window_key(1)
    data = bytearray(shard.read_bytes())
    if damage == "missing":
        shard.unlink()
    else:
        if damage == "short":
            del data[-1]
        else:
            data[5 if damage == "chunk" else -5] ^= 1
        shard.write_bytes(data)
    with pytest.raises(StoreDamaged, match=str(shard)):
        list(read_window(shard, plan, Codec("blosc-lz4", 2), 1, Digest()))


@pytest.mark.parametrize("most", [0, 10**6])
def test_where_samples_are_scattered_a_window_is_held_only_if_it_is_small(
    make_recording: MakeRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, most: int
) -> None:
    monkeypatch.setattr("stores.shard.MOST_WINDOW_BYTES", most)
    reads: list[int] = []
    read = BinaryImagingExtractor.read

    def watched(self: BinaryImagingExtractor, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        reads.append(out.nbytes)
        read(self, selection, out)

    monkeypatch.setattr(BinaryImagingExtractor, "read", watched)
    source, pixels = make_recording(axes="yxt", sizes=(6, 8, 20))
    plan, _ = write_array(tmp_path / "a", source, ConvertOptions(chunk_bytes=200, shard_bytes=1200))
    assert max(reads) == (plan.window_bytes(0) if most else math.prod(plan.chunk_shape) * 2)
    assert np.array_equal(zarr.open_array(tmp_path / "a", mode="r")[:], in_store_order(pixels, "yxt", plan))
