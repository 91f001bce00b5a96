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

from prefect.client.schemas.objects import FlowRun
from prefect.exceptions import TerminationSignal

from flows.convert import convert
from flows.watch import PROGRESS
from stores.convert import Progress, Report
from stores.options import ConvertOptions


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
    launched: list[LaunchedRun] = []

    def on_running(flow: Any, flow_run: FlowRun, state: Any) -> None:  # noqa: ARG001 - prefect passes all by name
        api = os.environ.get("PREFECT_API_URL")
        launched.append(
            LaunchedRun(str(flow_run.id), flow_run.name, run_address(api, str(flow_run.id)) if api else None)
        )
        announce(launched[0])

    token = PROGRESS.set(progress)
    try:
        run = convert.with_options(on_running=[on_running])
        report = asyncio.run(run(recording, target, options, sampling_frequency_hz))
    except (TerminationSignal, asyncio.CancelledError):
        raise KeyboardInterrupt from None
    finally:
        PROGRESS.reset(token)
    return report, launched[0]


def run_address(api_url: str, flow_run_id: str) -> str:
    """Where the dashboard of the server that answers at `api_url` shows a run."""
    server = api_url.rstrip("/").removesuffix("/api")
    return f"{server}/v2/runs/flow-run/{flow_run_id}"
