"""One thread's hands: it stores windows, and reads back what is stored."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Self

from extractors.errors import Code, SourceChanged, StoreDamaged
from extractors.recording import open_recording
from extractors.source import check_unchanged
from stores.codec import Codec
from stores.direct import DirectWriter
from stores.disk import storage_faults
from stores.journal import Receipt
from stores.memory import keep_freed_blocks
from stores.metadata import SourceArray
from stores.shard import WindowReader, write_shard
from stores.staging import Staging
from stores.summary import Digest, Summary
from stores.verify import read_window


class Worker:
    """Stores and verifies windows of one staging store. Not for sharing between threads.

    Parameters
    ----------
    target
        The target whose staging store was prepared, and is held, by this run.
    notify
        Called with what the user should be told.

    Raises
    ------
    SourceChanged
        The recording is no longer what the job says.
    """

    def __init__(self, target: Path, notify: Callable[[str], None]) -> None:
        self._notify = notify
        keep_freed_blocks()
        self._staging = Staging(target)
        self._job = self._staging.require_job()
        self._session = self._staging.session()
        self._stored = self._staging.journal.stored()
        self._verified = self._staging.journal.verified(self._session)
        self.plan = self._job.plan
        self._overview = self._staging.overview(self.plan)
        self._codec = Codec(self._job.options.codec, self.plan.pixel_bytes)
        self._extractor = open_recording(self._job.recording, sampling_frequency_hz=self._job.sampling_frequency_hz)
        self._reader: WindowReader | None = None
        try:
            self._refuse_other_description()
        except BaseException:
            self._extractor.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._extractor.close()

    def _refuse_other_description(self) -> None:
        """A layout file that is edited during a run would mix two readings of the same bytes in one store."""
        job, found = self._job, self._extractor
        if (found.sources, found.info, SourceArray.of(found)) != (job.sources, job.info, job.source_array):
            check_unchanged(job.sources)
            raise SourceChanged(
                Code.SOURCE_CHANGED,
                path=job.recording,
                expected="the description of the recording as it was when the run began",
                found="another one",
                todo="Run again when nobody edits its layout any more.",
            )

    def store(self, windows: Iterable[int], done: Callable[[int], None]) -> None:
        """Make sure that each window is stored and verified.

        While one is encoded, the one before is flushed, read back from the disk, decoded and compared, chunk by chunk:
        the disk and the core have both to do all the time. However this ends, no window that was written is given up.

        Parameters
        ----------
        windows
            The windows, taken one by one. One that an earlier run stored is read back, and only redone if damaged.
        done
            Called with each window that is verified.

        Raises
        ------
        SourceChanged
            The recording changed.
        StorageFailed
            The disk is full or failed.
        StoreDamaged
            What was read back is not what was written; the receipt is withdrawn, so that a second run writes the
            window again.
        """
        before: Iterator[None] = iter(())
        try:
            for window in windows:
                if window in self._verified or self._confirm(window):
                    done(window)
                else:
                    last, before = before, self._write(window, before, done)
                    _finish(last)
        finally:
            _finish(before)

    def _write(self, window: int, before: Iterator[None], done: Callable[[int], None]) -> Iterator[None]:
        """Write a window while another is brought to its end; gives the steps that are left for this one."""
        check_unchanged(self._job.sources)
        if self._reader is None:
            reordered = self._staging.reordered(self.plan, self._extractor.axes_on_disk)
            self._reader = WindowReader(self._extractor, self.plan, reordered.read if reordered.is_complete else None)
        temporary = self._staging.temporary_path(window)
        summary, file = write_shard(self._reader, self.plan, self._codec, window, temporary, meanwhile=before)
        return self._bring_to_its_end(window, summary, file, done)

    def _bring_to_its_end(
        self, window: int, summary: Summary, file: DirectWriter, done: Callable[[int], None]
    ) -> Iterator[None]:
        temporary = self._staging.temporary_path(window)
        with storage_faults(temporary), file:
            file.wait()
        check_unchanged(self._job.sources)
        shard = self._staging.shard_path(self.plan, window)
        with storage_faults(shard):
            shard.parent.mkdir(parents=True, exist_ok=True)
            temporary.rename(shard)
        self._overview.keep(window, summary)
        receipt = Receipt(window=window, digest=summary.digest, stored_bytes=file.size_bytes)
        self._staging.journal.record("stored", self._session, receipt)
        self._stored[window] = receipt
        yield from self._read_back(window, Digest())
        done(window)

    def _confirm(self, window: int) -> bool:
        """Read back a window of an earlier run, if there is one, and count its pixels again; False if it is damaged.

        A crash may have lost what was told of its pixels.
        """
        if window not in self._stored:
            return False
        summary = Summary(self.plan, window)
        try:
            _finish(self._read_back(window, summary))
        except StoreDamaged as damage:
            self._notify(f"window {window} of the earlier run is written again: {damage}")
            return False
        self._overview.keep(window, summary)
        return True

    def _read_back(self, window: int, digest: Digest) -> Iterator[None]:
        receipt = self._stored[window]
        shard = self._staging.shard_path(self.plan, window)
        try:
            yield from read_window(shard, self.plan, self._codec, window, digest)
            if digest.digest != receipt.digest:
                raise StoreDamaged(
                    Code.STORE_DAMAGED,
                    path=shard,
                    expected=f"pixels of digest {receipt.digest}",
                    found=f"pixels of digest {digest.digest}",
                    todo="Run the same command again: this window is then written anew.",
                )
        except StoreDamaged:
            self._staging.journal.record("damaged", self._session, receipt)
            del self._stored[window]
            raise
        self._staging.journal.record("verified", self._session, receipt)
        self._verified[window] = receipt


def _finish(steps: Iterator[None]) -> None:
    for _ in steps:
        pass
