"""What the server is told once: work pool, deployments, automation. `python -m flows.deploy`; again changes nothing.

The server is the one of PREFECT_API_URL; folders and interval are those of ZARRMILL_LANDING, ZARRMILL_ARCHIVE and
ZARRMILL_EVERY.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import yaml
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import WorkPoolCreate
from prefect.client.schemas.filters import FlowRunFilter, FlowRunFilterState, FlowRunFilterStateType
from prefect.client.schemas.objects import StateType
from prefect.events.actions import ChangeFlowRunState
from prefect.events.schemas.automations import AutomationCore, EventTrigger, Posture
from prefect.events.schemas.events import ResourceSpecification
from prefect.settings import get_current_settings
from prefect.states import Crashed
from prefect.workers.process import ProcessWorker

from flows.children import python
from flows.every import parse_every

POOL = "zarrmill"
LOST_RUNS = "zarrmill: lost runs are crashed"
HEARTBEATS_MISSED = 3
"""With fewer, a healthy run under load is taken for lost."""


def prefect_file() -> Path:
    """Where prefect.yaml is: beside this module in an installed package, in `deployments` in a checkout."""
    beside = Path(__file__).with_name("prefect.yaml")
    return beside if beside.exists() else Path(__file__).parents[1] / "deployments" / "prefect.yaml"


def with_interval(definitions: dict[str, Any], every: timedelta) -> dict[str, Any]:
    """Give what prefect.yaml holds, with this interval of `ingest`: Prefect fills in texts, but not numbers."""
    for deployment in definitions["deployments"]:
        for schedule in deployment["schedules"]:
            if schedule["slug"] == "every":
                schedule["interval"] = every.total_seconds()
    return definitions


def lost_runs_automation(heartbeat_seconds: float) -> AutomationCore:
    """Mark runs as crashed that stopped telling that they are alive.

    A run of a machine that lost its power, or whose worker was killed together with it, is otherwise Running for ever.
    """
    return AutomationCore(
        name=LOST_RUNS,
        description="A run that missed three heartbeats is crashed: its machine or its worker is gone.",
        trigger=EventTrigger(
            after={"prefect.flow-run.heartbeat"},
            expect={"prefect.flow-run.*"},
            match=ResourceSpecification({"prefect.resource.id": "prefect.flow-run.*"}),
            for_each={"prefect.resource.id"},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=HEARTBEATS_MISSED * heartbeat_seconds),
        ),
        actions=[
            ChangeFlowRunState(
                state=StateType.CRASHED, message="It stopped telling that it is alive. The next sweep goes on with it."
            )
        ],
    )


async def end_lost_runs(client: PrefectClient) -> int:
    """Mark every run that is said to be at work as crashed: for who knows that none can be; gives how many."""
    at_work = [StateType.RUNNING, StateType.PENDING, StateType.CANCELLING]
    query = FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=at_work)))
    ended = 0
    while runs := await client.read_flow_runs(flow_run_filter=query):  # a page
        for run in runs:
            await client.set_flow_run_state(run.id, Crashed(message="It ended with its worker."), force=True)
        ended += len(runs)
    return ended


async def prepare(*, alone: bool) -> None:
    """Make the work pool and the automation as they should be.

    Parameters
    ----------
    alone
        No worker is at work: what is said to be running is not.
    """
    async with get_client() as client:
        if alone:
            await end_lost_runs(client)
        template = ProcessWorker.get_default_base_job_template()
        pool = WorkPoolCreate(name=POOL, type=ProcessWorker.type, base_job_template=template)
        await client.create_work_pool(pool, overwrite=True)
        await _ensure_automation(client)


async def _ensure_automation(client: PrefectClient) -> None:
    heartbeat = get_current_settings().flows.heartbeat_frequency
    wanted = None if heartbeat is None else lost_runs_automation(heartbeat)
    present = await client.read_automations_by_name(LOST_RUNS)
    for automation in present[1:] if wanted else present:
        await client.delete_automation(automation.id)
    if wanted and present:
        await client.update_automation(present[0].id, wanted)
    elif wanted:
        await client.create_automation(wanted)


def make_deployments(every: timedelta) -> None:
    """Make the deployments of prefect.yaml, with this time from one sweep to the next."""
    definitions = with_interval(yaml.safe_load(prefect_file().read_text()), every)
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "prefect.yaml")
        file.write_text(yaml.safe_dump(definitions))
        command = python("prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file))
        if subprocess.run(command, cwd=folder, check=False).returncode:  # noqa: S603 - our own words
            sys.exit("the deployments could not be made")


async def sweep_now() -> None:
    """Start a first sweep: the schedule's first is up to an interval away."""
    async with get_client() as client:
        ingest = await client.read_deployment_by_name("ingest/ingest")
        await client.create_flow_run_from_deployment(ingest.id)


def main() -> None:
    """Deploy what the environment says; with `--alone`, end runs that no worker can be at."""
    for name in ("ZARRMILL_LANDING", "ZARRMILL_ARCHIVE"):
        if not Path(os.environ.get(name, "")).is_absolute():
            sys.exit(f"{name}: expected an absolute path; found {os.environ.get(name)!r}")
    every = parse_every(os.environ.get("ZARRMILL_EVERY", "5m"))
    asyncio.run(prepare(alone="--alone" in sys.argv[1:]))
    make_deployments(every)
    asyncio.run(sweep_now())


if __name__ == "__main__":
    main()
