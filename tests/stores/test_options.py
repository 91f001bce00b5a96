"""The defaults of a conversion."""

import os
from pathlib import Path

import pytest

from stores import options
from stores.options import ConvertOptions, usable_cores


@pytest.mark.parametrize(
    ("limit", "cores"),
    [("max 100000", 4), ("200000 100000", 2), ("150000 100000", 1), ("50000 100000", 1), ("900000 100000", 4), ("", 4)],
)
def test_workers_are_the_cores_of_the_affinity_or_of_the_control_group(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, limit: str, cores: int
) -> None:
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(options, "_CPU_LIMIT", tmp_path / "cpu.max")
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 5})
    assert usable_cores() == cores
    assert ConvertOptions().workers == cores


def test_without_control_groups_the_affinity_counts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(options, "_CPU_LIMIT", tmp_path / "missing")
    assert usable_cores() == len(os.sched_getaffinity(0))


def test_the_number_of_workers_is_no_part_of_what_is_stored() -> None:
    assert ConvertOptions(workers=1).stored_form() == ConvertOptions(workers=9).stored_form()
