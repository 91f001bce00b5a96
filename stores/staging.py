"""The staging store: a store while it is being written, and how it becomes the target.

Beside the target `NAME.zarr` lies the folder `NAME.zarr.partial`:

```
store/           the Zarr group; publishing renames it to NAME.zarr
job.json         what is converted, from what, how; written last, so that its presence says that `store` is complete
journal.jsonl    receipts
statistics.bin   minimum, maximum and mean of each sample
pictures.bin     mean image of each window
reordered.*      all pixels in the order of time, where the recording is not and is larger than memory
lock             who writes
```
"""

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from extractors.errors import Code, StorageFailed, TargetRefused
from extractors.info import RecordingInfo
from extractors.source import SourceFile
from stores.disk import replace_file, storage_faults, sync_path, sync_tree
from stores.journal import Journal
from stores.lock import hold, read_holder
from stores.metadata import SourceArray
from stores.options import ConvertOptions
from stores.overview import Overview
from stores.plan import Plan
from stores.reorder import Reordered

_OURS = (
    "journal.jsonl",
    "statistics.bin",
    "pictures.bin",
    "window*.tmp",
    "reordered.*",
    ".reordered.*.tmp",
    ".job.json.tmp",
)


class Job(BaseModel):
    """What is converted, from what, and how."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    recording: str
    """Absolute path, as `open_recording` takes it."""
    sampling_frequency_hz: float | None
    """Given by the user in place of the recording's own."""
    info: RecordingInfo
    sources: tuple[SourceFile, ...]
    source_array: SourceArray
    options: ConvertOptions
    plan: Plan
    started: datetime

    def difference(self, other: "Job") -> str | None:
        """Say in what `other` would make different bytes, or come from a different source; None if in nothing."""
        if self.sources != other.sources:
            return "the source changed"
        if self.options.stored_form() != other.options.stored_form():
            return "the options changed"
        if (self.source_array, self.info, self.plan) != (other.source_array, other.info, other.plan):
            return "the description of the recording changed"
        return None


class Staging:
    """One staging folder.

    Parameters
    ----------
    target
        Where the store will be.
    """

    def __init__(self, target: Path) -> None:
        self.target = target
        self.folder = staging_folder(target)
        self.store = self.folder / "store"
        self.journal = Journal(self.folder / "journal.jsonl")
        self._job_file = self.folder / "job.json"
        self._lock_file = self.folder / "lock"

    def job(self) -> Job | None:
        """The job that is staged here; None where there is none that can be gone on with."""
        try:
            return Job.model_validate_json(self._job_file.read_bytes())
        except (FileNotFoundError, ValidationError):
            return None

    def require_job(self) -> Job:
        """The job that is staged here, where there must be one."""
        job = self.job()
        if job is None:
            raise self.lost("its job.json is gone or was changed")
        return job

    def session(self) -> str:
        """The name of the run that holds this folder."""
        holder = read_holder(self._lock_file)
        if holder is None:
            raise self.lost("its lock is gone or was changed")
        return holder.session

    def lost(self, found: str) -> StorageFailed:
        """Give the error where somebody else removes or changes what is being written."""
        return StorageFailed(
            Code.STORAGE_FAILED,
            path=self.folder,
            expected="the staging store as this run left it",
            found=found,
            todo="Leave the folder alone while a run goes on; run the same command again.",
        )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the target against other runs; what is empty in the end is removed.

        Raises
        ------
        TargetRefused
            The target exists, its folder does not, or another run holds it.
        """
        with storage_faults(self.target):
            if os.path.lexists(self.target) and not self.store.exists():
                self.remove_leftover()  # of a run that was killed between its rename and its end
            self._refuse_target()
            self._refuse_foreign_folder()
        with hold(self._lock_file, self.target):
            try:
                self._refuse_target()
                yield
            finally:
                if not self._job_file.exists():
                    self.clear()
                    self._lock_file.unlink(missing_ok=True)
                    with suppress(OSError):  # another run, or somebody's file, may be in it
                        self.folder.rmdir()

    def _refuse_target(self) -> None:
        if not self.target.parent.is_dir():
            raise TargetRefused(
                Code.TARGET_FOLDER_MISSING,
                path=self.target,
                expected="a folder to put the store in",
                found=f"no folder {self.target.parent}",
                todo="Make the folder, or name another target.",
            )
        if os.path.lexists(self.target):
            raise TargetRefused(
                Code.TARGET_EXISTS,
                path=self.target,
                expected="nothing there yet",
                found="something there",
                todo="Name another target, or move this one away; it was not touched.",
            )

    def _refuse_foreign_folder(self) -> None:
        if not os.path.lexists(self.folder):
            return
        found = None
        if not self.folder.is_dir():
            found = "something else than a folder"
        elif not self._lock_file.exists() and any(self.folder.iterdir()):
            found = "a folder without the file 'lock', so not one of ours"
        if found is not None:
            raise TargetRefused(
                Code.STAGING_FOREIGN,
                path=self.folder,
                expected="a staging store of an earlier run, or nothing",
                found=found,
                todo="Move it away; it was not touched.",
            )

    def clear(self) -> None:
        """Remove all that runs put here but the lock; what somebody else put here, such as a recording, stays."""
        with storage_faults(self.folder):
            self._job_file.unlink(missing_ok=True)  # first: without it nothing else here counts
            if self.store.exists():
                shutil.rmtree(self.store)
            for pattern in _OURS:
                for entry in self.folder.glob(pattern):
                    entry.unlink()

    def remove_leftover(self) -> None:
        """Remove the folder, unless a run holds it or it is not one of ours."""
        if not self._lock_file.exists() and (not self.folder.is_dir() or any(self.folder.iterdir())):
            return
        with suppress(TargetRefused), hold(self._lock_file, self.target):
            self.clear()
            self._lock_file.unlink()
            with suppress(OSError):  # another run may be in it already
                self.folder.rmdir()

    def has_unreadable_job(self) -> bool:
        """Whether a job is staged here that cannot be gone on with: damaged, or of another version."""
        return self._job_file.exists() and self.job() is None

    def begin(self, job: Job) -> None:
        """Make `job` the one that is staged here; `store` holds its metadata by now."""
        sync_tree(self.store)  # a job on the disk must not survive a power failure that its store does not
        self.overview(job.plan).begin()
        replace_file(self._job_file, job.model_dump_json(indent=2).encode())

    def shard_path(self, plan: Plan, window: int) -> Path:
        """Where the shard of `window` lies."""
        return self.store / "0" / plan.window_key(window)

    def temporary_path(self, window: int) -> Path:
        """Where the shard of `window` is written, before it is renamed into the store."""
        return self.folder / f"window-{window}.tmp"

    def overview(self, plan: Plan) -> Overview:
        """What the windows told besides their pixels."""
        return Overview(self.folder, plan)

    def reordered(self, plan: Plan, axes_on_disk: str) -> Reordered:
        """The pixels in the order of time."""
        return Reordered(self.folder, plan, axes_on_disk)

    def publish(self) -> None:
        """Make the store the target: whole, flushed, by one rename.

        Raises
        ------
        TargetRefused
            Something came to be at the target in the meantime; the staging store is left as it is.
        StorageFailed
            The disk failed before the rename; the staging store is left as it is.
        """
        sync_tree(self.store)
        self._refuse_target()
        try:
            self.store.rename(self.target)
        except OSError as fault:
            raise StorageFailed(
                Code.STORAGE_FAILED,
                path=self.target,
                expected="a rename that succeeds",
                found=fault.strerror or str(fault),
                todo="Run the same command again: everything is stored, only the rename is missing.",
            ) from fault
        sync_path(self.target.parent)
        self.clear()


def staging_folder(target: Path) -> Path:
    """Where the store for `target` is while it is being written."""
    return target.parent / f"{target.name}.partial"  # not with_name: `/` has none
