"""A whole conversion: what it gives, how it resumes, what it refuses, and that nothing is lost."""

import errno
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import zarr
from numpy.typing import NDArray

from extractors.errors import Code, InputRefused, SourceChanged, StorageFailed, StoreDamaged, TargetRefused
from extractors.reader import StridedReader
from extractors.recording import open_recording
from stores import convert as module
from stores import disk, worker
from stores.convert import Report, convert
from stores.journal import Journal
from stores.options import ConvertOptions
from stores.staging import Staging
from stores.verify import verify_store

MakeRecording = Callable[..., tuple[Path, NDArray[Any]]]
OPTIONS = ConvertOptions(chunk_bytes=200, shard_bytes=200, workers=2)  # ten windows of one chunk, two samples each


@pytest.fixture
def target(tmp_path: Path) -> Path:
    (tmp_path / "archive").mkdir()
    return tmp_path / "archive" / "rec.zarr"


def windows_written(monkeypatch: pytest.MonkeyPatch, into: list[int]) -> None:
    """Let `into` tell which windows are encoded from here on."""
    write_shard = worker.write_shard

    def watched(*arguments: Any, **meanwhile: Any) -> Any:
        into.append(arguments[3])
        return write_shard(*arguments, **meanwhile)

    monkeypatch.setattr(worker, "write_shard", watched)


def interrupt_after(windows: int) -> Callable[[int, int], None]:
    """Give a progress callback that fails as Ctrl-C does, after so many windows."""
    left = [windows]

    def progress(_done: int, _total: int) -> None:
        left[0] -= 1
        if left[0] == 0:
            raise KeyboardInterrupt

    return progress


def test_every_pixel_is_in_the_store_and_nothing_else_is_left(make_recording: MakeRecording, target: Path) -> None:
    source, pixels = make_recording()
    report = convert(source, target, OPTIONS)
    assert isinstance(report, Report)
    assert np.array_equal(zarr.open_group(target, mode="r")["0"][:], pixels)
    assert list(target.parent.iterdir()) == [target]
    assert report.metadata.pixels.minimum == pixels.min()
    assert report.metadata.pixels.maximum == pixels.max()
    assert report.metadata.pixels.mean == pytest.approx(pixels.mean(), rel=1e-12)
    assert report.stored_bytes == sum(file.stat().st_size for file in (target / "0" / "c").rglob("*") if file.is_file())
    assert verify_store(target, source=source).findings == ()


def test_progress_counts_every_byte_once(make_recording: MakeRecording, target: Path) -> None:
    source, pixels = make_recording()
    seen: list[tuple[int, int]] = []
    convert(source, target, OPTIONS, progress=lambda done, total: seen.append((done, total)))
    assert [done for done, _ in seen] == sorted({done for done, _ in seen})
    assert seen[-1] == (pixels.nbytes, pixels.nbytes)


def test_an_interrupted_run_is_gone_on_with_and_finished_windows_are_not_written_again(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, pixels = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    assert not target.exists()
    stored = set(Staging(target).journal.stored())
    assert 4 <= len(stored) < 10
    written: list[int] = []
    windows_written(monkeypatch, written)
    report = convert(source, target, OPTIONS)
    assert set(written) == set(range(10)) - stored
    assert f"{len(stored)} of 10 windows are stored" in report.notices[0]
    assert np.array_equal(zarr.open_group(target, mode="r")["0"][:], pixels)


@pytest.mark.parametrize("damage", ["flipped", "missing"])
def test_a_window_that_was_damaged_between_two_runs_is_written_again_and_said_so(
    make_recording: MakeRecording, target: Path, damage: str
) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    staging = Staging(target)
    window = min(staging.journal.stored())
    shard = staging.shard_path(staging.require_job().plan, window)
    if damage == "missing":
        shard.unlink()
    else:
        data = bytearray(shard.read_bytes())
        data[3] ^= 16
        shard.write_bytes(data)
    report = convert(source, target, OPTIONS)
    assert any(notice.startswith(f"window {window} of the earlier run is written again") for notice in report.notices)
    assert verify_store(target, source=source).findings == ()


def test_changed_options_start_over_and_it_is_said(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    other = OPTIONS.model_copy(update={"codec": "zstd"})
    report = convert(source, target, other)
    assert report.notices == ("started over: the options changed since the earlier run",)
    assert report.metadata.options.codec == "zstd"
    assert verify_store(target, source=source).findings == ()


def test_another_number_of_workers_does_not_start_over(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    report = convert(source, target, OPTIONS.model_copy(update={"workers": 1}))
    assert report.notices[0].startswith("going on with an earlier run")


def test_a_source_that_changed_between_two_runs_starts_over(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    source.write_bytes(bytes(reversed(source.read_bytes())))
    report = convert(source, target, OPTIONS)
    assert report.notices == ("started over: the source changed since the earlier run",)
    assert verify_store(target, source=source).findings == ()


def test_a_source_overwritten_during_the_run_is_refused_even_with_its_mtime_restored(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording()
    before = source.stat()

    def overwrite(done: int, total: int) -> None:
        if done == total:
            with source.open("r+b") as file:
                file.write(b"\xff")
            os.utime(source, ns=(before.st_atime_ns, before.st_mtime_ns))

    with pytest.raises(SourceChanged, match=str(source)):
        convert(source, target, OPTIONS, progress=overwrite)
    assert not target.exists()


def test_a_source_that_shrinks_during_the_run_is_an_error_and_not_a_dead_process(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording()
    with pytest.raises(SourceChanged):
        convert(source, target, OPTIONS, progress=lambda *_: os.truncate(source, 100))
    assert not target.exists()


@pytest.mark.parametrize("kind", ["file", "folder", "store", "dangling link"])
def test_whatever_is_at_the_target_is_refused_and_still_stands(
    make_recording: MakeRecording, target: Path, kind: str
) -> None:
    source, _ = make_recording()
    if kind == "file":
        target.write_text("mine")
    elif kind == "folder":
        target.mkdir()
    elif kind == "store":
        convert(source, target, OPTIONS)
    else:
        target.symlink_to("nowhere")
    before = target.lstat()
    with pytest.raises(TargetRefused) as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.TARGET_EXISTS
    assert target.lstat() == before
    assert list(target.parent.iterdir()) == [target]


def test_a_missing_folder_is_refused_and_not_made(make_recording: MakeRecording, tmp_path: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(TargetRefused) as refusal:
        convert(source, tmp_path / "none" / "rec.zarr", OPTIONS)
    assert refusal.value.code == Code.TARGET_FOLDER_MISSING
    assert not (tmp_path / "none").exists()


def test_a_folder_that_only_looks_like_a_staging_store_is_not_touched(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording()
    foreign = target.with_name("rec.zarr.partial") / "thesis.tex"
    foreign.parent.mkdir()
    foreign.write_text("mine")
    with pytest.raises(TargetRefused) as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.STAGING_FOREIGN
    assert foreign.read_text() == "mine"


def test_a_refused_recording_leaves_nothing(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    os.truncate(source, source.stat().st_size - 1)
    with pytest.raises(InputRefused) as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.SIZE_MISMATCH
    assert list(target.parent.iterdir()) == []


def test_a_recording_without_sampling_frequency_is_refused_until_one_is_given(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording(sampling_frequency_hz=None)
    layout = source.with_name(f"{source.name}.layout.json")
    layout.write_text(layout.read_text().replace(', "sampling_frequency_hz": null', ""))
    with pytest.raises(InputRefused) as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.SAMPLING_FREQUENCY_UNKNOWN
    report = convert(source, target, OPTIONS, sampling_frequency_hz=12.5)
    assert report.metadata.info.sampling_frequency_hz == 12.5


SECOND = """
import sys
from pathlib import Path
from extractors.errors import TargetRefused
from stores.convert import convert
try:
    convert(Path(sys.argv[1]), Path(sys.argv[2]))
except TargetRefused as refusal:
    print(refusal.code, refusal.found)
"""


def test_a_second_run_on_the_same_target_fails_at_once_and_names_the_first(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording()
    answers: list[str] = []

    def ask(_done: int, _total: int) -> None:
        if not answers:
            answers.append(
                subprocess.run(
                    [sys.executable, "-c", SECOND, str(source), str(target)],
                    check=True,
                    capture_output=True,
                    text=True,
                ).stdout
            )

    convert(source, target, OPTIONS, progress=ask)
    assert answers[0].startswith(f"target-busy one by process {os.getpid()} on ")


def test_a_store_that_will_not_fit_is_refused_before_anything_is_written(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    usage = type("Usage", (), {"free": 100})
    monkeypatch.setattr("stores.space.shutil.disk_usage", lambda _: usage)
    with pytest.raises(StorageFailed) as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.NO_SPACE
    assert list(target.parent.iterdir()) == []


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Mount a file system of 1 MiB; only where the kernel lets this user do so."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder], capture_output=True, text=True)  # noqa: PLW1510, S607
    if mounted.returncode:
        pytest.skip(f"no small disk can be mounted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", folder], check=True)  # noqa: S607


def test_a_disk_that_fills_up_is_one_clear_error_and_the_run_goes_on_when_there_is_room(
    make_recording: MakeRecording, small_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    source, _ = make_recording(sizes=(64, 64, 64))
    source.write_bytes(rng.integers(0, 2**16, (64, 64, 64), "<u2").tobytes())
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(800_000))
    monkeypatch.setattr(module, "check_space", lambda *_, **__: None)  # another program took the room after the check
    options = ConvertOptions(codec="none", chunk_bytes=8192, shard_bytes=32768, workers=2)
    target = small_disk / "rec.zarr"
    with pytest.raises(StorageFailed) as refusal:
        convert(source, target, options)
    assert refusal.value.code == Code.NO_SPACE
    assert not target.exists()
    ballast.unlink()
    report = convert(source, target, options)
    assert "going on" in report.notices[0]
    assert verify_store(target, source=source).findings == ()


def test_a_disk_that_lies_is_found_by_reading_back(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()

    write_shard = worker.write_shard

    def lie(*arguments: Any, **meanwhile: Any) -> Any:
        written = write_shard(*arguments, **meanwhile)
        written[1].wait()
        data = bytearray(arguments[4].read_bytes())
        data[7] ^= 1
        arguments[4].write_bytes(data)
        return written

    monkeypatch.setattr(worker, "write_shard", lie)
    with pytest.raises(StoreDamaged):
        convert(source, target, OPTIONS)
    assert not target.exists()
    monkeypatch.undo()
    convert(source, target, OPTIONS)
    assert verify_store(target, source=source).findings == ()


def test_a_wrong_pixel_with_a_right_checksum_is_found_by_its_digest(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    encode = worker.Codec.encode
    monkeypatch.setattr(
        worker.Codec,
        "encode",
        lambda self, pixels: encode(self, np.where(pixels == 100, 99, pixels).astype(pixels.dtype)),
    )
    with pytest.raises(StoreDamaged, match="digest"):
        convert(source, target, OPTIONS)
    assert not target.exists()


def test_every_shard_and_folder_is_flushed_before_the_rename(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    flushed: set[str] = set()
    order: list[str] = []
    fsync = os.fsync

    def watched(descriptor: int) -> None:
        flushed.add(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        order.append(str(Path(f"/proc/self/fd/{descriptor}").readlink()))
        fsync(descriptor)

    monkeypatch.setattr(disk.os, "fsync", watched)
    convert(source, target, OPTIONS)
    store = target.with_name("rec.zarr.partial") / "store"
    files = {str(store / path.relative_to(target)) for path in target.rglob("*")} | {str(store)}
    assert files <= flushed
    assert order[-1] == str(target.parent)


def test_a_write_error_names_the_file(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()

    def fail(*_: Any) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk.os, "write", fail)
    with pytest.raises(StorageFailed, match=r"rec\.zarr\.partial") as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.STORAGE_FAILED


def test_no_more_threads_read_than_there_are_workers(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    threads: set[int] = set()
    read = StridedReader.read

    def watched(self: StridedReader, *arguments: Any) -> None:
        threads.add(threading.get_ident())
        read(self, *arguments)

    monkeypatch.setattr(StridedReader, "read", watched)
    convert(source, target, OPTIONS)
    assert len(threads - {threading.get_ident()}) <= OPTIONS.workers


def test_a_journal_without_its_job_counts_for_nothing(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    staging = Staging(target)
    (staging.folder / "job.json").unlink()
    report = convert(source, target, OPTIONS)
    assert report.notices == ()
    assert Journal(staging.journal.path).stored() == {}


def test_a_conversion_leaves_the_page_cache_as_it_found_it(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording(sizes=(1, 512, 512))
    os.truncate(source, 256 * 2**20)  # zeros from here on
    with source.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    with open_recording(source) as extractor:
        if extractor.is_in_memory(511):
            pytest.skip("this file system keeps its files in memory, or does not say what it keeps")
        options = ConvertOptions(shard_bytes=32 * 2**20, workers=1)
        convert(source, target, options)
        kept = [extractor.is_in_memory(sample) for sample in range(512)]
        assert sum(kept) < 256  # the kernel reads ahead on its own account
        for start in range(0, 512, 64):
            extractor.get_series(start, start + 64)
        shutil.rmtree(target)
        convert(source, target, options)
        kept = [extractor.is_in_memory(sample) for sample in range(512)]
        assert sum(kept) > 256  # the kernel may have needed memory for others


def test_what_a_run_left_that_was_killed_after_its_rename_is_removed(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    with monkeypatch.context() as patch:
        # As if the process had ended at the rename: the lock is the kernel's to free.
        patch.setattr(Staging, "clear", lambda _: None)
        convert(source, target, OPTIONS)
    folder = Staging(target).folder
    (folder / "lock").touch()
    assert (folder / "job.json").exists()
    with pytest.raises(TargetRefused) as refusal:
        convert(source, target, OPTIONS)
    assert refusal.value.code == Code.TARGET_EXISTS
    assert not folder.exists()
    assert not verify_store(target).findings


def test_a_staging_store_outlives_a_second_run_that_finds_something_at_its_target(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording()

    def interrupt(_done: int, _total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt)
    target.touch()
    with pytest.raises(TargetRefused):
        convert(source, target, OPTIONS)
    target.unlink()
    assert any("going on" in notice for notice in convert(source, target, OPTIONS).notices)


@pytest.mark.parametrize("target", ["/", "x" * 250, "x" * 300])
def test_a_name_that_cannot_be_a_target_is_one_clear_error(
    make_recording: MakeRecording, tmp_path: Path, target: str
) -> None:
    source, _ = make_recording()
    before = sorted(tmp_path.iterdir())
    with pytest.raises((TargetRefused, StorageFailed)):
        convert(source, tmp_path / target, OPTIONS)
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_where_the_staging_store_would_be_is_refused_and_still_stands(
    make_recording: MakeRecording, target: Path
) -> None:
    source, _ = make_recording()
    recording = source.rename(target.with_name(f"{target.name}.partial"))
    before = recording.read_bytes()
    with pytest.raises(TargetRefused) as refusal:
        convert(recording, target, OPTIONS)
    assert refusal.value.code == Code.STAGING_FOREIGN
    assert recording.read_bytes() == before


def test_a_job_that_cannot_be_read_starts_over_and_it_is_said(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    (Staging(target).folder / "job.json").write_text('{"by": "another version"}')
    assert convert(source, target, OPTIONS).notices[0].startswith("started over: ")


@pytest.mark.parametrize("name", ["statistics.bin", "pictures.bin"])
def test_lost_statistics_are_counted_again(make_recording: MakeRecording, target: Path, name: str) -> None:
    source, pixels = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    (Staging(target).folder / name).unlink()
    assert convert(source, target, OPTIONS).metadata.pixels.mean == pytest.approx(pixels.mean(), rel=1e-12)


def test_a_description_is_on_the_disk_before_the_job_that_relies_on_it(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    events: list[str] = []
    sync_tree, replace_file = disk.sync_tree, disk.replace_file
    monkeypatch.setattr("stores.staging.sync_tree", lambda path: (events.append(path.name), sync_tree(path)))
    monkeypatch.setattr(
        "stores.staging.replace_file", lambda path, data: (events.append(path.name), replace_file(path, data))
    )
    convert(source, target, OPTIONS)
    assert events[:2] == ["store", "job.json"]


def test_a_layout_that_is_edited_during_the_run_is_refused(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    layout = source.with_name("rec.raw.layout.json")
    store = module.store

    def edit_first(*arguments: Any) -> Any:
        layout.write_text(layout.read_text().replace("{", '{"inverted": true, ', 1))
        return store(*arguments)

    monkeypatch.setattr(module, "store", edit_first)
    with pytest.raises(SourceChanged):
        convert(source, target, OPTIONS)
    assert not target.exists()


def test_another_run_may_enter_the_folder_that_an_ending_one_leaves(
    make_recording: MakeRecording, target: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    source, _ = make_recording()
    clear = Staging.clear

    def clear_and_be_overtaken(staging: Staging) -> None:
        clear(staging)
        if target.exists():
            (staging.folder / "of another run").touch()

    monkeypatch.setattr(Staging, "clear", clear_and_be_overtaken)
    convert(source, target, OPTIONS)
    assert verify_store(target).findings == ()


@pytest.mark.parametrize("lost", ["", "job.json", "journal.jsonl", "lock"])
def test_a_staging_store_that_is_taken_away_during_the_run_is_one_clear_error(
    make_recording: MakeRecording, target: Path, lost: str
) -> None:
    source, _ = make_recording()
    path = Staging(target).folder / lost

    def take_away(_done: int, _total: int) -> None:
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)

    with pytest.raises(StorageFailed):
        convert(source, target, OPTIONS, progress=take_away)
    assert not target.exists()


def test_a_recording_inside_the_staging_folder_is_never_removed(make_recording: MakeRecording, target: Path) -> None:
    source, _ = make_recording()
    with pytest.raises(KeyboardInterrupt):
        convert(source, target, OPTIONS, progress=interrupt_after(4))
    folder = Staging(target).folder
    inside = [shutil.copy(path, folder) for path in (source, source.with_name("rec.raw.layout.json"))]
    report = convert(Path(inside[0]), target, OPTIONS)
    assert report.notices == ("started over: the source changed since the earlier run",)
    assert sorted(folder.iterdir()) == sorted(map(Path, inside))
