"""Compression of one chunk: the same bytes as Zarr's own codecs, without Zarr's machinery around them."""

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numcodecs.blosc import BITSHUFFLE, Blosc
from numcodecs.zstd import Zstd
from numpy.typing import NDArray

from stores.options import CodecName

if TYPE_CHECKING:
    from zarr.abc.codec import BytesBytesCodec

Encoded: TypeAlias = bytes | memoryview | NDArray[np.uint8]

_ZSTD_LEVEL = 1
_BLOSC: dict[str, tuple[Literal["lz4", "zstd"], int]] = {"blosc-lz4": ("lz4", 5), "blosc-zstd": ("zstd", 3)}
_BLOSC_HEADER_BYTES = 16


class Codec:
    """Encodes and decodes the pixels of a chunk; safe to share between threads.

    Both directions let other Python threads run. Blosc's own threads, which take turns under one global lock, stay off:
    numcodecs leaves them off in every thread but the main one, and Zarr turns them off for all when it is imported.

    Parameters
    ----------
    name
        What to compress with; every choice is lossless.
    itemsize
        Bytes of one pixel: the width that bits are shuffled over.
    """

    def __init__(self, name: CodecName, itemsize: int) -> None:
        self.name = name
        self.itemsize = itemsize
        self._coder: Blosc | Zstd | None
        if name == "none":
            self._coder = None
        elif name == "zstd":
            self._coder = Zstd(level=_ZSTD_LEVEL)
        else:
            compressor, level = _BLOSC[name]
            self._coder = Blosc(compressor, clevel=level, shuffle=BITSHUFFLE, typesize=itemsize)

    def encode(self, pixels: NDArray[Any]) -> bytes:
        """Give the bytes to store for `pixels`, C-contiguous and little-endian."""
        if self._coder is None:
            return pixels.tobytes()
        encoded: bytes = self._coder.encode(pixels)
        return encoded

    def decode(self, encoded: Encoded, out: NDArray[Any]) -> None:
        """Fill `out`, C-contiguous and little-endian, with the pixels that `encode` was given.

        Raises
        ------
        ValueError
            The bytes are not those of so many pixels.
        """
        octets = out.reshape(-1).view("u1")
        if isinstance(self._coder, Blosc):
            # blosc trusts the sizes in its header: it is not told where its input ends
            found = _blosc_sizes(encoded)
            if found != (octets.nbytes, len(encoded)):
                msg = f"{octets.nbytes} bytes compressed to {len(encoded)} expected, {found[0]} to {found[1]} found"
                raise ValueError(msg)
            try:
                self._coder.decode(encoded, octets)
            except RuntimeError as fault:
                raise ValueError(str(fault)) from fault
            return
        decoded = encoded
        if self._coder is not None:
            # not straight into `out`: zstd takes a frame that is too short for it without a word
            try:
                decoded = self._coder.decode(encoded)
            except RuntimeError as fault:
                raise ValueError(str(fault)) from fault
        if len(decoded) != octets.nbytes:
            msg = f"{octets.nbytes} bytes of pixels expected, {len(decoded)} found"
            raise ValueError(msg)
        octets[:] = np.frombuffer(decoded, np.uint8)

    def zarr_codecs(self) -> "tuple[BytesBytesCodec, ...]":
        """Give the same compression as Zarr's codecs, the checksum last."""
        from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec  # noqa: PLC0415 - half a second, only some need it

        if self.name == "none":
            return (Crc32cCodec(),)
        if self.name == "zstd":
            return (ZstdCodec(level=_ZSTD_LEVEL), Crc32cCodec())
        compressor, level = _BLOSC[self.name]
        blosc = BloscCodec(typesize=self.itemsize, cname=compressor, clevel=level, shuffle="bitshuffle", blocksize=0)
        return (blosc, Crc32cCodec())


def _blosc_sizes(encoded: Encoded) -> tuple[int, int]:
    """Uncompressed and compressed size by the header of a blosc buffer."""
    if len(encoded) < _BLOSC_HEADER_BYTES:
        return 0, 0
    return int.from_bytes(encoded[4:8], "little"), int.from_bytes(encoded[12:16], "little")
