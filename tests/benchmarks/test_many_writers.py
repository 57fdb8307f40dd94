"""Many writers are measured on rows that are really there."""

from pathlib import Path

import pytest

from benchmarks import many_writers
from benchmarks.many_writers import SMALL, measure
from store import open_store


def test_measures_every_figure(tmp_path: Path) -> None:
    report = measure(SMALL, tmp_path)
    assert [len(figure.samples) for figure in report.figures] == [SMALL.repetitions] * 4
    assert min(report["time of many writers, in times of one"].samples) > 0
    assert not report.is_missed
    stores = [open_store(path) for path in tmp_path.rglob("*.db")]
    n_values = SMALL.n_writers * SMALL.n_calls * many_writers.N_METRICS
    assert [store.db.execute("SELECT count(*) FROM metrics").fetchone() for store in stores] == [(n_values,)] * 4


def test_a_writer_that_fails_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(many_writers, "N_METRICS", 0.5)
    with pytest.raises(AssertionError, match="TypeError"):
        measure(SMALL, tmp_path)
