import numpy as np
import pytest
from cleanlab import count, rank
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from evals.triage.folds import (
    assign_folds,
    calibrated,
    class_thresholds,
    confident_joint,
    margin_risk,
    self_confidence_risk,
)


def _voices(n: int, k: int, seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Probabilities, their logarithms, and labels that they mostly agree with."""
    rng = np.random.default_rng(seed)
    label = rng.integers(k, size=n)
    logits = rng.normal(size=(n, k)) * 2 + 3 * np.eye(k)[label]
    probs = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    given = np.where(rng.random(n) < 0.2, rng.integers(k, size=n), label)
    return probs, np.log(probs), given


@settings(max_examples=40, deadline=None)
@cases(st.integers(2, 60), st.integers(2, 6), st.integers(1, 5), st.integers(0, 10**6))
def test_folds_are_even_in_size_and_class(n: int, n_folds: int, k: int, seed: int) -> None:
    given = np.random.default_rng(seed).integers(-1, k, size=n)
    fold = assign_folds(given, n_folds, seed=seed)
    sizes = np.bincount(fold, minlength=n_folds)
    assert sizes.max() - sizes.min() <= 1
    for label in set(given.tolist()):
        of_label = np.bincount(fold[given == label], minlength=n_folds)
        assert of_label.max() - of_label.min() <= 1
    assert (fold == assign_folds(given, n_folds, seed=seed)).all()


def test_groups_stay_together() -> None:
    rng = np.random.default_rng(0)
    groups = rng.integers(60, size=200)
    fold = assign_folds(rng.integers(3, size=200), 5, groups=groups)
    assert all(len(set(fold[groups == group].tolist())) == 1 for group in set(groups.tolist()))
    assert set(fold.tolist()) == set(range(5))
    with pytest.raises(ValueError, match="n_folds = 1"):
        assign_folds(np.array([0]), 1)
    assert assign_folds(np.array([], dtype=int), 3).tolist() == []


@settings(max_examples=40, deadline=None)
@cases(st.integers(1, 40), st.integers(2, 6), st.integers(0, 10**6))
def test_confident_learning_as_the_paper_writes_it(n: int, k: int, seed: int) -> None:
    probs, log_probs, given = _voices(n, k, seed)
    thresholds = class_thresholds(log_probs, given)
    counts, likely = np.zeros((k, k), dtype=int), []
    for row, label in zip(probs, given.tolist(), strict=True):
        reached = [c for c in range(k) if row[c] >= thresholds[c] - 1e-6]
        likely.append(max(reached, key=lambda c: row[c]) if reached else -1)
        if reached:
            counts[label, likely[-1]] += 1
    joint = confident_joint(log_probs, given)
    assert joint.likely.tolist() == likely
    assert (joint.counts == counts).all()
    for label in range(k):
        of_label = probs[given == label, label]
        assert thresholds[label] == pytest.approx(of_label.mean()) if len(of_label) else np.isnan(thresholds[label])
    scaled = calibrated(joint, given)
    np.testing.assert_allclose(scaled.sum(axis=1), np.bincount(given, minlength=k))


@pytest.mark.parametrize("k", [2, 3, 10])
def test_as_the_reference_implementation(k: int) -> None:
    probs, log_probs, given = _voices(2000, k, k)
    np.testing.assert_allclose(
        1 - self_confidence_risk(log_probs, given), rank.get_self_confidence_for_each_label(given, probs)
    )
    np.testing.assert_allclose(
        1 - margin_risk(log_probs, given), rank.get_normalized_margin_for_each_label(given, probs), atol=1e-12
    )
    thresholds = count.get_confident_thresholds(given, probs)
    np.testing.assert_allclose(class_thresholds(log_probs, given), thresholds)
    # Where several labels reach their thresholds the paper takes the likeliest of them, the reference the likeliest
    # of all, which may reach none.
    same = (probs >= thresholds).sum(axis=1) < 2
    same |= probs.max(axis=1) >= thresholds[probs.argmax(axis=1)]
    assert same.mean() > 0.9
    theirs = count.compute_confident_joint(given[same], probs[same], thresholds=thresholds, calibrate=False)
    ours = confident_joint(log_probs, given)
    counted = same & (ours.likely >= 0)
    assert (np.histogram2d(given[counted], ours.likely[counted], bins=[range(k + 1)] * 2)[0] == theirs).all()


def test_risks_by_hand() -> None:
    log_probs = np.log([[0.7, 0.2, 0.1], [0.7, 0.2, 0.1], [0.4, 0.4, 0.2]])
    given = np.array([0, 1, 0])
    np.testing.assert_allclose(self_confidence_risk(log_probs, given), [0.3, 0.8, 0.6])
    np.testing.assert_allclose(margin_risk(log_probs, given), [0.25, 0.75, 0.5])


def test_limits() -> None:
    unknown = np.array([[np.nan, np.nan], [0.0, -np.inf], [-np.inf, 0.0]])
    given = np.array([0, 0, -1])
    for risk in (self_confidence_risk(unknown, given), margin_risk(unknown, given)):
        assert np.isnan(risk).tolist() == [True, False, True]
        assert risk[1] == 0
    joint = confident_joint(unknown, given)
    assert joint.likely.tolist() == [-1, 0, -1]  # nobody is labelled 1, so nothing can be confidently 1
    assert joint.counts.tolist() == [[1, 0], [0, 0]]
    empty = np.empty((0, 3))
    assert calibrated(confident_joint(empty, np.empty(0, dtype=int)), np.empty(0, dtype=int)).sum() == 0
    assert np.isnan(class_thresholds(empty, np.empty(0, dtype=int))).all()
    single = np.zeros((4, 1))
    assert self_confidence_risk(single, np.zeros(4, dtype=int)).tolist() == [0] * 4
    assert margin_risk(single, np.zeros(4, dtype=int)).tolist() == [0] * 4
    assert confident_joint(single, np.zeros(4, dtype=int)).counts.tolist() == [[4]]


def test_bad_input_is_named_all_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"needed: a label a row; given has type float64.*; log_probs holds numbers above 0"
    ):
        self_confidence_risk(np.full((2, 3), 0.9), np.array([0.5]))
