import itertools
import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, log_loss

from evals.calibration import expected_calibration_error
from evals.classification import (
    METRICS,
    class_table,
    confusion_matrix,
    prediction_columns,
    score_classification,
)
from evals.f1 import class_totals, count_cells, macro_f1


def _model(n: int, k: int, seed: int = 0, skill: float = 2.0) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    labels = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k))
    logits[np.arange(n), labels] += skill
    log_probs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return labels, log_probs.astype(np.float32)


def _scores(labels: np.ndarray, log_probs: np.ndarray, **options: int) -> dict:
    return {score.metric: score for score in score_classification(labels, log_probs, **options)}


@pytest.mark.parametrize(("n", "k"), [(7, 2), (500, 5), (800, 77)])
def test_values_agree_with_sklearn(n: int, k: int) -> None:
    labels, log_probs = _model(n, k)
    predicted, present = log_probs.argmax(axis=1), np.unique(labels)
    scores = _scores(labels, log_probs, n_boot=200)
    assert list(scores) == list(METRICS)
    assert scores["accuracy"].value == pytest.approx(accuracy_score(labels, predicted))
    f1 = {"average": "macro", "labels": present, "zero_division": 0}
    assert scores["macro_f1"].value == pytest.approx(f1_score(labels, predicted, **f1))
    weighted = f1_score(labels, predicted, average="weighted", zero_division=0)
    assert scores["weighted_f1"].value == pytest.approx(weighted)
    probs = np.exp(log_probs.astype(np.float64))
    loss = log_loss(labels, probs / probs.sum(axis=1, keepdims=True), labels=range(k))
    assert scores["loss"].value == pytest.approx(loss, abs=1e-5)
    for score in scores.values():
        assert score.n == n
        assert score.low <= score.value <= score.high or score.metric.endswith("f1")


def test_f1_interval_is_that_of_a_bootstrap_over_examples() -> None:
    labels, log_probs = _model(600, 4)
    predicted = log_probs.argmax(axis=1)
    score = _scores(labels, log_probs, n_boot=4000)["macro_f1"]
    rng = np.random.default_rng(1)
    draws = []
    for _ in range(1000):
        rows = rng.integers(600, size=600)
        draws.append(f1_score(labels[rows], predicted[rows], average="macro"))
    low, high = np.quantile(draws, [0.025, 0.975])
    assert (score.low, score.high) == pytest.approx((low, high), abs=0.006)


def test_intervals_are_reproducible_by_seed_and_can_be_left_out() -> None:
    labels, log_probs = _model(300, 3)
    assert score_classification(labels, log_probs, seed=5) == score_classification(labels, log_probs, seed=5)
    scores = _scores(labels, log_probs, n_boot=0)
    assert scores["macro_f1"].value > 0.5
    assert np.isnan([scores["macro_f1"].low, scores["ece"].high]).all()
    assert not np.isnan(scores["accuracy"].low)


def test_a_class_absent_from_gold_has_no_f1_but_a_missed_class_counts_as_zero() -> None:
    labels = np.array([0, 0, 1, 1])
    predicted = np.array([0, 2, 0, 0])  # class 1 never found, class 2 a false alarm, class 3 nowhere
    cells = count_cells(labels, predicted)
    totals = class_totals(cells.values[0], cells.values[1], cells.counts, 4)
    assert float(macro_f1(totals)) == pytest.approx((2 * 1 / (2 + 3) + 0) / 2)


def test_unlabelled_examples_are_left_out() -> None:
    labels, log_probs = _model(100, 3)
    hidden = labels.copy()
    hidden[50:] = -1
    first = score_classification(labels[:50], log_probs[:50])
    assert score_classification(hidden, log_probs) == first
    nothing = _scores(np.full(100, -1), log_probs)
    assert all(np.isnan([s.value, s.low, s.high]).all() and s.n == 0 for s in nothing.values())


def test_a_row_of_nan_is_wrong_and_has_no_loss() -> None:
    labels, log_probs = _model(50, 3, skill=50)
    log_probs[0, 1] = np.nan
    scores = _scores(labels, log_probs)
    assert scores["accuracy"].value == pytest.approx(49 / 50)
    assert np.isnan([scores["loss"].value, scores["ece"].value]).all()
    assert 0.9 < scores["macro_f1"].value < 1
    columns = prediction_columns(labels, log_probs)
    assert columns.predicted[0] == -1
    assert np.isnan([columns.p_given[0], columns.p_predicted[0], columns.margin[0], columns.loss[0]]).all()


def test_prediction_columns() -> None:
    probs = np.array([[0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0.5, 0.3, 0.2], [0, 1, 0]], dtype=np.float32)
    with np.errstate(divide="ignore"):
        columns = prediction_columns(np.array([0, 2, -1, 0]), np.log(probs))
    assert columns.predicted.tolist() == [0, 0, 0, 1]
    np.testing.assert_allclose(columns.p_given, [0.5, 0.2, np.nan, 0], rtol=1e-6)
    np.testing.assert_allclose(columns.p_predicted, [0.5, 0.5, 0.5, 1], rtol=1e-6)
    np.testing.assert_allclose(columns.margin, [0.2, -0.3, np.nan, -1], rtol=1e-5)
    np.testing.assert_allclose(columns.loss, [-np.log(0.5), -np.log(0.2), np.nan, np.inf], rtol=1e-6)


def test_everything_wrong_is_named_at_once() -> None:
    with pytest.raises(ValueError, match=r"labels holds -2 to 9; allowed: -1 \(no label\) to 2; .*sum to 3"):
        score_classification(np.array([-2, 9]), np.zeros((2, 3), dtype=np.float32))
    with pytest.raises(ValueError, match=r"shape \(4,\).*type float64"):
        prediction_columns(np.zeros(4), np.zeros(4, dtype=np.float32))


def test_confusion_and_class_table() -> None:
    labels = np.array([0, 0, 0, 1, 1, -1, 2])
    predicted = np.array([0, 0, 1, 1, 1, 1, -1])
    confusion = confusion_matrix(labels, predicted, 4)
    assert confusion.tolist() == [[2, 1, 0, 0], [0, 2, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]
    table = class_table(confusion, ["a", "b", "c", "d"])
    assert table.columns.tolist() == ["label", "n", "precision", "recall", "f1", "f1_low", "f1_high"]
    np.testing.assert_allclose(table["precision"], [1, 2 / 3, np.nan, np.nan])
    np.testing.assert_allclose(table["recall"], [2 / 3, 1, np.nan, np.nan])
    np.testing.assert_allclose(table["f1"], [0.8, 0.8, np.nan, np.nan])
    assert (table["f1_low"][:2] < 0.8).all()
    assert (table["f1_high"][:2] > 0.8).all()
    assert table.loc[2:, ["f1_low", "f1_high"]].isna().all().all()
    with pytest.raises(ValueError, match="allowed: -1 to 1"):
        confusion_matrix(labels, predicted, 2)
    with pytest.raises(ValueError, match=r"square matrix \(2, 2\)"):
        class_table(confusion, ["a", "b"])


def test_perfect_class_keeps_an_honest_interval() -> None:
    table = class_table(np.array([[3, 0], [0, 300]]), ["rare", "common"])
    assert table["f1"].tolist() == [1, 1]
    assert table["f1_low"][0] < 0.7 < 0.99 < table["f1_low"][1]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=60))
def test_ece_is_the_sum_over_bins(rows: list[tuple[float, bool]]) -> None:
    confidence, right = np.array([r[0] for r in rows]), np.array([r[1] for r in rows])
    expected, edges = 0.0, np.arange(16) / 15
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high) | ((confidence == 0) & (low == 0))
        if inside.any():
            expected += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    value, low, high = expected_calibration_error(confidence, right, n_boot=20)
    assert value == pytest.approx(expected, abs=1e-9)
    assert 0 <= low <= value <= high


def test_ece_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(0)
    truth, n_covered = 0.1, 0
    for seed in range(100):
        confidence = rng.uniform(0.35, 0.95, size=1000)
        right = rng.random(1000) < confidence - truth
        _, low, high = expected_calibration_error(confidence, right, n_boot=300, seed=seed)
        n_covered += low <= truth <= high
    assert n_covered >= 88  # 95 expected
    assert _covers_zero_when_calibrated(rng) >= 93


def _covers_zero_when_calibrated(rng: np.random.Generator) -> int:
    n_covered = 0
    for seed in range(100):
        confidence = rng.uniform(0.3, 1, size=500)
        low = expected_calibration_error(confidence, rng.random(500) < confidence, n_boot=300, seed=seed).low
        n_covered += low == 0
    return n_covered


def test_a_hundred_thousand_examples_are_scored_at_once() -> None:
    labels, log_probs = _model(100_000, 77, skill=5)
    start = time.perf_counter()
    scores = score_classification(labels, log_probs)
    assert time.perf_counter() - start < 5  # 0.4 s measured alone on one core
    assert scores[1].high - scores[1].low < 0.01
