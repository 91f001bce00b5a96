"""Memory that is used again and again."""

import ctypes

# From <malloc.h>.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3
_MIB = 1024 * 1024


def keep_freed_blocks() -> None:
    """The C library keeps freed blocks of a chunk's size for the next chunk, where it is glibc.

    By default it gives each one back to the kernel, which zeroes it again, page by page: for the blocks into which
    chunks are encoded that takes half as long as encoding them.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_MMAP_THRESHOLD, 32 * _MIB)
        mallopt(_TRIM_THRESHOLD, 64 * _MIB)
