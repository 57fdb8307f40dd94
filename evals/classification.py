"""Scores of one classifier on one split: its metrics with their intervals, confusion, per-class table.

Shapes: labels (n,) integers in [0, n_classes), -1 = "no label"; log_probs (n, n_classes) natural logarithms
of probabilities that sum to 1 per row. A row with a nan has no prediction: it counts as wrong, and its
probabilities and loss are nan.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals import f1, metrics
from evals.calibration import expected_calibration_error
from evals.intervals import (
    UNKNOWN,
    Estimate,
    Floats,
    Ints,
    mean_interval,
    percentile_interval,
    resample_counts,
    wilson,
    wilson_bounds,
)
from evals.metrics import Metric as Metric  # also for those who import them from here
from evals.metrics import Score as Score


class PredictionColumns(NamedTuple):
    """What a model said of each example, every column (n,).

    predicted: class with the highest probability, lowest index on a tie, -1 where the model gave nan.
    p_given, p_predicted: probability of the given label and of the predicted one, in [0, 1].
    margin: p_given minus the highest probability of any other class, in [-1, 1]; below 0 = the model
    disagrees. loss: -log p_given in nats, >= 0, inf where the given label got probability 0.
    p_given, margin and loss are nan where there is no label.
    """

    predicted: npt.NDArray[np.int64]
    p_given: npt.NDArray[np.float32]
    p_predicted: npt.NDArray[np.float32]
    margin: npt.NDArray[np.float32]
    loss: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Outcome:
    """What the metrics are computed from: the labelled examples of a split, each array (n,)."""

    labels: npt.NDArray[np.int64]
    predicted: npt.NDArray[np.int64]
    confidence: npt.NDArray[np.float64]
    loss: npt.NDArray[np.float64]
    n_classes: int
    n_boot: int
    seed: int

    @cached_property
    def totals(self) -> f1.ClassTotals:
        """Totals per class of the sample, (n_classes,)."""
        cells = f1.count_cells(self.labels, self.predicted)
        return f1.class_totals(cells.values[0], cells.values[1], cells.counts, self.n_classes)

    @cached_property
    def resampled_totals(self) -> f1.ClassTotals:
        """Totals per class of `n_boot` resamples, (n_boot, n_classes); shared by the F1 metrics."""
        cells = f1.count_cells(self.labels, self.predicted)
        draws = resample_counts(cells.counts, self.n_boot, np.random.default_rng(self.seed))
        return f1.class_totals(cells.values[0], cells.values[1], draws, self.n_classes)


def _accuracy(outcome: Outcome) -> Estimate:
    n, hits = len(outcome.labels), int((outcome.labels == outcome.predicted).sum())
    return Estimate(hits / n if n else np.nan, *wilson(hits, n))


def _averaged_f1(average: Callable[[f1.ClassTotals], f1.Numbers]) -> Callable[[Outcome], Estimate]:
    def compute(outcome: Outcome) -> Estimate:
        value = float(average(outcome.totals))
        if np.isnan(value) or outcome.n_boot == 0:
            return Estimate(value, *UNKNOWN)
        return Estimate(value, *percentile_interval(average(outcome.resampled_totals)))

    return compute


def _loss(outcome: Outcome) -> Estimate:
    if np.isnan(outcome.loss).any():  # a model that answers nan has no mean loss over this split
        return Estimate(np.nan, *UNKNOWN)
    mean, low, high, _ = mean_interval(outcome.loss)
    return Estimate(mean, max(low, 0.0) if low == low else low, high)


def _ece(outcome: Outcome) -> Estimate:
    right = outcome.labels == outcome.predicted
    return expected_calibration_error(outcome.confidence, right, n_boot=outcome.n_boot, seed=outcome.seed)


_COMPUTE: Mapping[str, Callable[[Outcome], Estimate]] = MappingProxyType(
    {
        "accuracy": _accuracy,
        "macro_f1": _averaged_f1(f1.macro_f1),
        "weighted_f1": _averaged_f1(f1.weighted_f1),
        "loss": _loss,
        "ece": _ece,
    }
)

METRICS: Mapping[str, Metric] = MappingProxyType({name: metrics.METRICS[name] for name in _COMPUTE})
"""Every classification metric, by name. `macro_f1` averages over the classes that occur in gold: a class
absent from the split has no F1, and its false alarms already count against the classes they were taken
from."""


def score_classification(labels: Ints, log_probs: Floats, *, n_boot: int = 1000, seed: int = 0) -> tuple[Score, ...]:
    """Every metric of `METRICS` with its 95 % interval: labels (n,), log_probs (n, k) -> one Score a metric.

    Accuracy: Wilson. F1s: percentile bootstrap over examples (n_boot = 0 skips it: nan interval). Loss: t
    interval of the mean. Calibration error: see `expected_calibration_error`. Examples without a label are
    left out; with none left every value is nan. Raises ValueError, naming every problem, for arrays that are
    not of this form.

    >>> log_probs = np.log(np.array([[0.8, 0.2], [0.3, 0.7], [0.6, 0.4]], dtype=np.float32))
    >>> score = score_classification(np.array([0, 1, 1]), log_probs)[0]
    >>> score.metric, round(score.value, 3), round(score.low, 3), round(score.high, 3), score.n
    ('accuracy', 0.667, 0.208, 0.939, 3)
    """
    _check(labels, log_probs)
    labelled = labels >= 0
    if not labelled.all():
        labels, log_probs = labels[labelled], log_probs[labelled]
    predicted = _predict(log_probs)
    rows = np.arange(len(labels))
    unknown = predicted < 0
    outcome = Outcome(
        labels.astype(np.int64),
        predicted,
        np.where(unknown, np.nan, np.exp(log_probs[rows, predicted], dtype=np.float64)),
        np.where(unknown, np.nan, _loss_of(log_probs[rows, labels])).astype(np.float64),
        log_probs.shape[1],
        n_boot,
        seed,
    )
    return tuple(Score(name, *compute(outcome), len(labels)) for name, compute in _COMPUTE.items())


def prediction_columns(labels: Ints, log_probs: Floats) -> PredictionColumns:
    """What is stored of each prediction: labels (n,), log_probs (n, k) -> columns (n,), see
    PredictionColumns.

    >>> log_probs = np.log(np.array([[0.75, 0.25], [0.75, 0.25]], dtype=np.float32))
    >>> columns = prediction_columns(np.array([1, -1]), log_probs)
    >>> columns.predicted.tolist(), columns.p_given.tolist(), columns.margin.tolist()
    ([0, 0], [0.25, nan], [-0.5, nan])
    """
    _check(labels, log_probs)
    rows, predicted = np.arange(len(labels)), _predict(log_probs)
    unknown = (labels < 0) | (predicted < 0)
    given = log_probs[rows, labels]
    others = log_probs.copy()
    others[rows, labels] = -np.inf
    p_given = np.exp(given)
    margin = p_given - np.exp(others.max(axis=1, initial=-np.inf))
    p_predicted = np.exp(log_probs[rows, predicted])
    return PredictionColumns(
        predicted,
        np.where(unknown, np.nan, p_given).astype(np.float32),
        np.where(predicted < 0, np.nan, p_predicted).astype(np.float32),
        np.where(unknown, np.nan, margin).astype(np.float32),
        np.where(unknown, np.nan, _loss_of(given)).astype(np.float32),
    )


def confusion_matrix(labels: Ints, predicted: Ints, n_classes: int) -> npt.NDArray[np.int64]:
    """Counts (n_classes, n_classes), rows = gold, columns = predicted.

    Examples without a label, or without a prediction (-1), are in no cell. ValueError for a class >=
    n_classes.

    >>> confusion_matrix(np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1]), 2).tolist()
    [[1, 1], [0, 1]]
    """
    for name, column in (("labels", labels), ("predicted", predicted)):
        if len(column) and not (column.min() >= -1 and column.max() < n_classes):
            raise ValueError(f"{name} holds class {column.min()} to {column.max()}; allowed: -1 to {n_classes - 1}")
    known = (labels >= 0) & (predicted >= 0)
    code = labels[known].astype(np.int64) * n_classes + predicted[known]
    return np.bincount(code, minlength=n_classes**2).reshape(n_classes, n_classes)


def class_table(confusion: Ints, label_names: Sequence[str]) -> pd.DataFrame:
    """One row a class: label, n (times in gold), precision, recall, f1, f1_low, f1_high (95 %), all in [0,
    1].

    precision is nan for a class never predicted; recall and F1 are nan for a class not in gold. The F1
    interval is Wilson's on F* = hits / (hits + false alarms + misses), carried over by F1 = 2 F* / (1 + F*):
    unlike a bootstrap it does not collapse to a point for a class with no mistakes. Source: Lam, Gopal &
    Qian, arXiv:2309.14621, "Wilson indirect". ValueError unless confusion is square with one name a class.

    >>> class_table(np.array([[8, 2], [0, 10]]), ["no", "yes"]).round(2).to_dict("records")[0]
    {'label': 'no', 'n': 10, 'precision': 1.0, 'recall': 0.8, 'f1': 0.89, 'f1_low': 0.66, 'f1_high': 0.97}
    """
    k = len(label_names)
    if confusion.shape != (k, k):
        raise ValueError(f"confusion has shape {confusion.shape}; {k} label names need a square matrix {(k, k)}")
    totals = f1.ClassTotals(np.diag(confusion), confusion.sum(axis=1), confusion.sum(axis=0))
    low, high = wilson_bounds(totals.hits, totals.gold + totals.predicted - totals.hits)
    absent = totals.gold == 0
    with np.errstate(invalid="ignore", divide="ignore"):
        return pd.DataFrame(
            {
                "label": list(label_names),
                "n": totals.gold,
                "precision": totals.hits / totals.predicted,
                "recall": totals.hits / totals.gold,
                "f1": f1.f1_per_class(totals),
                "f1_low": np.where(absent, np.nan, 2 * low / (1 + low)),
                "f1_high": np.where(absent, np.nan, 2 * high / (1 + high)),
            }
        )


def _predict(log_probs: Floats) -> npt.NDArray[np.int64]:
    """Most probable class (n,), lowest index on a tie, -1 for a row with nan."""
    predicted = log_probs.argmax(axis=1)
    # argmax stops at the first nan of a row.
    unknown = np.isnan(log_probs[np.arange(len(log_probs)), predicted])
    return np.where(unknown, -1, predicted)


def _loss_of(given: Floats) -> Floats:
    """-log p, with the rounding error of p slightly above 1 taken off."""
    return np.maximum(-given, 0)


def _check(labels: Ints, log_probs: Floats) -> None:
    """Raise ValueError naming everything that is wrong with the arrays at once."""
    problems = []
    is_matrix = log_probs.ndim == 2 and log_probs.shape[1] >= 2
    if not is_matrix:
        problems.append(f"log_probs has shape {log_probs.shape}; needed: (n, n_classes), n_classes >= 2")
    if labels.ndim != 1 or (is_matrix and len(labels) != len(log_probs)):
        problems.append(f"labels has shape {labels.shape}, log_probs {log_probs.shape}; needed: a label a row")
    if not np.issubdtype(labels.dtype, np.integer):
        problems.append(f"labels has type {labels.dtype}; needed: integers (class index, -1 = no label)")
    elif is_matrix and len(labels) and not -1 <= labels.min() <= labels.max() < log_probs.shape[1]:
        allowed = f"-1 (no label) to {log_probs.shape[1] - 1}"
        problems.append(f"labels holds {labels.min()} to {labels.max()}; allowed: {allowed}")
    if is_matrix:
        # A sample of rows is enough to catch logits or probabilities handed over by mistake.
        sums = np.exp(log_probs[:100].astype(np.float64)).sum(axis=1)
        wrong = sums[np.abs(sums - 1) > 0.01]
        if len(wrong):
            problems.append(
                f"log_probs: a row's probabilities sum to {wrong[0]:.4g}; needed: 1 (apply log_softmax first)"
            )
    if problems:
        raise ValueError("; ".join(problems))
