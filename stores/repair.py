"""A damaged store made whole again: only the windows that are damaged are written, from the recording."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict

from extractors.errors import Code, InputRefused
from extractors.recording import open_recording
from stores.codec import Codec
from stores.disk import storage_faults, sync_path
from stores.lock import hold
from stores.metadata import RunMetadata, SourceArray, read_run_metadata
from stores.shard import WindowReader, write_shard
from stores.staging import Staging, staging_folder
from stores.summary import Digest
from stores.verify import Finding, read_window, verify_store


class Repaired(BaseModel):
    """What a repair did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    source: str
    windows: tuple[int, ...]
    """Those that were written again; each was read back equal to the digest recorded when the store was made."""
    left: tuple[Finding, ...]
    """What cannot be repaired from the recording."""


def repair(target: Path, source: Path | None = None) -> Repaired:
    """Write the damaged windows of a published store again.

    A window replaces the damaged one by a rename, after its pixels were found to have the digest recorded when the
    store was made: it does not matter whether the recording is still the same file, only whether it has these pixels.

    Parameters
    ----------
    target
        The store.
    source
        The recording; where it was when it was converted, if None.

    Raises
    ------
    InputRefused
        There is no store, or no recording, or its pixels are not those of the store.
    TargetRefused
        Another run holds the store.
    StoreDamaged
        The run metadata is damaged, so that nothing is known.
    """
    metadata = read_run_metadata(target)
    source = source or Path(metadata.recording)
    try:
        # The lock of conversions: the windows are written beside the store, and nothing else may be there.
        with hold(staging_folder(target) / "lock", target):
            findings = verify_store(target).findings
            windows = _damaged(target, metadata, findings)
            if windows:
                _write_windows(target, metadata, source, sorted(windows.values()))
    finally:
        Staging(target).remove_leftover()
    left = tuple(finding for finding in findings if finding.path not in windows)
    return Repaired(target=str(target), source=str(source), windows=tuple(sorted(windows.values())), left=left)


def _damaged(target: Path, metadata: RunMetadata, findings: tuple[Finding, ...]) -> dict[str, int]:
    """The windows that the findings are about, by the path of their shard."""
    plan = metadata.plan
    shards = {str(target / "0" / plan.window_key(window)): window for window in range(plan.window_count)}
    return {finding.path: shards[finding.path] for finding in findings if finding.path in shards}


def _write_windows(target: Path, metadata: RunMetadata, source: Path, windows: list[int]) -> None:
    plan = metadata.plan
    codec = Codec(metadata.options.codec, plan.pixel_bytes)
    temporary = staging_folder(target) / "window.tmp"
    with open_recording(source, sampling_frequency_hz=metadata.info.sampling_frequency_hz) as extractor:
        if (found := SourceArray.of(extractor)) != metadata.source_array:
            raise _differs(source, str(metadata.source_array), str(found))
        reader = WindowReader(extractor, plan)
        for window in windows:
            recorded = metadata.window_digests[window]
            summary, file = write_shard(reader, plan, codec, window, temporary)
            with storage_faults(temporary), file:
                file.wait()
            if summary.digest != recorded:
                raise _differs(source, f"pixels of digest {recorded} in window {window}", f"digest {summary.digest}")
            sync_path(temporary)
            digest = Digest()
            for _ in read_window(temporary, plan, codec, window, digest):
                pass
            if digest.digest != recorded:
                raise _differs(temporary, f"digest {recorded}, as was written", f"digest {digest.digest}")
            shard = target / "0" / plan.window_key(window)
            with storage_faults(shard):
                shard.parent.mkdir(parents=True, exist_ok=True)
                temporary.replace(shard)
            sync_path(shard.parent)


def _differs(path: Path, expected: str, found: str) -> InputRefused:
    return InputRefused(
        Code.SOURCE_DIFFERS,
        path=path,
        expected=expected,
        found=found,
        todo="Name the recording as it was when the store was made; no damaged window was replaced by this one.",
    )
