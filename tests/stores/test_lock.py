"""One run at a time: with real processes, as the kernel frees the lock."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from extractors.errors import Code, TargetRefused
from stores.lock import hold

HOLDER = """
import sys
from pathlib import Path
from stores.lock import hold
with hold(Path(sys.argv[1]), Path("target.zarr")):
    print("held", flush=True)
    sys.stdin.read()
"""


def start_holder(path: Path) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def end(process: "subprocess.Popen[str]") -> None:
    process.send_signal(signal.SIGKILL)
    process.communicate()


def test_the_second_fails_at_once_and_names_the_holder(tmp_path: Path) -> None:
    path = tmp_path / "staging" / "lock"
    process = start_holder(path)
    try:
        with pytest.raises(TargetRefused, match=f"process {process.pid} on ") as refusal, hold(path, Path("t.zarr")):
            pass
        assert refusal.value.code == Code.TARGET_BUSY
    finally:
        end(process)


def test_a_killed_holder_frees_the_lock(tmp_path: Path) -> None:
    path = tmp_path / "staging" / "lock"
    end(start_holder(path))
    with hold(path, Path("t.zarr")) as holder:
        assert holder.process > 0


def test_two_holds_in_one_process_exclude_each_other(tmp_path: Path) -> None:
    path = tmp_path / "staging" / "lock"
    with hold(path, Path("t.zarr")), pytest.raises(TargetRefused), hold(path, Path("t.zarr")):
        pass


def test_a_lock_file_that_was_removed_while_held_does_not_keep_the_next_one_out(tmp_path: Path) -> None:
    path = tmp_path / "staging" / "lock"
    with hold(path, Path("t.zarr")) as first:
        path.unlink()
        path.parent.rmdir()
        with hold(path, Path("t.zarr")) as second:
            assert second.session != first.session
