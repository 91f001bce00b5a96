"""Which windows one task does: enough work to be worth a task run, few enough for the server to record them all."""

import math
from typing import NamedTuple

# A task run costs 5 ms here and 17 KB of database on the server, which records some tens of them a second.
BATCH_BYTES = 1024 * 1024 * 1024
BATCHES = 64


class Batch(NamedTuple):
    """Windows `first` to `end`, end exclusive."""

    first: int
    end: int


def plan_batches(window_count: int, window_bytes: int, lanes: int) -> list[Batch]:
    """Every window in exactly one batch, in order.

    Full batches hold at least `BATCH_BYTES`, and so many windows that there are about `BATCHES` of them. Towards the
    end they shrink, down to an eighth, so that no lane is left alone with a full one while the others have nothing
    to do.

    Parameters
    ----------
    window_count, window_bytes
        Windows of the recording, and bytes of one.
    lanes
        Batches that are worked on at a time.
    """
    full = max(math.ceil(BATCH_BYTES / window_bytes), math.ceil(window_count / BATCHES))
    least = math.ceil(full / 8)
    batches: list[Batch] = []
    first = 0
    while first < window_count:
        left = window_count - first
        size = min(left, full, max(least, math.ceil(left / (2 * lanes))))
        batches.append(Batch(first, first + size))
        first += size
    return batches
