import numpy as np
import pytest

from evals.triage.consensus import count_doubts, fit_consensus, pool, without_shares, wrong_risk
from evals.triage.folds import self_confidence_risk
from tests.evals.triage.planted import CLASSES, average_precision, opinions, plant


@pytest.mark.parametrize("kind", ["uniform", "confusable", "cyclic"])
def test_the_consensus_finds_planted_errors(kind: str) -> None:
    planted = plant(kind, 0.1)
    members = opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    assert consensus.weights[1] < 0.5 * consensus.weights[0]  # too sure, and knows less
    pooled = pool(members, consensus.weights)
    wrong = wrong_risk(pooled, planted.given, consensus.channel)
    assert 0 <= wrong.min() <= wrong.max() <= 1
    precision = average_precision(wrong, planted.is_wrong)
    of_pool = average_precision(self_confidence_risk(pooled, planted.given), planted.is_wrong)
    of_members = [average_precision(-m[np.arange(1500), planted.given], planted.is_wrong) for m in members]
    assert of_pool > max(of_members) - 0.03
    assert precision > of_pool - 0.05
    if kind == "cyclic":  # pairs of classes that a self-confidence cannot know of
        assert precision > of_pool + 0.05
    assert 0.03 < consensus.channel.rate < 0.14
    assert consensus.cautious.rate < consensus.channel.rate


def test_pool_is_the_weighted_mean_of_logs() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.dirichlet(np.ones(3), size=5), rng.dirichlet(np.ones(3), size=5)
    expected = a**0.3 * b**1.2
    np.testing.assert_allclose(
        np.exp(pool([np.log(a), np.log(b)], np.array([0.3, 1.2]))), expected / expected.sum(1, keepdims=True), rtol=1e-5
    )


def test_a_silent_member_is_left_out() -> None:
    rng = np.random.default_rng(1)
    a, b = np.log(rng.dirichlet(np.ones(3), size=4)), np.log(rng.dirichlet(np.ones(3), size=4))
    b[1:3] = np.nan
    a[2] = np.nan
    pooled = pool([a, b], np.array([0.5, 1.0]))
    assert np.isnan(pooled).all(axis=1).tolist() == [False, False, True, False]
    alone = 1.5 * a[1] - np.log(np.exp(1.5 * a[1]).sum())
    np.testing.assert_allclose(pooled[1], alone, rtol=1e-5)
    wrong = wrong_risk(pooled, np.array([0, 1, 2, -1]), fit_consensus([a, b], np.array([0, 1, 2, -1])).channel)
    assert np.isnan(wrong).tolist() == [False, False, True, True]


def test_a_member_that_rules_the_label_out_is_survived() -> None:
    sure = np.log(np.array([[1.0, 1e-300], [1e-300, 1.0]] * 20))
    sure[:, 0] = np.where(sure[:, 0] < -100, -np.inf, sure[:, 0])
    given = np.array([0, 1] * 19 + [1, 0])
    consensus = fit_consensus([sure], given)
    wrong = wrong_risk(pool([sure], consensus.weights), given, consensus.channel)
    assert wrong[-2:].min() > wrong[:-2].max()


def test_weights_do_not_hang_on_the_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    planted = plant("uniform", 0.1, n=3000)
    members = opinions(planted.embeddings, planted.given)
    whole = fit_consensus(members, planted.given)
    monkeypatch.setattr("evals.triage.consensus._FIT_NUMBERS", 0)
    monkeypatch.setattr("evals.triage.consensus._LEAST_FIT", 1500)
    monkeypatch.setattr("evals.triage.consensus._WEIGHT_ROWS", 1000)
    sampled = fit_consensus(members, planted.given)
    np.testing.assert_allclose(sampled.weights, whole.weights, atol=0.35)
    assert sampled.channel.rate == pytest.approx(whole.channel.rate, abs=0.02)
    assert sampled.channel.counts.sum() == pytest.approx(3000)


def test_limits() -> None:
    nobody = np.empty((0, CLASSES))
    assert fit_consensus([nobody, nobody], np.empty(0, dtype=int)).weights.tolist() == [0.5, 0.5]
    assert pool([nobody], np.ones(1)).shape == (0, CLASSES)
    no_labels = fit_consensus([np.log(np.full((3, 2), 0.5))], np.array([-1, -1, -1]))
    assert np.isnan(no_labels.channel.rate)
    one_class = fit_consensus([np.zeros((4, 1))], np.zeros(4, dtype=int))
    assert wrong_risk(np.zeros((4, 1)), np.zeros(4, dtype=int), one_class.channel).tolist() == [0] * 4
    same_label = fit_consensus([np.log(np.full((9, 3), 1 / 3))], np.zeros(9, dtype=int))
    assert np.isfinite(same_label.weights).all()
    with pytest.raises(ValueError, match="members is empty"):
        fit_consensus([], np.zeros(3, dtype=int))
    with pytest.raises(ValueError, match="one shape"):
        fit_consensus([np.zeros((3, 2)), np.zeros((3, 3))], np.zeros(3, dtype=int))


def test_seven_of_eight_runs_doubt() -> None:
    margins = [np.array([-1.0, 0.2, np.nan])] * 7 + [np.array([0.0, -0.1, np.nan])]
    doubts = count_doubts(margins)
    assert doubts.n_doubting.tolist() == [7, 1, 0]
    assert doubts.n_voices.tolist() == [8, 8, 0]
    assert count_doubts([]).n_voices.tolist() == []


def test_how_common_a_class_looks_is_taken_out() -> None:
    log_probs = np.log(np.array([[0.8, 0.2, 1e-9], [0.5, 0.5, 1e-9], [np.nan, 1.0, 1.0]]))
    assert np.isnan(without_shares(log_probs, np.array([0, 0, 0]))[2]).all()
    even = np.exp(without_shares(log_probs[:2], np.array([0, 1])))
    np.testing.assert_allclose(even[:, :2], [[0.8, 0.2], [0.5, 0.5]], atol=1e-4)
    rare = np.exp(without_shares(np.log([[0.75, 0.25]]), np.array([0, 0, 0, 1])))
    np.testing.assert_allclose(rare, [[0.5, 0.5]], atol=1e-6)
