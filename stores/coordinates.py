"""The plans of the coordinate arrays beside array `0`: one number of float64 per sample, plane, row or column."""

import math
from typing import Literal

from stores.codec import Codec
from stores.plan import Plan

# Half a mebibyte to decode for one number, eight to hold while times are written or read one after another.
_CHUNK = 2**16
_CHUNKS_PER_SHARD = 16

Origin = Literal["regular", "native", "set"]
"""Whether times follow from the sampling frequency, are the recording's own, or were set by the user."""


def coordinate_plan(axis: str, count: int) -> Plan:
    """Plan the coordinate array of an axis with `count` indices."""
    chunk = min(count, _CHUNK)
    shard = chunk * min(math.ceil(count / chunk), _CHUNKS_PER_SHARD)
    return Plan(axes=axis, shape=(count,), dtype="<f8", chunk_shape=(chunk,), shard_shape=(shard,))


def coordinate_codec() -> Codec:
    """Give the codec of every coordinate array."""
    return Codec("blosc-zstd", 8)
