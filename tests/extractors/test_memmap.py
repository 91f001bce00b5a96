"""MemmapImagingExtractor and NumpyMemmapImagingExtractor."""

import itertools
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused, SourceChanged
from extractors.memmap import MemmapImagingExtractor, NumpyMemmapImagingExtractor
from extractors.structure import VideoStructure


def mapped(folder: Path, *, mode: Any = "r", offset: int = 0) -> np.memmap[Any, Any]:
    path = folder / "video.dat"
    pixels = np.random.default_rng(0).integers(0, 9999, (12, 6, 7, 2), dtype="<u2")
    path.write_bytes(b"\x55" * offset + pixels.tobytes())
    return np.memmap(path, "<u2", mode, offset, pixels.shape)


VIEWS: dict[str, Callable[[Any], Any]] = {
    "as it is": lambda video: video,
    "part": lambda video: video[2:9, 1:, :-1, 1:],
    "steps": lambda video: video[::2, ::3],
    "backwards": lambda video: video[::-1, :, ::-2],
    "transposed": lambda video: video.transpose(2, 1, 0, 3),
    "ndarray": lambda video: np.asarray(video)[3:],
    "ndarray of a view of a view": lambda video: np.asarray(video[1:][::-1])[2:],
    "without channels": lambda video: video[..., 1],
    "broadcast": lambda video: np.broadcast_to(video[:, :1], video.shape),
    "sliding": lambda video: np.lib.stride_tricks.sliding_window_view(video[..., 0], 3, axis=0),
    "other dtype": lambda video: video.view("u1"),
    "reshaped": lambda video: video.reshape(24, 3, 7, 2),
}


@pytest.mark.parametrize("name", VIEWS)
@pytest.mark.parametrize("offset", [0, 5000, 4097])
def test_any_view_of_a_mapped_array_is_read_from_its_file(tmp_path: Path, name: str, offset: int) -> None:
    view = VIEWS[name](mapped(tmp_path, offset=offset))
    extractor = MemmapImagingExtractor(view)
    assert np.array_equal(extractor.get_series(), view if view.ndim == 4 else view[..., np.newaxis])
    assert extractor.sources[0].path == str(tmp_path / "video.dat")
    assert extractor.get_dtype() == view.dtype
    assert len(pickle.dumps(extractor)) < 2000


def test_what_is_read_comes_from_the_file_and_not_from_the_mapping(tmp_path: Path) -> None:
    extractor = MemmapImagingExtractor(mapped(tmp_path))
    again = pickle.loads(pickle.dumps(extractor))  # noqa: S301 - our own
    os.truncate(tmp_path / "video.dat", 100)
    for one in (extractor, again):
        with pytest.raises(SourceChanged):
            one.get_series(8, 12)


def test_a_shrinking_file_does_not_kill_the_process(tmp_path: Path) -> None:
    code = f"""
import os, numpy as np
from extractors.errors import SourceChanged
from extractors.memmap import MemmapImagingExtractor
path = {str(tmp_path / "big.dat")!r}
np.zeros((512, 512, 64), "u2").tofile(path)
video = np.memmap(path, "u2", "r", shape=(512, 512, 64)).transpose(2, 0, 1)
extractor = MemmapImagingExtractor(video)
extractor.get_series(0, 8)
os.truncate(path, 512 * 1000)
try:
    extractor.get_series(8, 16)
except SourceChanged:
    print("error, not signal")
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "error, not signal\n"


def test_changes_through_a_writable_mapping_are_seen(tmp_path: Path) -> None:
    video = mapped(tmp_path, mode="r+")
    extractor = MemmapImagingExtractor(video)
    video[3] = 77
    assert (extractor.get_series(3, 4) == 77).all()


def test_a_private_copy_of_a_file_is_kept_in_memory(tmp_path: Path) -> None:
    video = mapped(tmp_path, mode="c")
    video[3] = 77
    extractor = MemmapImagingExtractor(video)
    assert extractor.sources == ()
    assert (extractor.get_series(3, 4) == 77).all()


@pytest.mark.parametrize("change", [np.array, lambda video: video + 1, lambda video: video[[3, 1]]])
def test_other_arrays_are_kept_in_memory(tmp_path: Path, change: Callable[[Any], Any]) -> None:
    array = change(mapped(tmp_path))
    extractor = MemmapImagingExtractor(array)
    assert extractor.sources == ()
    assert np.array_equal(extractor.get_series(), array)
    again = pickle.loads(pickle.dumps(extractor))  # noqa: S301 - our own
    assert np.array_equal(again.get_samples([1, 0]), array[[1, 0]])
    with extractor.slice_samples(0, 1) as view:
        series = view.get_series()
    series[...] = 0
    assert np.array_equal(extractor.get_series(), array)
    extractor.close()
    with pytest.raises(InputRefused, match="extractor-closed"):
        extractor.get_series()


@pytest.mark.parametrize(
    "video", [np.zeros((3, 4)), np.zeros((1, 2, 3, 4, 5)), [[[1]]], np.zeros((0, 4, 4)), np.zeros((2, 2, 2), object)]
)
def test_what_is_no_video_is_refused(video: Any) -> None:
    with pytest.raises(InputRefused, match="layout-invalid"):
        MemmapImagingExtractor(video)


@pytest.mark.parametrize("name", ["as it is", "backwards"])
def test_an_array_past_the_end_of_its_file_is_refused(tmp_path: Path, name: str) -> None:
    video = VIEWS[name](mapped(tmp_path))
    os.truncate(tmp_path / "video.dat", 12 * 6 * 7 * 2 * 2 - 1)
    with pytest.raises(InputRefused, match=r"size-mismatch.*found 2015 bytes"):
        MemmapImagingExtractor(video)


def test_a_mapped_array_may_be_given_a_sampling_frequency(tmp_path: Path) -> None:
    assert MemmapImagingExtractor(mapped(tmp_path), sampling_frequency=20).get_sampling_frequency() == 20.0
    with pytest.raises(InputRefused, match="sampling-frequency-unknown"):
        MemmapImagingExtractor(mapped(tmp_path)).get_sampling_frequency()


# NumpyMemmapImagingExtractor

STRUCTURE = VideoStructure(
    num_rows=6, num_columns=7, num_channels=2, frame_axis=0, rows_axis=1, columns_axis=2, channels_axis=3
)
FRAME_BYTES = 6 * 7 * 2 * 2


def described(path: Path, **changes: Any) -> NumpyMemmapImagingExtractor:
    given = {"file_path": path, "video_structure": STRUCTURE, "sampling_frequency": 15.625, "dtype": "uint16"}
    return NumpyMemmapImagingExtractor(**{**given, **changes})


@pytest.fixture
def video(tmp_path: Path) -> tuple[Path, NDArray[Any]]:
    pixels = np.random.default_rng(0).integers(0, 9999, (12, 6, 7, 2), dtype="<u2")
    pixels.tofile(tmp_path / "video.dat")
    return tmp_path / "video.dat", pixels


def test_a_flat_file_is_what_its_structure_says(video: tuple[Path, NDArray[Any]]) -> None:
    path, pixels = video
    extractor = described(path)
    assert isinstance(extractor, MemmapImagingExtractor)
    assert np.array_equal(extractor.get_series(), pixels)
    assert extractor.get_volume_shape() == (12, 6, 7, 2)
    assert extractor.get_sampling_frequency() == 15.625
    assert extractor.file_path == path
    assert extractor.offset == 0
    assert extractor.video_structure == STRUCTURE
    assert extractor.sources[0].size_bytes == pixels.nbytes


@pytest.mark.parametrize("dtype", ["uint16", np.uint16, np.dtype("u2"), "<u2"])
def test_get_dtype_is_a_dtype_whatever_was_given(video: tuple[Path, NDArray[Any]], dtype: Any) -> None:
    extractor = described(video[0], dtype=dtype)
    assert isinstance(extractor.get_dtype(), np.dtype)
    assert extractor.get_dtype() == extractor.dtype == np.dtype("<u2")
    assert "uint16" in repr(extractor)


@pytest.mark.parametrize("places", list(itertools.permutations(range(4))))
def test_every_order_of_axes(tmp_path: Path, places: tuple[int, ...]) -> None:
    order = dict(zip(("frame_axis", "rows_axis", "columns_axis", "channels_axis"), places, strict=True))
    structure = VideoStructure(num_rows=6, num_columns=7, num_channels=2, **order)
    stored = np.random.default_rng(0).integers(0, 9999, structure.build_video_shape(12)).astype(">i4")
    (tmp_path / "a.dat").write_bytes(bytes(13) + stored.tobytes())
    extractor = described(tmp_path / "a.dat", video_structure=structure, dtype=">i4", offset=13, num_samples=12)
    assert np.array_equal(extractor.get_series(), structure.transform_video_to_canonical_form(stored))


def test_without_frames_in_a_row_the_count_must_be_declared(video: tuple[Path, NDArray[Any]]) -> None:
    structure = VideoStructure(
        num_rows=6, num_columns=7, num_channels=2, frame_axis=3, rows_axis=0, columns_axis=1, channels_axis=2
    )
    with pytest.raises(InputRefused, match="samples"):
        described(video[0], video_structure=structure)
    with pytest.raises(InputRefused, match="size-mismatch"):
        described(video[0], video_structure=structure, num_samples=11)
    assert described(video[0], video_structure=structure, num_samples=12).get_num_samples() == 12


@pytest.mark.parametrize("surplus_bytes", [-1, 1, -FRAME_BYTES // 2, FRAME_BYTES - 1])
def test_a_partial_frame_is_refused_with_its_numbers(video: tuple[Path, NDArray[Any]], surplus_bytes: int) -> None:
    size_bytes = 12 * FRAME_BYTES + surplus_bytes
    os.truncate(video[0], size_bytes)
    with pytest.raises(ValueError, match=rf"{FRAME_BYTES} bytes.*found {size_bytes} bytes") as caught:
        described(video[0])
    assert isinstance(caught.value, InputRefused)
    assert caught.value.code == Code.SIZE_MISMATCH
    kept = described(video[0], partial_tail="drop")
    count = size_bytes // FRAME_BYTES
    assert kept.get_num_samples() == count
    assert np.array_equal(kept.get_series(0, 11), video[1][:11])


@pytest.mark.parametrize("offset", [1, FRAME_BYTES // 2, 12 * FRAME_BYTES, 10**30])
def test_an_offset_that_does_not_fit_is_refused(video: tuple[Path, NDArray[Any]], offset: int) -> None:
    with pytest.raises(InputRefused, match=r"size-mismatch|layout-invalid"):
        described(video[0], offset=offset)


@pytest.mark.parametrize(
    "changes",
    [
        {"sampling_frequency": 0},
        {"sampling_frequency": float("nan")},
        {"sampling_frequency": -1.0},
        {"dtype": "complex64"},
        {"dtype": object},
        {"dtype": "bool"},
        {"offset": -1},
        {"num_samples": 0},
        {"num_samples": 11},
        {"partial_tail": "keep"},
    ],
)
def test_parameters_that_cannot_be_are_refused(video: tuple[Path, NDArray[Any]], changes: dict[str, Any]) -> None:
    with pytest.raises(InputRefused, match="video"):
        described(video[0], **changes)


def test_a_missing_file_a_folder_and_a_fifo_are_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for name, code in {"none": "source-missing", ".": "source-not-regular", "fifo": "source-not-regular"}.items():
        with pytest.raises(InputRefused, match=code):
            described(tmp_path / name)


def test_pickling_carries_the_description(tmp_path: Path) -> None:
    np.zeros((500, 6, 7, 2), "<u2").tofile(tmp_path / "a.dat")
    extractor = described(tmp_path / "a.dat")
    extractor.get_series()
    pickled = pickle.dumps(extractor)
    assert len(pickled) < 3000
    assert pickle.loads(pickled).get_series().shape == (500, 6, 7, 2)  # noqa: S301 - our own
