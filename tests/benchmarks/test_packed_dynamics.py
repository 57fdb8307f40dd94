"""What is written is what is read, or the benchmark stops."""

from pathlib import Path

import pytest

from benchmarks.packed_dynamics import Size, make_data, measure, read, write

TINY = Size(n_examples=5000, n_epochs=2, repetitions=2)


def test_measures_every_figure(tmp_path: Path) -> None:
    report = measure(TINY, tmp_path)
    assert len(report.figures) == 3
    assert all(len(figure.samples) == 2 and min(figure.samples) > 0 for figure in report.figures)
    assert report["bytes a record on disk"].value >= 6


def test_reading_other_data_than_was_written_is_an_error(tmp_path: Path) -> None:
    data = make_data(TINY)
    path = tmp_path / "a.db"
    write(path, data, [], [])
    read(path, data)
    with pytest.raises(AssertionError, match="off"):
        read(path, data._replace(logits=[-logits for logits in data.logits]))
