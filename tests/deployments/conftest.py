"""docker-compose.yml as Compose reads it."""

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
REQUIRED = {
    "ZARRMILL_PASSWORD": "secret",
    "ZARRMILL_DATABASE_PASSWORD": "hidden",
    "ZARRMILL_LANDING": "/data/landing",
    "ZARRMILL_ARCHIVE": "/data/archive",
}
# ${NAME}, ${NAME:-default}, ${NAME:?message}; the innermost first, as defaults may hold others
VARIABLE = re.compile(r"\$\{(?P<name>\w+)(?::(?P<kind>[-?])(?P<rest>[^{}]*))?\}")


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Fill in variables by the rules of Compose."""

    def value(match: re.Match[str]) -> str:
        found = variables.get(match["name"], "")
        if not found and match["kind"] == "?":
            raise KeyError(match["name"])
        return found or (match["rest"] or "" if match["kind"] == "-" else "")

    while VARIABLE.search(text):
        text = VARIABLE.sub(value, text)
    return text


@pytest.fixture(scope="session")
def compose() -> Callable[..., dict[str, Any]]:
    """Reads docker-compose.yml with the variables that it requires, and those given."""
    text = (ROOT / "docker-compose.yml").read_text()

    def read(variables: Mapping[str, str] = REQUIRED) -> dict[str, Any]:
        document: dict[str, Any] = yaml.safe_load(interpolate(text, variables))
        return document

    return read


@pytest.fixture(scope="session")
def root() -> Path:
    return ROOT
