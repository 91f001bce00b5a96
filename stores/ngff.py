"""The store's metadata, made by Zarr itself: one OME-Zarr 0.5 group, array `0`, and coordinate arrays beside it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import zarr
from numpy.typing import NDArray
from pydantic import JsonValue
from zarr.codecs import BytesCodec

from extractors.imaging import ImagingExtractor
from extractors.info import RecordingInfo
from stores.codec import Codec
from stores.coordinates import Origin, coordinate_codec, coordinate_plan
from stores.disk import storage_faults
from stores.options import ConvertOptions
from stores.picture import picture_codec, picture_plan
from stores.plan import Plan

Values: TypeAlias = Callable[[int, int], NDArray[np.float64]]
"""Gives the numbers from one index up to, not including, another."""
Attributes: TypeAlias = dict[str, Any]
"""JSON, by the name that each library has for it."""

_COLORS = ("00FF00", "FF0000", "0000FF", "FF00FF", "00FFFF", "FFFF00")
_TYPES = {"t": "time", "c": "channel", "z": "space", "y": "space", "x": "space"}
_NAMES = {"z": "depth of each plane", "y": "position of each row", "x": "position of each column"}
_UNITS = {"time": "second", "space": "micrometer"}


def create_store(path: Path, plan: Plan, options: ConvertOptions, extractor: ImagingExtractor) -> None:
    """Make the group at `path`, whole but for the shards of array `0`.

    Parameters
    ----------
    path
        Where there is nothing yet, in a folder that is there.
    plan
        Shape, chunks and shards.
    options
        The codec.
    extractor
        The recording: what is known of it, and the times of its samples.

    Raises
    ------
    StorageFailed
        The disk is full or failed.
    """
    info = extractor.info
    with storage_faults(path):
        group = zarr.create_group(path, zarr_format=3, attributes={"ome": ome_attributes(plan, info)})
        _create_array(
            group, "0", plan, Codec(options.codec, plan.pixel_bytes), attributes={}, dimensions=tuple(plan.axes)
        )
        times: Attributes = {"long_name": "time of each sample", "origin": _origin_of_times(extractor)}
        _write_coordinate(group, "t", plan.shape[0], extractor.get_timestamps, times)
        for axis, step in _steps(plan, info).items():
            if axis in _NAMES and step is not None:
                count = plan.shape[plan.axes.index(axis)]
                _write_coordinate(group, axis, count, _multiples(step), {"long_name": _NAMES[axis]})


def ome_attributes(plan: Plan, info: RecordingInfo) -> dict[str, JsonValue]:
    """The `ome` attribute, by NGFF 0.5: axes with types and units, one scale, and channels where they have names.

    Where a distance is unknown its scale is 1 and it has no unit, as the specification says.
    """
    steps = _steps(plan, info)
    axes: list[JsonValue] = []
    for axis in plan.axes:
        entry: dict[str, JsonValue] = {"name": axis, "type": _TYPES[axis]}
        if steps[axis] is not None:
            entry["unit"] = _UNITS[_TYPES[axis]]
        axes.append(entry)
    scale: list[JsonValue] = [1.0 if step is None else step for step in steps.values()]
    transformations: list[JsonValue] = [{"type": "scale", "scale": scale}]
    datasets: list[JsonValue] = [{"path": "0", "coordinateTransformations": transformations}]
    ome: dict[str, JsonValue] = {
        "version": "0.5",
        "multiscales": [{"name": info.name, "axes": axes, "datasets": datasets}],
    }
    if "c" in plan.axes and info.channel_names is not None:
        ome["omero"] = {"channels": _channels(plan, info.channel_names)}
    return ome


def _steps(plan: Plan, info: RecordingInfo) -> dict[str, float | None]:
    """Distance between neighbours along each axis, in the axis's unit; None where it is unknown or has no meaning."""
    rows, columns = info.pixel_size_um or (None, None)
    period = None if info.sampling_frequency_hz is None else 1 / info.sampling_frequency_hz
    steps = {"t": period, "c": None, "z": info.plane_spacing_um, "y": rows, "x": columns}
    return {axis: steps[axis] for axis in plan.axes}


def _channels(plan: Plan, names: tuple[str, ...]) -> list[JsonValue]:
    """Channels as OMERO shows them: over the dtype's whole range, until the pixels' own is known."""
    dtype = np.dtype(plan.dtype)
    low, high = (0.0, 1.0) if dtype.kind == "f" else (float(np.iinfo(dtype).min), float(np.iinfo(dtype).max))
    colors = ["FFFFFF"] if len(names) == 1 else [_COLORS[place % len(_COLORS)] for place in range(len(names))]
    return [
        {
            "label": name,
            "active": True,
            "color": color,
            "window": {"min": low, "max": high, "start": low, "end": high},
        }
        for name, color in zip(names, colors, strict=True)
    ]


def _origin_of_times(extractor: ImagingExtractor) -> Origin:
    if extractor.has_time_vector():
        return "set"
    if extractor.get_native_timestamps(0, 1) is not None:
        return "native"
    # a slice of a recording goes on with its recording's clock
    return "regular" if extractor.get_timestamps(0, 1)[0] == 0 else "native"


def _multiples(step: float) -> Values:
    return lambda start, end: np.arange(start, end, dtype=np.float64) * np.float64(step)


def write_along_time(group: zarr.Group, name: str, count: int, values: Values, long_name: str) -> None:
    """Write an array of one number per sample."""
    _write_line(group, name, coordinate_plan("t", count), values, {"long_name": long_name})


def write_picture(group: zarr.Group, name: str, picture: NDArray[np.float32], long_name: str) -> None:
    """Write a picture; its axes are not those of the pixels, because it may have fewer rows and columns."""
    array = _create_array(
        group,
        name,
        picture_plan(picture.shape),
        picture_codec(),
        attributes={"long_name": long_name},
        dimensions=("picture_y", "picture_x"),
    )
    array[:] = picture


def _write_coordinate(group: zarr.Group, axis: str, count: int, values: Values, attributes: Attributes) -> None:
    # the units' names are NGFF's; in the plural, xarray would take them for durations
    units = {"units": _UNITS[_TYPES[axis]]}
    _write_line(group, axis, coordinate_plan(axis, count), values, units | attributes)


def _write_line(group: zarr.Group, name: str, plan: Plan, values: Values, attributes: Attributes) -> None:
    """Write an array of one axis, a shard at a time: there may be tens of millions of samples."""
    array = _create_array(group, name, plan, coordinate_codec(), attributes=attributes, dimensions=tuple(plan.axes))
    for window in range(plan.window_count):
        start, end = plan.window_samples(window)
        array[start:end] = values(start, end)


def _create_array(
    group: zarr.Group, name: str, plan: Plan, codec: Codec, *, attributes: Attributes, dimensions: tuple[str, ...]
) -> Any:
    """Make an array by its plan; Zarr's own class is generic in some of its versions only."""
    return group.create_array(
        name,
        shape=plan.shape,
        dtype=plan.dtype,
        chunks=plan.chunk_shape,
        shards=plan.shard_shape,
        filters=[],
        serializer=BytesCodec(endian="little"),
        compressors=codec.zarr_codecs(),
        fill_value=0,
        dimension_names=dimensions,
        attributes=attributes,
        overwrite=True,  # publishing may have been interrupted before
        # a missing shard is always damage, so one of zeros only is stored too
        config={"write_empty_chunks": True},
    )
