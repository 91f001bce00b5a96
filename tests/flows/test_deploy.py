"""What `flows.deploy` tells a real server."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

PATIENCE_S = 120

# In a process of its own, as settings are read when prefect is imported.
LOSE_A_RUN = """
import asyncio
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.events import emit_event
from prefect.states import Running
from flows.deploy import lost_runs_automation

@flow
def lost(): ...

async def main():
    async with get_client() as client:
        automation = await client.create_automation(lost_runs_automation(4))
        run = await client.create_flow_run(lost, state=Running())
    print(run.id, automation)
    emit_event("prefect.flow-run.heartbeat", resource={"prefect.resource.id": f"prefect.flow-run.{run.id}"})

asyncio.run(main())
"""


def python(api: str, home: Path, code: str) -> str:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PREFECT_")}
    settings = {"PREFECT_API_URL": api, "PREFECT_HOME": str(home)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=kept | settings, capture_output=True, text=True, timeout=PATIENCE_S, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def state_of(api: str, run: str) -> dict[str, Any]:
    state: dict[str, Any] = httpx.get(f"{api}/flow_runs/{run}", timeout=30).raise_for_status().json()["state"]
    return state


@pytest.mark.slow
def test_a_run_that_stops_telling_that_it_is_alive_is_marked_as_crashed(prefect_api: str, tmp_path: Path) -> None:
    run, automation = python(prefect_api, tmp_path, LOSE_A_RUN).split()
    try:
        assert state_of(prefect_api, run)["type"] == "RUNNING"
        deadline = time.monotonic() + PATIENCE_S
        while state_of(prefect_api, run)["type"] == "RUNNING":
            assert time.monotonic() < deadline
            time.sleep(0.5)
        state = state_of(prefect_api, run)
    finally:  # others' runs have heartbeats that are minutes apart
        httpx.delete(f"{prefect_api}/automations/{automation}", timeout=30).raise_for_status()
    assert (state["type"], state["message"]) == (
        "CRASHED",
        "It stopped telling that it is alive. The next sweep goes on with it.",
    )


def test_runs_that_no_worker_can_be_at_are_ended(prefect_api: str, tmp_path: Path) -> None:
    code = """
import asyncio
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.states import Completed, Pending, Running, Scheduled
from flows.deploy import end_lost_runs

@flow
def left(): ...

async def main():
    async with get_client() as client:
        runs = [await client.create_flow_run(left, state=state()) for state in (Running, Pending, Completed, Scheduled)]
        assert await end_lost_runs(client) >= 2
        assert await end_lost_runs(client) == 0
        print(*[(await client.read_flow_run(run.id)).state.type.name for run in runs])

asyncio.run(main())
"""
    assert python(prefect_api, tmp_path, code) == "CRASHED CRASHED COMPLETED SCHEDULED"
