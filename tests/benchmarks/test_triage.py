"""Wrong labels are found in a set that is made up; sets that are not there are left out with their reason."""

from pathlib import Path

import numpy as np
import pytest

from benchmarks import triage_cost
from benchmarks.triage import SETS, best_run, competitors_text, measure, quality_figures
from benchmarks.triage_cost import SMALL, cost_figures
from benchmarks.triage_scores import DEFAULT, RUNS, Quality, quality
from benchmarks.triage_sets import MADE_UP, plant_confusable, plant_uniform


def test_sets_that_are_not_there_are_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {source.variable for source in SETS.values() if source.variable}
    for variable in variables:
        monkeypatch.delenv(variable, raising=False)
    there = {name: source for name, source in SETS.items() if source.variable}
    report = measure(there, [0], ["quality", "estimates", "fixing"], tmp_path)
    assert report["hausa"].note == "set HAUSA to the data's folder"
    assert [figure.verdict for figure in report.figures] == ["not measured"] * len(there)
    assert not report.is_missed
    assert len(variables) == 3


def test_finds_and_foresees(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = measure(MADE_UP, [0], ["quality", "estimates"], tmp_path, is_small=True)
    table = capsys.readouterr().out
    assert report["made-up: average precision of the default"].value > 0.9
    assert report["made-up: yield of the queue, expected off by"].value < 0.2
    assert report["noise rate: sets whose interval holds the truth"].value == 1
    rows = [line for line in table.splitlines() if line.startswith("| ")]
    for name in (DEFAULT, "random", "text length", "run: area_under_margin@head", "cleanlab: ensemble of all runs"):
        assert sum(line.startswith(f"| {name} |") for line in rows) == len(Quality._fields), name
    assert len(list(tmp_path.glob("*logistic-regression-*.npy"))) == 2  # what takes long is kept


def test_the_lead_is_over_the_best_run() -> None:
    def of(value: float) -> list[Quality]:
        return [Quality(value, value, value, value)]

    runs = {f"cleanlab: self-confidence, {run}": of(0.1 * place) for place, run in enumerate(RUNS)}
    of_set = {DEFAULT: of(0.75), **runs}
    assert best_run(of_set) == f"cleanlab: self-confidence, {RUNS[-1]}"
    figures = {figure.name: figure for figure in quality_figures({"a": of_set, "b": of_set | {DEFAULT: of(0.4)}})}
    assert figures["a: lead over cleanlab's default"].value == pytest.approx(0.25)
    assert figures["b: lead over cleanlab's default"].verdict == "MISS"
    assert figures["lead over cleanlab's default, mean of the sets"].value == pytest.approx(0.075)
    assert f"| {DEFAULT} | 0.750 (.750) | 0.750 |" in competitors_text({"a": of_set})


def test_quality_by_hand() -> None:
    risk = np.array([0.9, np.nan, 0.7, 0.7, 0.1])
    found = quality(risk, np.array([True, True, False, False, False]))
    assert found.average_precision == pytest.approx((1 + 2 / 5) / 2)
    assert found.precision_at_errors == 0.5
    assert found.auroc == 0.5


def test_planting() -> None:
    truth = np.arange(300) % 3
    confusion = np.array([[5.0, 3.0, 0.0], [0.0, 9.0, 1.0], [2.0, 0.0, 1.0]])
    given = plant_confusable(truth, confusion, 0.2, 1)
    assert (given != truth).sum() == 60
    assert (given[given != truth] == (truth[given != truth] + 1) % 3).all()
    uniform = plant_uniform(truth, 3, 0.5, 1)
    assert set(((uniform - truth) % 3)[uniform != truth].tolist()) == {1, 2}


def test_what_it_costs() -> None:
    figures = cost_figures(SMALL)
    assert len(figures) == 2 * sum(len(sizes) for sizes in SMALL)
    assert all(figure.value > 0 for figure in figures)
    assert {part for part, _ in triage_cost._GOALS} <= set(SMALL._fields)
