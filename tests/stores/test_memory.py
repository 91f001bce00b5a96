import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from stores.memory import available_bytes

LIMIT_BYTES = 512 * 1024 * 1024


@pytest.fixture
def small_group() -> Iterator[Path]:
    """A control group of little memory; a file of it takes the processes that are to be in it."""
    for root, limit in (("/sys/fs/cgroup/memory", "memory.limit_in_bytes"), ("/sys/fs/cgroup", "memory.max")):
        group = Path(root, f"zarrmill-test-{os.getpid()}")
        try:
            group.mkdir()
        except OSError:
            continue
        try:
            (group / limit).write_text(str(LIMIT_BYTES))
        except OSError:
            group.rmdir()
            continue
        yield group / "cgroup.procs"
        group.rmdir()
        return
    pytest.skip("no control group can be made here: that takes root, and the memory controller")


def test_there_is_some_and_not_more_than_the_machine_has() -> None:
    assert 0 < available_bytes() <= os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_the_limit_of_a_control_group_counts(small_group: Path) -> None:
    code = "import os, pathlib, sys; pathlib.Path(sys.argv[1]).write_text(str(os.getpid()))\n"
    code += "from stores.memory import available_bytes; print(available_bytes())"
    told = subprocess.run([sys.executable, "-c", code, small_group], check=True, capture_output=True, text=True)
    assert int(told.stdout) == LIMIT_BYTES
