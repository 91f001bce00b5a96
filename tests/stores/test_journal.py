"""The journal: appended whole, read back in spite of a crash."""

from pathlib import Path

import pytest

from extractors.errors import Code, StorageFailed
from stores.journal import Journal, Receipt

A = Receipt(window=0, digest="a" * 32, stored_bytes=10)
B = Receipt(window=1, digest="b" * 32, stored_bytes=11)


def test_gives_back_what_was_stored(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    assert journal.stored() == {}
    journal.record("stored", "s1", A)
    journal.record("stored", "s1", B)
    assert journal.stored() == {0: A, 1: B}


def test_a_line_torn_by_a_crash_counts_as_not_stored_and_spoils_no_later_line(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.record("stored", "s1", A)
    whole = journal.path.read_bytes()
    for cut in range(len(whole)):
        journal.path.write_bytes(whole[:cut])
        torn = journal.stored()
        assert torn in ({}, {0: A})
        journal.record("stored", "s2", B)
        assert journal.stored() == torn | {1: B}


def test_a_damaged_window_loses_its_receipt_until_it_is_stored_again(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.record("stored", "s1", A)
    journal.record("verified", "s1", A)
    journal.record("damaged", "s2", A)
    assert journal.stored() == {}
    assert journal.verified("s1") == {}
    journal.record("stored", "s2", A)
    assert journal.stored() == {0: A}


def test_verified_counts_only_in_its_session_and_not_for_a_window_written_since(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "journal.jsonl")
    journal.record("stored", "s1", A)
    journal.record("verified", "s1", A)
    assert journal.verified("s1") == {0: A}
    assert journal.verified("s2") == {}
    journal.record("stored", "s1", A)
    assert journal.verified("s1") == {}


def test_a_full_disk_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "journal.jsonl").symlink_to("/dev/full")
    with pytest.raises(StorageFailed) as refusal:
        Journal(tmp_path / "journal.jsonl").record("stored", "run", Receipt(window=0, digest="0", stored_bytes=1))
    assert refusal.value.code == Code.NO_SPACE
