"""Canaries: labels flipped on purpose: where would each score rank them?

They are of several kinds: to any other class, to one that the model takes the class for, along the pairs in which
errors are suspected. How deep in the queue they lie is what a score is worth *on this data*
(`evals.triage.comparison`), before anyone has reviewed anything. Real errors may be harder to see than any kind of
canary; decisions correct that later (`evals.triage.stopping`).

A score that comes from models which saw the labels is measured in a copy in which a few are flipped: it is trained on
and thrown away. A model that has not seen an example's label need not be trained again: it is only asked about another
label, and there can be thousands of such canaries. They lie a little higher than they would in a copy: their mean depth
was 5 to 10 % less on three public data sets, 17 to 19 % on the Hausa news.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.channel import Channel
from evals.triage.rows import blocks

Numbers = npt.NDArray[np.float64]

_LEAST_FLIPS, _MOST_SHARE = 60, 0.04  # with few canaries nothing is measured, with many the copy is another data set
_MOST_ASKED = 4_000


class Flips(NamedTuple):
    """rows (m,), ascending; labels (m,): what they are flipped to; kind (m,): the place of their kind in `kinds`;
    is_planted (m,): which of them are flipped in the copy. The others are only asked about."""

    rows: npt.NDArray[np.int64]
    labels: npt.NDArray[np.int64]
    kind: npt.NDArray[np.int64]
    kinds: tuple[str, ...]
    is_planted: npt.NDArray[np.bool_]


def no_flips(kinds: tuple[str, ...] = ()) -> Flips:
    """No canaries at all.

    >>> len(no_flips().rows)
    0
    """
    none = np.empty(0, dtype=np.int64)
    return Flips(none, none, none, kinds, np.empty(0, dtype=bool))


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


def plan_flips(
    given: Ints, kinds: Mapping[str, Floats], *, share: float = 0.015, most_asked: int = _MOST_ASKED, seed: int = 0
) -> Flips:
    """Which labels to flip: given (n,), kinds as from `kinds_of_flips`, as many of each; share in (0, 0.5).

    Planted are `share` of the labelled examples, but at least 60 where that is no more than 4 %. Asked about are up to
    `most_asked` in all. Only classes that have examples are flipped to; where a kind knows none, to any. None with
    fewer than two classes. A label that was wrong already may become right, rarely: a canary that nobody can find.

    >>> given = np.arange(200) % 4
    >>> flips = plan_flips(given, {"next": np.eye(4)[[1, 2, 3, 0]]}, share=0.04)
    >>> len(flips.rows), int(flips.is_planted.sum()), bool((flips.labels == (given[flips.rows] + 1) % 4).all())
    (200, 8, True)
    """
    if not 0 < share < 0.5:
        raise ValueError(f"share = {share}; allowed: above 0 and below 0.5")
    labelled = np.flatnonzero(given >= 0)
    classes = np.unique(given[labelled])
    if len(classes) < 2 or not kinds:
        return no_flips(tuple(kinds))
    rng = np.random.default_rng(seed)
    n = len(labelled)
    n_planted = min(n, round(max(share * n, min(_LEAST_FLIPS, _MOST_SHARE * n))))
    m = max(n_planted, min(n, most_asked))
    drawn = rng.choice(labelled, m, replace=False)
    order = np.argsort(drawn)
    kind, is_planted = (rng.permutation(m) % len(kinds))[order], (np.arange(m) < n_planted)[order]
    rows, labels = drawn[order], np.empty(m, dtype=np.int64)
    for number, matrix in enumerate(kinds.values()):
        of_kind = kind == number
        labels[of_kind] = _draw_labels(given[rows[of_kind]], np.asarray(matrix, dtype=np.float64), classes, rng)
    return Flips(rows, labels, kind, tuple(kinds), is_planted)


def flip(given: Ints, flips: Flips) -> npt.NDArray[np.int64]:
    """The labels (n,) of the copy.

    >>> flips = Flips(np.array([1, 2]), np.array([2, 0]), np.zeros(2, int), ("any",), np.array([True, False]))
    >>> flip(np.array([0, 0, 1]), flips).tolist()
    [0, 2, 1]
    """
    labels = given.astype(np.int64)
    labels[flips.rows[flips.is_planted]] = flips.labels[flips.is_planted]
    return labels


def depths(risk: Floats, of_flips: Floats, flips: Flips, right: Floats) -> Numbers:
    """How deep each canary lies, (m,) in [0, 1]: the share of the rightly labelled others that rank before it.

    risk (n,): the score; of_flips (m,): of the canaries. right (n,): how probably each label is right. Errors that rank
    before a canary do not make it any worse, and where half of the labels are wrong most of what ranks high is. Ties
    count half. Unknown risks (nan) come last.

    >>> flips = Flips(np.array([0, 3]), np.array([1, 1]), np.array([0, 0]), ("uniform",), np.ones(2, bool))
    >>> depths(np.array([0.1, 0.95, 0.5, 0.1, 0.1, np.nan]), np.array([0.9, 0.5]), flips, np.ones(6)).tolist()
    [0.2, 0.3]
    """
    known, asked = (np.where(np.isnan(each), -np.inf, each) for each in (risk, of_flips))
    weight = np.nan_to_num(right)
    order = np.argsort(known, kind="stable")
    below = np.append(0, np.cumsum(weight[order]))
    sorted_risk = known[order]
    left, to = (below[np.searchsorted(sorted_risk, asked, side=side)] for side in ("left", "right"))
    own, own_risk = weight[flips.rows], known[flips.rows]
    total = below[-1] - own
    before = below[-1] - (left + to) / 2 - own * ((own_risk > asked) + (own_risk == asked) / 2)
    return np.where(total > 0, np.clip(before / np.where(total > 0, total, 1), 0, 1), 0.0)


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
