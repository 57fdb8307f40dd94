"""What each training example is worth to a nearest-neighbour classifier on held-out examples: kNN-Shapley.

The Shapley value shares the accuracy of a K-nearest-neighbour classifier among its training examples; for this
classifier it has a closed form. An example with a negative value hurts: held-out examples near it have other labels.
Source: Jia et al., Efficient Task-Specific Data Valuation for Nearest Neighbor Algorithms, PVLDB 12 (2019) 1610,
theorems 1 and 2.
"""

from typing import Any

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.found import Found, checked
from evals.triage.neighbours import Neighbours, nearest

K = 5
DEPTH = 100
"""Neighbours of a held-out example that get a share of it. The others would get less than 1 / DEPTH each."""
MOST_QUERIES = 5_000
"""Held-out examples; more make the values no surer than the model behind the embeddings is."""


def neighbour_shares(
    neighbours: Neighbours, query_labels: Ints, labels: Ints, *, k: int = K
) -> npt.NDArray[np.float64]:
    """What each neighbour adds to the chance that its query is classified right: (m, depth), nan where there is none.

    neighbours: of m queries, the nearest training rows first; labels (n,) of those rows. With all n training rows as
    neighbours it is exact, and sums over a query's neighbours to the share of its first k that have its label. With
    fewer, the deepest counts for nothing and the others are at most 1 / depth off.

    >>> neighbours = Neighbours(np.array([[0, 1, 2]]), np.array([[0.9, 0.8, 0.7]], dtype=np.float32))
    >>> neighbour_shares(neighbours, np.array([1]), np.array([1, 0, 1]), k=1).round(3).tolist()
    [[0.833, -0.167, 0.333]]
    """
    rows = neighbours.rows
    depth = rows.shape[1]
    is_there = rows >= 0
    n_there = is_there.sum(axis=1, keepdims=True)
    agrees = np.where(is_there, labels[np.where(is_there, rows, 0)] == query_labels[:, None], 0).astype(np.float64)
    # From the last to the first: s_i = s_(i+1) + (agrees_i - agrees_(i+1)) / K * min(K, i) / i, counted from 1.
    place = np.arange(1, depth + 1)
    following = np.concatenate([agrees[:, 1:], np.zeros((len(rows), 1))], axis=1)
    steps = np.where(place < n_there, (agrees - following) / np.maximum(k, place), 0)
    all_of_them = n_there == len(labels)
    steps += np.where((place == n_there) & all_of_them, agrees * min(k, len(labels)) / (k * max(1, len(labels))), 0)
    shares = np.cumsum(steps[:, ::-1], axis=1)[:, ::-1]
    return np.where(is_there, shares, np.nan)


def example_values(
    embeddings: Floats, labels: Ints, splits: npt.NDArray[Any], *, k: int = K, depth: int = DEPTH, seed: int = 0
) -> Found:
    """What each labelled training example is worth to the examples of "validation", or of all splits but "test".

    A test split is never asked, because what it says decides which examples are dropped. risk: of all that an example
    does, the share that hurts, in [0, 1]: (h + c) / (h + g + 2 c) with h and g what it takes from and gives to held-out
    examples, and c half of what one vote counts, so that one of a thousand neighbours is no proof. 0.5 = neither; nan
    for what is no labelled training example, or nobody's neighbour. evidence: value, the Shapley value times n_train:
    1 = as much as the average example of a perfect classifier.

    >>> embeddings = np.array([[1, 0.0], [1, 0.1], [0, 1.0], [0.1, 1], [1, 0.05], [0.05, 1]])
    >>> labels, splits = np.array([0, 1, 1, 1, 0, 1]), np.array(["train"] * 4 + ["validation"] * 2)
    >>> found = example_values(embeddings, labels, splits, k=1)
    >>> found.risk.round(2).tolist(), int(np.nanargmax(found.risk))
    ([0.33, 0.55, 0.38, 0.38, nan, nan], 1)
    """
    checked("labels", labels, len(embeddings))
    checked("splits", splits, len(embeddings))
    n = len(embeddings)
    train = np.flatnonzero((splits == "train") & (labels >= 0))
    is_asked = splits == "validation" if (splits == "validation").any() else ~np.isin(splits, ["train", "test"])
    asked = np.flatnonzero(is_asked & (labels >= 0))
    risk, value = np.full(n, np.nan), np.full(n, np.nan)
    found = Found(risk, {"value": value})
    if not len(train) or not len(asked):
        return found
    if len(asked) > MOST_QUERIES:
        asked = np.sort(np.random.default_rng(seed).choice(asked, MOST_QUERIES, replace=False))
    neighbours = nearest(embeddings[train], min(depth, len(train)), queries=embeddings[asked])
    shares = neighbour_shares(neighbours, labels[asked], labels[train], k=k)
    known = ~np.isnan(shares)
    place, share = neighbours.rows[known], shares[known]
    gives = np.bincount(place, weights=np.maximum(share, 0), minlength=len(train))
    takes = np.bincount(place, weights=np.maximum(-share, 0), minlength=len(train))
    is_neighbour = np.bincount(place, minlength=len(train)) > 0
    half_vote = 0.5 / k
    risk[train] = np.where(is_neighbour, (takes + half_vote) / (takes + gives + 2 * half_vote), np.nan)
    value[train] = np.where(is_neighbour, (gives - takes) / len(asked) * len(train), np.nan)
    return found
