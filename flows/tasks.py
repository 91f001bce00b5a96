"""The task runs of a conversion: each a few lines around steps of `stores`.

Parameters and results are paths, indices and small models; nothing is cached and no result is kept by Prefect, because
the journal of the staging store alone knows what is done.
"""

from pathlib import Path
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, TaskRun

from extractors.errors import Code, StorageFailed
from flows.settings import IngestSettings
from flows.watch import WATCH
from stores.audit import Audited, audit_store
from stores.convert import Prepared, Report, prepare, publish, reorder, store
from stores.landing import Scan, scan_landing
from stores.options import ConvertOptions
from stores.staging import Staging


async def may_pass(_task: object, _task_run: TaskRun, state: State[Any]) -> bool:
    """Whether trying again can help: after a disk's fault, but not where it is full, and never for refused input."""
    fault = await state.aresult(raise_on_failure=False)
    return isinstance(fault, StorageFailed) and fault.code is not Code.NO_SPACE


@task(task_run_name="prepare", cache_policy=NO_CACHE, persist_result=False)
def prepare_store(
    recording: Path, target: Path, options: ConvertOptions, sampling_frequency_hz: float | None
) -> Prepared:
    """Validate the recording, and make its staging store ready."""
    return prepare(Staging(target), recording, options, sampling_frequency_hz=sampling_frequency_hz)


@task(task_run_name="reorder", cache_policy=NO_CACHE, persist_result=False)
def reorder_pixels(target: Path, blocks: int, workers: int) -> None:
    """Copy all pixels in the order of time, for the windows to be read from there."""
    reorder(target, WATCH.get().windows(0, blocks), workers)


@task(
    task_run_name="windows {first} to {end}",
    cache_policy=NO_CACHE,
    persist_result=False,
    retries=2,
    retry_delay_seconds=[2, 30],
    retry_condition_fn=may_pass,
)
def store_windows(target: Path, first: int, end: int, workers: int) -> list[str]:
    """Write windows `first` to `end`, end exclusive, and read each one back; gives what the user should be told."""
    watch = WATCH.get()
    return store(target, watch.windows(first, end), workers, watch.done)


@task(task_run_name="publish", cache_policy=NO_CACHE, persist_result=False)
def publish_store(target: Path, notices: list[str]) -> Report:
    """Record run metadata, and make the verified staging store the target."""
    return publish(target, notices=notices)


@task(task_run_name="look at {settings.landing}", cache_policy=NO_CACHE, persist_result=False)
def look_at_landing(settings: IngestSettings) -> Scan:
    """Find out which recordings are new and complete."""
    return scan_landing(settings.landing, settings.archive, settings.completeness)


@task(task_run_name="stores from {first} on", cache_policy=NO_CACHE, persist_result=False)
def read_stores_back(archive: Path, keys: list[str], first: int) -> list[Audited]:  # noqa: ARG001 - in the run's name
    """Compare stores, named by their keys in the ledger, with their recorded digests."""
    return [audit_store(archive, key) for key in keys]
