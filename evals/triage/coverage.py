"""What the training examples do not cover: outliers, and regions of held-out data with few training neighbours.

Distance is 1 - cosine. `Neighbours` here are the nearest *training* rows of every row, itself left out: what
`train_neighbours` finds.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import stats

from evals.intervals import Floats, wilson
from evals.paired import ALPHA, holm
from evals.triage.found import Found, Group, checked, of_groups
from evals.triage.neighbours import Neighbours, nearest
from evals.triage.regions import directions, find_regions, nearest_region, region_names

K = 10
"""Neighbours: the distance to the first alone says that there is a copy."""
FAR = 0.9
"""An example is far that is farther than this share of the training examples are from each other."""
LEAST_SHARE = 0.3
"""A region is sparse of whose examples at least this share is far, where 1 - FAR of the training examples are."""


def train_neighbours(embeddings: Floats, is_train: npt.NDArray[np.bool_], k: int = K) -> Neighbours:
    """The k nearest training rows of each row, itself left out: embeddings (n, d), is_train (n,), rows are of the n.

    >>> found = train_neighbours(np.array([[1.0, 0], [0, 1], [1, 0.1]]), np.array([True, True, False]), 1)
    >>> found.rows.ravel().tolist()
    [1, 0, 0]
    """
    checked("is_train", is_train, len(embeddings))
    train, held = np.flatnonzero(is_train), np.flatnonzero(~is_train)
    rows = np.full((len(embeddings), k), -1, dtype=np.int64)
    similarity = np.full((len(embeddings), k), np.nan, dtype=np.float32)
    if len(train):
        base = embeddings[train]
        for asked, found in ((train, nearest(base, k)), (held, nearest(base, k, queries=embeddings[held]))):
            rows[asked] = np.where(found.rows >= 0, train[found.rows], -1)
            similarity[asked] = found.similarity
    return Neighbours(rows, similarity)


def outliers(neighbours: Neighbours, is_train: npt.NDArray[np.bool_]) -> Found:
    """How far each example is from the training examples, as a percentile of how far those are from each other.

    risk: share of training examples whose k-th training neighbour is nearer than the example's own, ties half; nan
    without neighbours. By construction 1 % of the training examples are above 0.99; of other splits more than 1 % are
    where they leave the training distribution. Source: Sun et al., Out-of-Distribution Detection with Deep Nearest
    Neighbors (2022), arXiv:2204.06507. evidence: distance to the k-th neighbour; times, over the training median;
    nearest, the nearest training row.

    >>> embeddings = np.array([[1, 0.0], [1, 0.1], [1, 0.2], [0, 1.0]])
    >>> is_train = np.array([True, True, True, False])
    >>> outliers(train_neighbours(embeddings, is_train, 2), is_train).risk.round(2).tolist()
    [0.67, 0.17, 0.67, 1.0]
    """
    checked("is_train", is_train, len(neighbours.rows))
    distance = 1 - np.fmin.reduce(neighbours.similarity.astype(np.float64), axis=1, initial=np.nan)
    of_train = np.sort(distance[is_train & ~np.isnan(distance)])
    below = np.searchsorted(of_train, distance, side="left")
    to = np.searchsorted(of_train, distance, side="right")
    is_known = ~np.isnan(distance) & (len(of_train) > 0)
    risk = np.where(is_known, (below + to) / 2 / max(1, len(of_train)), np.nan)
    median = float(np.median(of_train)) if len(of_train) else np.nan
    times = distance / median if median > 0 else np.full(len(distance), np.nan)
    return Found(risk, {"distance": distance, "times": times, "nearest": neighbours.rows[:, 0]})


def sparse_regions(
    embeddings: Floats,
    texts: Sequence[str | None],
    is_train: npt.NDArray[np.bool_],
    neighbours: Neighbours,
    *,
    n_regions: int | None = None,
    seed: int = 0,
) -> Found:
    """Regions of the held-out examples that the training examples hardly reach, named by their words.

    Held-out rows are parted into regions; a row is far whose `outliers` risk is above FAR. Named are regions with
    significantly more far rows than the 1 - FAR of the training examples (one-sided binomial test, Holm over the
    regions) and LEAST_SHARE of them or more. Groups only: risk is the lower 95 % Wilson bound of the share of far rows.
    evidence: n, n_far, share, low, high, p_holm, n_train, the training examples in the region, and n_train_usual, as
    many as its share of the held-out examples would have.

    >>> rng = np.random.default_rng(0)
    >>> near, far = rng.normal([1, 0, 0], 0.1, (200, 3)), rng.normal([0, 1, 0], 0.1, (50, 3))
    >>> embeddings, texts = np.vstack([near, far]), ["my card"] * 200 + ["travel abroad"] * 50
    >>> is_train = np.arange(250) < 150
    >>> found = sparse_regions(embeddings, texts, is_train, train_neighbours(embeddings, is_train), n_regions=2)
    >>> [(group.name, len(group.rows), group.evidence["n_train"]) for group in found.groups]
    [('abroad, travel', 50, 0)]
    """
    risk = outliers(neighbours, is_train).risk
    held = np.flatnonzero(~is_train & ~np.isnan(risk))
    regions = find_regions(embeddings[held], n_regions=n_regions, seed=seed)
    n_regions = len(regions.centroids)
    if not n_regions:
        return of_groups(len(embeddings), [])
    names = region_names([texts[row] for row in held.tolist()], regions)
    unit, is_known = directions(embeddings[is_train])
    n_train = np.bincount(nearest_region(unit[is_known], regions.centroids), minlength=n_regions)
    n = np.bincount(regions.region, minlength=n_regions)
    n_far = np.bincount(regions.region[risk[held] > FAR], minlength=n_regions)
    p = holm(stats.binom.sf(n_far - 1, n, 1 - FAR))
    groups = []
    for place in np.flatnonzero((p < ALPHA) & (n_far >= LEAST_SHARE * n)).tolist():
        low, high = wilson(int(n_far[place]), int(n[place]))
        evidence = {
            "n": int(n[place]),
            "n_far": int(n_far[place]),
            "share": float(n_far[place] / n[place]),
            "low": low,
            "high": high,
            "p_holm": float(p[place]),
            "n_train": int(n_train[place]),
            "n_train_usual": float(n[place] / len(held) * n_train.sum()),
        }
        groups.append(Group(names[place], low, held[regions.region == place], evidence))
    return of_groups(len(embeddings), groups)
