"""Run metadata: whole, plain JSON, and refused where it is not ours."""

import json
import os
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xxhash
import zarr
from pydantic import ValidationError

from extractors.errors import Code, InputRefused, StorageFailed, StoreDamaged
from extractors.info import RecordingInfo
from extractors.source import SourceFile
from stores.metadata import (
    PixelStatistics,
    RunMetadata,
    SourceArray,
    Versions,
    content_digest,
    read_run_metadata,
    write_run_metadata,
)
from stores.options import ConvertOptions
from stores.plan import Plan

DIGESTS = ("0" * 31 + "1", "f" * 32, "0123456789abcdef" * 2)


def run_metadata(**changes: Any) -> RunMetadata:
    fields: dict[str, Any] = {
        "recording": "/data/rec.raw",
        "sources": (
            SourceFile(path="/data/rec.raw", device=1, inode=2**63, size_bytes=10**13, mtime_ns=10**18, ctime_ns=3),
        ),
        "source_array": SourceArray(axes="tyxc", shape=(10, 6, 8, 1), dtype=">u2"),
        "info": RecordingInfo(
            name="rec",
            format="layout",
            sampling_frequency_hz=15.6,
            layout={"axes": "tyx", "nested": [1, None, True, {"a": 0.1}]},
            vendor={"gain": float("nan"), "list": [float("inf"), -float("inf"), "é"]},
        ),
        "plan": Plan(axes="tyx", shape=(10, 6, 8), dtype="<u2", chunk_shape=(2, 6, 8), shard_shape=(4, 6, 8)),
        "options": ConvertOptions(workers=2),
        "versions": Versions.here(),
        "started": datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=timezone(timedelta(hours=9))),
        "finished": datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC),
        "window_digests": DIGESTS,
        "content_digest": content_digest(DIGESTS),
        "pixels": PixelStatistics(minimum=0.0, maximum=4095.0, mean=1 / 3),
    }
    return RunMetadata(**fields | changes)


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """Give a group as the writer leaves it, without run metadata."""
    path = tmp_path / "rec.zarr"
    window = {"min": 0.0, "max": 65535.0, "start": 0.0, "end": 65535.0}
    ome = {"omero": {"channels": [{"label": "green", "color": "00FF00", "window": window}]}}
    zarr.create_group(path, attributes={"ome": ome, "other": [1, 2]})
    return path


def attributes_of(store: Path) -> dict[str, Any]:
    attributes: dict[str, Any] = json.loads((store / "zarr.json").read_text())["attributes"]
    return attributes


def spoil(store: Path, **changes: Any) -> None:
    """Change the run metadata on disk."""
    node = json.loads((store / "zarr.json").read_text())
    node["attributes"]["zarrmill"].update(changes)
    (store / "zarr.json").write_text(json.dumps(node))


def test_what_was_written_is_read(store: Path) -> None:
    metadata = run_metadata()
    write_run_metadata(store, metadata)
    found = read_run_metadata(store)
    plain = {"info"}
    assert found.model_dump(exclude=plain) == metadata.model_dump(exclude=plain)
    assert found.info.layout == metadata.info.layout
    assert found.started == metadata.started


def test_what_json_has_no_word_for_is_text(store: Path) -> None:
    write_run_metadata(store, run_metadata(pixels=PixelStatistics(minimum=1, maximum=np.inf, mean=np.nan)))

    def refuse(word: str) -> None:
        pytest.fail(f"bare {word}")

    json.loads((store / "zarr.json").read_text(), parse_constant=refuse)
    found = read_run_metadata(store)
    assert found.info.vendor == {"gain": "NaN", "list": ["Infinity", "-Infinity", "é"]}
    assert found.pixels.maximum == np.inf
    assert np.isnan(found.pixels.mean)


def test_zarr_reads_the_attributes_and_keeps_the_others(store: Path) -> None:
    write_run_metadata(store, run_metadata())
    attributes = zarr.open_group(store, mode="r").attrs.asdict()
    assert attributes["other"] == [1, 2]
    zarrmill = attributes["zarrmill"]
    assert zarrmill["schema_version"] == 1
    assert zarrmill["source_array"]["dtype"] == ">u2"
    assert zarrmill["plan"]["dtype"] == "<u2"
    assert zarrmill["info"]["sampling_frequency_hz"] == 15.6
    assert zarrmill["sources"][0]["size_bytes"] == 10**13
    assert zarrmill["started"] == "2026-01-01T18:04:05.678901Z"
    assert zarrmill["versions"]["zarr"] == zarr.__version__


def test_the_group_is_not_consolidated(store: Path) -> None:
    node = json.loads((store / "zarr.json").read_text()) | {"consolidated_metadata": None}  # as by zarr 3.1.3
    (store / "zarr.json").write_text(json.dumps(node))
    write_run_metadata(store, run_metadata())
    assert set(json.loads((store / "zarr.json").read_text())) == {"attributes", "zarr_format", "node_type"}


def test_the_content_digest_is_that_of_the_windows_digests() -> None:
    assert content_digest(DIGESTS) == xxhash.xxh3_128(bytes.fromhex("".join(DIGESTS))).hexdigest()


def test_viewers_show_the_range_of_the_pixels(store: Path) -> None:
    write_run_metadata(store, run_metadata(pixels=PixelStatistics(minimum=12, maximum=345, mean=100)))
    (channel,) = attributes_of(store)["ome"]["omero"]["channels"]
    assert channel["window"] == {"min": 0.0, "max": 65535.0, "start": 12.0, "end": 345.0}


def test_a_range_that_is_not_finite_is_not_shown(store: Path) -> None:
    write_run_metadata(store, run_metadata(pixels=PixelStatistics(minimum=np.nan, maximum=np.nan, mean=np.nan)))
    (channel,) = attributes_of(store)["ome"]["omero"]["channels"]
    assert channel["window"]["end"] == 65535.0


def test_a_failing_disk_leaves_the_attributes_as_they_were(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (store / "zarr.json").read_bytes()

    def fail(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", fail)
    with pytest.raises(StorageFailed) as caught:
        write_run_metadata(store, run_metadata())
    assert caught.value.code == Code.NO_SPACE
    assert (store / "zarr.json").read_bytes() == before


def test_writing_replaces_the_file_after_a_flush(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    done: list[str] = []
    fsync, replace = os.fsync, Path.replace

    def noted_fsync(descriptor: int) -> None:
        done.append("fsync")
        fsync(descriptor)

    def noted_replace(path: Path, target: Path) -> Path:
        done.append("replace")
        return replace(path, target)

    monkeypatch.setattr(os, "fsync", noted_fsync)
    monkeypatch.setattr(Path, "replace", noted_replace)
    write_run_metadata(store, run_metadata())
    assert done == ["fsync", "replace", "fsync"]
    assert {entry.name for entry in store.iterdir()} == {"zarr.json"}


@pytest.mark.parametrize(
    "changes",
    [
        {"window_digests": DIGESTS[:2], "content_digest": content_digest(DIGESTS[:2])},
        {"content_digest": "0" * 32},
        {"window_digests": ("no digest", *DIGESTS[1:])},
        {"started": datetime(2026, 1, 1)},  # noqa: DTZ001 - without a time zone it says nothing
        {"source_array": SourceArray(axes="tyxc", shape=(10, 6, 8, 2), dtype=">u2")},
        {"source_array": SourceArray(axes="tyxc", shape=(11, 6, 8, 1), dtype=">u2")},
        {"source_array": SourceArray(axes="tyxc", shape=(10, 6, 8), dtype=">u2")},
        {"schema_version": 2},
        {"unknown": 1},
    ],
)
def test_what_contradicts_itself_is_not_made(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        run_metadata(**changes)


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRefused) as caught:
        read_run_metadata(tmp_path / "rec.zarr")
    assert caught.value.code == Code.SOURCE_MISSING
    assert caught.value.path == str(tmp_path / "rec.zarr")


def _file(path: Path) -> None:
    path.write_bytes(b"")


def _foreign_attribute(path: Path) -> None:
    zarr.create_group(path, attributes={"zarrmill": "yes"})


def _array(path: Path) -> None:
    zarr.create_array(path, shape=(1,), dtype="u1", attributes={"zarrmill": {"schema_version": 1}})


@pytest.mark.parametrize("make", [_file, Path.mkdir, zarr.create_group, _array, _foreign_attribute])
def test_what_is_not_a_store_of_ours_is_refused(tmp_path: Path, make: Any) -> None:
    path = tmp_path / "rec.zarr"
    make(path)
    with pytest.raises(InputRefused) as caught:
        read_run_metadata(path)
    assert caught.value.code == Code.STORE_FOREIGN
    assert caught.value.path == str(path)


@pytest.mark.parametrize("version", [0, 2, "1", None])
def test_another_schema_version_is_refused_and_names_its_maker(store: Path, version: Any) -> None:
    write_run_metadata(store, run_metadata())
    spoil(store, schema_version=version, versions={"zarrmill": "9.8.7"}, window_digests="something new")
    with pytest.raises(InputRefused, match=r"9\.8\.7") as caught:
        read_run_metadata(store)
    assert caught.value.code == Code.STORE_VERSION


@pytest.mark.parametrize(
    "changes", [{"content_digest": "0" * 32}, {"plan": {}}, {"added": 1}, {"sources": [{"path": ""}]}]
)
def test_run_metadata_that_cannot_be_is_damage(store: Path, changes: dict[str, Any]) -> None:
    write_run_metadata(store, run_metadata())
    spoil(store, **changes)
    with pytest.raises(StoreDamaged) as caught:
        read_run_metadata(store)
    assert caught.value.path == str(store / "zarr.json")


@pytest.mark.parametrize("text", [b"", b"{", b"[]", b'{"a": "\xff"}', b"[" * 100_000])
def test_a_group_file_that_is_no_json_object_is_damage(store: Path, text: bytes) -> None:
    (store / "zarr.json").write_bytes(text)
    with pytest.raises(StoreDamaged):
        read_run_metadata(store)
