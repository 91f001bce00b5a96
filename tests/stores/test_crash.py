"""A crash at any instant: the target is absent or whole, and a second run finishes.

A child process is killed by SIGKILL at its n-th step that touches the disk, for every third n until one survives. The
steps are found by Python's audit events (open, rename, mkdir, remove, ...) and inside each write, half way through.
"""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from stores.convert import convert
from stores.options import ConvertOptions

STRIDE = 3  # 1 tries every step, in three times the time
MakeRecording = Callable[..., tuple[Path, NDArray[Any]]]
OPTIONS = {"chunk_bytes": 200, "shard_bytes": 500, "workers": 1}

# Forks once per step, so that Python and Zarr are imported once.
CHILD = """
import json, os, signal, sys
from pathlib import Path
import zarr
from extractors.errors import ZarrmillError
from stores import convert as module, disk, shard
from stores.options import ConvertOptions

source, target, options, steps = Path(sys.argv[1]), Path(sys.argv[2]), json.loads(sys.argv[3]), sys.argv[4:]
EVENTS = {"open", "os.rename", "os.mkdir", "os.rmdir", "os.remove", "os.truncate", "shutil.rmtree"}
count = 0
limit = 0

def step():
    global count
    count += 1
    return count == limit

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def audit(event, arguments):
    if limit and event in EVENTS and str(target.parent) in str(arguments[0]) and step():
        die()

write = os.write
def torn_write(descriptor, data):
    if limit and step():
        try:
            write(descriptor, data[: len(data) // 8192 * 4096 or len(data) // 2])  # past the page cache: whole blocks
        finally:
            die()
    return write(descriptor, data)

os.write = torn_write
sys.addaudithook(audit)

for text in sys.stdin:
    child = os.fork()
    if child == 0:
        limit = int(text)
        module.convert(source, target, ConvertOptions(**options))
        os._exit(0)
    _, status = os.waitpid(child, 0)
    print("killed" if os.WIFSIGNALED(status) else "ended", flush=True)
"""


@pytest.mark.slow
def test_killed_at_every_step_the_target_is_absent_or_whole_and_a_second_run_finishes(
    make_recording: MakeRecording, tmp_path: Path
) -> None:
    source, pixels = make_recording(sizes=(6, 6, 8))
    archive = tmp_path / "archive"
    archive.mkdir()
    target = archive / "rec.zarr"
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(source), str(target), json.dumps(OPTIONS)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as child:
        assert child.stdin is not None
        assert child.stdout is not None
        survived = False
        steps = 1 - STRIDE
        while not survived:
            steps += STRIDE
            child.stdin.write(f"{steps}\n")
            child.stdin.flush()
            outcome = child.stdout.readline().strip()
            survived = outcome == "ended"
            if not target.exists():
                convert(source, target, ConvertOptions(**OPTIONS))
            assert np.array_equal(zarr.open_group(target, mode="r")["0"][:], pixels)
            left = [entry.name for entry in archive.iterdir() if entry != target]
            assert left in ([], ["rec.zarr.partial"])
            for entry in archive.iterdir():
                shutil.rmtree(entry)
    assert child.returncode == 0
    assert steps > 50
