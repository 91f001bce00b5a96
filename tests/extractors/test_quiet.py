"""A file is quiet when it was seen unchanged long enough, by a clock that is ours."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from extractors.discovery import FileState
from extractors.quiet import Sighting, Wait, is_open_for_writing, last_change, sight, wait_for

NOW = 1_000_000.0


def state(*, age: float = 100.0, size: int = 10, inode: int = 1) -> FileState:
    return FileState(size, int((NOW - age) * 1e9), inode)


def wait(*sightings: Sighting) -> Wait | None:
    named = {str(number): sighting for number, sighting in enumerate(sightings)}
    return wait_for(named, NOW, minimum_age_seconds=60, settle_seconds=5)


def test_old_and_seen_twice_is_quiet() -> None:
    assert wait(Sighting(state(), NOW - 5)) is None


def test_old_but_seen_once_only_waits_for_a_second_look() -> None:
    found = wait(Sighting(state(), NOW))
    assert found is not None
    assert found.seconds == 5


def test_young_waits_for_its_age() -> None:
    found = wait(Sighting(state(age=20), NOW - 10))
    assert found is not None
    assert found.seconds == pytest.approx(40)


def test_one_young_file_holds_back_the_others() -> None:
    assert wait(Sighting(state(), NOW - 50), Sighting(state(age=1), NOW - 1)) is not None


def test_a_modification_time_in_the_future_counts_from_when_it_was_seen() -> None:
    assert wait(Sighting(state(age=-3600), NOW - 59)) is not None
    assert wait(Sighting(state(age=-3600), NOW - 61)) is None


@pytest.mark.parametrize("change", [{"size": 11}, {"age": 99.0}, {"inode": 2}])
def test_any_change_starts_the_count_anew(change: dict[str, float]) -> None:
    earlier = {"a": Sighting(state(), NOW - 500)}
    assert sight({"a": state()}, earlier, NOW)["a"].since == NOW - 500
    assert sight({"a": state(**change)}, earlier, NOW)["a"].since == NOW  # type: ignore[arg-type]


def test_a_clock_that_was_set_back_does_not_make_files_older() -> None:
    found = sight({"a": state()}, {"a": Sighting(state(), NOW + 9999)}, NOW)
    assert found["a"].since == NOW


def test_the_last_change_is_that_of_the_file_that_changed_last() -> None:
    sightings = {"a": Sighting(state(age=100), NOW - 50), "b": Sighting(None, NOW - 70)}
    assert last_change(sightings) == NOW - 70


def test_a_file_that_another_process_has_open_for_writing_is_told(tmp_path: Path) -> None:
    path = tmp_path / "growing.raw"
    path.write_bytes(b"x")
    assert not is_open_for_writing(path)
    code = "import sys; f = open(sys.argv[1], 'ab'); print('open', flush=True); sys.stdin.read()"
    writer = subprocess.Popen(
        [sys.executable, "-c", code, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "open\n"
    assert is_open_for_writing(path)
    writer.communicate("")
    assert not is_open_for_writing(path)


def test_a_file_open_for_reading_only_is_not_being_written(tmp_path: Path) -> None:
    path = tmp_path / "read.raw"
    path.write_bytes(b"x")
    with path.open("rb"):
        assert not is_open_for_writing(path)


def test_what_cannot_be_opened_is_not_being_written(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert not is_open_for_writing(tmp_path / "fifo")
    assert not is_open_for_writing(tmp_path / "nothing")
