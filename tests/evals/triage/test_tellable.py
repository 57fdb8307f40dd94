import numpy as np
import pytest

from evals.triage.audit import label_audit
from evals.triage.channel import Channel
from evals.triage.tellable import tellable_rates
from tests.evals.triage.planted import plant


def _opinion(n: int, k: int, gap: float, rate: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """What a perfectly calibrated model says of n texts, gap apart, and their labels, a share `rate` of them wrong."""
    rng = np.random.default_rng(seed)
    truth = rng.integers(k, size=n)
    seen = gap * np.eye(k)[truth] + rng.normal(size=(n, k))
    log_probs = gap * seen - np.log(np.exp(gap * seen).sum(axis=1, keepdims=True))
    wrong = rng.random(n) < rate
    return log_probs, np.where(wrong, (truth + rng.integers(1, k, size=n)) % k, truth)


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("rate", [0.0, 0.1, 0.35])
def test_a_good_opinion_tells_the_rate(k: int, rate: float) -> None:
    log_probs, given = _opinion(2000, k, 3.0, rate)
    found = tellable_rates(log_probs, given, Channel(np.eye(k), 1.0))
    assert found.is_told
    assert found.low - 0.03 <= rate <= found.high + 0.03
    assert found.high - found.low < 0.1


@pytest.mark.parametrize("k", [2, 5])
@pytest.mark.parametrize("rate", [0.0, 0.07])
def test_an_opinion_that_guesses_tells_nothing(k: int, rate: float) -> None:
    log_probs, given = _opinion(600, k, 0.0, rate)
    rng = np.random.default_rng(1)
    found = tellable_rates(log_probs + rng.normal(size=log_probs.shape), given, Channel(np.eye(k), 1.0))
    assert not found.is_told
    assert found.low < rate + 0.01
    assert found.high > 0.9 * found.chance


def test_labels_of_pairs_of_classes_are_told_by_what_the_channel_says() -> None:
    log_probs, truth = _opinion(2000, 4, 3.5, 0.0)
    given = np.where(np.random.default_rng(2).random(2000) < 0.2, truth ^ 1, truth)
    counts = np.kron(np.eye(2), np.array([[80.0, 20.0], [20.0, 80.0]]))
    low, high, _ = tellable_rates(log_probs, given, Channel(counts, 1.0))
    assert low < (given != truth).mean() < high
    assert high - low < 0.1


def test_limits() -> None:
    nothing = tellable_rates(np.empty((0, 2)), np.empty(0, dtype=int), Channel(np.eye(2), 1.0))
    assert np.isnan(nothing).all()
    assert not nothing.is_told
    unknown = tellable_rates(np.full((3, 2), np.nan), np.array([0, 1, -1]), Channel(np.eye(2), 1.0))
    assert not unknown.is_told
    assert tellable_rates(np.zeros((4, 1)), np.zeros(4, dtype=int), Channel(np.eye(1), 1.0)).is_told


def test_where_the_texts_say_nothing_no_number_of_errors_is_claimed() -> None:
    rng = np.random.default_rng(3)
    audit = label_audit(rng.integers(2, size=280), 2, embeddings=rng.normal(size=(280, 16)))
    assert np.isnan(audit.noise[:3]).all()
    assert audit.noise.n == 280
    assert np.isnan(audit.chance).all()
    assert (audit.risk < 0.5).all()  # a queue there is, and no label in it is called wrong
    assert audit.by_class["rate"].isna().all()
    assert audit.pairs.empty
    assert audit.curve["n_found"].isna().all()


def test_where_they_do_one_is() -> None:
    planted = plant("uniform", 0.1)
    audit = label_audit(planted.given, 8, embeddings=planted.embeddings, with_canaries=False)
    assert audit.noise.low < 0.1 < audit.noise.high
