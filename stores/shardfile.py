"""A shard file, read: chunks by their place in it, every checksum checked.

The bytes are those of the `sharding_indexed` codec of the Zarr v3 specification, with the index at the end.
"""

import os
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Any, NoReturn, Self

import numpy as np
from crc32c import crc32c
from numpy.typing import NDArray

from extractors.errors import Code, StorageFailed, StoreDamaged
from stores.codec import Codec
from stores.direct import DirectReader

_CHECKSUM_BYTES = 4
_ABSENT = 2**64 - 1


class _CachedReader:
    """A file, read in places through the page cache; safe to share between threads."""

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)

    @property
    def size_bytes(self) -> int:
        """Size of the file."""
        return os.fstat(self._descriptor).st_size

    def read(self, offset_bytes: int, size_bytes: int) -> bytes:
        """Give so many bytes, fewer at the file's end."""
        data = os.pread(self._descriptor, size_bytes, offset_bytes)
        while 0 < len(data) < size_bytes:  # a signal or a network file system may cut a read short
            more = os.pread(self._descriptor, size_bytes - len(data), offset_bytes + len(data))
            if not more:
                break
            data += more
        return data

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)


class ShardFile:
    """An open shard file; safe to share between threads unless it is read directly.

    Parameters
    ----------
    path
        The file.
    chunks_per_shard
        The shard's grid of chunks.
    codec
        How chunks are compressed, before their checksum.
    direct
        Whether to read what the disk has, past the page cache, and leave no pages in it.

    Raises
    ------
    StoreDamaged
        The file is missing, too short for its index, or the index is not what was written.
    StorageFailed
        The file cannot be read.
    """

    def __init__(self, path: Path, chunks_per_shard: tuple[int, ...], codec: Codec, *, direct: bool = False) -> None:
        self.path = path
        self._codec = codec
        try:
            self._file = DirectReader(path) if direct else _CachedReader(path)
        except FileNotFoundError:
            self._damaged("a shard file", "none: every shard of a store is stored, also one of zeros only")
        except OSError as fault:
            raise _unreadable(path, fault) from fault
        try:
            self._sizes: dict[int, int] = {}  # by offset, of chunks that are read directly, each ahead of its use
            self._index = self._read_index(chunks_per_shard)
            if direct:
                chunks = self._index.reshape(-1, 2).tolist()
                self._sizes = {offset: size for offset, size in chunks if offset + size <= self._data_bytes}
                self._read_ahead(0)
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; nothing can be read from then on."""
        self._file.close()

    def chunk(self, index: tuple[int, ...], out: NDArray[Any]) -> None:
        """Fill `out`, C-contiguous, little-endian and of a chunk's shape, with the chunk at `index`.

        Raises
        ------
        StoreDamaged
            The chunk is missing or not what was written.
        StorageFailed
            The file cannot be read.
        """
        place = f"chunk {index}"
        offset, size = (int(number) for number in self._index[index])
        if offset == size == _ABSENT:
            self._damaged(place, "nothing: every chunk of a store is stored, also one of zeros only")
        if size < _CHECKSUM_BYTES or offset + size > self._data_bytes:
            self._damaged(f"{place} within {self._data_bytes} bytes", f"{size} bytes from byte {offset} on")
        encoded = self._checked(place, self._pread(offset, size))
        try:
            self._codec.decode(encoded, out)
        except ValueError as fault:
            self._damaged(f"{place} compressed with {self._codec.name}", str(fault))

    def _read_index(self, chunks_per_shard: tuple[int, ...]) -> NDArray[np.uint64]:
        entry_bytes = 16
        size = prod(chunks_per_shard) * entry_bytes + _CHECKSUM_BYTES
        file_bytes = self._file.size_bytes
        self._data_bytes = file_bytes - size
        if self._data_bytes < 0:
            self._damaged(f"at least the {size} bytes of its index", f"{file_bytes} bytes")
        table = self._checked("the shard's index", self._pread(self._data_bytes, size))
        return table.copy().view("<u8").reshape(*chunks_per_shard, 2)

    def _checked(self, what: str, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Give what stands before the checksum at the end of `data`."""
        body = data[:-_CHECKSUM_BYTES]
        stored = int.from_bytes(data[-_CHECKSUM_BYTES:].tobytes(), "little")
        found = crc32c(body.data)
        if stored != found:
            self._damaged(f"{what} with crc32c {stored:08x}", f"crc32c {found:08x}")
        return body

    def _pread(self, offset: int, size: int) -> NDArray[np.uint8]:
        try:
            data = np.frombuffer(self._file.read(offset, size), np.uint8)
        except OSError as fault:
            raise _unreadable(self.path, fault) from fault
        if len(data) < size:
            self._damaged(f"{size} bytes from byte {offset} on", f"{len(data)}: the file became shorter")
        self._read_ahead(offset + size)
        return data

    def _read_ahead(self, offset: int) -> None:
        if isinstance(self._file, DirectReader) and (size := self._sizes.get(offset)):
            self._file.read_ahead(offset, size)

    def _damaged(self, expected: str, found: str) -> NoReturn:
        raise StoreDamaged(
            Code.STORE_DAMAGED,
            path=self.path,
            expected=expected,
            found=found,
            todo="Convert the recording again, or restore this file from a copy.",
        )


def _unreadable(path: Path, fault: OSError) -> StorageFailed:
    return StorageFailed(
        Code.STORAGE_FAILED,
        path=path,
        expected="a shard file that can be read",
        found=fault.strerror or str(fault),
        todo="Look after the disk or the file's permissions.",
    )
