"""A whole conversion: the steps, and `convert`, which takes them one after another in this process."""

import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from extractors.recording import open_recording
from extractors.source import check_unchanged
from stores import ngff
from stores.codec import Codec
from stores.metadata import RunMetadata
from stores.options import ConvertOptions
from stores.plan import plan_store
from stores.space import check_space
from stores.staging import Job, Staging
from stores.worker import Worker

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) after each window; from any thread."""


class Report(BaseModel):
    """What a conversion did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: str
    metadata: RunMetadata
    stored_bytes: int
    resumed_windows: int
    notices: tuple[str, ...]


class Prepared(BaseModel):
    """A staging store that is ready for its windows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_count: int
    window_bytes: int
    total_bytes: int
    resumed_windows: int
    notices: tuple[str, ...]


def prepare(
    staging: Staging, recording: Path, options: ConvertOptions, *, sampling_frequency_hz: float | None = None
) -> Prepared:
    """Validate the recording and make its staging store ready: gone on with where it can be, else started over.

    The staging folder must be locked.

    Raises
    ------
    InputRefused
        The recording cannot be converted as it is.
    StorageFailed
        There is not enough room.
    """
    with open_recording(recording, sampling_frequency_hz=sampling_frequency_hz) as extractor:
        extractor.get_sampling_frequency()
        plan = plan_store(extractor, options)
        job = Job(
            recording=str(recording.absolute()),
            sampling_frequency_hz=sampling_frequency_hz,
            info=extractor.info,
            sources=extractor.sources,
            options=options,
            plan=plan,
            started=datetime.now(UTC),
        )
        earlier = staging.job()
        difference = None if earlier is None else earlier.difference(job)
        notices: list[str] = []
        stored = 0
        if earlier is None or difference is not None:
            if difference is not None:
                notices.append(f"started over: {difference} since the earlier run")
            staging.clear()
            check_space(staging.folder, extractor, plan, Codec(options.codec, plan.pixel_bytes))
            ngff.create_store(staging.store, plan, options, extractor)
            staging.begin(job)
        else:
            stored = len(staging.journal.stored())
            notices.append(f"going on with an earlier run: {stored} of {plan.window_count} windows are stored")
        return Prepared(
            window_count=plan.window_count,
            window_bytes=plan.window_bytes(0),
            total_bytes=plan.total_bytes,
            resumed_windows=stored,
            notices=tuple(notices),
        )


def write_windows(target: Path, windows: Iterable[int]) -> list[str]:
    """Store windows one after another; gives what the user should be told."""
    with Worker(target) as worker:
        for window in windows:
            worker.write(window)
        return worker.notices


def verify_windows(target: Path, windows: Iterable[int]) -> None:
    """Read windows back one after another, and compare each with its receipt."""
    with Worker(target) as worker:
        for window in windows:
            worker.verify(window)


def publish(target: Path, *, notices: Sequence[str] = ()) -> Report:
    """Make the verified staging store the target.

    Raises
    ------
    SourceChanged
        The recording changed while it was converted.
    """
    staging = Staging(target)
    job = staging.require_job()
    receipts = staging.journal.verified(staging.session())
    missing = set(range(job.plan.window_count)) - set(receipts)
    if missing:
        msg = f"{target}: {len(missing)} windows are not verified, so nothing is published"
        raise RuntimeError(msg)
    check_unchanged(job.sources)
    ...
    staging.publish()


def convert(
    recording: Path,
    target: Path,
    options: ConvertOptions | None = None,
    *,
    sampling_frequency_hz: float | None = None,
    progress: Progress | None = None,
) -> Report:
    """Convert one recording to one verified store, in this process.

    Parameters
    ----------
    recording
        A data file or layout file, as `open_recording` takes it.
    target
        Where the store will be; there must be nothing there.
    options
        Chunks, shards, codec and threads.
    sampling_frequency_hz
        Used in place of the recording's own; needed where it has none.
    progress
        Called after each window.

    Raises
    ------
    InputRefused, TargetRefused, SourceChanged, StorageFailed, StoreDamaged
        Nothing is at the target then, and what is finished stays in the staging store for a second run.
    """
    options = options or ConvertOptions()
    staging = Staging(target)
    with staging.locked():
        prepared = prepare(staging, recording, options, sampling_frequency_hz=sampling_frequency_hz)
        notices = _store_all(target, prepared, options.workers, progress)
        return publish(target, notices=(*prepared.notices, *notices))


def _store_all(target: Path, prepared: Prepared, workers: int, progress: Progress | None) -> list[str]:
    """Store and verify every window. One thread more than workers: one of them waits for the disk most of the time."""
    windows = iter(range(prepared.window_count))
    guard = threading.Lock()
    stop = threading.Event()
    done = 0

    def lane() -> list[str]:
        nonlocal done
        with Worker(target) as worker:
            try:
                while not stop.is_set():
                    with guard:
                        window = next(windows, None)
                    if window is None:
                        break
                    worker.write(window)
                    worker.verify(window)
                    with guard:
                        done += worker.plan.window_bytes(window)
                        if progress is not None:
                            progress(done, prepared.total_bytes)
            except BaseException:
                stop.set()
                raise
            return worker.notices

    with ThreadPoolExecutor(workers + 1) as pool:
        lanes = [pool.submit(lane) for _ in range(min(workers + 1, prepared.window_count))]
        try:
            return [notice for ended in lanes for notice in ended.result()]
        except BaseException:
            stop.set()  # Ctrl-C arrives here: each lane ends with the window it is at
            raise
