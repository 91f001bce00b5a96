"""Recordings from real rigs, by the flow on a real server; read back by everybody else's readers."""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import ome_zarr_models.v05
import pytest
import tensorstore
import xarray
import yaozarrs
import zarr
from numpy.typing import NDArray

from stores.reading import ZarrImagingExtractor

Run = Callable[..., subprocess.CompletedProcess[str]]
Convert = Callable[..., Path]


@pytest.fixture
def converted(zarrmill: Run, prefect_api: str, real_recording: Callable[..., Path]) -> Convert:
    """Give `converted(name, *options)`: the store of a real recording."""

    def convert(name: str, *options: str) -> Path:
        recording = real_recording(name)
        target = recording.with_name(f"{name}.zarr")
        told = zarrmill("convert", recording, target, *options, PREFECT_API_URL=prefect_api)
        assert told.returncode == 0, told.stderr
        told = zarrmill("verify", target, "--source", recording)
        assert told.returncode == 0, told.stdout
        return target

    return convert


def test_the_thorimage_store_equals_the_vendors_previews_for_every_reader(
    converted: Convert, vendors_previews: tuple[NDArray[Any], NDArray[Any]]
) -> None:
    store = converted("thorimage")
    yaozarrs.validate_zarr_store(str(store))
    image = ome_zarr_models.v05.Image.from_zarr(zarr.open_group(store, mode="r"))
    assert [axis.name for axis in image.ome_attributes.multiscales[0].axes] == ["t", "c", "y", "x"]

    by_zarr = zarr.open_group(store, mode="r")["0"][:]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/0"}}
    by_tensorstore = tensorstore.open(spec, read=True).result().read().result()
    raw = np.fromfile(store.with_name("Image_0001_0001.raw"), "<u2").reshape(5, 2, 256, 256)
    assert np.array_equal(by_zarr, raw)
    assert np.array_equal(by_tensorstore, raw)
    for channel, preview in enumerate(vendors_previews):
        assert np.array_equal(by_zarr[4, channel], preview)
    with ZarrImagingExtractor(store) as extractor:
        assert np.array_equal(extractor.get_series(), raw.transpose(0, 2, 3, 1))

    with xarray.open_zarr(store, consolidated=False, zarr_format=3) as data:
        assert data["0"].dims == ("t", "c", "y", "x")
        assert np.allclose(data["t"], np.arange(5) / 1.426)
        assert np.allclose(data["y"], np.arange(256) * 2.345)


def test_the_norpix_store_has_its_pixels_and_the_cameras_own_times(converted: Convert) -> None:
    # its header suggests 30 frames/s; the camera's clock says how it was
    store = converted("norpix", "--sampling-frequency", "30")
    yaozarrs.validate_zarr_store(str(store))
    ome_zarr_models.v05.Image.from_zarr(zarr.open_group(store, mode="r"))
    content = store.with_name("sample_norpix6.seq").read_bytes()
    frames = [content[8192 * (index + 1) :][:1152] for index in range(6)]
    pixels = np.frombuffer(b"".join(frames), "u1").reshape(6, 36, 32)
    stamps = [content[8192 * (index + 1) + 1152 :][:8] for index in range(6)]
    times = [
        int.from_bytes(stamp[:4], "little")
        + int.from_bytes(stamp[4:6], "little") / 1e3
        + int.from_bytes(stamp[6:], "little") / 1e6
        for stamp in stamps
    ]
    spec = {"driver": "zarr3", "kvstore": {"driver": "file", "path": f"{store}/0"}}
    assert np.array_equal(tensorstore.open(spec, read=True).result().read().result(), pixels)
    with xarray.open_zarr(store, consolidated=False, zarr_format=3) as data:
        assert np.array_equal(data["0"], pixels)
        assert np.allclose(data["t"], times, rtol=0, atol=1e-6)
    with ZarrImagingExtractor(store) as extractor:
        native = extractor.get_native_timestamps()
        assert native is not None
        assert np.allclose(native, times, rtol=0, atol=1e-6)


def test_the_photron_store_equals_its_file(converted: Convert) -> None:
    store = converted("photron")
    raw = np.fromfile(store.with_name("beam.mraw"), "<u2").reshape(4, 80, 1024)
    assert np.array_equal(zarr.open_group(store, mode="r")["0"][:], raw)
