"""The flow `convert`: one recording in, one verified store out."""

import asyncio
import time
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, get_run_logger
from prefect.context import SyncClientContext, TagsContext
from prefect.futures import PrefectFuture
from prefect.runtime import flow_run
from prefect.task_runners import ThreadPoolTaskRunner

from flows.artifacts import show_report, showing_progress, tag_run
from flows.batches import plan_batches
from flows.events import tell_stored, telling_refusal
from flows.tasks import prepare_store, publish_store, reorder_pixels, store_windows
from flows.watch import watching
from stores.convert import Prepared, Report
from stores.options import ConvertOptions
from stores.staging import Staging

T = TypeVar("T")


RUN_NAME: ContextVar[str | None] = ContextVar("run name", default=None)
"""What the next run is called, if not as its file: one flow serves all names."""


def run_name() -> str:
    """Name the run after its recording: one flow per recording would drown the dashboard."""
    return RUN_NAME.get() or Path(str(flow_run.parameters["recording"])).name


@flow(name="convert", flow_run_name=run_name, persist_result=False)
async def convert(
    recording: Path,
    target: Path,
    options: ConvertOptions = ConvertOptions(),  # noqa: B008 - frozen, and the dashboard's form shows what it holds
    sampling_frequency_hz: float | None = None,
) -> Report:
    """Convert one recording to one verified store.

    Args:
        recording: Data file or layout file, as an absolute path on the machine that runs this.
        target: Where the store will be; there must be nothing there yet.
        options: How the pixels are stored, and by how many threads.
        sampling_frequency_hz: Used in place of the recording's own; needed where it has none.
    """
    log = get_run_logger()
    started = time.monotonic()
    await tag_run(recording)
    runner: ThreadPoolTaskRunner[Any] = ThreadPoolTaskRunner(max_workers=1)  # each task has threads of its own
    # In the end, however it comes: tasks are told to stop, the runner waits for them, and only then the lock is freed.
    # One client for all tasks: without it each makes two of its own, and reads the certificates of the world for both.
    # Without tags of their own: for each, every task would ask the server whether it is a limit.
    with (
        telling_refusal(recording),
        Staging(target).locked(),
        SyncClientContext.get_or_create(),
        TagsContext(current_tags=set()),
        runner,
        watching() as watch,
    ):
        prepared: Prepared = await _outcome(
            runner.submit(
                prepare_store,
                {
                    "recording": recording,
                    "target": target,
                    "options": options,
                    "sampling_frequency_hz": sampling_frequency_hz,
                },
            )
        )
        for notice in prepared.notices:
            log.warning(notice)
        if prepared.blocks_to_reorder:
            blocks = {"blocks": prepared.blocks_to_reorder, "workers": options.workers}
            await _outcome(runner.submit(reorder_pixels, {"target": target, **blocks}))
        notices = list(prepared.notices)
        async with showing_progress(watch, prepared.total_bytes):
            for batch in plan_batches(prepared.window_count, prepared.window_bytes):
                windows = {"first": batch.first, "end": batch.end, "workers": options.workers}
                told: list[str] = await _outcome(runner.submit(store_windows, {"target": target, **windows}))
                for notice in told:
                    log.warning(notice)
                notices += told
        report: Report = await _outcome(runner.submit(publish_store, {"target": target, "notices": notices}))
    log.info("%s: %d windows stored, and read back equal", report.target, prepared.window_count)
    tell_stored(recording, report)
    await show_report(recording, report, time.monotonic() - started)
    return report


async def _outcome(future: PrefectFuture[T]) -> T:
    """Wait without holding the event loop: it is where Ctrl-C and a cancellation arrive."""
    return await asyncio.to_thread(future.result)
