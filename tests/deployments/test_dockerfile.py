"""What the image promises, checked without an engine."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest


@pytest.fixture
def dockerfile(root: Path) -> str:
    return (root / "deployments" / "Dockerfile").read_text()


def test_the_linter_has_nothing_to_say(root: Path) -> None:
    linter = Path(sys.executable).with_name("hadolint")
    command = [linter, "--no-color", root / "deployments" / "Dockerfile"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_its_last_user_is_not_root(dockerfile: str) -> None:
    final = dockerfile.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", final, re.MULTILINE) == ["1000:1000"]


def test_it_installs_the_locked_versions_alone(dockerfile: str) -> None:
    synced = re.findall(r"uv sync (.*)", dockerfile)
    assert len(synced) == 2
    for words in synced:
        assert words.startswith("--frozen --no-dev --extra server")


def test_it_copies_every_package_and_what_the_wheel_needs(dockerfile: str, root: Path) -> None:
    wheel = tomllib.loads((root / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = set(" ".join(re.findall(r"^COPY (?!--)(.*) \S+$", dockerfile, re.MULTILINE)).split())
    assert {*wheel["packages"], *wheel["force-include"]} < copied
    let_through = set(re.findall(r"^!(.*)$", (root / ".dockerignore").read_text(), re.MULTILINE))
    assert copied == let_through
