"""Canaries: labels flipped on purpose, in a copy that is trained on and thrown away: where does each score rank them?

They are of several kinds: to any other class, to one that the model takes the class for, along the pairs in which
errors are suspected. How deep in the queue they lie is what a score is worth *on this data*: with how many errors there
are (`evals.triage.noise`) it gives the precision and recall of any score and the yield of a queue
(`evals.triage.yields`), before anyone has reviewed anything. Real errors may be harder to see than any kind of canary;
decisions correct that later (`evals.triage.stopping`).
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Estimate, Floats, Ints, percentile_interval
from evals.triage.channel import Channel
from evals.triage.rows import blocks
from evals.triage.yields import GRID, draw_errors, recall_curve, yield_of

Numbers = npt.NDArray[np.float64]

_LEAST_FLIPS, _MOST_SHARE = 60, 0.04  # with few canaries nothing is measured, with many the copy is another data set
_LEAST_OF_A_KIND = 5


class Flips(NamedTuple):
    """rows (m,), ascending; labels (m,): what they are flipped to; kind (m,): the place of their kind in `kinds`."""

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    kinds: tuple[str, ...]


def kinds_of_flips(log_probs: Floats, channel: Channel) -> dict[str, Numbers]:
    """Three kinds, each a matrix (n_classes, n_classes) whose row is how often a true class is given another label.

    uniform: any other. confusable: as the opinion log_probs (n, n_classes) takes classes for each other, the labels not
    asked: the mean probability of the others where a class is the likeliest. suspected: as the channel has it. Rows sum
    to 1, or to 0 for a class that is never the likeliest, or never in doubt.

    >>> log_probs = np.log([[0.8, 0.15, 0.05], [0.1, 0.8, 0.1]])
    >>> kinds_of_flips(log_probs, Channel(np.eye(3), 1.0))["confusable"].round(2).tolist()
    [[0.0, 0.75, 0.25], [0.5, 0.0, 0.5], [0.0, 0.0, 0.0]]
    """
    n, n_classes = log_probs.shape
    others = 1 - np.eye(n_classes)
    taken = np.zeros((n_classes, n_classes))
    for part in blocks(n, n_classes):
        probs = np.exp(log_probs[part], dtype=np.float64)
        probs = probs[~np.isnan(probs).any(axis=1)]
        likeliest = probs.argmax(axis=1)
        for label in np.unique(likeliest):
            taken[label] += probs[likeliest == label].sum(axis=0)
    suspected = channel.counts + channel.spread / max(1, n_classes - 1)
    kinds = {"uniform": others, "confusable": taken * others, "suspected": suspected * others}
    return {name: _rows_to_one(matrix) for name, matrix in kinds.items()}


def plan_flips(given: Ints, kinds: Mapping[str, Floats], *, share: float = 0.015, seed: int = 0) -> Flips:
    """Which labels to flip: given (n,), kinds as from `kinds_of_flips`, as many of each; share in (0, 0.5).

    At least 60 flips, but no more than 4 % of the labelled examples unless `share` says so. Only classes that have
    examples are flipped to; where a kind knows none, to any. None with fewer than two classes. A label that was wrong
    already may become right, rarely: a canary that nobody can find.

    >>> given = np.arange(200) % 4
    >>> flips = plan_flips(given, {"next": np.eye(4)[[1, 2, 3, 0]]}, share=0.04)
    >>> len(flips.rows), bool((flips.labels == (given[flips.rows] + 1) % 4).all())
    (8, True)
    """
    if not 0 < share < 0.5:
        raise ValueError(f"share = {share}; allowed: above 0 and below 0.5")
    labelled = np.flatnonzero(given >= 0)
    classes = np.unique(given[labelled])
    none = np.empty(0, dtype=np.int64)
    if len(classes) < 2 or not kinds:
        return Flips(none, none, none, tuple(kinds))
    rng = np.random.default_rng(seed)
    n = len(labelled)
    m = min(n, round(max(share * n, min(_LEAST_FLIPS, _MOST_SHARE * n))))
    rows, kind = np.sort(rng.choice(labelled, m, replace=False)), rng.permutation(m) % len(kinds)
    labels = np.empty(m, dtype=np.int64)
    for number, matrix in enumerate(kinds.values()):
        of_kind = kind == number
        labels[of_kind] = _draw_labels(given[rows[of_kind]], np.asarray(matrix, dtype=np.float64), classes, rng)
    return Flips(rows, labels, kind, tuple(kinds))


def flip(given: Ints, flips: Flips) -> npt.NDArray[np.int64]:
    """The labels (n,) of the copy.

    >>> flip(np.array([0, 0, 1]), Flips(np.array([1]), np.array([2]), np.array([0]), ("uniform",))).tolist()
    [0, 2, 1]
    """
    labels = given.astype(np.int64)
    labels[flips.rows] = flips.labels
    return labels


def depths(risk: Floats, flips: Flips) -> Numbers:
    """How deep each canary lies, (m,) in [0, 1]: the share of the other examples that the score ranks before it.

    risk (n,) is the score of the copy. Ties count half. Unknown risks (nan) come last.

    >>> flips = Flips(np.array([0, 3]), np.array([1, 1]), np.array([0, 0]), ("uniform",))
    >>> depths(np.array([0.9, 0.95, 0.5, 0.5, 0.1, np.nan]), flips).tolist()
    [0.25, 0.375]
    """
    known = np.where(np.isnan(risk), -np.inf, risk)
    rest = np.sort(np.delete(known, flips.rows))
    if not len(rest):
        return np.zeros(len(flips.rows))
    of_flips = known[flips.rows]
    below = np.searchsorted(rest, of_flips, side="left") + np.searchsorted(rest, of_flips, side="right")
    return np.asarray(1 - below / (2 * len(rest)))


def compare_scores(
    risks: pd.DataFrame,
    flips: Flips,
    n_errors: Estimate,
    *,
    default: str | None = None,
    n_boot: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """What the canaries say of each score, the best first: risks has a column (n,) a score, of the copy.

    Columns: score; average_precision with low, high (95 %); precision_at_100; precision_at_errors, at as many examples
    as there are errors, which is the recall there too; depth, the canaries' median; difference in average precision to
    `default` (the first score if None) with difference_low, difference_high, paired by canary; worst_difference, that
    of the kind of canary that is worst for the score. All are of the real errors, expected: their number is `n_errors`,
    their place in the queue the canaries'. What cannot be known is nan: without canaries, with n_errors nan or 0.

    >>> flips = plan_flips(np.arange(400) % 4, {"next": np.eye(4)[[1, 2, 3, 0]]})
    >>> rng = np.random.default_rng(0)
    >>> good = rng.random(400) * 0.8
    >>> good[flips.rows] += 0.4
    >>> risks = pd.DataFrame({"random": rng.random(400), "good": good})
    >>> table = compare_scores(risks, flips, Estimate(40.0, 30.0, 50.0))
    >>> table["score"].tolist(), bool(table["difference_low"][0] > 0.1), choose_score(table, "random")
    (['good', 'random'], True, 'good')
    """
    m, n = len(flips.rows), len(risks)
    rng = np.random.default_rng(seed)
    weights = [np.full(m, 1 / max(1, m))]
    kinds = [each for each in range(len(flips.kinds)) if (flips.kind == each).sum() >= _LEAST_OF_A_KIND]
    weights += [(flips.kind == each) / (flips.kind == each).sum() for each in kinds]
    drawn = rng.multinomial(m, weights[0], size=n_boot) / m if m else np.zeros((n_boot, 0))
    first = 1 + len(kinds)
    totals = np.append(np.full(first, n_errors.value), draw_errors(n_errors, n_boot, rng))[:, None]
    rows, precisions = [], {}
    for name in risks:
        depth = depths(risks[name].to_numpy(dtype=np.float64), flips)
        recall = recall_curve(depth, np.vstack([*weights, drawn]))
        found = yield_of(recall, totals, n)
        precisions[str(name)] = precision = _average_precision(recall, found, n)
        low, high = percentile_interval(precision[first:])
        at = [_precision_at(found[0], n, looks) for looks in (100, n_errors.value)]
        rows.append((str(name), float(precision[0]), low, high, *at, float(np.median(depth)) if m else np.nan))
    table = pd.DataFrame(rows, columns=[*_COMPARED])
    reference = precisions[default or str(risks.columns[0])] if rows else np.zeros(0)
    differences = [precisions[name] - reference for name in table["score"]]
    ends = [percentile_interval(each[first:]) for each in differences]
    table["difference"] = [float(each[0]) for each in differences]
    table["difference_low"], table["difference_high"] = [end.low for end in ends], [end.high for end in ends]
    table["worst_difference"] = [float(each[:first].min()) for each in differences]
    return table.sort_values("average_precision", ascending=False, kind="stable", ignore_index=True)


def choose_score(table: pd.DataFrame, default: str) -> str:
    """The score to sort by: the best of `compare_scores` that is told from the default, and for which no kind of canary
    is worse; or the default.

    >>> table = pd.DataFrame({"score": ["a", "b"], "average_precision": [0.9, 0.8], "worst_difference": [0.0, 0.0]})
    >>> [choose_score(table.assign(difference_low=[low, 0]), "b") for low in (-0.01, 0.01)]
    ['b', 'a']
    """
    better = table[(table["difference_low"] > 0) & (table["worst_difference"] >= 0)]
    return str(better.sort_values("average_precision", ascending=False)["score"].iloc[0]) if len(better) else default


_COMPARED = ("score", "average_precision", "low", "high", "precision_at_100", "precision_at_errors", "depth")


def _rows_to_one(matrix: Floats) -> Numbers:
    mass = matrix.sum(axis=1, keepdims=True)
    return np.where(mass > 0, matrix / np.where(mass > 0, mass, 1), 0.0)


def _draw_labels(true: Ints, matrix: Floats, classes: Ints, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """A wrong label for each of `true` (m,), by the rows of the matrix."""
    allowed = np.zeros(matrix.shape)
    allowed[:, classes] = 1
    np.fill_diagonal(allowed, 0)
    wanted = matrix * allowed
    wanted = np.where(wanted.sum(axis=1, keepdims=True) > 0, wanted, allowed)
    cumulative = wanted.cumsum(axis=1)[true]
    return np.asarray((cumulative > (rng.random(len(true)) * cumulative[:, -1])[:, None]).argmax(axis=1))


def _average_precision(recall: Numbers, found: Numbers, n: int) -> Numbers:
    """Expected average precision of each row, (b,): precision over the grid, weighted by the recall won there."""
    if n == 0:
        return np.full(len(recall), np.nan)
    precision = found[:, 1:] / (GRID[1:] * n)
    return np.where(found[:, -1] > 0, (np.diff(recall, axis=1) * precision).sum(axis=1), np.nan)


def _precision_at(found: Numbers, n: int, looks: float) -> float:
    if n == 0 or not 0 < looks <= n:
        return np.nan
    return float(np.interp(looks / n, GRID, found)) / looks
