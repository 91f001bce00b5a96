import errno
import json
import os
import pickle
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from extractors import source
from extractors.errors import Code, InputRefused, SourceChanged
from extractors.source import SourceFile, check_unchanged, identify


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "data.raw"
    path.write_bytes(b"12345678")
    return path


def refused(path: Any) -> InputRefused:
    with pytest.raises(InputRefused) as caught:
        identify(path)
    return caught.value


def test_a_file_is_identified(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    status = file.stat()
    monkeypatch.chdir(file.parent)
    assert identify("data.raw") == SourceFile(
        path=str(file),
        device=status.st_dev,
        inode=status.st_ino,
        size_bytes=8,
        mtime_ns=status.st_mtime_ns,
        ctime_ns=status.st_ctime_ns,
    )


def test_an_identity_survives_json_and_pickling(file: Path) -> None:
    identity = identify(file)
    assert SourceFile.model_validate(json.loads(identity.model_dump_json())) == identity
    assert pickle.loads(pickle.dumps(identity)) == identity  # noqa: S301 - our own


@pytest.mark.parametrize("name", ["none.raw", "data.raw/inside", "x" * 300, "nul\0inside", "dangling"])
def test_a_missing_file_is_refused(file: Path, name: str) -> None:
    (file.parent / "dangling").symlink_to("nowhere")
    error = refused(file.parent / name)
    assert error.code is Code.SOURCE_MISSING
    assert error.path == str(file.parent / name)


def bind_socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path.name)


@pytest.mark.timeout(20)
@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (os.mkfifo, "a FIFO"),
        (os.mkdir, "a directory"),
        (bind_socket, "a socket"),
        (lambda path: path.symlink_to("/dev/null"), "a character device"),
    ],
)
def test_what_is_no_regular_file_is_refused_without_waiting(
    tmp_path: Path, make: Callable[[Path], None], kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # a socket's path must be short
    make(tmp_path / "odd")
    error = refused(tmp_path / "odd")
    assert error.code is Code.SOURCE_NOT_REGULAR
    assert error.found == kind


@pytest.mark.timeout(20)
def test_a_fifo_that_takes_the_files_place_while_it_is_opened_is_refused(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def swap(path: Any, flags: int) -> int:
        file.unlink()
        os.mkfifo(file)
        return real(path, flags)

    real = os.open
    monkeypatch.setattr(source.os, "open", swap)
    assert refused(file).code is Code.SOURCE_NOT_REGULAR


@pytest.mark.parametrize("number", [errno.EACCES, errno.EPERM, errno.EIO, errno.ELOOP])
def test_an_unreadable_file_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    def deny(path: Any, flags: int) -> int:
        assert flags & os.O_ACCMODE == os.O_RDONLY
        raise OSError(number, os.strerror(number), path)

    monkeypatch.setattr(source.os, "open", deny)
    error = refused(file)
    assert error.code is Code.SOURCE_UNREADABLE
    assert error.found == os.strerror(number)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_without_permission_is_refused(file: Path) -> None:
    file.chmod(0)
    assert refused(file).code is Code.SOURCE_UNREADABLE


def test_a_loop_of_symlinks_is_refused(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    assert refused(tmp_path / "loop").code is Code.SOURCE_UNREADABLE


def test_a_name_that_is_not_utf8_is_refused_in_printable_words(tmp_path: Path) -> None:
    path = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.raw")
    Path(path).touch()
    error = refused(path)
    assert error.code is Code.SOURCE_UNREADABLE
    assert str(error).encode()
    assert r"\xff.raw" in str(error)


def test_no_descriptor_is_left_open(file: Path) -> None:
    first_free = os.dup(0)
    os.close(first_free)
    identify(file)
    refused(file.parent)
    next_free = os.dup(0)
    os.close(next_free)
    assert next_free == first_free


def test_a_file_that_nobody_touched_is_unchanged(file: Path) -> None:
    identity = identify(file)
    file.read_bytes()
    check_unchanged([identity, identity])
    check_unchanged([])


def overwrite_and_restore_mtime(path: Path) -> None:
    status = path.stat()
    probe = path.with_name("probe")
    probe.touch()
    while probe.stat().st_ctime_ns == status.st_ctime_ns:  # the kernel's clock of files ticks every few milliseconds
        probe.touch()
    path.write_bytes(b"87654321")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def replace_by_a_copy(path: Path) -> None:
    path.rename(path.with_name("old"))
    path.write_bytes(b"12345678")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda path: os.truncate(path, 7), "size_bytes=7"),
        (lambda path: path.write_bytes(b"123456789"), "size_bytes=9"),
        (overwrite_and_restore_mtime, "ctime_ns="),
        (replace_by_a_copy, "inode="),
        (os.unlink, "no such file any more"),
    ],
)
def test_a_change_is_noticed(file: Path, change: Callable[[Path], None], told: str) -> None:
    identity = identify(file)
    change(file)
    with pytest.raises(SourceChanged, match=told) as caught:
        check_unchanged([identity])
    assert caught.value.code is Code.SOURCE_CHANGED
    assert caught.value.path == str(file)


def test_all_changed_files_are_counted(tmp_path: Path) -> None:
    paths = [tmp_path / name for name in "abc"]
    for path in paths:
        path.touch()
    identities = [identify(path) for path in paths]
    for path in paths[1:]:
        path.unlink()
    with pytest.raises(SourceChanged, match="1 more of 3 files changed") as caught:
        check_unchanged(identities)
    assert caught.value.path == str(paths[1])
