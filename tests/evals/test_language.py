import numpy as np
import pytest

from evals.language import score_language, score_loss


def test_long_examples_count_by_their_length() -> None:
    nats, n_tokens, n_bytes = np.array([10.0, 1.0]), np.array([100, 1]), np.array([400, 5])
    scores = {score.metric: score for score in score_language(nats, n_tokens, n_bytes)}
    assert scores["loss"].value == pytest.approx(11 / 101)
    assert scores["perplexity"].value == pytest.approx(np.exp(11 / 101))
    assert scores["bits_per_byte"].value == pytest.approx(11 / np.log(2) / 405)


def test_the_interval_is_that_of_a_ratio() -> None:
    rng = np.random.default_rng(0)
    n_tokens = rng.integers(5, 200, size=1000)
    nats = n_tokens * rng.gamma(9, 1 / 3, size=1000)
    loss, perplexity = score_language(nats, n_tokens, n_boot=3000)
    # the linearised standard error of a ratio: Cochran, Sampling Techniques (1977), section 2.11
    residual = nats - loss.value * n_tokens
    half = 1.96 * residual.std(ddof=1) / np.sqrt(1000) / n_tokens.mean()
    assert loss.high - loss.value == pytest.approx(half, rel=0.1)
    assert loss.value - loss.low == pytest.approx(half, rel=0.1)
    assert (perplexity.low, perplexity.high) == pytest.approx((np.exp(loss.low), np.exp(loss.high)))


def test_examples_without_a_token_are_left_out() -> None:
    nats, counts = np.array([1.0, 0.0, 3.0]), np.array([1, 0, 1])
    assert score_loss(nats, counts) == score_loss(nats[[0, 2]], counts[[0, 2]])
    empty = score_language(np.array([0.0]), np.array([0]), np.array([0]))
    assert all(score.n == 0 and np.isnan(score.value) for score in empty)


def test_a_model_that_answers_nan_has_no_loss_and_an_infinite_one_no_interval() -> None:
    assert np.isnan(score_loss(np.array([1.0, np.nan]), np.array([1, 1])).value)
    infinite = score_loss(np.array([1.0, np.inf]), np.array([1, 1]))
    assert infinite.value == np.inf
    assert np.isnan([infinite.low, infinite.high]).all()
    assert score_language(np.array([1e6, 1e6]), np.array([1, 1]))[1].value == np.inf


def test_bad_counts_are_refused() -> None:
    with pytest.raises(ValueError, match=r"n_tokens has shape \(3,\); n_tokens holds -1; needed: nats, n_tokens"):
        score_language(np.ones(2), np.array([1, -1, 2]))
