"""Scores and predictions that tasks without classes share."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from evals.language import score_loss
from evals.metrics import Score
from store import Predictions


def with_loss(scores: Sequence[Score], losses: NDArray[np.floating]) -> tuple[Score, ...]:
    """The scores, and the mean of `losses` (n,)."""
    return (*scores, score_loss(losses.astype(np.float64), np.ones(len(losses))))


def no_classes(losses: NDArray[np.floating]) -> Predictions:
    """Rows that say each example's loss (n,), and no class."""
    unknown = np.full(len(losses), np.nan, dtype=np.float32)
    return Predictions(np.full(len(losses), -1, dtype=np.int64), unknown, unknown, unknown, losses)
