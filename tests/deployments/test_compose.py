"""What docker-compose.yml promises, checked without an engine."""

import re
import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from compose_spec import PyCompose

Compose = Callable[..., dict[str, Any]]
REQUIRED = ("ZARRMILL_PASSWORD", "ZARRMILL_DATABASE_PASSWORD", "ZARRMILL_LANDING", "ZARRMILL_ARCHIVE")
ONE_SHOT = {"migrate", "deploy"}


def values(compose: Compose, name: str) -> dict[str, Any]:
    return {service: described.get(name) for service, described in compose()["services"].items()}


def test_it_is_a_valid_compose_file(compose: Compose) -> None:
    parsed = PyCompose.from_yaml(yaml.safe_dump(compose()))
    parsed.validate()
    assert set(parsed.service_names()) == set(compose()["services"])


def test_the_validator_refuses_a_key_that_compose_does_not_know(compose: Compose) -> None:
    document = compose()
    document["services"]["worker"]["depends_upon"] = ["server"]
    with pytest.raises(ValueError, match="depends_upon"):
        PyCompose.from_yaml(yaml.safe_dump(document))


@pytest.mark.parametrize("name", REQUIRED)
def test_it_does_not_start_without(name: str, compose: Compose) -> None:
    with pytest.raises(KeyError, match=name):
        compose({other: "x" for other in REQUIRED if other != name})


def test_env_example_names_every_variable_and_no_other(root: Path) -> None:
    used = set(re.findall(r"\$\{(\w+)", (root / "docker-compose.yml").read_text()))
    offered = set(re.findall(r"^#?(\w+)=", (root / ".env.example").read_text(), re.MULTILINE))
    assert offered == used


def test_env_example_holds_no_password(root: Path) -> None:
    assert re.findall(r"^\w*PASSWORD=(.*)$", (root / ".env.example").read_text(), re.MULTILINE) == ["", ""]


def test_only_the_dashboard_is_reached_from_outside_and_only_from_this_machine(compose: Compose) -> None:
    ports = {service: port for service, port in values(compose, "ports").items() if port}
    assert ports == {"server": ["127.0.0.1:4200:4200"]}


def test_the_api_asks_for_a_password(compose: Compose) -> None:
    environments = values(compose, "environment")
    assert environments["server"]["PREFECT_SERVER_API_AUTH_STRING"] == "zarrmill:secret"
    for client in ("deploy", "worker"):
        assert environments[client]["PREFECT_API_AUTH_STRING"] == "zarrmill:secret"


def test_recordings_cannot_be_written(compose: Compose) -> None:
    mounts = {volume["target"]: volume for volume in compose()["services"]["worker"]["volumes"]}
    assert mounts["/landing"]["source"] == "/data/landing"
    assert mounts["/landing"]["read_only"] is True
    assert mounts["/archive"]["source"] == "/data/archive"
    assert "read_only" not in mounts["/archive"]
    # A folder that is missing is a mistake, or a share that is not mounted: it is not made, as root, in its place.
    assert all(mount["bind"] == {"create_host_path": False} for mount in mounts.values())


def test_the_database_and_the_broker_outlive_their_containers(compose: Compose) -> None:
    volumes = values(compose, "volumes")
    assert volumes["postgres"] == ["database:/var/lib/postgresql/data"]
    assert volumes["redis"] == ["broker:/data"]
    assert set(compose()["volumes"]) == {"database", "broker"}


def test_our_containers_are_of_one_image_and_of_a_user_without_rights(compose: Compose) -> None:
    ours = {name: service for name, service in compose()["services"].items() if "build" in service}
    assert set(ours) == {"migrate", "server", "services", "deploy", "worker"}
    assert len({service["image"] for service in ours.values()}) == 1
    for service in ours.values():
        assert service["user"] == "1000:1000"
        assert service["cap_drop"] == ["ALL"]


def test_the_image_is_tagged_with_our_version(compose: Compose, root: Path) -> None:
    version = tomllib.loads((root / "pyproject.toml").read_text())["project"]["version"]
    assert compose()["services"]["worker"]["image"] == f"zarrmill:{version}"


def test_images_of_others_are_pinned_to_a_version(compose: Compose) -> None:
    images = {name: service["image"] for name, service in compose()["services"].items() if "build" not in service}
    assert set(images) == {"postgres", "redis"}
    for image in images.values():
        assert re.fullmatch(r"\w+:\d[\w.]*-\w+", image)


def test_every_service_that_lasts_says_whether_it_is_healthy_or_has_no_port(compose: Compose) -> None:
    without = {name for name, check in values(compose, "healthcheck").items() if check is None}
    assert without == ONE_SHOT | {"services"}


def test_nothing_waits_for_what_says_nothing(compose: Compose) -> None:
    checked = {name for name, check in values(compose, "healthcheck").items() if check}
    for waits in values(compose, "depends_on").values():
        for name, how in (waits or {}).items():
            expected = "service_completed_successfully" if name in ONE_SHOT else "service_healthy"
            assert how["condition"] == expected
            assert name in ONE_SHOT | checked


def test_one_shot_steps_are_not_started_again(compose: Compose) -> None:
    once = {name for name, restart in values(compose, "restart").items() if restart == "no"}
    assert once == ONE_SHOT


def test_a_worker_has_time_to_end_its_runs(compose: Compose) -> None:
    from flows.process_worker import RUNS_END_SECONDS, WORKER_ENDS_SECONDS

    grace = compose()["services"]["worker"]["stop_grace_period"]
    assert float(grace.removesuffix("s")) >= RUNS_END_SECONDS + WORKER_ENDS_SECONDS
