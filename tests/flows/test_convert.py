import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from stores.lock import hold
from stores.verify import verify_store

Run = Callable[..., subprocess.CompletedProcess[str]]
Interrupted = Callable[..., tuple[int, str]]
WINDOWS = ["--chunk-bytes", "4096", "--shard-bytes", "409600"]


def ask(api: str, kind: str, **body: Any) -> list[dict[str, Any]]:
    answer = httpx.post(f"{api}/{kind}/filter", json=body, timeout=30).raise_for_status().json()
    assert isinstance(answer, list)
    return answer


def flow_run(api: str, said: str) -> dict[str, Any]:
    """The flow run whose address was printed."""
    found = re.search(rf"{re.escape(api.removesuffix('/api'))}/v2/runs/flow-run/(\S+)", said)
    assert found is not None
    run = httpx.get(f"{api}/flow_runs/{found[1]}", timeout=30).raise_for_status().json()
    assert isinstance(run, dict)
    return run


def task_runs(api: str, run: dict[str, Any], count: int) -> list[dict[str, Any]]:
    """Its task runs: the server records them some time after they happened."""
    while len(found := ask(api, "task_runs", flow_runs={"id": {"any_": [run["id"]]}})) < count or any(
        task["state_type"] in {"PENDING", "RUNNING"} for task in found
    ):
        pass  # ends by the test's own timeout
    return found


def test_a_conversion_is_one_flow_run_that_is_named_after_its_recording(
    zarrmill: Run, prefect_api: str, recording: Path, tmp_path: Path
) -> None:
    told = zarrmill("convert", recording, tmp_path / "m.zarr", *WINDOWS, PREFECT_API_URL=prefect_api)
    assert told.returncode == 0, told.stderr
    assert told.stderr.splitlines()[0].startswith("flow run movie.raw: http://127.0.0.1:")
    run = flow_run(prefect_api, told.stdout)
    assert (run["name"], run["state_name"]) == ("movie.raw", "Completed")
    assert zarrmill("verify", tmp_path / "m.zarr", "--source", recording).returncode == 0

    tasks = task_runs(prefect_api, run, 3)
    prepare, publish, windows = sorted(task["name"] for task in tasks)
    assert (prepare, publish) == ("prepare", "publish")
    assert re.fullmatch(r"windows 0 to \d", windows)
    assert all(task["state_type"] == "COMPLETED" for task in tasks)


def test_a_file_larger_than_memory_is_reordered_in_a_task_of_its_own(
    prefect_api: str, recording: Path, tmp_path: Path
) -> None:
    described = {
        "dtype": "<u2",
        "axes": "yxt",
        "rows": 32,
        "columns": 64,
        "samples": 300,
        "sampling_frequency_hz": 30.0,
    }
    recording.with_name("movie.layout.json").write_text(json.dumps(described))
    small_memory = "import stores.reorder; stores.reorder.available_bytes = lambda: 1000"
    assert "reorder" in names_of_tasks(prefect_api, small_memory, recording, tmp_path / "m.zarr", 4)


def test_a_large_recording_is_stored_by_one_task_after_another(
    prefect_api: str, recording: Path, tmp_path: Path
) -> None:
    """The flow in a process where recordings are large sooner; a window is 50 samples."""
    few_bytes = "import flows.batches; flows.batches.BATCH_BYTES = 3 * 50 * 4096"
    names = names_of_tasks(prefect_api, few_bytes, recording, tmp_path / "m.zarr", 4)
    assert names == ["prepare", "windows 0 to 3", "windows 3 to 6", "publish"]


def names_of_tasks(prefect_api: str, change: str, recording: Path, target: Path, count: int) -> list[str]:
    """Tasks of a conversion in a process of its own that makes a change first, in the order of their start."""
    script = (
        f"import asyncio, pathlib, sys\n{change}\n"
        "from flows.convert import convert\n"
        "from stores.options import ConvertOptions\n"
        "options = ConvertOptions(chunk_bytes=4096, shard_bytes=409600)\n"
        "asyncio.run(convert(*map(pathlib.Path, sys.argv[1:3]), options))\n"
    )
    environment = {"PREFECT_API_URL": prefect_api, "HOME": str(target.parent), "PATH": os.environ["PATH"]}
    subprocess.run([sys.executable, "-c", script, recording, target], env=environment, check=True, timeout=120)
    assert not verify_store(target, source=recording).findings
    runs = ask(prefect_api, "flow_runs", sort="START_TIME_DESC", limit=1)
    tasks = task_runs(prefect_api, runs[0], count)
    return [task["name"] for task in sorted(tasks, key=lambda task: str(task["start_time"]))]


def test_the_dashboard_is_there_at_the_printed_address(prefect_api: str) -> None:
    address = f"{prefect_api.removesuffix('/api')}/v2/runs/flow-run/0"
    page = httpx.get(address, timeout=30, headers={"Accept": "text/html"})
    assert page.is_success
    assert "<html" in page.text


def test_nothing_large_is_sent_to_the_server(zarrmill: Run, prefect_api: str, recording: Path, tmp_path: Path) -> None:
    told = zarrmill("convert", recording, tmp_path / "m.zarr", *WINDOWS, "--json", PREFECT_API_URL=prefect_api)
    run = flow_run(prefect_api, json.loads(told.stdout)["flow_run"]["address"])
    assert set(run["parameters"]) == {"recording", "target", "options", "sampling_frequency_hz"}
    assert len(json.dumps(run)) < 10_000
    assert all(len(json.dumps(task)) < 10_000 for task in task_runs(prefect_api, run, 3))


def test_refused_input_fails_the_run_at_once_with_one_message(
    zarrmill: Run, prefect_api: str, recording: Path, tmp_path: Path
) -> None:
    with recording.open("ab") as file:
        file.write(b"x")
    told = zarrmill("convert", recording, tmp_path / "m.zarr", PREFECT_API_URL=prefect_api)
    assert told.returncode == 1
    assert told.stdout == ""
    assert len(told.stderr.splitlines()) == 2
    assert told.stderr.splitlines()[1].startswith(f"zarrmill: [size-mismatch] {recording}: expected ")
    assert not list(tmp_path.glob("m.zarr*"))

    run = flow_run(prefect_api, told.stderr)
    assert run["state_name"] == "Failed"
    assert "size-mismatch" in run["state"]["message"]
    assert [task["run_count"] for task in task_runs(prefect_api, run, 1)] == [1]


def test_an_api_that_does_not_answer_is_one_message(zarrmill: Run, recording: Path, tmp_path: Path) -> None:
    told = zarrmill("convert", recording, tmp_path / "m.zarr", PREFECT_API_URL="http://127.0.0.1:9/api")
    assert told.returncode == 1
    assert len(told.stderr.splitlines()) == 1
    assert "[prefect-unreachable] expected a Prefect API that answers at http://127.0.0.1:9/api" in told.stderr
    assert not list(tmp_path.glob("m.zarr*"))


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_flow_run_is_crashed_and_the_next_one_goes_on(
    zarrmill: Run, interrupted: Interrupted, prefect_api: str, recording: Path, tmp_path: Path, word: signal.Signals
) -> None:
    target = tmp_path / "m.zarr"
    code, said = interrupted(recording, target, word, PREFECT_API_URL=prefect_api)
    assert code == 130
    assert said.splitlines()[-1].startswith(f"zarrmill: interrupted; what is finished is kept in {target}.partial")
    assert not target.exists()
    assert flow_run(prefect_api, said)["state_name"] == "Crashed"

    told = zarrmill("convert", recording, target, "--chunk-bytes", "4096", "--shard-bytes", "4096")
    assert told.returncode == 0
    stored = re.search(r"going on with an earlier run: (\d+) of 300 windows", told.stderr)
    assert stored is not None
    assert 0 < int(stored[1]) < 300


def test_a_second_run_on_a_target_fails_and_names_the_first(
    zarrmill: Run, prefect_api: str, recording: Path, tmp_path: Path
) -> None:
    target = tmp_path / "m.zarr"
    with hold(tmp_path / "m.zarr.partial" / "lock", target):
        told = zarrmill("convert", recording, target, PREFECT_API_URL=prefect_api)
    assert told.returncode == 1
    assert "[target-busy]" in told.stderr
    assert f"process {os.getpid()}" in told.stderr


# A disk with faults, as a script, so that the flow still runs in a process of its own.
FAULTY = """
import asyncio, sys
from pathlib import Path
from extractors.errors import Code, StorageFailed
from flows.convert import convert
from flows.tasks import store_windows
from stores.worker import Worker

recording, target, code, failures = sys.argv[1:]
store, tries = Worker.store, 0

def failing(worker, windows, done):
    global tries
    tries += 1
    if tries <= int(failures):
        raise StorageFailed(Code(code), path=target, expected="a disk", found="none", todo="Wait.")
    return store(worker, windows, done)

Worker.store = failing
store_windows.retry_delay_seconds = [0, 0]
try:
    asyncio.run(convert(Path(recording), Path(target)))
except StorageFailed as fault:
    assert fault.code == code
print(tries)
"""


@pytest.mark.parametrize(
    ("code", "failures", "tries"),
    [("storage-failed", 1, 2), ("storage-failed", 9, 3), ("no-space", 9, 1)],
    ids=["passes", "lasts", "full"],
)
def test_only_a_fault_that_can_pass_is_tried_again(
    environment: dict[str, str], prefect_api: str, recording: Path, tmp_path: Path, code: str, failures: int, tries: int
) -> None:
    target = tmp_path / "m.zarr"
    done = subprocess.run(
        [sys.executable, "-c", FAULTY, recording, target, code, str(failures)],
        env=environment | {"PREFECT_API_URL": prefect_api},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == f"{tries}\n"
    assert target.exists() == (failures < tries)
