"""A headless Chromium, and a dashboard that is served as a user serves it."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest

ZARRMILL = Path(sys.executable).with_name("zarrmill")
PATIENCE_S = 240
# For the README: SCREENSHOTS=docs/images pytest --basetemp=/data tests/browser
SCREENSHOTS = os.environ.get("SCREENSHOTS")
LAYOUT = {
    "version": 1,
    "dtype": "<u2",
    "axes": "tyx",
    "rows": 128,
    "columns": 128,
    "sampling_frequency_hz": 30.0,
    "pixel_size_um": [1.5, 1.5],
}
# Windows of one sample: two thousand take so many seconds that a browser can watch.
SMALL_WINDOWS = ["--chunk-bytes", "4096", "--shard-bytes", "4096", "--workers", "1"]


class Dashboard(NamedTuple):
    """What a sweep left behind."""

    address: str
    landing: Path
    archive: Path

    def ask(self, kind: str, **body: Any) -> list[dict[str, Any]]:
        answer = httpx.post(f"{self.address}/api/{kind}/filter", json=body, timeout=60).raise_for_status().json()
        assert isinstance(answer, list)
        return answer

    def convert(self) -> subprocess.Popen[str]:
        """Start a conversion that takes some seconds."""
        recording = drop(self.landing.parent, "slow", seed=9, samples=2000, size=64)
        command = [ZARRMILL, "convert", recording, self.landing.parent / "slow.zarr", *SMALL_WINDOWS]
        environment = os.environ | {"PREFECT_API_URL": f"{self.address}/api"}
        return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


def drop(folder: Path, name: str, *, seed: int, samples: int = 600, size: int = 128, **layout: Any) -> Path:
    """Put a movie of cells that light up into `folder`, as old as if it were complete."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:size, :size]
    photons = np.full((samples, size, size), 20.0)
    for _ in range(14):
        row, column, start = random.uniform((0, 0, 0), (size, size, samples))
        calcium = np.exp(-np.clip(np.arange(samples) - start, 0, None) / 30) * (np.arange(samples) >= start)
        photons += 90 * (0.2 + calcium)[:, None, None] * np.exp(-((y - row) ** 2 + (x - column) ** 2) / 18)
    folder.mkdir(parents=True, exist_ok=True)
    path, sidecar = folder / f"{name}.raw", folder / f"{name}.layout.json"
    path.write_bytes(random.poisson(photons).astype("<u2").tobytes())
    sidecar.write_text(json.dumps(LAYOUT | {"rows": size, "columns": size} | layout))
    long_ago = time.time() - 86400
    for file in (path, sidecar):
        os.utime(file, (long_ago, long_ago))
    return path


@pytest.fixture(scope="module")
def dashboard(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Dashboard]:  # noqa: ARG001 - or skip
    """`zarrmill serve`, after its first sweep: of two good recordings, two bad ones, and one that is being copied."""
    folder = tmp_path_factory.mktemp("lab", numbered=False)
    landing, archive = folder / "landing", folder / "archive"
    for number in (17, 18):
        drop(landing / f"mouse-{number}", "session-1", seed=number)
    with drop(landing / "mouse-19", "cut-short", seed=3, samples=100).open("ab") as file:
        file.truncate(3_276_000)
    drop(landing / "mouse-19", "no-such-type", seed=4, samples=100, dtype="<u3")
    for path in landing.glob("mouse-19/*"):
        os.utime(path, (0, 0))
    drop(landing / "mouse-20", "being-copied", seed=5, samples=100).touch()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    where = [landing, archive, "--every", "1h", "--port", port, "--state", folder / "state"]
    with subprocess.Popen([ZARRMILL, "serve", *where], stderr=subprocess.PIPE, text=True) as serve:
        try:
            said = ""
            assert serve.stderr is not None
            while "Ctrl-C" not in said:
                line = serve.stderr.readline()
                assert line, said
                said += line
            dashboard = Dashboard(f"http://127.0.0.1:{port}", landing, archive)
            await_sweep(dashboard)
            yield dashboard
        finally:
            serve.send_signal(signal.SIGINT)
            try:
                serve.communicate(timeout=120)
            except subprocess.TimeoutExpired:
                serve.kill()  # its children are ended by the kernel


def await_sweep(dashboard: Dashboard) -> None:
    deadline = time.monotonic() + PATIENCE_S
    done = {"flows": {"name": {"any_": ["ingest"]}}, "flow_runs": {"state": {"type": {"any_": ["COMPLETED"]}}}}
    while not dashboard.ask("flow_runs", **done):
        assert time.monotonic() < deadline, "no sweep was completed"
        time.sleep(0.2)


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A browser that asks for nothing on the internet."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    chromium = shutil.which("chromium")
    if chromium is None:
        pytest.skip("there is no chromium")
    arguments = ["no-sandbox", "disable-gpu", "disable-quic", "no-first-run", "disable-background-networking"]
    arguments += ["disable-component-update", "disable-sync", "disable-dev-shm-usage"]
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=chromium, headless=True, args=[f"--{argument}" for argument in arguments]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    """A new page; a text that it waits for may take its time on a machine at work."""
    page = browser.new_page(viewport={"width": 1200, "height": 900}, locale="en-GB", timezone_id="UTC")
    page.set_default_timeout(60_000)
    page.set_default_navigation_timeout(60_000)
    yield page
    page.close()


@pytest.fixture
def picture_of(page: Any, tmp_path: Path) -> Callable[..., None]:
    """Keeps what the page shows, as `name.png`."""

    def take(name: str, **options: Any) -> None:
        folder = Path(SCREENSHOTS) if SCREENSHOTS else tmp_path
        page.screenshot(path=folder / f"{name}.png", animations="disabled", **options)

    return take
