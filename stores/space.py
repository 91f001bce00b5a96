"""Will it fit? Asked before anything is written."""

import shutil
from pathlib import Path

from extractors.errors import Code, StorageFailed
from extractors.imaging import ImagingExtractor
from stores.codec import Codec
from stores.plan import Plan
from stores.shard import WindowReader
from stores.summary import Digest

# Room for what the probed chunks do not show: noisier windows, indexes, metadata.
_MARGIN = 1.1


def check_space(folder: Path, extractor: ImagingExtractor, plan: Plan, codec: Codec, *, reordered: bool) -> None:
    """Compare the free space with what the store will take, judged by one chunk of the first, middle and last window.

    Where the pixels are `reordered` first, the copy of them takes as much as they do.

    Raises
    ------
    StorageFailed
        With code `no-space`, before a byte of the store is written.
    """
    free = shutil.disk_usage(folder).free
    copied = plan.total_bytes if reordered else 0
    if free >= copied + plan.total_bytes * _MARGIN:
        return  # even if nothing of it can be made smaller
    reader = WindowReader(extractor, plan)
    raw = encoded = 0
    for window in sorted({0, plan.window_count // 2, plan.window_count - 1}):
        _, pixels = next(reader.chunks(window, Digest()))
        raw += pixels.nbytes
        encoded += len(codec.encode(pixels))
    needed = copied + int(plan.total_bytes * encoded / raw * _MARGIN)
    if needed > free:
        raise StorageFailed(
            Code.NO_SPACE,
            path=folder,
            expected=f"about {needed} bytes free for the store ({plan.total_bytes} bytes of pixels)",
            found=f"{free} bytes free",
            todo="Free some space or name a target on another disk; nothing was written.",
        )
