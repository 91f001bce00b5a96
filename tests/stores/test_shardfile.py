"""Shard files and codecs, with zarr-python as the oracle: it writes what we read."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import zarr
from crc32c import crc32c
from numpy.typing import NDArray

from extractors.errors import StorageFailed, StoreDamaged
from stores.codec import Codec
from stores.direct import DirectReader
from stores.options import CodecName
from stores.shardfile import ShardFile

CODECS: tuple[CodecName, ...] = get_args(CodecName)
DTYPES = ["u1", "i1", "<u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", "<f8"]
GRID = (2, 1, 2)
CHUNK = (3, 8, 5)
INDEX_BYTES = 4 * 16 + 4


def written_by_zarr(folder: Path, codec: Codec, dtype: str = "<u2", pixels: NDArray[Any] | None = None) -> Path:
    """Give the path of a shard file of 2 x 1 x 2 chunks that zarr-python wrote."""
    array = zarr.create_array(
        folder,
        shape=(6, 8, 10),
        dtype=dtype,
        chunks=CHUNK,
        shards=(6, 8, 10),
        filters=[],
        compressors=codec.zarr_codecs(),
        fill_value=0,
        config={"write_empty_chunks": True},
    )
    array[...] = made_pixels(dtype) if pixels is None else pixels
    return folder / "c/0/0/0"


def made_pixels(dtype: str) -> NDArray[Any]:
    return np.random.default_rng(0).poisson(60, (6, 8, 10)).astype(dtype)


def read_all(path: Path, codec: Codec, dtype: str = "<u2") -> NDArray[Any]:
    pixels = np.empty((6, 8, 10), dtype)
    out = np.empty(CHUNK, dtype)
    with ShardFile(path, GRID, codec) as file:
        for t, y, x in np.ndindex(GRID):
            file.chunk((t, y, x), out)
            pixels[3 * t : 3 * t + 3, :, 5 * x : 5 * x + 5] = out
    return pixels


def with_index(path: Path, index: NDArray[np.uint64]) -> None:
    """Replace the index, its checksum made right."""
    table = index.tobytes()
    checksum = crc32c(table).to_bytes(4, "little")
    path.write_bytes(path.read_bytes()[:-INDEX_BYTES] + table + checksum)


def index_of(path: Path) -> NDArray[np.uint64]:
    return np.frombuffer(path.read_bytes()[-INDEX_BYTES:-4], "<u8").reshape(*GRID, 2).copy()


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_what_zarr_wrote_is_read(tmp_path: Path, name: CodecName, dtype: str) -> None:
    codec = Codec(name, np.dtype(dtype).itemsize)
    path = written_by_zarr(tmp_path, codec, dtype)
    np.testing.assert_array_equal(read_all(path, codec, dtype), made_pixels(dtype))


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_chunks_are_encoded_as_zarr_encodes_them(tmp_path: Path, name: CodecName, dtype: str) -> None:
    codec = Codec(name, np.dtype(dtype).itemsize)
    path = written_by_zarr(tmp_path, codec, dtype)
    offset, size = (int(number) for number in index_of(path)[1, 0, 1])
    ours = codec.encode(np.ascontiguousarray(made_pixels(dtype)[3:, :, 5:]))
    assert path.read_bytes()[offset : offset + size - 4] == ours


@pytest.mark.parametrize("name", CODECS)
def test_nan_and_infinity_survive_bit_for_bit(name: CodecName) -> None:
    codec = Codec(name, 8)
    pixels = np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324])
    out = np.empty(5)
    codec.decode(codec.encode(pixels), out)
    assert out.tobytes() == pixels.tobytes()


@pytest.mark.parametrize("name", CODECS)
@pytest.mark.parametrize("count", [59, 61])
def test_bytes_of_more_or_fewer_pixels_are_refused(name: CodecName, count: int) -> None:
    codec = Codec(name, 2)
    with pytest.raises(ValueError, match="bytes"):
        codec.decode(codec.encode(np.arange(count, dtype="<u2")), np.empty(60, "<u2"))


@pytest.mark.parametrize("name", ["blosc-lz4", "blosc-zstd", "zstd"])
@pytest.mark.parametrize("cut", [0, 3, 15, 16, 40, -1])
def test_cut_bytes_are_refused(name: CodecName, cut: int) -> None:
    codec = Codec(name, 2)
    pixels = np.random.default_rng(0).poisson(60, 5000).astype("<u2")
    with pytest.raises(ValueError, match=r"bytes expected|bytes compressed|[Zz]std"):
        codec.decode(codec.encode(pixels)[:cut], np.empty_like(pixels))


@pytest.mark.parametrize("name", CODECS)
def test_any_flipped_bit_is_damage(tmp_path: Path, name: CodecName) -> None:
    codec = Codec(name, 2)
    path = written_by_zarr(tmp_path, codec)
    whole = path.read_bytes()
    for place in range(len(whole)):
        spoiled = bytearray(whole)
        spoiled[place] ^= 1 << place % 8
        path.write_bytes(spoiled)
        with pytest.raises(StoreDamaged) as caught:
            read_all(path, codec)
        assert caught.value.path == str(path)


def test_any_truncation_is_damage(tmp_path: Path) -> None:
    codec = Codec("blosc-lz4", 2)
    path = written_by_zarr(tmp_path, codec)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        with pytest.raises(StoreDamaged):
            read_all(path, codec)


def test_a_missing_shard_is_damage(tmp_path: Path) -> None:
    with pytest.raises(StoreDamaged, match="every shard of a store is stored") as caught:
        ShardFile(tmp_path / "c/0/0/0", GRID, Codec("none", 2))
    assert caught.value.path == str(tmp_path / "c/0/0/0")


def test_a_folder_in_place_of_a_shard_is_an_error_of_ours(tmp_path: Path) -> None:
    with pytest.raises((StorageFailed, StoreDamaged)):
        ShardFile(tmp_path, GRID, Codec("none", 2))


def test_a_missing_chunk_is_damage(tmp_path: Path) -> None:
    codec = Codec("blosc-lz4", 2)
    path = written_by_zarr(tmp_path, codec)
    index = index_of(path)
    index[1, 0, 0] = 2**64 - 1
    with_index(path, index)
    with ShardFile(path, GRID, codec) as file:
        file.chunk((0, 0, 0), np.empty(CHUNK, "<u2"))
        with pytest.raises(StoreDamaged, match="every chunk of a store is stored"):
            file.chunk((1, 0, 0), np.empty(CHUNK, "<u2"))


@pytest.mark.parametrize("entry", [(0, 3), (0, 2**63), (2**64 - 2, 40), (10**6, 40), (2**64 - 1, 40), (0, 0)])
def test_an_index_that_points_nowhere_is_damage(tmp_path: Path, entry: tuple[int, int]) -> None:
    codec = Codec("blosc-lz4", 2)
    path = written_by_zarr(tmp_path, codec)
    index = index_of(path)
    index[0, 0, 1] = entry
    with_index(path, index)
    with ShardFile(path, GRID, codec) as file, pytest.raises(StoreDamaged, match="within"):
        file.chunk((0, 0, 1), np.empty(CHUNK, "<u2"))


@pytest.mark.parametrize("name", CODECS)
def test_a_chunk_of_another_shape_is_damage_though_its_checksum_is_right(tmp_path: Path, name: CodecName) -> None:
    codec = Codec(name, 2)
    path = written_by_zarr(tmp_path, codec)
    with ShardFile(path, GRID, codec) as file, pytest.raises(StoreDamaged, match="compressed with"):
        file.chunk((0, 0, 0), np.empty((4, 8, 5), "<u2"))


def test_chunks_of_zeros_are_stored_by_the_tests_oracle(tmp_path: Path) -> None:
    codec = Codec("blosc-lz4", 2)
    path = written_by_zarr(tmp_path, codec, pixels=np.zeros((6, 8, 10), "<u2"))
    assert not read_all(path, codec).any()


def test_threads_share_a_file(tmp_path: Path) -> None:
    codec = Codec("blosc-lz4", 2)
    path = written_by_zarr(tmp_path, codec)
    pixels = made_pixels("<u2")
    with ShardFile(path, GRID, codec) as file, ThreadPoolExecutor(4) as pool:

        def right(round_: int) -> bool:
            t, x = divmod(round_ % 4, 2)
            out = np.empty(CHUNK, "<u2")
            file.chunk((t, 0, x), out)
            return np.array_equal(out, pixels[3 * t : 3 * t + 3, :, 5 * x : 5 * x + 5])

        assert all(pool.map(right, range(200)))


def test_each_chunk_is_read_ahead_where_the_file_is_read_from_the_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    codec = Codec("blosc-lz4", 2)
    path = written_by_zarr(tmp_path / "a", codec)
    asked: list[tuple[int, int]] = []
    read_ahead = DirectReader.read_ahead

    def watched(self: DirectReader, offset_bytes: int, size_bytes: int) -> None:
        asked.append((offset_bytes, size_bytes))
        read_ahead(self, offset_bytes, size_bytes)

    monkeypatch.setattr(DirectReader, "read_ahead", watched)
    chunks = sorted(map(tuple, index_of(path).reshape(-1, 2).tolist()))
    by_offset = sorted(np.ndindex(GRID), key=lambda place: int(index_of(path)[place][0]))
    with ShardFile(path, GRID, codec, direct=True) as file:
        for count, place in enumerate(by_offset, 1):
            assert asked == chunks[:count]
            file.chunk(place, np.empty(CHUNK, "<u2"))
    assert asked == chunks
