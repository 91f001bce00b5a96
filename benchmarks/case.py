"""What is measured: a recording's shape, its order on disk, and the grid in which every contender stores it."""

import math
import re
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

MIB = 1024 * 1024

_UNITS = {"": 1, "KiB": 1024, "MiB": MIB, "GiB": 1024 * MIB}


def parse_size(text: str) -> int:
    """Bytes of a size such as `4GiB`, `512MiB` or `1048576`."""
    found = re.fullmatch(r"(\d+)\s*(KiB|MiB|GiB|)", text)
    if found is None:
        msg = f"expected a size such as 4GiB or 512MiB; found {text!r}"
        raise ValueError(msg)
    return int(found[1]) * _UNITS[found[2]]


@dataclass(frozen=True)
class Case:
    """One recording to convert, and the chunks and shards that all contenders write it in.

    Parameters
    ----------
    samples, channels, rows, columns
        Sizes.
    dtype
        Pixels as they are on disk, with byte order.
    disk_axes
        Order on disk, slowest first: each of `t y x` once, and `c` where there is more than one channel.
    seed
        Of the noise.
    chunk_target_bytes, shard_target_bytes
        What chunks and shards come near to, uncompressed: both hold whole samples, a shard whole chunks.
    """

    samples: int
    rows: int = 512
    columns: int = 512
    channels: int = 1
    dtype: str = "<u2"
    disk_axes: str = "tyx"
    seed: int = 1
    chunk_target_bytes: int = 8 * MIB
    shard_target_bytes: int = 128 * MIB

    def __post_init__(self) -> None:
        if sorted(self.disk_axes) != sorted(self.axes):
            msg = f"expected some order of {self.axes!r} on disk; found {self.disk_axes!r}"
            raise ValueError(msg)
        if min(self.samples, self.rows, self.columns, self.channels) < 1:
            msg = f"expected at least one sample, row, column and channel; found {self}"
            raise ValueError(msg)

    @property
    def axes(self) -> str:
        """Axes of the array in the store."""
        return "tyx" if self.channels == 1 else "tcyx"

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the array in the store."""
        return tuple(self._sizes[axis] for axis in self.axes)

    @property
    def disk_shape(self) -> tuple[int, ...]:
        """Shape of the recording on disk."""
        return tuple(self._sizes[axis] for axis in self.disk_axes)

    @property
    def sample_bytes(self) -> int:
        """Bytes of one sample."""
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize

    @property
    def total_bytes(self) -> int:
        """Bytes of the recording."""
        return self.samples * self.sample_bytes

    @property
    def chunk_shape(self) -> tuple[int, ...]:
        """Shape of a chunk."""
        return (min(self.samples, max(1, self.chunk_target_bytes // self.sample_bytes)), *self.shape[1:])

    @property
    def chunk_bytes(self) -> int:
        """Bytes of a chunk, uncompressed."""
        return self.chunk_shape[0] * self.sample_bytes

    @property
    def shard_shape(self) -> tuple[int, ...]:
        """Shape of a shard."""
        chunks = min(max(1, self.shard_target_bytes // self.chunk_bytes), math.ceil(self.samples / self.chunk_shape[0]))
        return (chunks * self.chunk_shape[0], *self.shape[1:])

    @cached_property
    def windows(self) -> tuple[slice, ...]:
        """The samples of each shard."""
        step = self.shard_shape[0]
        return tuple(slice(start, min(start + step, self.samples)) for start in range(0, self.samples, step))

    @property
    def file_name(self) -> str:
        """A name that no other recording has."""
        sizes = "x".join(str(self._sizes[axis]) for axis in self.disk_axes)
        order = "be" if np.dtype(self.dtype).byteorder == ">" else ""
        return f"{self.disk_axes}-{sizes}-{np.dtype(self.dtype).name}{order}-seed{self.seed}.bin"

    def canonical(self, on_disk: NDArray[Any]) -> NDArray[Any]:
        """View an array in the order on disk by the axes of the store."""
        return on_disk.transpose([self.disk_axes.index(axis) for axis in self.axes])

    @property
    def _sizes(self) -> dict[str, int]:
        return {"t": self.samples, "c": self.channels, "y": self.rows, "x": self.columns}
