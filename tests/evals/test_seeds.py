import numpy as np
import numpy.typing as npt
import pytest

from evals.classification import score_classification
from evals.paired import mean_difference
from evals.seeds import ADDITIVE, compare_with_best, example_scores

Floats = npt.NDArray[np.float64]


@pytest.mark.parametrize("metric", ADDITIVE)
def test_the_mean_of_the_scores_is_the_metric(metric: str) -> None:
    rng = np.random.default_rng(1)
    gold = rng.integers(-1, 4, 500)
    gold[gold == 2] = 1  # a class that is said and never right
    logits = rng.normal(size=(500, 4)) + 1.5 * np.eye(4)[np.maximum(gold, 0)]
    log_probs = (logits - np.log(np.exp(logits).sum(1, keepdims=True))).astype(np.float64)
    loss = np.where(gold >= 0, -log_probs[np.arange(500), np.maximum(gold, 0)], np.nan)
    scores = example_scores(metric, gold, log_probs.argmax(1), loss)
    (expected,) = (score.value for score in score_classification(gold, log_probs, n_boot=0) if score.metric == metric)
    assert np.isnan(scores).tolist() == (gold < 0).tolist()
    assert np.nanmean(scores) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("metric", ["macro_f1", "weighted_f1"])
def test_the_spread_of_f1_scores_is_that_of_the_bootstrap(metric: str) -> None:
    rng = np.random.default_rng(2)
    gold = rng.choice(4, 800, p=[0.55, 0.25, 0.15, 0.05])
    predicted = np.where(rng.random(800) < 0.7, gold, rng.integers(0, 4, 800))
    scores = example_scores(metric, gold, predicted, np.zeros(800))
    log_probs = np.log(np.full((800, 4), 0.1) + 0.6 * np.eye(4)[predicted])
    (score,) = (each for each in score_classification(gold, log_probs, n_boot=4000) if each.metric == metric)
    assert scores.std(ddof=1) / np.sqrt(800) == pytest.approx((score.high - score.low) / 3.92, rel=0.06)


def test_no_answer_is_wrong_and_another_metric_is_refused() -> None:
    gold, silent = np.array([0, 1, 0, 1]), np.array([-1, -1, 0, 1])
    assert example_scores("accuracy", gold, silent, np.zeros(4)).tolist() == [0, 0, 1, 1]
    assert example_scores("macro_f1", gold, silent, np.zeros(4)).mean() == pytest.approx(2 / 3)
    with pytest.raises(ValueError, match="'ece' is no mean over examples"):
        example_scores("ece", gold, silent, np.zeros(4))


def test_with_one_seed_each_it_is_the_paired_test() -> None:
    rng = np.random.default_rng(3)
    a, b = rng.normal(0.4, 1, (1, 200)), rng.normal(0.5, 1, (1, 200))
    table = compare_with_best([a, b], is_maximised=True)
    expected = mean_difference("loss", b[0], a[0])
    row = table.iloc[0]
    found = row[["difference", "difference_low", "difference_high", "p"]].tolist()
    assert found == pytest.approx([expected.difference, expected.low, expected.high, expected.p])
    assert np.isnan(row["n_seeds_needed"]), "one seed says nothing about seeds"
    assert np.isnan(table["low"]).all()
    best = table.iloc[1]
    assert (best["difference"], bool(best["is_separated"]), np.isnan(best["p"])) == (0.0, False, True)


def runs(rng: np.random.Generator, level: float, n_seeds: int, easy: Floats, *, of_run: float, rest: float) -> Floats:
    """Scores of one configuration: what examples have in common, what a seed does to a run, and the rest."""
    n = len(easy)
    return level + easy + of_run * rng.normal(size=(n_seeds, 1)) + rest * rng.normal(size=(n_seeds, n))


def rejections(n_seeds: int, gain: float, *, n: int = 300, rounds: int = 400) -> float:
    """How often two configurations are told apart whose runs differ by seed and by example."""
    rng = np.random.default_rng(5)
    told = 0
    for _ in range(rounds):
        easy, own = rng.normal(size=n), rng.normal(size=(2, n)) * 0.3
        given = [
            runs(rng, gain * i, n_seeds, easy + own[i], of_run=0.05, rest=0.5)  # the second is better by `gain`
            for i in range(2)
        ]
        told += bool(compare_with_best(given, is_maximised=True)["is_separated"].any())
    return told / rounds


def test_equal_configurations_are_seldom_told_apart() -> None:
    assert rejections(3, 0.0) < 0.075
    assert rejections(8, 0.0) < 0.075


def test_the_seeds_that_are_said_to_be_needed_are_enough() -> None:
    rng = np.random.default_rng(7)
    gain, needed = 0.12, []
    for _ in range(60):
        easy, own = rng.normal(size=300), rng.normal(size=(2, 300)) * 0.3
        given = [runs(rng, gain * i, 8, easy + own[i], of_run=0.05, rest=0.5) for i in range(2)]
        row = compare_with_best(given, is_maximised=True).iloc[0]
        needed.append(row["n_seeds_needed"])
    typical = int(np.median(needed))
    assert 2 <= typical <= 12
    assert rejections(typical, gain) > 0.6  # the difference that was seen is not always the true one


def test_what_seeds_cannot_settle_examples_can() -> None:
    rng = np.random.default_rng(8)
    easy = rng.normal(size=50)
    given = [runs(rng, 0.02 * i, 4, easy + rng.normal(size=50), of_run=0.01, rest=0.01) for i in range(2)]
    row = compare_with_best(given, is_maximised=True).sort_values("n_seeds_needed").iloc[0]
    assert row["n_seeds_needed"] == np.inf
    assert row["n_examples_needed"] > 50


def test_losses_are_best_when_low_and_missing_examples_are_left_out() -> None:
    rng = np.random.default_rng(9)
    low, high = rng.normal(0.2, 0.1, (2, 100)), rng.normal(0.6, 0.1, (2, 100))
    high[0, :10] = np.nan
    table = compare_with_best([high, low], is_maximised=False)
    assert table["difference"].round(1).tolist() == [0.4, 0.0]
    assert table["is_separated"].tolist() == [True, False]
    assert table["mean"].tolist() == pytest.approx([high[:, 10:].mean(), low[:, 10:].mean()])


def test_nothing_to_compare_is_unknown() -> None:
    table = compare_with_best([np.full((1, 3), np.nan), np.ones((1, 3))], is_maximised=True)
    assert np.isnan(table["mean"]).all()
    assert not table["is_separated"].any()
    alike = compare_with_best([np.ones((2, 5)), np.ones((2, 5))], is_maximised=True)
    assert not alike["is_separated"].any()
    assert alike["p"].tolist()[1] == 1.0
