"""Out-of-fold probabilities: which example is held out when, and what they say of each label.

Confident learning: Northcutt, Jiang & Chuang, Confident Learning: Estimating Uncertainty in Dataset Labels, JAIR 70
(2021) 1373. The tests hold these numbers against the reference implementation, cleanlab; they are computed here
because unlabelled rows, unknown rows (nan) and classes without examples must be taken as they come.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.rows import blocks, check

Numbers = npt.NDArray[np.float64]

_ROUNDING = 1e-6  # a probability that misses its threshold by this much reaches it (cleanlab's tolerance)
_LEAST_THRESHOLD = 2e-6  # below it every probability would reach the threshold (cleanlab's bound)


def assign_folds(given: Ints, n_folds: int, *, groups: Ints | None = None, seed: int = 0) -> npt.NDArray[np.int64]:
    """The fold 0..n_folds-1 that holds each example out, (n,): shuffled, and every class spread evenly.

    groups (n,): examples of one group (near-duplicates, one author) are held out together, because a copy in the
    training part would give the label away; a group goes by the label of its first member. Classes of a single
    example, or group, are never seen while they are held out: see `members`. ValueError for n_folds < 2.

    >>> np.bincount(assign_folds(np.array([0, 0, 0, 0, 1, 1]), 2)).tolist()
    [3, 3]
    """
    if n_folds < 2:
        raise ValueError(f"n_folds = {n_folds}; allowed: 2 or more")
    if groups is None:
        first = unit = np.arange(len(given))
    else:
        _, first, unit = np.unique(groups, return_index=True, return_inverse=True)
    order = np.random.default_rng(seed).permutation(len(first))
    order = order[np.argsort(given[first][order], kind="stable")]
    fold_of = np.empty(len(first), dtype=np.int64)
    fold_of[order] = np.arange(len(first)) % n_folds
    return np.asarray(fold_of[unit])


def self_confidence_risk(log_probs: Floats, given: Ints) -> Numbers:
    """1 - p_given, (n,) in [0, 1]: log_probs (n, n_classes), given (n,).

    >>> self_confidence_risk(np.log([[0.75, 0.25], [0.5, 0.5]]), np.array([1, -1])).tolist()
    [0.75, nan]
    """
    check(log_probs, given)
    of_given = log_probs[np.arange(len(given)), given].astype(np.float64)
    known = (given >= 0) & ~np.isnan(log_probs).any(axis=1)
    return np.where(known, np.clip(-np.expm1(of_given), 0, 1), np.nan)


def margin_risk(log_probs: Floats, given: Ints) -> Numbers:
    """1 - ((p_given - max p_other) + 1) / 2, the normalised margin turned round, (n,) in [0, 1]; above 0.5 = the
    model prefers another label.

    >>> margin_risk(np.log([[0.75, 0.25]]), np.array([1])).tolist()
    [0.75]
    """
    check(log_probs, given)
    risk = np.empty(len(given))
    for part in blocks(*log_probs.shape):
        probs, labels = np.exp(log_probs[part], dtype=np.float64), given[part]
        rows = np.arange(len(labels))
        of_given = probs[rows, labels]
        probs[rows, labels] = 0
        margin = np.clip(of_given - probs.max(axis=1, initial=0), -1, 1)
        risk[part] = np.where(labels >= 0, (1 - margin) / 2, np.nan)
    return risk


def class_thresholds(log_probs: Floats, given: Ints) -> Numbers:
    """How sure the model is of a class where the label says that class: mean p_c over examples given c, (n_classes,).

    nan for a class without examples.

    >>> class_thresholds(np.log([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]]), np.array([0, 1, 1])).tolist()
    [0.75, 0.625]
    """
    p_given = 1 - self_confidence_risk(log_probs, given)
    known = ~np.isnan(p_given)
    n_classes = log_probs.shape[1]
    n = np.bincount(given[known], minlength=n_classes)
    total = np.bincount(given[known], weights=p_given[known], minlength=n_classes)
    return np.where(n > 0, total / np.maximum(n, 1), np.nan)


class ConfidentJoint(NamedTuple):
    """Counts of (given, likely) labels over the examples whose likely label is told with confidence.

    counts (n_classes, n_classes): rows given, columns likely. likely (n,): the label that reaches its class threshold,
    the most probable where several do, -1 where none does (or nothing is known); an example with likely >= 0 that is
    not the given label is a label error by confident learning.
    """

    counts: npt.NDArray[np.int64]
    likely: npt.NDArray[np.int64]


def confident_joint(log_probs: Floats, given: Ints) -> ConfidentJoint:
    """The confident joint of log_probs (n, n_classes) and given (n,), uncalibrated; see `calibrated`.

    >>> log_probs = np.log([[0.75, 0.25], [0.25, 0.75], [0.75, 0.25]])
    >>> confident_joint(log_probs, np.array([0, 1, 1]))
    ConfidentJoint(counts=array([[1, 0],
           [1, 1]]), likely=array([0, 1, 0]))
    """
    thresholds = class_thresholds(log_probs, given)
    least = np.where(np.isnan(thresholds), np.inf, np.maximum(thresholds, _LEAST_THRESHOLD) - _ROUNDING)
    n, n_classes = log_probs.shape
    likely = np.empty(n, dtype=np.int64)
    for part in blocks(n, n_classes):
        probs = np.exp(log_probs[part], dtype=np.float64)
        reaches = probs >= least
        probs[~reaches] = -1
        is_told = reaches.any(axis=1) & ~np.isnan(log_probs[part]).any(axis=1)
        likely[part] = np.where(is_told, probs.argmax(axis=1), -1)
    is_counted = (likely >= 0) & (given >= 0)
    cells = given[is_counted].astype(np.int64) * n_classes + likely[is_counted]
    return ConfidentJoint(np.bincount(cells, minlength=n_classes**2).reshape(n_classes, n_classes), likely)


def calibrated(joint: ConfidentJoint, given: Ints) -> Numbers:
    """Estimated examples by (given, likely) label, (n_classes, n_classes): each row scaled to its class's count.

    A class of which no example was told with confidence is taken to be right.

    >>> joint = ConfidentJoint(np.array([[1, 1], [0, 0]]), np.array([0, 1, -1, -1]))
    >>> calibrated(joint, np.array([0, 0, 0, 1])).tolist()
    [[1.5, 1.5], [0.0, 1.0]]
    """
    n = np.bincount(given[given >= 0], minlength=len(joint.counts))
    told = joint.counts.sum(axis=1)
    share = np.where(told[:, None] > 0, joint.counts / np.maximum(told, 1)[:, None], np.eye(len(n)))
    return np.asarray(share * n[:, None])
