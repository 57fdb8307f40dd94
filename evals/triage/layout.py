"""A map of the data: two coordinates an example, so that what is alike in embedding space lies together.

Each row is drawn towards its nearest neighbours, by how much nearer they are than its others, and pushed away from rows
drawn by chance: the objective of UMAP (McInnes, Healy & Melville, 2018, arXiv:1802.03426, sections 3.1 and 3.2), here
with all edges of an epoch moved at once. It begins with the two main directions of the rows. Distances on the map mean
little beyond "near" and "far", and the axes nothing.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evals.intervals import Floats
from evals.triage.neighbours import Neighbours, nearest
from evals.triage.regions import directions

Singles = npt.NDArray[np.float32]

MOST = 20_000
"""Rows that are laid out; of more a sample is, and the others are put beside their nearest in it."""
_K, _EPOCHS, _PUSHES = 15, 200, 5
_A, _B = 1.577, 0.895  # the curve of a minimal distance of 0.1 (McInnes et al., section 4.3)
_SPREAD = 10.0  # half the width of the map at the start
_MOST_STEP = 4.0
_THINNED = 4.0  # dense places are thinned, and sparse ones kept, by up to this factor


class Layout(NamedTuple):
    """points (n, 2), nan where the embedding is not known; is_sampled (n,): laid out itself, not put beside others."""

    points: Singles
    is_sampled: npt.NDArray[np.bool_]


def data_map(embeddings: Floats, *, distance: Floats | None = None, most: int = MOST, seed: int = 0) -> Layout:
    """The map of embeddings (n, d), rows with nan or of zeros in no place.

    distance (n,): how far each row's neighbours are; of more than `most` rows a sample is laid out to which rows in
    dense places come less often, so that sparse ones are seen.

    >>> rng = np.random.default_rng(0)
    >>> embeddings = np.repeat(np.eye(3), 40, axis=0) + rng.normal(0, 0.1, (120, 3))
    >>> points = data_map(embeddings).points.reshape(3, 40, 2)
    >>> within, between = points.std(axis=1).mean(), points.mean(axis=1).std(axis=0).mean()
    >>> bool(between > 2 * within)
    True
    """
    unit, is_known = directions(embeddings)
    rng = np.random.default_rng(seed)
    known = np.flatnonzero(is_known)
    points = np.full((len(embeddings), 2), np.nan, dtype=np.float32)
    is_sampled = np.zeros(len(embeddings), dtype=bool)
    if not len(known):
        return Layout(points, is_sampled)
    sample = _sample(known, distance, most, rng)
    base = unit[sample]
    points[sample] = _lay_out(base, rng)
    is_sampled[sample] = True
    others = known[~is_sampled[known]]
    if len(others):
        points[others] = _beside(points[sample], nearest(base, 3, queries=unit[others], seed=seed))
    return Layout(points, is_sampled)


def _sample(
    known: npt.NDArray[np.int64], distance: Floats | None, most: int, rng: np.random.Generator
) -> npt.NDArray[np.int64]:
    if len(known) <= most:
        return known
    weight = np.ones(len(known))
    if distance is not None:
        of_known = distance[known].astype(np.float64)
        median = float(np.nanmedian(of_known)) if not np.isnan(of_known).all() else 0.0
        if median > 0:
            weight = np.clip(np.nan_to_num(of_known / median, nan=1.0), 1 / _THINNED, _THINNED)
    keys = rng.exponential(size=len(known)) / weight  # the least keys are a sample without replacement by weight
    return np.sort(known[np.argpartition(keys, most)[:most]])


def _lay_out(unit: Singles, rng: np.random.Generator) -> Singles:
    points = _main_directions(unit) + rng.normal(0, 1e-2, (len(unit), 2)).astype(np.float32)
    neighbours = nearest(unit, min(_K, max(1, len(unit) - 1)))
    left, right, strength = _edges(neighbours)
    for epoch in range(_EPOCHS if len(left) else 0):
        is_drawn = rng.random(len(strength)) < strength
        points = _moved(points, left[is_drawn], right[is_drawn], 1 - epoch / _EPOCHS, rng)
    return points


def _main_directions(unit: Singles) -> Singles:
    """The two main directions of the rows (n, d), scaled to the width of the map, (n, 2)."""
    centred = (unit - unit.mean(axis=0)).astype(np.float64)
    if centred.shape[1] < 2:
        centred = np.hstack([centred, np.zeros((len(centred), 2 - centred.shape[1]))])
    _, vectors = np.linalg.eigh(centred.T @ centred)
    points = centred @ vectors[:, -2:]
    widest = float(np.abs(points).max())
    return np.asarray(points / (widest if widest > 0 else 1.0) * _SPREAD, dtype=np.float32)


def _edges(
    neighbours: Neighbours,
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """Who is drawn to whom, and how often an epoch, in (0, 1]."""
    n, k = neighbours.rows.shape
    distance = 1 - np.nan_to_num(neighbours.similarity, nan=-1.0).astype(np.float64)
    nearness = _nearness(distance - distance[:, :1])
    is_edge = (neighbours.rows >= 0).ravel()
    centre = np.repeat(np.arange(n), k)[is_edge]
    graph = sparse.coo_array((nearness.ravel()[is_edge], (centre, neighbours.rows.ravel()[is_edge])), shape=(n, n))
    one_way = graph.tocsr()
    both = (one_way + one_way.T - one_way * one_way.T).tocoo()  # of fuzzy sets: a + b - ab
    strength = (both.data / max(float(both.data.max(initial=0)), 1e-12)).astype(np.float32)
    kept = strength >= 1 / _EPOCHS
    return both.row[kept].astype(np.int64), both.col[kept].astype(np.int64), strength[kept]


def _nearness(beyond: Floats) -> npt.NDArray[np.float64]:
    """exp(-beyond / width) of distances (n, k) beyond the nearest; a row's width is such that they sum to log2 k."""
    wanted = np.log2(max(2, beyond.shape[1]))
    low, high = np.zeros((len(beyond), 1)), np.full((len(beyond), 1), np.inf)
    width = np.ones((len(beyond), 1))
    for _ in range(40):
        total = np.exp(-beyond / width).sum(axis=1, keepdims=True)
        low, high = np.where(total > wanted, low, width), np.where(total > wanted, width, high)
        width = np.where(np.isinf(high), width * 2, np.maximum((low + high) / 2, 1e-9))
    return np.asarray(np.exp(-beyond / width))


def _moved(
    points: Singles,
    left: npt.NDArray[np.int64],
    right: npt.NDArray[np.int64],
    step: float,
    rng: np.random.Generator,
) -> Singles:
    """The points after one epoch: each edge pulls both its ends together, and pushes its left end off some others."""
    n = len(points)
    moves = np.zeros((n, 2))
    gap = points[left] - points[right]
    square = np.maximum((gap**2).sum(axis=1), 1e-8)
    pull = _clipped((-2 * _A * _B * square ** (_B - 1) / (1 + _A * square**_B))[:, None] * gap)
    for axis in (0, 1):
        moves[:, axis] += np.bincount(left, pull[:, axis], n) - np.bincount(right, pull[:, axis], n)
    for _ in range(_PUSHES):
        gap = points[left] - points[rng.integers(n, size=len(left))]
        square = (gap**2).sum(axis=1)
        push = _clipped((2 * _B / ((0.001 + square) * (1 + _A * square**_B)))[:, None] * gap)
        for axis in (0, 1):
            moves[:, axis] += np.bincount(left, push[:, axis], n)
    return points + _clipped(moves * step).astype(np.float32)


def _clipped(moves: npt.NDArray[np.floating]) -> npt.NDArray[np.floating]:
    return np.asarray(np.clip(moves, -_MOST_STEP, _MOST_STEP))


def _beside(points: Singles, neighbours: Neighbours) -> Singles:
    """Where rows belong whose nearest rows are laid out: their mean, the nearer the heavier, (m, 2)."""
    weight = np.where(neighbours.rows >= 0, np.exp(10 * np.nan_to_num(neighbours.similarity)), 0)
    total = weight.sum(axis=1, keepdims=True)
    mean = (points[neighbours.rows] * weight[:, :, None]).sum(axis=1) / np.where(total > 0, total, np.nan)
    return np.asarray(mean, dtype=np.float32)
