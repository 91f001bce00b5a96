"""Whatever standard output and error are, a command ends with its answer or one clear line."""

import subprocess
import sys
from pathlib import Path

import pytest

ZARRMILL = Path(sys.executable).parent / "zarrmill"


def shell(environment: dict[str, str], line: str, *words: str | Path) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", "-c", line, "sh", *words]
    return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("streams", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_stream_does_not_end_a_conversion(
    environment: dict[str, str], recording: Path, tmp_path: Path, streams: str
) -> None:
    told = shell(environment, f'"$@" {streams}', ZARRMILL, "convert", recording, tmp_path / "m.zarr")
    assert told.returncode == 0
    assert (tmp_path / "m.zarr").is_dir()


@pytest.mark.parametrize("words", [["inspect"], ["inspect", "--json"], ["verify", "--json"]])
def test_an_answer_that_cannot_be_written_is_one_clear_line(
    environment: dict[str, str], recording: Path, words: list[str]
) -> None:
    told = shell(environment, '"$@" > /dev/full', ZARRMILL, *words, recording)
    assert told.returncode == 1
    assert told.stderr == ("zarrmill: the answer could not be written to standard output: No space left on device\n")


def test_a_terminal_of_few_letters_gets_the_answer(environment: dict[str, str], recording: Path) -> None:
    layout = recording.with_name("movie.layout.json")
    layout.write_text(layout.read_text().replace("{", '{"pixel_size_um": [1.5, 1.5], ', 1))
    told = shell(environment | {"PYTHONIOENCODING": "ascii"}, '"$@"', ZARRMILL, "inspect", recording)
    assert told.returncode == 0
    assert "1.5 x 1.5 \\xb5m" in told.stdout
