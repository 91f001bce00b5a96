"""What the dashboard shows of a run: how far it is, what was made of a recording, what a sweep found.

Nothing here can fail a run: the archive is right without it.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TypeVar
from uuid import UUID

import numpy as np
from prefect.artifacts import MarkdownArtifact, ProgressArtifact, aupdate_progress_artifact
from prefect.client.orchestration import get_client
from prefect.context import FlowRunContext
from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from flows.naming import handle
from flows.pictures import recording_picture
from flows.sweep_table import cell, code, sweep_text
from flows.terminal import amount, duration
from flows.watch import Watch
from stores.convert import Report
from stores.sweep import SweepReport

PROGRESS_SECONDS = 2.0
"""Between two updates; one costs the server about 9 ms. Conversions that take less need no progress shown."""
PATIENCE_SECONDS = 30.0
"""A server that takes longer is done without."""
T = TypeVar("T")


@asynccontextmanager
async def showing_progress(watch: Watch, total_bytes: int) -> AsyncIterator[None]:
    """Show how far the run is while the block runs, by an artifact that is updated at most once a second."""
    shown = asyncio.create_task(_show_progress(watch, total_bytes))
    try:
        yield
    finally:
        shown.cancel()
        with suppress(asyncio.CancelledError):
            await shown
    if not shown.cancelled() and (artifact := shown.result()) is not None:
        await _may_fail(aupdate_progress_artifact(artifact, 100.0, "**100 %**: all is written and read back"))


async def _show_progress(watch: Watch, total_bytes: int) -> UUID | None:
    started = time.monotonic()
    artifact: UUID | None = None
    shown = -1
    with suppress(asyncio.CancelledError):
        while True:
            await asyncio.sleep(PROGRESS_SECONDS)
            done = watch.done_bytes
            if done == shown:
                continue
            percent = 100 * done / total_bytes
            words = _how_far(done, total_bytes, time.monotonic() - started)
            if artifact is None:
                progress = ProgressArtifact(progress=percent, description=words)
                created = await _may_fail(progress.acreate())
                artifact = None if created is None else created.id
            else:
                await _may_fail(aupdate_progress_artifact(artifact, percent, words))
            shown = done
    return artifact


def _how_far(done: int, total_bytes: int, seconds: float) -> str:
    left = f", {duration(round((total_bytes - done) * seconds / done))} to go" if done else ""
    speed = f"{amount(done / seconds)}/s"
    return f"**{100 * done / total_bytes:.0f} %**{left}: {amount(done)} of {amount(total_bytes)}, {speed}"


async def show_report(recording: Path, report: Report, seconds: float) -> None:
    """Show what was made of a recording, with a picture of it.

    Parameters
    ----------
    recording
        As the flow was given it.
    report
        What the conversion did.
    seconds
        How long this run took.
    """

    async def show() -> None:
        picture = await asyncio.to_thread(recording_picture, report.target, report.metadata)
        name = flow_run.name or recording.name
        text = report_text(name, report, seconds, picture)
        await MarkdownArtifact(key=handle(recording), markdown=text, description=f"stored: {_sizes(report)}").acreate()

    await _may_fail(show())


def report_text(name: str, report: Report, seconds: float, picture: str) -> str:
    """Give the run report of the recording that is called `name`, in Markdown."""
    metadata = report.metadata
    plan, info, pixels = metadata.plan, metadata.info, metadata.pixels
    rate = info.sampling_frequency_hz
    rows = {
        "axes and shape": ", ".join(f"{axis} {size}" for axis, size in zip(plan.axes, plan.shape, strict=True)),
        "data type": f"{np.dtype(plan.dtype).name} (in the recording {cell(metadata.source_array.dtype)})",
        "sampling frequency": "unknown" if rate is None else f"{rate:g} Hz: {duration(plan.shape[0] / rate)} in all",
        "pixel size": "unknown" if info.pixel_size_um is None else "{:g} x {:g} µm (y, x)".format(*info.pixel_size_um),
        "pixel values": f"{pixels.minimum:g} to {pixels.maximum:g}, mean {pixels.mean:.5g}",
        "size": _sizes(report),
        "throughput": f"{amount(plan.total_bytes / seconds)}/s, reading back included: {duration(seconds)}",
        "verified": f"{plan.window_count} of {plan.window_count} windows: read back from the disk, and equal",
        "recording": code(metadata.recording),
        "store": code(str(report.target)),
        "content digest": f"{code(metadata.content_digest)} (xxh3-128)",
    }
    lines = [f"## {cell(name)} is stored", ""]
    lines += [f"> **Note:** {cell(notice)}\n" for notice in report.notices]
    lines += [f"![mean image, and mean intensity over time]({picture})", "", "| | |", "|---|---|"]
    lines += [f"| {row} | {value} |" for row, value in rows.items()]
    return "\n".join(lines)


def _sizes(report: Report) -> str:
    size = report.metadata.plan.total_bytes
    return f"{amount(size)} of pixels in {amount(report.stored_bytes)}, {size / report.stored_bytes:.2f} to 1"


async def show_sweep(landing: Path, report: SweepReport) -> None:
    """Show what became of each recording in a landing folder; nothing where there is nothing to tell."""
    text = sweep_text(landing, report)
    if text is not None:
        shown = MarkdownArtifact(key=f"sweep-of-{handle(landing)}", markdown=text, description=report.summary)
        await _may_fail(shown.acreate())


async def tag_run(recording: Path) -> None:
    """Tag the flow run that is going on with its recording, unless it was when it was made."""
    context = FlowRunContext.get()
    if context is None or context.flow_run is None:
        return
    run, tag = context.flow_run, handle(recording)
    if tag not in run.tags:
        async with get_client() as client:
            await _may_fail(client.update_flow_run(run.id, tags=[*run.tags, tag]))


async def _may_fail(call: Awaitable[T]) -> T | None:
    """Wait for what only the dashboard needs."""
    try:
        async with asyncio.timeout(PATIENCE_SECONDS):
            return await call
    except Exception as fault:  # noqa: BLE001 - whatever it is, the recording is stored
        get_run_logger().warning("not shown on the dashboard: %s: %s", type(fault).__name__, fault)
        return None
