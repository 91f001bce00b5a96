"""README.md keeps its word: its blocks are run, one after another, as a reader would."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# What the first block installs is what these tests run in.
INSTALLS = "python3 -m venv .venv && .venv/bin/pip install -q . && "
# These run the tests, this one among them; .ci/run runs them as they stand.
RUNS_TESTS = "pytest"
# Runs until it is stopped: in a terminal of its own.
SERVES = ".venv/bin/prefect server start\n"
# A landing folder is watched for minutes: a walk of its own.
WATCHES = "landing"
WATCHED = "archive"


def blocks(text: str) -> list[tuple[str, str]]:
    return [(match[1], match[2]) for match in BLOCK.finditer(text)]


@pytest.fixture
def reader(tmp_path: Path) -> dict[str, str]:
    """A folder with `.venv`, and the environment of a reader who has nothing set up."""
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    kept = {name: os.environ[name] for name in os.environ if name.startswith(("COV", "LANG", "SSL"))}
    return kept | {"HOME": str(tmp_path), "PATH": "/usr/bin:/bin"}


def test_the_first_two_commands_set_everything_up() -> None:
    first, second, *_ = [text for language, text in blocks(README.read_text()) if language == "sh"]
    assert first == f"{INSTALLS}.venv/bin/zarrmill example demo\n"
    assert second.startswith("python3 -m venv .venv && .venv/bin/pip install ")
    assert RUNS_TESTS in second


def test_only_one_block_runs_the_tests() -> None:
    assert sum(RUNS_TESTS in text for _, text in blocks(README.read_text())) == 1


@pytest.mark.slow
def test_every_block_does_what_it_says(reader: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    # Another server may be at the port that readers use.
    text = README.read_text().replace("127.0.0.1:4200", f"127.0.0.1:{port}")
    reader |= {"PREFECT_SERVER_API_PORT": port}
    with ExitStack() as servers:
        for language, block in blocks(text):
            if RUNS_TESTS in block or WATCHES in block or WATCHED in block:
                continue
            if language == "json":
                assert json.loads(block) == json.loads((tmp_path / "demo" / "movie.layout.json").read_text())
                continue
            assert language in {"python", "sh"}
            script = block.removeprefix(INSTALLS)
            assert "pip install" not in script
            command = [sys.executable, "-c", script] if language == "python" else ["/bin/bash", "-euc", script]
            if block == SERVES:
                command = ["/bin/bash", "-euc", f"exec {script}"]
                servers.enter_context(serving(command, tmp_path, reader, f"http://127.0.0.1:{port}/api/health"))
            else:
                subprocess.run(command, cwd=tmp_path, env=reader, check=True, timeout=250)
    stores = sorted(path.name for path in (tmp_path / "demo").glob("*.zarr"))
    assert stores == ["again.zarr", "movie.zarr", "watched.zarr"]


@pytest.mark.slow
@pytest.mark.soak
@pytest.mark.timeout(600)
def test_a_recording_that_is_dropped_is_stored_within_five_minutes(reader: dict[str, str], tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    example, *rest = [text for language, text in blocks(README.read_text()) if language == "sh"]
    serve, drop, status = [block for block in rest if WATCHES in block or WATCHED in block]

    def run(script: str) -> str:
        command = ["/bin/bash", "-euc", script]
        return subprocess.run(command, cwd=tmp_path, env=reader, check=True, stdout=subprocess.PIPE, text=True).stdout

    run(example.removeprefix(INSTALLS))
    begun = time.monotonic()
    folders, command = serve.strip().splitlines()
    run(folders)
    command = f"exec {command} --port {port}"  # another dashboard may be where readers have theirs
    health = f"http://127.0.0.1:{port}/api/health"
    with serving(["/bin/bash", "-euc", command], tmp_path, reader, health):
        run(drop)
        while not (tmp_path / "archive" / "movie.zarr").exists():
            assert time.monotonic() - begun < 300
            time.sleep(0.5)
        while not re.search(r"^stored +1$", told := run(status), re.MULTILINE):
            assert time.monotonic() - begun < 300, told
    assert list((tmp_path / "archive").glob("*.partial")) == []


@contextmanager
def serving(command: list[str], folder: Path, environment: dict[str, str], health: str) -> Iterator[None]:
    """Run a server while the block runs."""
    with subprocess.Popen(command, cwd=folder, env=environment) as server:
        try:
            while not answers(health):
                assert server.poll() is None
                time.sleep(0.1)  # the test's own timeout ends it
            yield
        finally:
            server.terminate()


def answers(url: str) -> bool:
    try:
        return httpx.get(url).is_success
    except httpx.TransportError:
        return False
