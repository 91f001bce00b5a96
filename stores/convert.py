"""A whole conversion: the steps, and `convert`, which takes them one after another in this process."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from extractors.errors import InputRefused, StoreDamaged
from extractors.recording import open_recording
from extractors.source import check_unchanged
from stores import ngff
from stores.codec import Codec
from stores.description import check_description
from stores.lanes import work_off
from stores.metadata import RunMetadata, SourceArray, Versions, content_digest, write_run_metadata
from stores.node import read_group
from stores.options import ConvertOptions
from stores.plan import plan_store
from stores.reorder import needs_reordering
from stores.space import check_space
from stores.staging import Job, Staging
from stores.worker import Worker

Progress = Callable[[int, int], None]
"""Called with (bytes done, bytes in all) after each window; from any thread."""


class Report(BaseModel):
    """What a conversion did."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    target: Path
    metadata: RunMetadata
    stored_bytes: int
    """Size of all shards of the pixels."""
    notices: tuple[str, ...]
    """What the user should be told."""


class Prepared(BaseModel):
    """A staging store that is ready for its windows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    window_count: int
    window_bytes: int
    total_bytes: int
    resumed_windows: int
    blocks_to_reorder: int
    """Of the pass through the source that `reorder` has to make first; 0 where there is none."""
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
            source_array=SourceArray.of(extractor),
            options=options,
            plan=plan,
            started=datetime.now(UTC),
        )
        earlier = staging.job()
        difference = None if earlier is None else earlier.difference(job)
        if earlier is not None and difference is None:
            difference = _damage(staging.store, job)
        notices: list[str] = []
        stored = 0
        is_out_of_order = needs_reordering(extractor, plan)
        if earlier is None or difference is not None:
            if difference is not None:
                notices.append(f"started over: {difference} since the earlier run")
            elif staging.has_unreadable_job():
                notices.append("started over: the job.json of the earlier run is damaged, or of another version")
            staging.clear()
            check_space(
                staging.folder, extractor, plan, Codec(options.codec, plan.pixel_bytes), reordered=is_out_of_order
            )
            ngff.create_store(staging.store, plan, options, extractor)
            staging.begin(job)
        else:
            stored = len(staging.journal.stored())
            notices.append(f"going on with an earlier run: {stored} of {plan.window_count} windows are stored")
        blocks = 0
        reordered = staging.reordered(plan, extractor.axes_on_disk)
        if is_out_of_order and not reordered.is_complete and stored < plan.window_count:
            blocks = reordered.block_count
            notices.append(
                f"frames do not lie one after another on disk ({extractor.axes_on_disk}), and memory is too small for "
                f"the recording: its pixels are first copied in the order of time; until it is stored, that takes "
                f"{plan.total_bytes / 1e9:.1f} GB more of {staging.folder.parent}"
            )
        return Prepared(
            window_count=plan.window_count,
            window_bytes=plan.window_bytes(0),
            total_bytes=plan.total_bytes,
            resumed_windows=stored,
            blocks_to_reorder=blocks,
            notices=tuple(notices),
        )


def _damage(store: Path, job: Job) -> str | None:
    """Say what of the description of the pixels a crash of the machine destroyed; None if nothing."""
    try:
        read_group(store / "zarr.json")
        for fault in check_description(store, job.plan, job.options, job.info, is_complete=False):
            raise fault
    except (InputRefused, StoreDamaged) as fault:
        return f"{fault.path} was damaged"
    return None


def reorder(target: Path, blocks: Iterable[int], workers: int) -> None:
    """Copy all pixels in the order of time, for the windows to be read from there.

    Parameters
    ----------
    target
        The target whose staging store was prepared, and is held, by this run.
    blocks
        All that are to be reordered, one after another.
    workers
        How many threads copy.

    Raises
    ------
    SourceChanged
        The recording changed.
    StorageFailed
        The disk is full or failed.
    """
    staging = Staging(target)
    job = staging.require_job()
    with open_recording(job.recording, sampling_frequency_hz=job.sampling_frequency_hz) as extractor:
        check_unchanged(job.sources)
        reordered = staging.reordered(job.plan, extractor.axes_on_disk)
        reordered.write(extractor, blocks, workers)
        check_unchanged(job.sources)


def store(target: Path, windows: Iterable[int], workers: int, done: Callable[[int, int], None]) -> list[str]:
    """Make sure that windows are stored, and read back equal; gives what the user should be told.

    Parameters
    ----------
    target
        The target whose staging store was prepared, and is held, by this run.
    windows
        Which ones; whoever wants to stop in between raises an exception.
    workers
        How many threads work, each on a window at a time.
    done
        Called with (bytes of the window, bytes in all) after each window; from any thread, never by two at a time.

    Raises
    ------
    SourceChanged
        The recording changed.
    StorageFailed
        The disk is full or failed.
    StoreDamaged
        What was read back is not what was written; a second run writes it again.
    """
    plan = Staging(target).require_job().plan
    notices: list[str] = []

    def lane(taken: Iterator[int], finished: Callable[[int], None]) -> None:
        with Worker(target, notices.append) as worker:
            worker.store(taken, finished)

    threads = min(workers, plan.window_count)
    work_off(windows, lane, threads, lambda window: done(plan.window_bytes(window), plan.total_bytes))
    return notices


def publish(target: Path, *, notices: Sequence[str] = ()) -> Report:
    """Make the verified staging store the target, with its run metadata.

    Raises
    ------
    SourceChanged
        The recording changed while it was converted.
    StorageFailed
        The disk is full or failed.
    StoreDamaged
        What describes the pixels cannot be read back; a second run makes it again.
    """
    staging = Staging(target)
    job = staging.require_job()
    verified = staging.journal.verified(staging.session())
    if missing := job.plan.window_count - len(verified):
        raise staging.lost(f"{missing} windows of {job.plan.window_count} without a receipt in its journal.jsonl")
    check_unchanged(job.sources)
    overview = staging.overview(job.plan)
    receipts = [verified[window] for window in range(job.plan.window_count)]
    digests = tuple(receipt.digest for receipt in receipts)
    metadata = RunMetadata(
        recording=job.recording,
        sources=job.sources,
        source_array=job.source_array,
        info=job.info,
        plan=job.plan,
        options=job.options,
        versions=Versions.here(),
        started=job.started,
        finished=datetime.now(UTC),
        window_digests=digests,
        content_digest=content_digest(digests),
        pixels=overview.pixel_statistics(),
    )
    overview.write_arrays(staging.store)
    write_run_metadata(staging.store, metadata)
    for fault in check_description(staging.store, job.plan, job.options, job.info):
        raise fault
    staging.publish()
    return Report(
        target=target,
        metadata=metadata,
        stored_bytes=sum(receipt.stored_bytes for receipt in receipts),
        notices=tuple(notices),
    )


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
    bytes_done = 0

    def count(window_bytes: int, total_bytes: int) -> None:
        nonlocal bytes_done
        bytes_done += window_bytes
        if progress is not None:
            progress(bytes_done, total_bytes)

    with staging.locked():
        prepared = prepare(staging, recording, options, sampling_frequency_hz=sampling_frequency_hz)
        if prepared.blocks_to_reorder:
            reorder(target, range(prepared.blocks_to_reorder), options.workers)
        notices = store(target, range(prepared.window_count), options.workers, count)
        return publish(target, notices=(*prepared.notices, *notices))
