import numpy as np
import pytest

from evals.triage.channel import SPREADS, Channel, choose_spread, count, judge, refit, start


def _opinions(n: int, k: int, sharpness: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Opinions that are right about how sure they are, and a truth drawn from them."""
    rng = np.random.default_rng(seed)
    probs = np.maximum(rng.dirichlet(np.full(k, sharpness), size=n), 1e-9)
    probs /= probs.sum(axis=1, keepdims=True)
    truth = (probs.cumsum(axis=1) > rng.random((n, 1))).argmax(axis=1)
    return np.log(probs), truth


def test_judged_by_bayes_rule() -> None:
    # With counts this large neither priors nor an example's own part matter.
    matrix = np.array([[0.8, 0.2, 0.0], [0.1, 0.6, 0.3], [0.05, 0.05, 0.9]])
    channel = Channel(matrix * 1e9, 1.0)
    opinion = np.array([[0.5, 0.3, 0.2], [0.2, 0.2, 0.6]])
    given = np.array([1, 2])
    expected = opinion * matrix[:, given].T
    judged, p_given = judge(np.log(opinion), given, channel)
    np.testing.assert_allclose(p_given, expected.sum(axis=1), rtol=1e-6)
    np.testing.assert_allclose(judged, expected / expected.sum(axis=1, keepdims=True), rtol=1e-6, atol=1e-9)


def test_counts_are_sums_of_responsibilities() -> None:
    rng = np.random.default_rng(0)
    responsibilities, given = rng.dirichlet(np.ones(4), size=50), rng.integers(-1, 4, size=50)
    responsibilities[3] = np.nan
    expected = np.zeros((4, 4))
    for row, label in zip(responsibilities, given.tolist(), strict=True):
        if label >= 0 and not np.isnan(row).any():
            expected[:, label] += row
    np.testing.assert_allclose(count(responsibilities, given), expected)
    channel = Channel(expected, 1.0)
    assert channel.rate == pytest.approx(1 - np.trace(expected) / expected.sum())


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.4])
def test_the_rate_and_the_pairs_are_found(rate: float) -> None:
    log_probs, truth = _opinions(4000, 4, 0.15, 1)
    flipped = np.random.default_rng(2).random(4000) < rate
    given = np.where(flipped, (truth + 1) % 4, truth)
    channel = start(log_probs, given)
    for _ in range(12):
        channel = choose_spread(log_probs, given, refit(log_probs, given, channel, n_rounds=2))
    assert channel.rate == pytest.approx(rate, abs=0.025)
    if rate:
        share = channel.counts / channel.n[:, None]
        assert all(share[c, (c + 1) % 4] == pytest.approx(rate, abs=0.06) for c in range(4))
        assert channel.spread < 64  # the errors keep to pairs


def test_errors_that_go_anywhere_are_spread_wide() -> None:
    log_probs, truth = _opinions(4000, 12, 0.05, 3)
    rng = np.random.default_rng(4)
    given = np.where(rng.random(4000) < 0.2, (truth + rng.integers(1, 12, size=4000)) % 12, truth)
    channel = start(log_probs, given)
    for _ in range(8):
        channel = choose_spread(log_probs, given, refit(log_probs, given, channel, n_rounds=2))
    assert channel.spread >= 64
    assert channel.rate == pytest.approx(0.2, abs=0.03)


def test_one_example_does_not_convince_itself() -> None:
    # One example of class 0 is labelled 1, an opinion in two minds. Its own count must not make 0 -> 1 likely.
    log_probs = np.log(np.array([[0.98, 0.01, 0.01]] * 50 + [[0.5, 0.5, 0.0001]]))
    given = np.array([0] * 50 + [1])
    channel = Channel(count(np.array([[1.0, 0, 0]] * 51), given), 1.0)
    judged, _ = judge(log_probs, given, channel)
    alone, _ = judge(log_probs, given, Channel(count(np.array([[1.0, 0, 0]] * 50), given[:50]), 1.0))
    assert judged[50, 0] < 0.1
    assert judged[50, 0] == pytest.approx(alone[50, 0], abs=0.02)


def test_limits() -> None:
    channel = Channel(np.eye(2) * 10, SPREADS[0])
    judged, p_given = judge(np.array([[np.nan, np.nan], [-0.7, -0.7], [0.0, -20.0]]), np.array([0, -1, 0]), channel)
    assert np.isnan(judged).all(axis=1).tolist() == [True, True, False]
    assert np.isnan(p_given).tolist() == [True, True, False]
    empty = start(np.empty((0, 3)), np.empty(0, dtype=int))
    assert np.isnan(empty.rate)
    assert np.isnan(refit(np.empty((0, 3)), np.empty(0, dtype=int), empty).rate)
    one = start(np.zeros((5, 1)), np.zeros(5, dtype=int))
    assert judge(np.zeros((5, 1)), np.zeros(5, dtype=int), one)[0].tolist() == [[1.0]] * 5
