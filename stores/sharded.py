"""Regions of a sharded array on disk, read by several threads, every checksum checked."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby, product
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from stores.codec import Codec
from stores.node import damaged, read_json
from stores.options import usable_cores
from stores.plan import Plan
from stores.shardfile import ShardFile


class _Part(NamedTuple):
    """What one chunk has of a region."""

    chunk: tuple[int, ...]
    """Place in the array's grid of chunks."""
    inside: tuple[slice, ...]
    """The part, counted from the chunk's start."""
    target: tuple[slice, ...]
    """The part, counted from the region's start."""


class ShardedArray:
    """An array of a store; safe to share between threads, and holds no file open.

    Parameters
    ----------
    folder
        The array's folder.
    plan
        Its shape, chunks and shards.
    codec
        How its chunks are compressed.

    Raises
    ------
    StoreDamaged
        There is no such array, or it is another one.
    """

    def __init__(self, folder: Path, plan: Plan, codec: Codec) -> None:
        self._folder = folder
        self._plan = plan
        self._codec = codec
        self._dtype = np.dtype(plan.dtype)
        self._recent: tuple[tuple[int, ...], NDArray[Any]] | None = None
        path = folder / "zarr.json"
        try:
            node = read_json(path)
        except (FileNotFoundError, NotADirectoryError):
            raise damaged(path, "an array", "none") from None
        _refuse_other(path, node, plan)
        self.attributes: dict[str, Any] = node.get("attributes", {})

    def read(self, region: tuple[slice, ...], out: NDArray[Any]) -> None:
        """Fill `out`, of any strides and dtype, with a region: one slice of step 1 per axis, inside the array.

        Raises
        ------
        StoreDamaged
            A shard or a chunk is missing or not what was written; the file is named.
        StorageFailed
            A file cannot be read.
        """
        per_shard = self._plan.chunks_per_shard
        whole_shards = groupby(
            self._parts(region), lambda part: tuple(at // n for at, n in zip(part.chunk, per_shard, strict=True))
        )
        for shard, parts in whole_shards:
            waiting = [part for part in parts if not self._give_recent(part, out)]
            if not waiting:
                continue
            path = self._folder.joinpath("c", *(str(at) for at in shard))
            with ShardFile(path, per_shard, self._codec) as file:
                if len(waiting) == 1:
                    self._fill(file, waiting[0], out)
                    continue
                with ThreadPoolExecutor(min(usable_cores(), len(waiting))) as pool:
                    ends = [pool.submit(self._fill, file, part, out) for part in waiting]
                    for end in ends:
                        end.result()

    def _parts(self, region: tuple[slice, ...]) -> Iterator[_Part]:
        """Give every chunk that has something of `region`, shard by shard."""
        sizes = self._plan.chunk_shape
        if any(part.start == part.stop for part in region):
            return
        for chunk in product(
            *(range(part.start // size, -(-part.stop // size)) for part, size in zip(region, sizes, strict=True))
        ):
            starts = [at * size for at, size in zip(chunk, sizes, strict=True)]
            cuts = [
                (max(part.start, start), min(part.stop, start + size))
                for part, start, size in zip(region, starts, sizes, strict=True)
            ]
            yield _Part(
                chunk,
                tuple(slice(low - start, high - start) for (low, high), start in zip(cuts, starts, strict=True)),
                tuple(
                    slice(low - part.start, high - part.start) for (low, high), part in zip(cuts, region, strict=True)
                ),
            )

    def _fill(self, file: ShardFile, part: _Part, out: NDArray[Any]) -> None:
        """Put one chunk's part into its place: decoded there where that can be, else copied there."""
        sizes = self._plan.chunk_shape
        place = tuple(at % n for at, n in zip(part.chunk, self._plan.chunks_per_shard, strict=True))
        target = out[part.target]
        if target.shape == sizes and target.dtype == self._dtype and target.flags.c_contiguous:
            file.chunk(place, out=target)
            return
        pixels: NDArray[Any] = np.empty(sizes, self._dtype)
        file.chunk(place, out=pixels)
        _copy(pixels[part.inside], target)
        if part.inside[0].stop < sizes[0]:
            self._recent = part.chunk, pixels

    def _give_recent(self, part: _Part, out: NDArray[Any]) -> bool:
        """Take a part from the chunk that an earlier read ended in: readers often go on from there."""
        recent = self._recent
        if recent is None or recent[0] != part.chunk:
            return False
        _copy(recent[1][part.inside], out[part.target])
        return True


def _copy(pixels: NDArray[Any], target: NDArray[Any]) -> None:
    """Assign, ten times as fast where channels or planes change places with columns.

    numpy goes along the target's fastest axis, and two channels are too few for an inner loop: give it rows.
    """
    for middle in np.ndindex(pixels.shape[1:-2]):
        rows: tuple[Any, ...] = (slice(None), *middle)
        target[rows] = pixels[rows]


def _refuse_other(path: Path, node: dict[str, Any], plan: Plan) -> None:
    expected = {
        "shape": list(plan.shape),
        "data_type": np.dtype(plan.dtype).name,
        "shard": list(plan.shard_shape),
        "chunk": list(plan.chunk_shape),
        "index": "end",
    }
    try:
        (sharding,) = node["codecs"]
        found = {
            "shape": node["shape"],
            "data_type": node["data_type"],
            "shard": node["chunk_grid"]["configuration"]["chunk_shape"],
            "chunk": sharding["configuration"]["chunk_shape"],
            "index": sharding["configuration"].get("index_location", "end"),
        }
    except (KeyError, TypeError, ValueError, AttributeError):
        raise damaged(path, "a sharded array", "something else") from None
    differing = [name for name, value in expected.items() if found[name] != value]
    if differing:
        raise damaged(
            path,
            "an array with " + ", ".join(f"{name} {expected[name]}" for name in differing),
            ", ".join(f"{name} {found[name]}" for name in differing),
        )
