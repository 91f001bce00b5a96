"""Which windows one task does: enough work to be worth a task run, few enough for the server to record them all."""

import math
from typing import NamedTuple

# A task works with all threads, which have nothing to do while its last windows end and the next task begins: a fifth
# of a second, of some ten that this takes.
BATCH_BYTES = 16 * 1024 * 1024 * 1024
# Each is 17 KB of database on the server, which records some tens of them a second.
BATCHES = 64


class Batch(NamedTuple):
    """Windows `first` to `end`, end exclusive."""

    first: int
    end: int


def plan_batches(window_count: int, window_bytes: int) -> list[Batch]:
    """Every window in exactly one batch, in order: of at least `BATCH_BYTES` where there are so many, and `BATCHES`."""
    size = max(math.ceil(BATCH_BYTES / window_bytes), math.ceil(window_count / BATCHES))
    return [Batch(first, min(first + size, window_count)) for first in range(0, window_count, size)]
