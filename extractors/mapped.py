"""Where a memory-mapped array lies in its file: its address less that of its mapping."""

import mmap
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused
from extractors.source import SourceFile, identify
from extractors.strided import StridedFiles


def locate(video: NDArray[Any], axes: str) -> tuple[StridedFiles, SourceFile] | None:
    """The file behind a `numpy.memmap`, or behind any view of one, and the place of each pixel in it.

    None if the array is not mapped from a named file, or is a private copy (mode "c"), whose changes no file holds.

    Raises
    ------
    InputRefused
        The file is gone, or the array reaches past the file's end.
    """
    root = _root(video)
    if root is None or root.mode == "c" or root.filename is None:
        return None
    source = identify(Path(root.filename))
    # The root starts at byte root.offset of the file, and memory is to the file as the identity is, shifted.
    offset_bytes = root.offset + video.ctypes.data - root.ctypes.data
    spans = [(size - 1) * stride for size, stride in zip(video.shape, video.strides, strict=True)]
    first = offset_bytes + sum(span for span in spans if span < 0)
    end = offset_bytes + sum(span for span in spans if span > 0) + video.dtype.itemsize
    if video.size and not 0 <= first < end <= source.size_bytes:
        raise InputRefused(
            Code.SIZE_MISMATCH,
            path=source.path,
            expected=f"a file that holds bytes {first} to {end}, which the video covers",
            found=f"{source.size_bytes} bytes",
            todo="Map the file again: it was cut or replaced after it was mapped.",
        )
    files = StridedFiles(
        paths=(Path(source.path),),
        samples_per_file=(video.shape[0],),
        dtype=video.dtype,
        offset_bytes=offset_bytes,
        axes=axes,
        shape=video.shape,
        strides_bytes=video.strides,
    )
    return files, source


def _root(array: Any) -> np.memmap[Any, Any] | None:
    """The array that `numpy.memmap` made, found from any view of it: the only one that owns the mapping directly."""
    while array is not None:
        base = getattr(array, "base", None)
        if isinstance(base, mmap.mmap):
            return array if isinstance(array, np.memmap) else None
        array = base
    return None
