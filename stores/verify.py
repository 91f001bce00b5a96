"""A store against what is recorded of it, and against its source."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from stores.codec import Codec
from stores.plan import Plan
from stores.shardfile import ShardFile
from stores.summary import Digest


def read_window(shard: Path, plan: Plan, codec: Codec, window: int, into: Digest) -> None:
    """Decode every chunk of a shard file, checksums checked, and add its pixels to `into` as they were when written.

    Raises
    ------
    StoreDamaged
        The file is missing or short, a chunk is missing, or a checksum differs.
    """
    pixels: NDArray[Any] = np.empty(plan.chunk_shape, plan.dtype)
    with ShardFile(shard, plan.chunks_per_shard, codec) as file:
        for chunk in plan.window_chunks(window):
            file.chunk(chunk.index, out=pixels)
            inside = pixels[tuple(slice(0, size) for size in chunk.extent)]
            into.add(chunk.region[0].start, np.ascontiguousarray(inside))
