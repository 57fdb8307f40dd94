"""Examples on the boundary between classes, and classes that a model cannot tell apart.

log_probs (n, n_classes) are natural logarithms of probabilities, best of a model that has not seen the example's label;
a row with nan = not known.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse, special, stats

from evals.intervals import Floats, Ints
from evals.triage.found import Found, Group, checked_labels, of_groups
from evals.triage.rows import blocks

LEAST_OVERLAP = 0.2
"""A pair is named whose overlap is surely above this: one in ten of both classes as likely in the other."""
MOST_PAIRS = 50
"""Named; more than a person reads."""
CONFUSED = 0.25
"""An example is confused that gives the other class of a pair this share of what both have."""


def boundary_examples(log_probs: Floats) -> Found:
    """How near each example is to the boundary between its two likeliest classes.

    risk: 1 - (p_first - p_second), in [0, 1]: 1 = on the boundary (margin sampling: Scheffer, Decomain & Wrobel, Active
    Hidden Markov Models (2001)). Such an example is hard, not wrong: its label decides where the boundary runs. nan
    with one class. evidence: first, second (classes), p_first, p_second.

    >>> found = boundary_examples(np.log([[0.5, 0.4, 0.1], [0.9, 0.05, 0.05]]))
    >>> found.risk.round(2).tolist(), found.evidence["second"].tolist()
    ([0.9, 0.15], [1, 1])
    """
    n, n_classes = log_probs.shape
    if n_classes < 2:
        return Found(np.full(n, np.nan), {})
    classes, p = np.full((n, 2), -1), np.full((n, 2), np.nan)
    for part in blocks(n, n_classes):
        logs = log_probs[part].astype(np.float64)
        known = np.asarray(~np.isnan(logs).any(axis=1))
        two = np.argpartition(-logs, 1, axis=1)[:, :2]
        order = np.argsort(-np.take_along_axis(logs, two, axis=1), axis=1, kind="stable")
        two = np.take_along_axis(two, order, axis=1)
        classes[part] = np.where(known[:, None], two, -1)
        p[part] = np.where(known[:, None], np.exp(np.take_along_axis(logs, two, axis=1)), np.nan)
    risk = np.clip(1 - (p[:, 0] - p[:, 1]), 0, 1)
    evidence = {"first": classes[:, 0], "second": classes[:, 1], "p_first": p[:, 0], "p_second": p[:, 1]}
    return Found(risk, evidence)


def overlap_matrix(log_probs: Floats, labels: Ints) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """How far each two classes overlap, and its standard error: (n_classes, n_classes) each, symmetric.

    For classes a and b: the share q_b / (q_a + q_b) of b in what an example of a gives both, averaged over a, plus the
    reverse over b; 0 = told apart, 1 = not at all (0.5 each). nan without examples of both; the diagonal is nan.

    >>> overlap, _ = overlap_matrix(np.log([[0.8, 0.2], [0.4, 0.6]]), np.array([0, 1]))
    >>> round(float(overlap[0, 1]), 3)
    0.6
    """
    n, n_classes = log_probs.shape
    checked_labels(labels, n, n_classes)
    total, squares = np.zeros((n_classes, n_classes)), np.zeros((n_classes, n_classes))
    counts = np.zeros(n_classes)
    for part in blocks(n, n_classes):
        logs, given = log_probs[part].astype(np.float64), labels[part]
        known = (given >= 0) & ~np.isnan(logs).any(axis=1)
        logs, given = logs[known], given[known]
        rows = np.arange(len(given))
        share = _share(logs, logs[rows, given][:, None])
        member = sparse.csr_array((np.ones(len(given)), (given, rows)), shape=(n_classes, len(given)))
        total += np.asarray(member @ share)
        squares += np.asarray(member @ share**2)
        counts += np.bincount(given, minlength=n_classes)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / counts[:, None]
        spread = np.maximum(squares / counts[:, None] - mean**2, 0) / (counts[:, None] - 1)
    overlap, error = np.minimum(mean + mean.T, 1), np.sqrt(spread + spread.T)
    np.fill_diagonal(overlap, np.nan)
    np.fill_diagonal(error, np.nan)
    return overlap, error


def class_overlap(log_probs: Floats, labels: Ints, label_names: Sequence[str]) -> Found:
    """Pairs of classes that the model confuses, named "a and b": merge them, sharpen their definition, or relabel.

    Groups only, at most MOST_PAIRS: pairs whose `overlap_matrix` is surely above LEAST_OVERLAP. risk: the lower end of
    its 95 % interval. rows: examples of either class that are CONFUSED. evidence: overlap, low, high, n (of both), and
    n_confused.

    >>> log_probs = np.log(np.tile([[0.5, 0.48, 0.02], [0.45, 0.53, 0.02], [0.01, 0.01, 0.98]], (20, 1)))
    >>> [group.name for group in class_overlap(log_probs, np.tile([0, 1, 2], 20), ["cash", "atm", "fee"]).groups]
    ['cash and atm']
    """
    overlap, error = overlap_matrix(log_probs, labels)
    half = stats.norm.ppf(0.975) * error
    low, high = np.clip(overlap - half, 0, 1), np.clip(overlap + half, 0, 1)
    first, second = np.nonzero(np.triu(low > LEAST_OVERLAP, 1))
    worst = np.argsort(-low[first, second], kind="stable")[:MOST_PAIRS]
    groups = []
    for a, b in zip(first[worst].tolist(), second[worst].tolist(), strict=True):
        rows = np.flatnonzero((labels == a) | (labels == b))
        logs = log_probs[np.ix_(rows, [a, b])].astype(np.float64)
        own = np.where(labels[rows] == a, logs[:, 0], logs[:, 1])
        other = np.where(labels[rows] == a, logs[:, 1], logs[:, 0])
        confused = rows[_share(other, own) >= CONFUSED]
        evidence = {
            "overlap": float(overlap[a, b]),
            "low": float(low[a, b]),
            "high": float(high[a, b]),
            "n": len(rows),
            "n_confused": len(confused),
        }
        groups.append(Group(f"{label_names[a]} and {label_names[b]}", float(low[a, b]), confused, evidence))
    return of_groups(len(labels), groups)


def _share(logs: Floats, own: Floats) -> npt.NDArray[np.float64]:
    """q / (q + q_own) from logarithms; a half where both are 0."""
    with np.errstate(invalid="ignore"):
        difference = logs - own
    return np.asarray(special.expit(np.where(np.isneginf(logs) & np.isneginf(own), 0, difference)))
