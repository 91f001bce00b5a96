from dataclasses import replace
from itertools import permutations
from pathlib import Path

import numpy as np
import pytest

from benchmarks.case import Case, parse_size
from benchmarks.movie import make_movie, open_movie

CASE = Case(samples=100, rows=30, columns=22)


def test_the_same_seed_gives_the_same_movie_and_another_seed_another(tmp_path: Path) -> None:
    first = make_movie(CASE, tmp_path / "a").read_bytes()
    assert len(first) == CASE.total_bytes
    assert make_movie(CASE, tmp_path / "b").read_bytes() == first
    assert make_movie(replace(CASE, seed=2), tmp_path / "a").read_bytes() != first


def test_a_movie_that_lies_there_is_used_again(tmp_path: Path) -> None:
    before = make_movie(CASE, tmp_path).stat()
    assert make_movie(CASE, tmp_path).stat() == before


def test_a_movie_of_another_length_is_made_anew(tmp_path: Path) -> None:
    path = make_movie(CASE, tmp_path)
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    assert make_movie(CASE, tmp_path).read_bytes() == whole


def test_the_noise_is_that_of_photons(tmp_path: Path) -> None:
    case = replace(CASE, samples=400)
    pixels = open_movie(case, make_movie(case, tmp_path)).astype(float)
    # Most neighbouring samples show the same scene: half the variance of their difference is that of the noise.
    noise = (np.diff(pixels, axis=0) ** 2).mean() / 2
    assert noise == pytest.approx(pixels.mean(), rel=0.15)


@pytest.mark.parametrize("dtype", ["u1", "<u2", ">i2", "<f4"])
@pytest.mark.parametrize("channels", [1, 3])
def test_every_order_on_disk_holds_the_same_pixels(tmp_path: Path, channels: int, dtype: str) -> None:
    plain = replace(CASE, channels=channels, dtype=dtype, disk_axes="tyx" if channels == 1 else "tcyx")
    expected = open_movie(plain, make_movie(plain, tmp_path))
    assert expected.shape == plain.shape
    assert expected.std() > 0
    for order in permutations(plain.axes):
        case = replace(plain, disk_axes="".join(order))
        path = make_movie(case, tmp_path)
        on_disk = np.fromfile(path, dtype).reshape(case.disk_shape)
        np.testing.assert_array_equal(case.canonical(on_disk), expected)


@pytest.mark.parametrize(
    ("text", "size"), [("4GiB", 4 * 1024**3), ("512 MiB", 512 * 1024**2), ("3KiB", 3072), ("17", 17)]
)
def test_sizes_are_read(text: str, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["4GB", "-1", "", "1.5GiB"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected a size"):
        parse_size(text)


@pytest.mark.parametrize("wrong", [{"disk_axes": "tyy"}, {"disk_axes": "tcyx"}, {"channels": 2}, {"rows": 0}])
def test_a_case_that_cannot_be_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace(CASE, **wrong)  # type: ignore[arg-type]


def test_chunks_and_shards_hold_whole_samples() -> None:
    case = Case(samples=8192)
    assert (case.chunk_shape, case.shard_shape) == ((16, 512, 512), (256, 512, 512))
    assert case.windows[0] == slice(0, 256)
    assert len(case.windows) == 32
    large = Case(samples=3, rows=4096, columns=4096)
    assert (large.chunk_shape, large.shard_shape) == ((1, 4096, 4096), (3, 4096, 4096))
