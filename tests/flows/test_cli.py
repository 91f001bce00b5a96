import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NoReturn

import numpy as np
import pytest

from flows import cli, commands

Run = Callable[..., subprocess.CompletedProcess[str]]
Interrupted = Callable[..., tuple[int, str]]


@pytest.fixture
def here(monkeypatch: pytest.MonkeyPatch) -> None:
    """The command line is called in this process, which keeps its own signal handlers."""
    monkeypatch.setattr(signal, "signal", lambda *_: None)


def test_inspect_says_what_is_known(zarrmill: Run, recording: Path) -> None:
    told = zarrmill("inspect", recording)
    assert told.returncode == 0
    assert told.stderr == ""
    rows = dict(re.split(r"  +", line, maxsplit=1) for line in told.stdout.splitlines())
    assert rows["shape"] == "t 300, y 32, x 64, c 1"
    assert rows["dtype"] == "uint16 (<u2)"
    assert rows["pixels"] == "1.2 MiB"
    assert rows["rate"] == "30 Hz"
    assert rows["duration"] == "10 s"


def test_inspect_tells_machines_the_same(zarrmill: Run, recording: Path) -> None:
    told = json.loads(zarrmill("inspect", recording, "--json").stdout)
    assert (told["axes"], told["shape"], told["dtype"]) == ("tyxc", [300, 32, 64, 1], "<u2")
    assert told["info"]["sampling_frequency_hz"] == 30.0
    assert told["sources"][0]["size_bytes"] == recording.stat().st_size


def test_a_sampling_frequency_can_be_given(zarrmill: Run, recording: Path) -> None:
    assert "15 Hz" in zarrmill("inspect", recording, "--sampling-frequency", "15").stdout


def test_inspect_imports_nothing_that_takes_long(zarrmill: Run, recording: Path) -> None:
    told = zarrmill("inspect", recording, PYTHONPROFILEIMPORTTIME="1")
    imported = {line.rsplit("|", 1)[-1].strip().split(".")[0] for line in told.stderr.splitlines()}
    assert {"extractors", "numpy"} <= imported
    assert not imported & {"asyncio", "fastapi", "numcodecs", "prefect", "rich", "stores", "zarr"}


def test_convert_needs_no_prefect_without_an_api(zarrmill: Run, recording: Path, tmp_path: Path) -> None:
    told = zarrmill("convert", recording, tmp_path / "m.zarr", PYTHONPROFILEIMPORTTIME="1")
    assert told.returncode == 0
    assert "| prefect" not in told.stderr


def test_convert_says_where_the_store_is_and_how_to_get_a_dashboard(
    zarrmill: Run, recording: Path, tmp_path: Path
) -> None:
    told = zarrmill("convert", recording, tmp_path / "m.zarr")
    assert told.returncode == 0
    assert f"store     {tmp_path / 'm.zarr'}" in told.stdout
    assert "read back" in told.stdout
    assert len(told.stderr.splitlines()) == 1
    assert "prefect server start" in told.stderr
    assert (tmp_path / "m.zarr" / "zarr.json").exists()


def test_convert_tells_machines_one_object(zarrmill: Run, recording: Path, tmp_path: Path) -> None:
    told = zarrmill("convert", recording, tmp_path / "m.zarr", "--json", "--codec", "zstd", "--workers", "1")
    report = json.loads(told.stdout)
    assert told.stderr == ""
    assert report["target"] == str(tmp_path / "m.zarr")
    assert report["metadata"]["options"]["codec"] == "zstd"
    assert report["flow_run"] is None


@pytest.mark.parametrize("verb", ["inspect", "convert", "verify"])
def test_a_refusal_is_one_clear_message_and_exit_code_1(zarrmill: Run, tmp_path: Path, verb: str) -> None:
    words: list[str | Path] = [verb, tmp_path / "nowhere", *([tmp_path / "m.zarr"] if verb == "convert" else [])]
    told = zarrmill(*words)
    assert told.returncode == 1
    assert told.stdout == ""
    last = told.stderr.splitlines()[-1]
    assert last.startswith(f"zarrmill: [source-missing] {tmp_path / 'nowhere'}: expected ")
    assert "Traceback" not in told.stderr

    told = zarrmill(*words, "--json")
    assert told.returncode == 1
    assert told.stderr == ""
    assert json.loads(told.stdout)["error"]["code"] == "source-missing"


@pytest.mark.usefixtures("here")
@pytest.mark.parametrize(
    "words",
    [
        [],
        ["transmogrify"],
        ["inspect"],
        ["inspect", "a", "b"],
        ["inspect", ""],
        ["inspect", "a", "--sampling-frequency", "fast"],
        ["convert", "a", "b", "--workers", "0"],
        ["convert", "a", "b", "--codec", "jpeg"],
        ["verify", "a", "--sourc"],
    ],
)
def test_a_command_line_that_is_not_understood_is_exit_code_2(
    capsys: pytest.CaptureFixture[str], words: list[str]
) -> None:
    assert cli.run(words) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err.startswith("zarrmill: ")

    assert cli.run([*words, "--json"]) == 2
    told = capsys.readouterr()
    assert told.err == ""
    assert json.loads(told.out)["error"]["code"] == "usage"


def test_a_usage_error_ends_the_process_so(zarrmill: Run) -> None:
    told = zarrmill("transmogrify")
    assert told.returncode == 2
    assert told.stdout == ""
    assert "Traceback" not in told.stderr


@pytest.mark.parametrize(
    "words", [["--help"], ["inspect", "--help"], ["convert", "-h"], ["verify", "-h"], ["example", "-h"]]
)
def test_every_example_in_the_help_is_understood(capsys: pytest.CaptureFixture[str], words: list[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.build_parser().parse_args(words)
    assert ended.value.code == 0
    _, _, shown = capsys.readouterr().out.partition("examples:\n")
    examples = [line.split("zarrmill ")[1] for line in shown.partition("\n\n")[0].splitlines()]
    assert examples
    for example in examples:
        command = re.split(r"  +", example)[0]
        cli.build_parser().parse_args(command.split())


@pytest.mark.usefixtures("here")
def test_a_fault_of_ours_is_an_object_and_a_traceback(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(**_: object) -> NoReturn:
        raise ZeroDivisionError

    monkeypatch.setattr(commands, "inspect", broken)
    with pytest.raises(ZeroDivisionError):
        cli.run(["inspect", "movie.raw", "--json"])
    assert json.loads(capsys.readouterr().out)["error"]["code"] == "internal"


def test_the_version_is_told(zarrmill: Run) -> None:
    assert re.fullmatch(r"zarrmill \d+\.\d+\.\d+\S*\n", zarrmill("--version").stdout)


def test_a_reader_that_leaves_early_is_no_error(environment: dict[str, str], recording: Path) -> None:
    read, write = os.pipe()
    os.close(read)
    command: list[str | Path] = [Path(sys.executable).parent / "zarrmill", "inspect", recording]
    told = subprocess.run(command, env=environment, stdout=write, stderr=subprocess.PIPE, check=False)
    os.close(write)
    assert told.returncode == 0
    assert told.stderr == b""


def test_verify_says_that_every_pixel_is_as_it_should_be(zarrmill: Run, recording: Path, tmp_path: Path) -> None:
    zarrmill("convert", recording, tmp_path / "m.zarr")
    told = zarrmill("verify", tmp_path / "m.zarr", "--source", recording)
    assert told.returncode == 0
    assert "every pixel has its recorded digest" in told.stdout
    assert f"{recording}: every pixel is equal" in told.stdout


def test_verify_finds_a_flipped_bit(zarrmill: Run, recording: Path, tmp_path: Path) -> None:
    zarrmill("convert", recording, tmp_path / "m.zarr")
    shard = tmp_path / "m.zarr" / "0" / "c" / "0" / "0" / "0"
    damaged = bytearray(shard.read_bytes())
    damaged[100] ^= 1
    shard.write_bytes(damaged)
    told = zarrmill("verify", tmp_path / "m.zarr")
    assert told.returncode == 1
    assert f"[store-damaged] {shard}" in told.stdout
    told = zarrmill("verify", tmp_path / "m.zarr", "--json")
    assert told.returncode == 1
    assert [finding["code"] for finding in json.loads(told.stdout)["findings"]] == ["store-damaged"]


def test_verify_finds_a_pixel_that_is_not_the_sources(zarrmill: Run, recording: Path, tmp_path: Path) -> None:
    zarrmill("convert", recording, tmp_path / "m.zarr")
    movie = np.memmap(recording, "<u2", "r+")
    movie[1234] += 1
    movie.flush()
    assert zarrmill("verify", tmp_path / "m.zarr").returncode == 0
    told = zarrmill("verify", tmp_path / "m.zarr", "--source", recording)
    assert told.returncode == 1
    assert "source-differs" in told.stdout


@pytest.mark.parametrize("word", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_says_that_it_can_go_on_and_does(
    zarrmill: Run, interrupted: Interrupted, recording: Path, tmp_path: Path, word: signal.Signals
) -> None:
    target = tmp_path / "m.zarr"
    code, said = interrupted(recording, target, word)
    assert code == 130
    assert said.splitlines()[-1].startswith(f"zarrmill: interrupted; what is finished is kept in {target}.partial")
    assert "Traceback" not in said
    assert not target.exists()

    told = zarrmill("convert", recording, target, "--chunk-bytes", "4096", "--shard-bytes", "4096")
    assert told.returncode == 0
    stored = re.search(r"going on with an earlier run: (\d+) of 300 windows", told.stderr)
    assert stored is not None
    assert 0 < int(stored[1]) < 300
    assert target.exists()


@pytest.mark.parametrize("verb", ["convert", "verify"])
def test_progress_is_shown_on_a_terminal_only(
    zarrmill: Run, environment: dict[str, str], recording: Path, tmp_path: Path, verb: str
) -> None:
    target = tmp_path / "m.zarr"
    words: list[str | Path] = ["convert", recording, target]
    if verb == "verify":
        zarrmill(*words)
        words = ["verify", target]
    ours, theirs = pty.openpty()
    command: list[str | Path] = [Path(sys.executable).parent / "zarrmill", *words]
    done = subprocess.run(
        command, env=environment | {"TERM": "xterm"}, stderr=theirs, capture_output=False, check=False
    )
    os.close(theirs)
    shown = os.read(ours, 1 << 16).decode()
    os.close(ours)
    assert done.returncode == 0
    assert "━" in shown
    assert "MiB" in shown
    shutil.rmtree(target)
    assert "━" not in zarrmill("convert", recording, target).stderr
