import numpy as np
import pytest

from evals.triage.folds import assign_folds
from evals.triage.linear import linear_opinion
from evals.triage.members import one_hot
from tests.evals.triage.planted import CLASSES, average_precision, plant


def test_it_finds_planted_errors() -> None:
    planted = plant("uniform", 0.1)
    folds = assign_folds(planted.given, 5)
    said = linear_opinion(planted.embeddings, one_hot(planted.given, CLASSES), planted.given, folds)
    np.testing.assert_allclose(np.exp(said).sum(axis=1), 1, atol=1e-4)
    assert average_precision(-said[np.arange(1500), planted.given], planted.is_wrong) > 0.6


def test_nobody_learns_from_its_own_label() -> None:
    planted = plant("uniform", 0.1, n=300)
    folds = assign_folds(planted.given, 4)
    targets = one_hot(planted.given, CLASSES)
    before = linear_opinion(planted.embeddings, targets, planted.given, folds)
    targets[folds == 0] = np.roll(targets[folds == 0], 1, axis=1)
    after = linear_opinion(planted.embeddings, targets, planted.given, folds)
    np.testing.assert_array_equal(before[folds == 0], after[folds == 0])
    assert np.abs(before[folds == 1] - after[folds == 1]).max() > 0.01


def test_rare_classes_count_as_much() -> None:
    rng = np.random.default_rng(0)
    given = np.repeat([0, 1], [900, 60])
    embeddings = rng.normal(size=(960, 6)) + np.outer(given, np.ones(6)) * 0.8
    said = linear_opinion(embeddings, one_hot(given, 2), given, assign_folds(given, 4))
    found = [(said[given == label].argmax(axis=1) == label).mean() for label in (0, 1)]
    assert min(found) > 0.75


def test_limits() -> None:
    rng = np.random.default_rng(0)
    embeddings, given = rng.normal(size=(12, 3)), np.array([0, 1, 2, -1] * 3)
    embeddings[4] = np.nan
    given[0] = 3  # the only one of its class
    given[[4, 8]] = 0
    folds = np.arange(12) % 3
    said = linear_opinion(embeddings, one_hot(given, 4), given, folds)
    assert np.isnan(said).all(axis=1).tolist() == [row in (0, 4) for row in range(12)]
    nothing = linear_opinion(np.full((4, 2), np.nan), np.eye(2)[[0, 1, 0, 1]], np.array([0, 1, 0, 1]), np.arange(4) % 2)
    assert np.isnan(nothing).all()
    unlabelled = linear_opinion(embeddings, np.zeros((12, 2)), np.full(12, -1), folds)
    assert np.isnan(unlabelled).all()
    assert linear_opinion(np.empty((0, 3)), np.empty((0, 2)), given[:0], folds[:0]).shape == (0, 2)
    with pytest.raises(ValueError, match="one row, label and fold an example"):
        linear_opinion(embeddings, np.zeros((11, 2)), given, folds)
