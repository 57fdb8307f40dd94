"""A data set of known truth: classes in pairs that overlap, labels flipped on purpose, and held-out opinions."""

from typing import NamedTuple

import numpy as np

from evals.triage.folds import assign_folds
from evals.triage.neighbours import nearest, vote

CLASSES, WIDTH = 8, 12


class Planted(NamedTuple):
    """embeddings (n, d), truth (n,), given (n,), centres (n_classes, d)."""

    embeddings: np.ndarray
    truth: np.ndarray
    given: np.ndarray
    centres: np.ndarray

    @property
    def is_wrong(self) -> np.ndarray:
        return self.given != self.truth


def plant(kind: str, rate: float, *, n: int = 1500, k: int = CLASSES, spread: float = 1.1, seed: int = 0) -> Planted:
    """kind: uniform (any other class), confusable (the nearest one), cyclic (always the next one)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(k, WIDTH)) * spread
    centres[1::2] = centres[: k - k % 2 : 2] + rng.normal(size=(k // 2, WIDTH)) * spread * 0.8
    truth = rng.integers(k, size=n)
    embeddings = centres[truth] + rng.normal(size=(n, WIDTH)) * rng.choice([0.7, 1.0, 1.5], size=(n, 1))
    wrong = rng.choice(n, round(rate * n), replace=False)
    distance = ((centres[:, None] - centres) ** 2).sum(axis=-1) + np.diag(np.full(k, np.inf))
    to = {
        "uniform": (truth + rng.integers(1, k, size=n)) % k,
        "confusable": distance.argmin(axis=1)[truth],
        "cyclic": (truth + 1) % k,
    }[kind]
    given = truth.copy()
    given[wrong] = to[wrong]
    return Planted(embeddings, truth, given, centres)


def opinions(embeddings: np.ndarray, given: np.ndarray, k: int = CLASSES) -> list[np.ndarray]:
    """Three voices out of fold: a linear discriminant, the same of a third of the numbers and too sure, neighbours."""
    fold = assign_folds(given, 4)
    third = embeddings[:, : WIDTH // 3]
    return [
        _discriminant(embeddings, given, k, fold),
        2.5 * _discriminant(third, given, k, fold),
        vote(nearest(embeddings, 10), np.eye(k)[given]),
    ]


def _discriminant(x: np.ndarray, given: np.ndarray, k: int, fold: np.ndarray) -> np.ndarray:
    log_probs = np.empty((len(x), k))
    for held_out in range(fold.max() + 1):
        train, labels = x[fold != held_out], given[fold != held_out]
        means = np.stack([train[labels == c].mean(axis=0) for c in range(k)])
        rest = train - means[labels]
        slope = np.linalg.solve(rest.T @ rest / len(rest) + 0.01 * np.eye(x.shape[1]), means.T)
        logits = x[fold == held_out] @ slope - (means * slope.T).sum(axis=1) / 2
        logits -= logits.max(axis=1, keepdims=True)
        log_probs[fold == held_out] = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    return log_probs


def average_precision(risk: np.ndarray, is_wrong: np.ndarray) -> float:
    hits = is_wrong[np.argsort(-risk, kind="stable")]
    return float((np.cumsum(hits) / np.arange(1, len(hits) + 1))[hits].mean())
