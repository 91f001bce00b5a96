"""A store against what is recorded of it, and against its source."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from extractors.errors import Code, StoreDamaged
from extractors.recording import open_recording
from stores.codec import Codec
from stores.description import check_description
from stores.lanes import work_off
from stores.metadata import RunMetadata, SourceArray, read_run_metadata
from stores.options import usable_cores
from stores.plan import Plan
from stores.shard import WindowReader
from stores.shardfile import ShardFile
from stores.summary import Digest

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) after each window."""


class Finding(BaseModel):
    """One thing that is not as recorded."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: Code
    path: str
    expected: str
    found: str


class Verification(BaseModel):
    """What was compared, and everything that differs."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Path
    metadata: RunMetadata
    source: Path | None
    findings: tuple[Finding, ...]


def verify_store(
    target: Path, *, source: Path | None = None, workers: int | None = None, progress: Progress | None = None
) -> Verification:
    """Read a published store back: every pixel against the recorded digests, every array beside them for damage.

    Parameters
    ----------
    target
        The store.
    source
        The recording, if each of its pixels is to be compared too.
    workers
        Threads; as many as there are usable cores if None.
    progress
        Called after each window.

    Raises
    ------
    InputRefused
        There is no store at `target`, or the recording cannot be opened.
    StoreDamaged
        The run metadata cannot be read, so that there is nothing to compare with.
    """
    metadata = read_run_metadata(target)
    plan = metadata.plan
    threads = min(workers or usable_cores(), plan.window_count)
    differing = _compare_source(metadata, source)
    faults = check_description(target, plan, metadata.options, metadata.info)
    findings: dict[int, list[Finding]] = {-1: [*differing, *map(_finding, faults)]}
    bytes_done = 0

    def lane(windows: Iterator[int], done: Callable[[int], None]) -> None:
        with _window_checker(target, metadata, source) as check:
            for window in windows:
                findings[window] = check(window)
                done(window)

    def count(window: int) -> None:
        nonlocal bytes_done
        bytes_done += plan.window_bytes(window)
        if progress is not None:
            progress(bytes_done, plan.total_bytes)

    if not differing:
        work_off(range(plan.window_count), lane, threads, count)
    return Verification(
        target=target,
        metadata=metadata,
        source=source,
        findings=tuple(finding for window in sorted(findings) for finding in findings[window]),
    )


def _compare_source(metadata: RunMetadata, source: Path | None) -> list[Finding]:
    """Where the source has other axes, sizes or numbers, there are no windows to compare."""
    if source is None:
        return []
    with open_recording(source, sampling_frequency_hz=metadata.info.sampling_frequency_hz) as extractor:
        found = SourceArray.of(extractor)
    if found == metadata.source_array:
        return []
    return [Finding(code=Code.SOURCE_DIFFERS, path=str(source), expected=str(metadata.source_array), found=str(found))]


def _finding(fault: StoreDamaged) -> Finding:
    return Finding(code=fault.code, path=str(fault.path), expected=fault.expected, found=fault.found)


@contextmanager
def _window_checker(
    target: Path, metadata: RunMetadata, source: Path | None
) -> Iterator[Callable[[int], list[Finding]]]:
    """Open what one thread needs to check windows."""
    plan = metadata.plan
    codec = Codec(metadata.options.codec, plan.pixel_bytes)

    def check_store(window: int) -> list[Finding]:
        shard = target / "0" / plan.window_key(window)
        digest = Digest()
        try:
            for _ in read_window(shard, plan, codec, window, digest):
                pass
        except StoreDamaged as fault:
            return [_finding(fault)]
        return _compare_digest(Code.STORE_DAMAGED, shard, window, metadata, digest)

    if source is None:
        yield check_store
        return
    with open_recording(source, sampling_frequency_hz=metadata.info.sampling_frequency_hz) as extractor:
        reader = WindowReader(extractor, plan)

        def check_both(window: int) -> list[Finding]:
            digest = Digest()
            for _ in reader.chunks(window, digest):
                pass
            return check_store(window) + _compare_digest(Code.SOURCE_DIFFERS, source, window, metadata, digest)

        yield check_both


def _compare_digest(code: Code, path: Path, window: int, metadata: RunMetadata, found: Digest) -> list[Finding]:
    recorded = metadata.window_digests[window]
    if found.digest == recorded:
        return []
    start, end = metadata.plan.window_samples(window)
    place = f"window {window}, samples {start} to {end - 1},"
    return [
        Finding(
            code=code,
            path=str(path),
            expected=f"{place} of digest {recorded}",
            found=f"digest {found.digest}",
        )
    ]


def read_window(shard: Path, plan: Plan, codec: Codec, window: int, into: Digest) -> Iterator[None]:
    """Read a shard file past the page cache, check its checksums, and add its decoded pixels to `into`.

    Yields after each chunk.

    Raises
    ------
    StoreDamaged
        The file is missing or short, a chunk is missing, or a checksum differs.
    """
    pixels: NDArray[Any] = np.empty(plan.chunk_shape, plan.dtype)
    with ShardFile(shard, plan.chunks_per_shard, codec, direct=True) as file:
        for chunk in plan.window_chunks(window):
            file.chunk(chunk.place, out=pixels)
            inside = pixels[tuple(slice(0, size) for size in chunk.extent)]
            into.add(chunk.region[0].start, np.ascontiguousarray(inside))
            into.end_chunk(chunk.region, inside)
            yield
