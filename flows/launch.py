"""Running the flow from this process, against the Prefect API that is configured."""

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

# The terminal belongs to the command line; the same lines are in the run's log. Read by prefect when it is imported.
os.environ.setdefault("PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL", "CRITICAL")
# Where no API is configured, prefect starts a temporary server: on a slow disk that takes longer than its usual 20 s.
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")

from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal
from prefect.settings import PREFECT_HOME

from extractors.errors import Code, InputRefused, StorageFailed
from flows.convert import convert
from flows.ingest import ingest
from flows.settings import IngestSettings
from flows.watch import PROGRESS
from stores.convert import Progress, Report
from stores.options import ConvertOptions
from stores.sweep import SweepReport


class LaunchedRun(NamedTuple):
    """A flow run, as people find it again."""

    id: str
    name: str
    address: str | None
    """Where a dashboard shows it; None on a temporary server, which ends with this process."""


def launch_convert(
    recording: Path,
    target: Path,
    options: ConvertOptions,
    sampling_frequency_hz: float | None,
    *,
    progress: Progress | None,
    announce: Callable[[LaunchedRun], None],
) -> tuple[Report, LaunchedRun]:
    """Run the flow `convert` in this process, to its end.

    Parameters
    ----------
    recording, target, options, sampling_frequency_hz
        As the flow takes them.
    progress
        Called after each window.
    announce
        Called when it runs.

    Raises
    ------
    ZarrmillError
        As the steps do.
    KeyboardInterrupt
        The run was interrupted; every task has ended.
    """
    token = PROGRESS.set(progress)
    try:
        return _launch(convert, announce, recording, target, options, sampling_frequency_hz)
    finally:
        PROGRESS.reset(token)


def launch_ingest(
    settings: IngestSettings, *, announce: Callable[[LaunchedRun], None]
) -> tuple[SweepReport, LaunchedRun]:
    """Run the flow `ingest` in this process, to its end; `announce` is called when it runs.

    Raises
    ------
    ZarrmillError
        The archive cannot be used.
    KeyboardInterrupt
        The run was interrupted; every task has ended.
    """
    return _launch(ingest, announce, settings)


def _launch(flow: Any, announce: Callable[[LaunchedRun], None], *parameters: Any) -> tuple[Any, LaunchedRun]:
    launched: list[LaunchedRun] = []

    def on_running(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - prefect passes all by name
        api = os.environ.get("PREFECT_API_URL")
        launched.append(
            LaunchedRun(str(flow_run.id), flow_run.name, run_address(api, str(flow_run.id)) if api else None)
        )
        announce(launched[0])

    async def run() -> Any:
        await _reach_api()
        return await flow.with_options(on_running=[on_running])(*parameters)

    try:
        report = asyncio.run(run())
    except (TerminationSignal, asyncio.CancelledError):
        raise KeyboardInterrupt from None
    return report, launched[0]


async def _reach_api() -> None:
    api = os.environ.get("PREFECT_API_URL")
    if not api:
        _require_home(PREFECT_HOME.value())
        return
    async with get_client() as client:
        fault = await client.api_healthcheck()
    if fault is not None:
        raise InputRefused(
            Code.PREFECT_UNREACHABLE,
            path=None,
            expected=f"a Prefect API that answers at {api}",
            found=str(fault) or type(fault).__name__,
            todo="Start its server, or set PREFECT_API_URL to another one; unset it to convert without Prefect.",
        )


def _require_home(home: Path) -> None:
    """The temporary server has its database there; without it, it tries for minutes and fails."""
    if not os.access(home, os.W_OK | os.X_OK):
        raise StorageFailed(
            Code.STORAGE_FAILED,
            path=home,
            expected="a folder for Prefect's temporary server",
            found="none that can be written",
            todo="Set PREFECT_HOME to a folder that can, or PREFECT_API_URL to the address of a server.",
        )


def run_address(api_url: str, flow_run_id: str) -> str:
    """Where the dashboard of the server that answers at `api_url` shows a run."""
    server = api_url.rstrip("/").removesuffix("/api")
    return f"{server}/v2/runs/flow-run/{flow_run_id}"
