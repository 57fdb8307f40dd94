"""Logging is measured on rows that are really there, with and without peers."""

import sys
from pathlib import Path

import pytest

from benchmarks import metric_logging
from benchmarks.metric_logging import NAMES, SMALL, measure, measure_peers
from store import list_metrics, open_readonly


def test_measures_every_figure(tmp_path: Path) -> None:
    report = measure(SMALL, tmp_path)
    rates = ("log() calls, flushed", "values through log()", "values through log_columns()")
    assert all(len(report[name].samples) == SMALL.repetitions and min(report[name].samples) > 0 for name in rates)
    assert report["bytes a value on disk, times and epochs included"].samples[0] > 8
    assert report["values through log_columns()"].ratio is not None
    assert report["Trackio"].verdict == report["MLflow"].verdict == "not measured"
    assert "--peers-python" in report["MLflow"].note


def test_charted_store_holds_every_step_with_its_axes(tmp_path: Path) -> None:
    path = tmp_path / "charted.db"
    metric_logging.fill_charts(path, SMALL)
    frame = list_metrics(open_readonly(path), range(1, SMALL.n_runs + 1), NAMES)
    assert len(frame) == SMALL.n_runs * SMALL.n_steps * len(NAMES)
    last = frame[(frame["metric"] == NAMES[0]) & (frame["step"] == SMALL.n_steps - 1)]
    assert last["value"].tolist() == [1 / SMALL.n_steps] * SMALL.n_runs
    assert last["tokens"].tolist() == [512.0 * (SMALL.n_steps - 1)] * SMALL.n_runs


def test_reading_too_little_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "charted.db"
    metric_logging.fill_charts(path, SMALL)
    with pytest.raises(AssertionError, match="every value of every run was expected"):
        metric_logging.read_charts(path, SMALL._replace(n_runs=SMALL.n_runs + 1))


def test_peers_that_are_not_there_are_said_by_name(tmp_path: Path) -> None:
    found = measure_peers(sys.executable, tmp_path, 1)
    assert set(found) == {"Trackio", "MLflow"}
    assert "No module named 'trackio'" in str(found["Trackio"])
    assert "No such file" in str(measure_peers("/no/such/python", tmp_path, 1)["Trackio"])
