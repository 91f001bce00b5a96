"""What a conversion can be told: the only defaults of chunk, shard, codec and parallelism."""

import os
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

CodecName = Literal["blosc-lz4", "blosc-zstd", "zstd", "none"]

MIB = 1024 * 1024


_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """Cores that this process may use: its affinity, or its control group's limit where that is lower."""
    cores = len(os.sched_getaffinity(0))
    try:
        quota, period = _CPU_LIMIT.read_text().split()
    except (OSError, ValueError):  # no control groups of version 2 here
        return cores
    return cores if quota == "max" else max(1, min(cores, int(quota) // int(period)))


class ConvertOptions(BaseModel):
    """How the pixels are stored, and by how many threads.

    `codec`, `chunk_bytes` and `shard_bytes` shape the bytes of the store: a staging store written with others is
    started over. `workers` does not.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    codec: CodecName = Field(
        default="blosc-lz4",
        description="Compression of each chunk; every codec is followed by a crc32c checksum.",
    )
    chunk_bytes: int = Field(
        default=8 * MIB, ge=1, le=1024 * MIB, description="Uncompressed size of a chunk, at most, where a row fits."
    )
    shard_bytes: int = Field(
        default=128 * MIB,
        ge=1,
        description="Uncompressed size of a shard, about, or half of it in recordings of few; it holds whole samples. "
        "At most 128 MiB where frames do not lie one after another on disk.",
    )
    workers: int = Field(
        default_factory=usable_cores, ge=1, le=256, description="Threads that read, encode, write and verify."
    )

    def stored_form(self) -> dict[str, str | int]:
        """The part that shapes the store's bytes, for run metadata and for deciding whether to resume."""
        return {"codec": self.codec, "chunk_bytes": self.chunk_bytes, "shard_bytes": self.shard_bytes}
