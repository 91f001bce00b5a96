"""prefect.yaml against the code that it names."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import yaml
from prefect.cli.deploy._models import PrefectYamlModel
from prefect.flows import Flow
from prefect.utilities.importtools import import_object

from flows.deploy import HEARTBEATS_MISSED, POOL, lost_runs_automation, prefect_file, with_interval
from flows.settings import AuditSettings, IngestSettings


@pytest.fixture
def definitions() -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(prefect_file().read_text())
    return read


@pytest.fixture
def deployments(definitions: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {deployment["name"]: deployment for deployment in definitions["deployments"]}


def test_prefect_reads_it(definitions: dict[str, Any]) -> None:
    model = PrefectYamlModel.model_validate(definitions)
    assert [deployment.name for deployment in model.deployments] == ["ingest", "audit", "convert"]
    assert model.pull == []


def test_the_installed_file_is_that_of_the_repository(root: Path) -> None:
    assert prefect_file().read_text() == (root / "deployments" / "prefect.yaml").read_text()


def test_every_entrypoint_is_a_flow_of_the_deployments_name(deployments: dict[str, dict[str, Any]]) -> None:
    for name, deployment in deployments.items():
        flow = import_object(deployment["entrypoint"])
        assert isinstance(flow, Flow)
        assert flow.name == name


def test_parameters_are_what_the_flows_take(deployments: dict[str, dict[str, Any]]) -> None:
    IngestSettings.model_validate(deployments["ingest"]["parameters"]["settings"])
    AuditSettings.model_validate(deployments["audit"]["parameters"]["settings"])


def test_runs_are_told_to_no_worker_that_streams_their_output(deployments: dict[str, dict[str, Any]]) -> None:
    for deployment in deployments.values():
        assert deployment["work_pool"] == {"name": POOL, "job_variables": {"stream_output": False}}


def test_scheduled_deployments_skip_a_run_that_would_overlap(deployments: dict[str, dict[str, Any]]) -> None:
    for name in ("ingest", "audit"):
        limit = deployments[name]["concurrency_limit"]
        assert (limit["limit"], limit["collision_strategy"]) == (1, "CANCEL_NEW")
    assert deployments["convert"]["concurrency_limit"]["collision_strategy"] == "ENQUEUE"


def test_every_schedule_has_a_slug_of_its_own(deployments: dict[str, dict[str, Any]]) -> None:
    slugs = {name: [each["slug"] for each in deployment["schedules"]] for name, deployment in deployments.items()}
    assert slugs == {"ingest": ["every", "hours"], "audit": ["nightly"], "convert": []}
    active = [each["slug"] for each in deployments["ingest"]["schedules"] if each["active"]]
    assert active == ["every"]


def test_the_interval_is_the_one_asked_for(definitions: dict[str, Any]) -> None:
    changed = with_interval(definitions, timedelta(minutes=7))
    ingest = next(each for each in changed["deployments"] if each["name"] == "ingest")
    assert [each.get("interval") for each in ingest["schedules"]] == [420.0, None]


def test_a_run_is_lost_after_three_heartbeats_and_not_before() -> None:
    automation = lost_runs_automation(180)
    assert automation.trigger.within == timedelta(seconds=540)  # type: ignore[union-attr]
    assert HEARTBEATS_MISSED == 3
