"""The flow `ingest`: every new recording of a landing folder goes to the archive, once."""

import asyncio
from pathlib import Path
from typing import Any

from prefect import State, flow, get_run_logger, tags
from prefect.context import SyncClientContext
from prefect.runtime import flow_run
from prefect.states import Completed
from prefect.task_runners import ThreadPoolTaskRunner

from extractors.errors import TargetRefused
from flows.artifacts import show_sweep
from flows.convert import RUN_NAME, convert
from flows.events import tell_refused
from flows.naming import handle
from flows.settings import IngestSettings
from flows.tasks import look_at_landing
from stores.sweep import Problem, SweepReport, only_sweep, skipped, store_all


def run_name() -> str:
    """Name the run after the folder it sweeps."""
    settings = IngestSettings.model_validate(flow_run.parameters["settings"])
    return f"sweep of {settings.landing.name}"


@flow(
    name="ingest",
    flow_run_name=run_name,
    persist_result=False,
    task_runner=ThreadPoolTaskRunner(max_workers=1),  # type: ignore[arg-type]
)
async def ingest(settings: IngestSettings) -> SweepReport | State[Any]:
    """Convert each complete recording of a landing folder that is not in the archive yet; each in its own run.

    Recordings are only read. One that is refused does not stop the others, and is tried again when it changed. While
    another sweep of the archive runs, this one ends at once as skipped.

    Args:
        settings: Where recordings come from and go to, and when they count as complete.
    """
    log = get_run_logger()
    try:
        # One client for the tasks of all runs: making one costs more than a task.
        with only_sweep(settings.archive), SyncClientContext.get_or_create():
            scan = await asyncio.to_thread(look_at_landing.submit(settings).result)

            for entry in scan.refused:
                problem = Problem.of(entry)
                tell_refused(Path(entry.landing, entry.recording), problem.code, problem.message)

            async def store(recording: Path, target: Path) -> object:
                RUN_NAME.set(str(recording.relative_to(settings.landing.absolute())))
                with tags(handle(recording)):
                    return await convert(recording, target, settings.options)

            report = await store_all(scan, settings.archive, store, at_a_time=settings.at_a_time)
    except TargetRefused as fault:
        report = skipped(fault)
        log.warning(report.summary)
        return Completed(name="Skipped", message=report.summary, data=report)
    await show_sweep(settings.landing, report)
    for problem in (*report.refused, *report.failed):
        log.warning("%s: %s", problem.recording, problem.message)
    for notice in report.notices:
        log.warning(notice)
    if report.unreachable is not None:
        log.error(report.unreachable)
        return Completed(name="Unreachable", message=report.summary, data=report)
    log.info(report.summary)
    return Completed(message=report.summary, data=report)
