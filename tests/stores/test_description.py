"""What describes the pixels: each of its files is read back, when a store is verified, published or gone on with."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zarr
from numpy.typing import NDArray

from extractors.errors import StoreDamaged
from stores import convert as module
from stores.convert import convert
from stores.options import ConvertOptions
from stores.staging import Staging
from stores.verify import verify_store

MakeRecording = Callable[..., tuple[Path, NDArray[Any]]]
OPTIONS = ConvertOptions(chunk_bytes=200, shard_bytes=200, workers=2)
FILES = [
    "0/zarr.json",
    *(f"{name}/{file}" for name in ("t", "y", "x") for file in ("zarr.json", "c/0")),
    *(f"sample_{name}/{file}" for name in ("minimum", "maximum", "mean") for file in ("zarr.json", "c/0")),
    "mean_image/zarr.json",
    "mean_image/c/0/0",
]


@pytest.fixture
def store(make_recording: MakeRecording, tmp_path: Path) -> Path:
    source, _ = make_recording(pixel_size_um=[1.5, 1.5])
    return convert(source, tmp_path / "rec.zarr", OPTIONS).target


def flip_a_bit(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def test_these_are_all_files_but_those_with_digests(store: Path) -> None:
    found = {str(path.relative_to(store)) for path in store.rglob("*") if path.is_file()}
    assert {name for name in found if not name.startswith("0/c/")} == {"zarr.json", *FILES}


@pytest.mark.parametrize("name", FILES)
def test_a_file_that_is_gone_is_found(store: Path, name: str) -> None:
    (store / name).unlink()
    assert [finding.path for finding in verify_store(store).findings] == [str(store / name)]


@pytest.mark.parametrize("scale", [[1.0, 1.5, 1.5], None])
def test_a_scale_that_is_not_the_recording_s_is_found(store: Path, scale: list[float] | None) -> None:
    group = json.loads((store / "zarr.json").read_text())
    ome = group["attributes"]["ome"]
    if scale is None:
        del group["attributes"]["ome"]
    else:
        ome["multiscales"][0]["datasets"][0]["coordinateTransformations"][0]["scale"] = scale
    (store / "zarr.json").write_text(json.dumps(group))
    (finding,) = verify_store(store).findings
    assert finding.path == str(store / "zarr.json")
    assert "multiscales" in finding.expected


def test_colours_are_the_user_s_to_change(store: Path) -> None:
    group = json.loads((store / "zarr.json").read_text())
    group["attributes"]["ome"]["omero"] = {"channels": []}
    (store / "zarr.json").write_text(json.dumps(group))
    assert not verify_store(store).findings


@pytest.mark.parametrize("name", [name for name in FILES if "/c/" in name])
def test_a_flipped_bit_in_a_small_array_is_found(store: Path, name: str) -> None:
    flip_a_bit(store / name)
    assert [finding.path for finding in verify_store(store).findings] == [str(store / name)]


@pytest.mark.parametrize("name", ["zarr.json", "0/zarr.json", "t/zarr.json", "t/c/0"])
def test_a_staging_store_that_a_power_failure_emptied_is_started_over_and_it_is_said(
    make_recording: MakeRecording, tmp_path: Path, name: str
) -> None:
    source, pixels = make_recording()
    target = tmp_path / "rec.zarr"

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt)
    (Staging(target).store / name).write_bytes(b"")
    assert convert(source, target, OPTIONS).notices[0].startswith("started over: ")
    assert (zarr.open_group(target, mode="r")["0"][:] == pixels).all()
    assert verify_store(target).findings == ()


def test_what_cannot_be_read_back_is_not_published(
    make_recording: MakeRecording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    target = tmp_path / "rec.zarr"
    write = module.write_run_metadata

    def write_on_a_bad_disk(store: Path, metadata: Any) -> None:
        write(store, metadata)
        flip_a_bit(store / "t" / "c" / "0")

    with monkeypatch.context() as patch:
        patch.setattr(module, "write_run_metadata", write_on_a_bad_disk)
        with pytest.raises(StoreDamaged):
            convert(source, target, OPTIONS)
    assert not target.exists()
    convert(source, target, OPTIONS)
    assert verify_store(target).findings == ()
