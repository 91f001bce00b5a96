"""The group as other software sees it."""

import json
from pathlib import Path
from typing import Any, get_args

import numpy as np
import ome_zarr_models.v05
import pytest
import tensorstore
import xarray
import yaozarrs
import zarr
from numpy.typing import NDArray

from extractors.errors import StorageFailed
from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from stores import coordinates
from stores.ngff import create_store
from stores.options import CodecName, ConvertOptions
from stores.plan import Plan, plan_store

SIZES = {"t": 7, "c": 2, "z": 3, "y": 6, "x": 8}
CASES = [
    ("tyxc", {"c": 1}, None, "tyx"),
    ("tyxc", {"c": 1}, ("green",), "tcyx"),
    ("tyxc", {}, ("green", "red"), "tcyx"),
    ("tyxz", {}, None, "tzyx"),
    ("tyxzc", {}, ("green", "red"), "tczyx"),
]


class InMemory(ImagingExtractor):
    """Pixels and times in memory."""

    def __init__(
        self, pixels: NDArray[Any], axes: str, info: RecordingInfo, native: NDArray[np.float64] | None = None
    ) -> None:
        super().__init__(axes=axes, shape=pixels.shape, dtype=pixels.dtype, info=info)
        self._pixels = pixels
        self._native = native
        self.most_times_at_once = 0

    def read(self, selection: tuple[slice, ...], out: NDArray[Any]) -> None:
        out[...] = self._pixels[selection]

    def get_native_timestamps(self, start_sample: Any = None, end_sample: Any = None) -> NDArray[np.float64] | None:
        return None if self._native is None else self._native[start_sample:end_sample]

    def get_timestamps(self, start_sample: Any = None, end_sample: Any = None) -> NDArray[np.float64]:
        times = super().get_timestamps(start_sample, end_sample)
        self.most_times_at_once = max(self.most_times_at_once, len(times))
        return times


def recording(
    axes: str = "tyxc",
    sizes: dict[str, int] | None = None,
    dtype: str = "<u2",
    native: NDArray[np.float64] | None = None,
    **info: Any,
) -> InMemory:
    shape = tuple((SIZES | {"c": 1} | (sizes or {}))[axis] for axis in axes)
    pixels = np.random.default_rng(0).poisson(60, shape).astype(dtype)
    return InMemory(
        pixels,
        axes,
        RecordingInfo(**{"name": "mouse 7", "format": "test", "sampling_frequency_hz": 15.6} | info),
        native,
    )


def made(folder: Path, extractor: ImagingExtractor, **options: Any) -> tuple[Path, Plan]:
    """Make a store, its pixels written by zarr-python."""
    chosen = ConvertOptions(**options)
    plan = plan_store(extractor, chosen)
    path = folder / "rec.zarr"
    create_store(path, plan, chosen, extractor)
    series = extractor.get_series()
    kept = [axis for axis in extractor.axes if axis in plan.axes]
    dropped = tuple(place for place, axis in enumerate(extractor.axes) if axis not in kept)
    zarr.open_group(path)["0"][...] = series.squeeze(dropped).transpose([kept.index(axis) for axis in plan.axes])
    return path, plan


@pytest.fixture(params=CASES, ids=[case[3] + ("" if case[2] is None else "-named") for case in CASES])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Plan]:
    axes, sizes, names, expected = request.param
    known = {"pixel_size_um": (1.5, 0.5), "plane_spacing_um": 20.0, "channel_names": names}
    path, plan = made(tmp_path, recording(axes, {"c": 2} | sizes, **known), chunk_bytes=200, shard_bytes=600)
    assert plan.axes == expected
    return path, plan


def ome_of(path: Path) -> dict[str, Any]:
    ome: dict[str, Any] = json.loads((path / "zarr.json").read_text())["attributes"]["ome"]
    return ome


def test_yaozarrs_finds_no_fault(store: tuple[Path, Plan]) -> None:
    yaozarrs.validate_zarr_store(str(store[0]))


def test_ome_zarr_models_finds_no_fault(store: tuple[Path, Plan]) -> None:
    image = ome_zarr_models.v05.Image.from_zarr(zarr.open_group(store[0], mode="r"))
    assert image.attributes.ome.version == "0.5"


def test_axes_have_types_units_and_scales(store: tuple[Path, Plan]) -> None:
    path, plan = store
    (multiscale,) = ome_of(path)["multiscales"]
    expected = {
        "t": ({"name": "t", "type": "time", "unit": "second"}, 1 / 15.6),
        "c": ({"name": "c", "type": "channel"}, 1.0),
        "z": ({"name": "z", "type": "space", "unit": "micrometer"}, 20.0),
        "y": ({"name": "y", "type": "space", "unit": "micrometer"}, 1.5),
        "x": ({"name": "x", "type": "space", "unit": "micrometer"}, 0.5),
    }
    assert multiscale["name"] == "mouse 7"
    assert multiscale["axes"] == [expected[axis][0] for axis in plan.axes]
    (dataset,) = multiscale["datasets"]
    assert dataset["path"] == "0"
    assert dataset["coordinateTransformations"] == [
        {"type": "scale", "scale": [expected[axis][1] for axis in plan.axes]}
    ]


def test_xarray_shows_time_and_place_as_coordinates(store: tuple[Path, Plan]) -> None:
    path, plan = store
    with xarray.open_zarr(path, consolidated=False, zarr_format=3) as dataset:
        array = dataset["0"]
        assert array.dims == tuple(plan.axes)
        assert set(dataset.coords) == set(plan.axes) - {"c"}
        np.testing.assert_array_equal(array["t"], np.arange(SIZES["t"]) / 15.6)
        np.testing.assert_array_equal(array["y"], np.arange(SIZES["y"]) * 1.5)
        np.testing.assert_array_equal(array["x"], np.arange(SIZES["x"]) * 0.5)
        assert array["t"].dtype == np.float64
        assert array["t"].attrs["units"] == "second"
        assert array["x"].attrs["units"] == "micrometer"
        if "z" in plan.axes:
            np.testing.assert_array_equal(array["z"], np.arange(SIZES["z"]) * 20.0)


def test_tensorstore_reads_what_zarr_wrote(store: tuple[Path, Plan]) -> None:
    path, plan = store
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": str(path / "0")}}
    opened = tensorstore.open(spec, read=True).result()
    assert opened.domain.labels == tuple(plan.axes)
    assert opened.chunk_layout.read_chunk.shape == plan.chunk_shape
    assert opened.chunk_layout.write_chunk.shape == plan.shard_shape
    np.testing.assert_array_equal(opened.read().result(), zarr.open_group(path, mode="r")["0"][...])


def test_channels_have_names_where_they_are_known(store: tuple[Path, Plan]) -> None:
    path, plan = store
    channels = ome_of(path).get("omero", {"channels": []})["channels"]
    names = [channel["label"] for channel in channels]
    assert names == (["green", "red"][: plan.shape[1]] if "c" in plan.axes else [])
    assert [channel["window"]["end"] for channel in channels] == [65535.0] * len(names)


@pytest.mark.parametrize("dtype", ["u1", "i1", "<u2", ">u2", "<i2", "<u4", "<i4", "<u8", "<i8", "<f4", ">f8"])
def test_every_dtype_has_a_valid_store(tmp_path: Path, dtype: str) -> None:
    extractor = recording(dtype=dtype, channel_names=("green",))
    path, _ = made(tmp_path, extractor)
    yaozarrs.validate_zarr_store(str(path))
    array = zarr.open_group(path, mode="r")["0"]
    assert isinstance(array, zarr.Array)
    assert array.dtype == np.dtype(dtype).newbyteorder("<")
    assert array.fill_value == 0
    np.testing.assert_array_equal(array[:, 0], extractor.get_series()[..., 0])


@pytest.mark.parametrize("codec", get_args(CodecName))
def test_inside_a_shard_every_chunk_and_the_index_have_a_checksum(tmp_path: Path, codec: CodecName) -> None:
    path, _ = made(tmp_path, recording(), codec=codec)
    for name in ("0", "t"):
        (sharding,) = json.loads((path / name / "zarr.json").read_text())["codecs"]
        inner = [entry["name"] for entry in sharding["configuration"]["codecs"]]
        expected = {"none": [], "zstd": ["zstd"]}.get(codec, ["blosc"]) if name == "0" else ["blosc"]
        assert sharding["name"] == "sharding_indexed"
        assert inner == ["bytes", *expected, "crc32c"]
        assert [entry["name"] for entry in sharding["configuration"]["index_codecs"]] == ["bytes", "crc32c"]
        assert sharding["configuration"]["index_location"] == "end"


def test_the_default_codec_is_lz4_over_shuffled_bits(tmp_path: Path) -> None:
    path, _ = made(tmp_path, recording(dtype="<f8"))
    (sharding,) = json.loads((path / "0/zarr.json").read_text())["codecs"]
    assert sharding["configuration"]["codecs"][1]["configuration"] == {
        "typesize": 8,
        "cname": "lz4",
        "clevel": 5,
        "shuffle": "bitshuffle",
        "blocksize": 0,
    }


def test_metadata_are_not_consolidated(tmp_path: Path) -> None:
    path, _ = made(tmp_path, recording())
    assert json.loads((path / "zarr.json").read_text()).get("consolidated_metadata") is None


def test_unknown_sizes_have_scale_one_no_unit_and_no_coordinates(tmp_path: Path) -> None:
    path, _ = made(tmp_path, recording("tyxz"))
    (multiscale,) = ome_of(path)["multiscales"]
    assert [axis.get("unit") for axis in multiscale["axes"]] == ["second", None, None, None]
    assert multiscale["datasets"][0]["coordinateTransformations"][0]["scale"] == [1 / 15.6, 1.0, 1.0, 1.0]
    assert {entry.name for entry in path.iterdir()} == {"zarr.json", "0", "t"}
    yaozarrs.validate_zarr_store(str(path))


@pytest.mark.parametrize("count", [1, 63, 64, 65, 500])
def test_times_are_asked_for_and_written_in_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int) -> None:
    monkeypatch.setattr(coordinates, "_CHUNK", 16)
    monkeypatch.setattr(coordinates, "_CHUNKS_PER_SHARD", 4)
    extractor = recording(sizes={"t": count}, native=np.random.default_rng(0).random(count).cumsum())
    path, _ = made(tmp_path, extractor)
    assert extractor.most_times_at_once <= 64
    times = zarr.open_group(path, mode="r")["t"]
    assert isinstance(times, zarr.Array)
    np.testing.assert_array_equal(times[...], extractor.get_timestamps())
    assert len(list((path / "t/c").iterdir())) == -(-count // 64)


def test_a_time_of_zero_is_stored(tmp_path: Path) -> None:
    path, _ = made(tmp_path, recording(sizes={"t": 1}))
    assert (path / "t/c/0").is_file()


@pytest.mark.parametrize(
    ("change", "origin"),
    [
        (lambda extractor: extractor, "regular"),
        (lambda extractor: extractor.slice_samples(2, 5), "native"),
        (lambda extractor: extractor.set_times(np.arange(7.0)) or extractor, "set"),
    ],
)
def test_where_times_come_from_is_kept(tmp_path: Path, change: Any, origin: str) -> None:
    path, _ = made(tmp_path, change(recording()))
    assert json.loads((path / "t/zarr.json").read_text())["attributes"]["origin"] == origin


def test_a_disk_that_fails_is_a_storage_failure(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    extractor = recording()
    with pytest.raises(StorageFailed):
        create_store(tmp_path / "file/rec.zarr", plan_store(extractor, ConvertOptions()), ConvertOptions(), extractor)
