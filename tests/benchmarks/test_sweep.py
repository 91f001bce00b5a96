from pathlib import Path

import pytest

from benchmarks.sweep import main


@pytest.mark.slow
def test_both_sweeps_store_every_recording_and_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["--recordings", "2", "--rounds", "1", "--folder", str(tmp_path)])
    told = capsys.readouterr().out
    assert "2 recordings of 8 MiB" in told
    assert "| the engine alone |" in told
    assert "| the flow `ingest` |" in told
    assert list(tmp_path.iterdir()) == []
