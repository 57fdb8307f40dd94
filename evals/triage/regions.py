"""Regions of embedding space: k-means on directions, with the words that name each region."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats
from evals.triage.rows import blocks
from evals.triage.terms import distinctive_terms

SAMPLE = 20_000
"""Rows that centroids are fitted on; the others go to the nearest."""
MOST_REGIONS = 50
"""More than a person reads."""
LEAST_ROWS = 20
"""On average a region has at least so many."""


class Regions(NamedTuple):
    """region: (n,) a number for each row, -1 = no embedding. centroids: (n_regions, d), of length 1."""

    region: npt.NDArray[np.int64]
    centroids: npt.NDArray[np.float32]


def find_regions(embeddings: Floats, *, n_regions: int | None = None, seed: int = 0) -> Regions:
    """Regions of rows in similar directions: embeddings (n, d), rows with nan or of zeros in none.

    Without n_regions there are about the square root of n / 2 (Mardia, Kent & Bibby, Multivariate Analysis (1979),
    section 13.2), at most MOST_REGIONS, and at least LEAST_ROWS rows for each.

    >>> rng = np.random.default_rng(0)
    >>> found = find_regions(np.repeat(np.eye(3), 30, axis=0) + rng.normal(0, 0.05, (90, 3)), n_regions=3)
    >>> sorted(np.bincount(found.region).tolist()), len(set(found.region[:30]))
    ([30, 30, 30], 1)
    """
    from sklearn.cluster import KMeans

    unit, is_known = directions(embeddings)
    region = np.full(len(embeddings), -1, dtype=np.int64)
    rows = np.flatnonzero(is_known)
    if n_regions is None:
        n_regions = min(MOST_REGIONS, round(np.sqrt(len(rows) / 2)), len(rows) // LEAST_ROWS)
    if not len(rows):
        return Regions(region, np.zeros((0, embeddings.shape[1]), dtype=np.float32))
    rng = np.random.default_rng(seed)
    sample = unit[np.sort(rng.choice(rows, SAMPLE, replace=False))] if len(rows) > SAMPLE else unit[rows]
    n_regions = max(1, min(n_regions, len(np.unique(sample, axis=0)) if len(sample) < 2 * n_regions else n_regions))
    fitted = KMeans(n_regions, n_init=1, max_iter=50, random_state=seed).fit(sample)
    centroids = directions(fitted.cluster_centers_)[0]
    region[rows] = nearest_region(unit[rows], centroids)
    return Regions(region, centroids)


def nearest_region(unit: npt.NDArray[np.float32], centroids: npt.NDArray[np.float32]) -> npt.NDArray[np.int64]:
    """The region of each row of unit (n, d), of length 1, among centroids (n_regions, d), one or more.

    >>> nearest_region(np.eye(2, dtype=np.float32), np.array([[0, 1], [1, 0]], dtype=np.float32)).tolist()
    [1, 0]
    """
    region = np.empty(len(unit), dtype=np.int64)
    for part in blocks(len(unit), len(centroids)):
        region[part] = (unit[part] @ centroids.T).argmax(axis=1)
    return region


def directions(embeddings: Floats) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.bool_]]:
    """Rows (n, d) scaled to length 1, and which rows have a direction (n,); the others are zeros.

    >>> unit, is_known = directions(np.array([[3.0, 4.0], [np.nan, 1.0], [0.0, 0.0]]))
    >>> unit.round(1).tolist(), is_known.tolist()
    ([[0.6000000238418579, 0.800000011920929], [0.0, 0.0], [0.0, 0.0]], [True, False, False])
    """
    unit = np.zeros(embeddings.shape, dtype=np.float32)
    is_known = np.zeros(len(embeddings), dtype=bool)
    for part in blocks(len(embeddings), embeddings.shape[1]):
        exact = embeddings[part].astype(np.float64)
        length = np.sqrt((exact**2).sum(axis=1))
        known = np.isfinite(length) & (length > 0)
        is_known[part] = known
        unit[part] = np.where(known[:, None], exact / np.where(known, length, 1)[:, None], 0)
    return unit, is_known


def region_names(texts: Sequence[str | None], regions: Regions) -> list[str]:
    """A name for each region: its most distinctive words, "region 4" where it has none; no two are the same.

    >>> regions = Regions(np.array([0, 0, 1, 1] * 5), np.eye(2, dtype=np.float32))
    >>> region_names(["my visa", "visa", "card", "new card"] * 5, regions)
    ['visa', 'card']
    """
    names: list[str] = []
    for number, terms in enumerate(distinctive_terms(texts, regions.region, len(regions.centroids))):
        name = ", ".join(terms) or f"region {number}"
        names.append(name if name not in names else f"{name} ({number})")
    return names
