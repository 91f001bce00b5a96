"""Run metadata: what was converted, from what, how, when, by which versions, with which digests.

It is the attribute `zarrmill` of the store's group, as plain JSON: numbers that JSON has no word for are strings
("NaN", "Infinity", "-Infinity").
"""

import json
import math
import platform
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import xxhash
from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    ConfigDict,
    Field,
    JsonValue,
    ValidationError,
    model_validator,
)

from extractors.errors import Code, InputRefused
from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from extractors.source import SourceFile
from stores.disk import replace_file, sync_path
from stores.node import damaged, foreign, nested, read_group
from stores.options import ConvertOptions
from stores.plan import Plan

ATTRIBUTE = "zarrmill"
SCHEMA_VERSION = 1

Digest = Annotated[str, Field(pattern="^[0-9a-f]{32}$")]
"""xxh3-128, hexadecimal."""


def _utc(moment: datetime) -> datetime:
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_utc)]

_STRICT = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class SourceArray(BaseModel):
    """The recording's series, as its extractor gives it."""

    model_config = _STRICT

    axes: str
    """Letters in the extractor's order."""
    shape: tuple[int, ...]
    dtype: str
    """As stored in the recording, with its byte order, such as `>u2`."""

    @classmethod
    def of(cls, extractor: ImagingExtractor) -> Self:
        """Describe `extractor`."""
        return cls(axes=extractor.axes, shape=extractor.shape, dtype=extractor.get_dtype().str)


class Versions(BaseModel):
    """What made the store."""

    model_config = _STRICT

    zarrmill: str
    numcodecs: str
    numpy: str
    python: str
    zarr: str

    @classmethod
    def here(cls) -> Self:
        """Look up what is installed."""
        installed = {name: _installed(name) for name in ("zarrmill", "numcodecs", "numpy", "zarr")}
        return cls(**installed, python=platform.python_version())


class PixelStatistics(BaseModel):
    """Of all pixels; NaN where a pixel is NaN."""

    model_config = _STRICT

    minimum: float
    maximum: float
    mean: float


class RunMetadata(BaseModel):
    """One conversion, from beginning to end."""

    model_config = _STRICT

    schema_version: Literal[1] = 1
    recording: str
    """Absolute path of what was opened."""
    sources: tuple[SourceFile, ...]
    """The files it was read from, as they were: names, sizes, identities."""
    source_array: SourceArray
    info: RecordingInfo
    """Sampling frequency, sizes in space, channel names, layout, what the vendor wrote."""
    plan: Plan
    """Array `0`: axes, shape, dtype, chunks and shards."""
    options: ConvertOptions
    versions: Versions
    started: Moment
    finished: Moment
    window_digests: tuple[Digest, ...]
    """One per window, in their order: over its chunks in chunk order, pixels inside the array only, in C order."""
    content_digest: Digest
    """Over the windows' digests, as bytes, one after another."""
    pixels: PixelStatistics

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        source = dict(zip(self.source_array.axes, self.source_array.shape, strict=True))
        stored = dict(zip(self.plan.axes, self.plan.shape, strict=True))
        if stored != {axis: size for axis, size in source.items() if axis in stored or size != 1}:
            msg = f"plan has sizes {stored} for a recording of {source}"
            raise ValueError(msg)
        if len(self.window_digests) != self.plan.window_count:
            msg = f"window_digests has {len(self.window_digests)} entries for {self.plan.window_count} windows"
            raise ValueError(msg)
        if self.content_digest != content_digest(self.window_digests):
            msg = "content_digest is not that of window_digests"
            raise ValueError(msg)
        return self

    def as_json(self) -> dict[str, Any]:
        """Give the attribute's value, of plain JSON types."""
        return {name: _without_bare_nan(value) for name, value in self.model_dump(mode="json").items()}


def content_digest(window_digests: tuple[str, ...] | list[str]) -> str:
    """Digest all pixels, by the digests of the windows."""
    return xxhash.xxh3_128_hexdigest(b"".join(bytes.fromhex(digest) for digest in window_digests))


def write_run_metadata(store: Path, metadata: RunMetadata) -> None:
    """Put `metadata` into the group's attributes, whole or not at all, and flushed; viewers show the pixels' range.

    Raises
    ------
    StorageFailed
        The disk is full or failed; the attributes are as they were.
    """
    path = store / "zarr.json"
    node = read_group(path)
    node.pop("consolidated_metadata", None)  # written as null by zarr 3.1, and no part of the specification
    node["attributes"][ATTRIBUTE] = metadata.as_json()
    pixels = metadata.pixels
    if math.isfinite(pixels.minimum) and math.isfinite(pixels.maximum):
        for channel in node["attributes"].get("ome", {}).get("omero", {}).get("channels", []):
            channel["window"].update(start=pixels.minimum, end=pixels.maximum)
            if metadata.plan.dtype[1] == "f":  # integers have a range of their own
                channel["window"].update(min=pixels.minimum, max=pixels.maximum)
    replace_file(path, json.dumps(node, indent=2, allow_nan=False).encode())
    sync_path(store)


def read_run_metadata(store: Path) -> RunMetadata:
    """Read the run metadata of a published store.

    Raises
    ------
    InputRefused
        There is nothing, or something that is not a finished store of zarrmill, or one of another schema version.
    StoreDamaged
        There is a store, but what it says of itself cannot be.
    """
    path = store / "zarr.json"
    found = read_group(path).get("attributes", {}).get(ATTRIBUTE)
    if not isinstance(found, dict):
        raise foreign(store, "a Zarr node without zarrmill's run metadata")
    if found.get("schema_version") != SCHEMA_VERSION:
        raise InputRefused(
            Code.STORE_VERSION,
            path=store,
            expected=f"run metadata of schema version {SCHEMA_VERSION}",
            found=f"version {found.get('schema_version')!r}, by zarrmill {nested(found, 'versions', 'zarrmill')}",
            todo="Use the version of zarrmill that wrote it, or a newer one.",
        )
    try:
        return RunMetadata.model_validate(found)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise damaged(
            path, f"whole run metadata of schema version {SCHEMA_VERSION}", f"{where} {first['msg']}"
        ) from fault


@cache
def _installed(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:  # run from a checkout
        return "unknown"


def _without_bare_nan(value: JsonValue) -> JsonValue:
    """Replace what JSON has no word for by the words that pydantic reads back as numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    if isinstance(value, dict):
        return {key: _without_bare_nan(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_bare_nan(item) for item in value]
    return value
