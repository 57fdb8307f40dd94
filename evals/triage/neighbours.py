"""Nearest neighbours in embedding space by cosine, and how much they disagree with a label.

Up to EXACT_BELOW rows every pair is compared. Above, the rows are parted into about sqrt(n) cells around centroids, and
a query is compared with the rows of its N_PROBES nearest cells only (an inverted file: Sivic & Zisserman, Video Google,
ICCV 2003): n^1.5 comparisons instead of n^2, all of them in large matrix products, no index to build or keep, and the
same answer each time for the same seed. It may miss neighbours across the border of a far cell; the tests say how many.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evals.intervals import Floats
from evals.triage.rows import blocks

Singles = npt.NDArray[np.float32]
Places = npt.NDArray[np.int64]

EXACT_BELOW = 20_000
N_PROBES = 16
_ROWS_PER_CENTROID, _ROUNDS = 32, 6  # what the centroids are fitted on, and how long
_LARGEST_CELL = 4  # times sqrt(n): of a million copies of one text not all are compared with all
_PRIOR = 1.0  # what the shares of the classes count for, in nearest neighbours


class Neighbours(NamedTuple):
    """The nearest rows of each query, most similar first: rows (m, k) of the base, -1 = none; similarity (m, k), the
    cosine in [-1, 1], nan = none."""

    rows: Places
    similarity: Singles


class _Cells(NamedTuple):
    """order: places in the base, cell after cell; starts (n_cells + 1,); centroids (n_cells, d)."""

    order: Places
    starts: Places
    centroids: Singles


def nearest(
    base: Floats, k: int, *, queries: Floats | None = None, exact_below: int = EXACT_BELOW, seed: int = 0
) -> Neighbours:
    """The k nearest rows of base (n, d) to each of queries (m, d); without queries, to each row among the others.

    Rows with nan, or of zeros, have no neighbours and are nobody's. Takes 4 d bytes a row beside what is handed in.

    >>> nearest(np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.1]]), 1).rows.ravel().tolist()
    [2, 2, 0]
    """
    if k < 1 or base.ndim != 2 or (queries is not None and queries.shape[1:] != base.shape[1:]):
        shapes = f"base {base.shape}, queries {None if queries is None else queries.shape}"
        raise ValueError(f"k = {k}, {shapes}; needed: k of 1 or more, and matrices of one width")
    unit, base_rows = _units(base)
    asked, asked_rows = (unit, base_rows) if queries is None else _units(queries)
    n_asked = len(base if queries is None else queries)
    rows, similarity = np.full((n_asked, k), -1, dtype=np.int64), np.full((n_asked, k), np.nan, dtype=np.float32)
    if len(unit) and len(asked):
        cells = _cells(unit, exact_below, np.random.default_rng(seed))
        places, found = _search(unit, asked, k, cells, without_self=queries is None)
        is_found = np.isfinite(found)
        rows[asked_rows] = np.where(is_found, base_rows[places], -1)
        similarity[asked_rows] = np.where(is_found, np.clip(found, -1, 1), np.float32(np.nan))
    return Neighbours(rows, similarity)


def vote(neighbours: Neighbours, targets: Floats) -> Singles:
    """What the neighbours would label each example: log-probabilities (n, n_classes), nan rows without neighbours.

    targets (n, n_classes): a row the probabilities of its label, or zeros for none. Two-sided: those nearest to the
    example count, and those that count it among their own nearest, together no more than the first; who is both counts
    twice. Nearer ones count more, and the classes' shares in the data as one nearest neighbour, so that few or far
    neighbours say little. An example's own label is not among the votes: it is out of fold. 1 - the probability of the
    given label is how much its neighbours disagree with it.

    >>> neighbours = nearest(np.array([[1.0, 0.0], [1.0, 0.1], [1.0, 0.2], [1.0, 0.3]]), 3)
    >>> np.exp(vote(neighbours, np.eye(2)[[0, 0, 1, 0]]))[2].round(2)
    array([0.96, 0.04], dtype=float32)
    """
    n, n_classes = targets.shape
    votes = _votes(neighbours, targets.sum(axis=1) > 0, n)
    mass = targets.sum(axis=0, dtype=np.float64)
    prior = (_PRIOR * mass / max(float(mass.sum()), 1e-12)).astype(np.float32)
    prior = np.maximum(prior, np.float32(1e-6))  # a label nobody has is unlikely, not impossible
    held = targets.astype(np.float32)
    logs = np.empty((n, n_classes), dtype=np.float32)
    for part in blocks(n, n_classes):
        counts = np.asarray(votes[part] @ held)
        total = counts.sum(axis=1, keepdims=True)
        logs[part] = np.where(total > 0, np.log((counts + prior) / (total + prior.sum())), np.float32(np.nan))
    return logs


def _votes(neighbours: Neighbours, has_label: npt.NDArray[np.bool_], n: int) -> sparse.csr_array:
    """How much each row's label counts about each example, (n, n)."""
    if len(neighbours.rows) != n:
        raise ValueError(f"targets has {n} rows, neighbours {len(neighbours.rows)}; needed: those of the same rows")
    k = neighbours.rows.shape[1]
    similarity = neighbours.similarity.astype(np.float64)
    is_full = ~np.isnan(similarity).any(axis=1)
    width = float((similarity[is_full, 0] - similarity[is_full, -1]).mean()) if is_full.any() else 0.0
    nearness = np.exp((similarity - similarity[:, :1]) / width) if width > 0 else np.ones_like(similarity)
    centre, other = np.repeat(np.arange(n), k), neighbours.rows.ravel()
    is_edge = other >= 0
    centre, other, weight = centre[is_edge], other[is_edge], nearness.ravel()[is_edge]
    says, hears = has_label[other], has_label[centre]
    forward = np.bincount(centre[says], weights=weight[says], minlength=n)
    backward = np.bincount(other[hears], weights=weight[hears], minlength=n)
    scale = np.minimum(1.0, forward / np.maximum(backward, 1e-12))
    about = np.concatenate([centre[says], other[hears]])
    voter = np.concatenate([other[says], centre[hears]])
    weight = np.concatenate([weight[says], weight[hears] * scale[other[hears]]]).astype(np.float32)
    return sparse.coo_array((weight, (about, voter)), shape=(n, n)).tocsr()


def _units(rows: Floats) -> tuple[Singles, Places]:
    """Rows of length 1 (n_known, d), and where they come from (n_known,); rows without a direction are left out."""
    unit = np.empty(rows.shape, dtype=np.float32)
    is_known = np.empty(len(rows), dtype=bool)
    for part in blocks(len(rows), rows.shape[1]):
        exact = rows[part].astype(np.float64)
        length = np.sqrt((exact**2).sum(axis=1))
        is_known[part] = np.isfinite(length) & (length > 0)
        unit[part] = exact / np.where(is_known[part], length, 1)[:, None]
    return (unit if is_known.all() else unit[is_known]), np.flatnonzero(is_known)


def _cells(unit: Singles, exact_below: int, rng: np.random.Generator) -> _Cells:
    n = len(unit)
    if n <= exact_below:
        return _Cells(np.arange(n), np.array([0, n]), unit[:1])
    centroids = _centroids(unit, round(np.sqrt(n)), rng)
    cell_of = np.empty(n, dtype=np.int64)
    for part in blocks(n, len(centroids)):
        cell_of[part] = (unit[part] @ centroids.T).argmax(axis=1)
    order = np.argsort(cell_of, kind="stable")
    sizes = np.bincount(cell_of, minlength=len(centroids))
    most = max(1, _LARGEST_CELL * round(np.sqrt(n)))
    pieces = -(-sizes // most)  # 0 where no row came to the cell
    inner = np.concatenate([np.arange(p) for p in pieces]) * most
    starts = np.repeat(np.cumsum(sizes) - sizes, pieces) + inner
    return _Cells(order, np.append(starts, n), np.repeat(centroids, pieces, axis=0))


def _centroids(unit: Singles, n_cells: int, rng: np.random.Generator) -> Singles:
    """Spherical k-means on a sample."""
    sample = unit[np.sort(rng.choice(len(unit), min(len(unit), n_cells * _ROWS_PER_CENTROID), replace=False))]
    centroids = sample[rng.choice(len(sample), n_cells, replace=False)]
    for _ in range(_ROUNDS):
        cell_of = np.concatenate([(sample[part] @ centroids.T).argmax(axis=1) for part in blocks(len(sample), n_cells)])
        order = np.argsort(cell_of, kind="stable")
        used, first = np.unique(cell_of[order], return_index=True)
        sums = np.add.reduceat(sample[order], first, axis=0)
        length = np.sqrt((sums**2).sum(axis=1, keepdims=True))
        centroids[used] = np.where(length > 0, sums / np.maximum(length, 1e-12), centroids[used])
    return centroids


def _search(unit: Singles, asked: Singles, k: int, cells: _Cells, *, without_self: bool) -> tuple[Places, Singles]:
    """Places in the base (m, k) and similarities (m, k), most similar first; -inf = none."""
    best, found = np.zeros((len(asked), k), dtype=np.int64), np.full((len(asked), k), -np.inf, dtype=np.float32)
    queries, query_starts = _queries_of(asked, cells)
    for cell in range(len(cells.starts) - 1):
        members = np.sort(cells.order[cells.starts[cell] : cells.starts[cell + 1]])
        turned = unit[members].T
        of_cell = queries[query_starts[cell] : query_starts[cell + 1]]
        for part in blocks(len(of_cell), len(members)):
            query = of_cell[part]
            similarity = asked[query] @ turned
            if without_self:
                own = np.minimum(np.searchsorted(members, query), len(members) - 1)
                is_self = members[own] == query
                similarity[is_self, own[is_self]] = -np.inf
            most = min(k, len(members))
            top = np.argpartition(similarity, len(members) - most, axis=1)[:, -most:]
            places = np.concatenate([best[query], members[top]], axis=1)
            values = np.concatenate([found[query], np.take_along_axis(similarity, top, axis=1)], axis=1)
            keep = np.argpartition(values, most, axis=1)[:, -k:]
            best[query] = np.take_along_axis(places, keep, axis=1)
            found[query] = np.take_along_axis(values, keep, axis=1)
    order = np.argsort(-found, axis=1, kind="stable")
    return np.take_along_axis(best, order, axis=1), np.take_along_axis(found, order, axis=1)


def _queries_of(asked: Singles, cells: _Cells) -> tuple[Places, Places]:
    """Which queries look into which cell: query numbers, cell after cell, and starts (n_cells + 1,)."""
    m, n_cells = len(asked), len(cells.centroids)
    if n_cells <= N_PROBES:
        return np.tile(np.arange(m), n_cells), np.arange(n_cells + 1) * m
    probes = np.empty((m, N_PROBES), dtype=np.int32)
    for part in blocks(m, n_cells):
        probes[part] = np.argpartition(asked[part] @ cells.centroids.T, n_cells - N_PROBES, axis=1)[:, -N_PROBES:]
    by_cell = np.argsort(probes, axis=None, kind="stable")
    starts = np.searchsorted(probes.ravel()[by_cell], np.arange(n_cells + 1))
    return by_cell // N_PROBES, starts
