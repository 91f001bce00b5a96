"""What describes the pixels: the metadata of array `0`, and the small arrays beside it, read whole and checked."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from extractors.errors import StoreDamaged
from extractors.info import RecordingInfo
from stores.codec import Codec
from stores.coordinates import coordinate_codec, coordinate_plan
from stores.ngff import ome_attributes
from stores.node import damaged, nested, read_group
from stores.options import ConvertOptions
from stores.picture import picture_codec, picture_plan, picture_shape
from stores.plan import Plan
from stores.sharded import ShardedArray
from stores.summary import STATISTICS


def check_description(
    store: Path, plan: Plan, options: ConvertOptions, info: RecordingInfo, *, is_complete: bool = True
) -> Iterator[StoreDamaged]:
    """Give each array that other readers could not use: its metadata is not the plan's, or it cannot be decoded.

    Parameters
    ----------
    store
        The group.
    plan, options, info
        What was stored.
    is_complete
        Whether the statistics, which come last, must be there as well.

    Raises
    ------
    StorageFailed
        A file cannot be read.
    """
    multiscales = nested(read_group(store / "zarr.json"), "attributes", "ome", "multiscales")
    expected = ome_attributes(plan, info)["multiscales"]
    if multiscales != expected:  # what else is in `ome`, such as colours, is the user's to change
        yield damaged(store / "zarr.json", f"multiscales {json.dumps(expected)}", json.dumps(multiscales))
    arrays = {"0": (plan, Codec(options.codec, plan.pixel_bytes))}
    sizes = dict(zip(plan.axes, plan.shape, strict=True))
    lines = {axis: sizes[axis] for axis in _coordinates(info) if axis in sizes}
    if is_complete:
        lines |= {f"sample_{field}": plan.shape[0] for field in STATISTICS.names or ()}
        arrays["mean_image"] = picture_plan(picture_shape(plan)), picture_codec()
    arrays |= {name: (coordinate_plan("t", count), coordinate_codec()) for name, count in lines.items()}
    for name, (array_plan, codec) in arrays.items():
        try:
            array = ShardedArray(store / name, array_plan, codec)
            if name != "0":  # its pixels have digests of their own
                _read_all(array, array_plan)
        except StoreDamaged as fault:
            yield fault


def _coordinates(info: RecordingInfo) -> str:
    return "t" + ("z" if info.plane_spacing_um is not None else "") + ("yx" if info.pixel_size_um is not None else "")


def _read_all(array: ShardedArray, plan: Plan) -> None:
    for window in range(plan.window_count):
        start, end = plan.window_samples(window)
        region = (slice(start, end), *(slice(0, size) for size in plan.shape[1:]))
        array.read(region, np.empty((end - start, *plan.shape[1:]), plan.dtype))
