import os
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks.case import Case
from benchmarks.contenders import CONTENDERS
from benchmarks.convert import compare, main
from benchmarks.job import Job
from benchmarks.measure import Measurement, measure
from benchmarks.movie import make_movie
from benchmarks.report import table

# Several windows, the last chunk and the last window not full.
CASE = Case(samples=43, rows=24, columns=20, chunk_target_bytes=4 * 960, shard_target_bytes=12 * 960)
FRAME_LAST = replace(CASE, channels=2, dtype=">i2", disk_axes="yxct", shard_target_bytes=24 * 960)
WITHOUT_NEUROCONV = pytest.mark.skipif(
    "NEUROCONV_PYTHON" not in os.environ, reason="NEUROCONV_PYTHON does not name a Python that has neuroconv"
)
NAMES = [
    pytest.param(
        name, marks=pytest.mark.slow if contender.needs_server else WITHOUT_NEUROCONV if name == "neuroconv" else ()
    )
    for name, contender in CONTENDERS.items()
]


@pytest.mark.parametrize("name", NAMES)
def test_a_contender_stores_every_pixel(tmp_path: Path, name: str) -> None:
    assert compare(CASE, tmp_path, [name], rounds=0, workers=2) == []
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", ["limit", "engine", "zarr", "script"])
def test_a_contender_stores_every_pixel_of_a_frame_last_movie_with_channels(tmp_path: Path, name: str) -> None:
    compare(FRAME_LAST, tmp_path, [name], rounds=0, workers=1)


@pytest.mark.parametrize("name", ["limit", "zarr"])
def test_a_wrong_pixel_is_found(tmp_path: Path, name: str) -> None:
    movie = make_movie(CASE, tmp_path)
    job = Job(CASE, movie, tmp_path / "output", workers=1)
    CONTENDERS[name].start(job)()
    CONTENDERS[name].check(job)  # type: ignore[misc]
    pixels = bytearray(movie.read_bytes())
    pixels[-1] ^= 1
    movie.write_bytes(pixels)
    with pytest.raises(AssertionError, match="pixels differ"):
        CONTENDERS[name].check(job)  # type: ignore[misc]


def test_what_a_failing_contender_said_is_told_and_its_output_is_gone(tmp_path: Path) -> None:
    movie = make_movie(CASE, tmp_path)
    movie.write_bytes(movie.read_bytes()[:-1])
    job = Job(CASE, movie, tmp_path / "output", workers=1)
    with pytest.raises(RuntimeError, match=r"limit failed:(.|\n)*ValueError"):
        measure("limit", 1, job, cold=False, check=False, environment={})
    assert not job.output.exists()


def test_a_job_survives_its_way_to_the_process(tmp_path: Path) -> None:
    job = Job(FRAME_LAST, tmp_path / "movie", tmp_path / "output", workers=3)
    assert Job.from_json(job.to_json()) == job


def test_each_contender_is_measured_once_a_round_in_alternating_order(tmp_path: Path) -> None:
    done = compare(CASE, tmp_path, ["limit", "direct-read"], rounds=2, workers=1, cold=True)
    assert [(run.round, run.contender) for run in done] == [
        (1, "limit"),
        (1, "direct-read"),
        (2, "direct-read"),
        (2, "limit"),
    ]
    assert all(run.seconds > 0 and run.peak_anonymous_bytes > 2**20 for run in done)
    assert done[0].stored_bytes > 0
    assert done[1].stored_bytes == 0


def test_the_table_gives_medians_and_ratios_to_the_limit() -> None:
    case = Case(samples=2000, rows=500, columns=500)  # 1 GB
    runs = [
        Measurement(name, i, seconds, 1.5, peak_anonymous_bytes=7 * 2**20, stored_bytes=5_000_000, other_cores=0.0)
        for name, times in {"limit": (1.0, 0.5, 9.0), "zarr": (2.0, 4.0, 1.0)}.items()
        for i, seconds in enumerate(times)
    ]
    rows = table(case, runs, workers=2, cold=False, facts={"python": "3"}).splitlines()
    limit, zarr = (row for row in rows if row.startswith(("| limit", "| zarr")))
    assert limit == "| limit: encode and write | 1000 | 111 to 2000 | 1.00 | 1.50 | 7 | 5 | equal |"
    assert zarr == "| zarr-python, whole shards | 500 | 250 to 1000 | 0.50 | 1.50 | 7 | 5 | equal |"


def test_the_command_prints_its_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "result.json"
    words = ["--size", "2MiB", "--rounds", "1", "--contenders", "limit", "--folder", str(tmp_path), "--json", str(out)]
    main(words)
    assert "| limit: encode and write |" in capsys.readouterr().out
    assert '"contender": "limit"' in out.read_text()
