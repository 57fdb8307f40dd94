"""Candidates ranked for queries: is what is relevant at the top?

Shapes, one row a candidate: queries (n,) whole numbers, the rows of a query need not stand together; relevance (n,),
0 = not relevant, above 0 = how much (a gain), nan = not judged, which is left out; scores (n,), higher = ranked higher.
A nan score is ranked below all others.

Reciprocal rank: 1 / place of the first relevant candidate. Average precision: the mean over the relevant candidates of
the share of relevant ones down to each. Recall: relevant ones within the cut-off / relevant ones. Hit: whether one is.
DCG = Σ gain / log2(1 + place); nDCG divides by the DCG of the best order.
With a cut-off k only the first k places count, and AP is divided by min(k, relevant ones). Sources: Voorhees, The
TREC-8 Question Answering Track Report (1999); Järvelin & Kekäläinen, Cumulated Gain-Based Evaluation of IR Techniques
(2002), with the gain itself as gain.

**Equal scores** are no order, and are not given one: every value is the mean over all orders of the tied candidates, in
closed form (McSherry & Najork, Computing Information Retrieval Performance Measures Efficiently in the Presence of Tied
Scores, 2008). So a model that gives everything one score gets what chance gets.

A query without a relevant candidate cannot be answered, and is left out. Resamples draw queries.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import gammaln

from evals.intervals import Floats, Ints
from evals.metrics import Score, find_metric
from evals.resampling import resampled_sums

Numbers = npt.NDArray[np.float64]

RANKING_METRICS = ("ndcg@10", "mrr@10", "map", "recall@10", "hit@1")


def score_ranking(
    queries: Ints,
    relevance: Ints | Floats,
    scores: Floats,
    *,
    names: Sequence[str] = RANKING_METRICS,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[Score, ...]:
    """Each metric, `mrr`, `ndcg`, `map`, `recall` or `hit` or one of these with `@K`, as the mean over queries; `n`
    counts queries.

    >>> scores = score_ranking(np.array([7, 7, 9, 9]), np.array([0, 1, 1, 0]), np.array([0.9, 0.4, 0.5, 0.5]), n_boot=0)
    >>> [(score.metric, round(score.value, 3), score.n) for score in scores][:2]
    [('ndcg@10', 0.723, 2), ('mrr@10', 0.625, 2)]
    """
    table = query_table(queries, relevance, scores, names=names)
    table = table[table["n_relevant"] > 0]
    n = len(table)
    values = table[list(names)].to_numpy(dtype=np.float64)
    sums = resampled_sums(np.column_stack([values, np.ones(n)]), n_boot=n_boot, seed=seed)
    return tuple(
        Score(name, *sums.estimate(lambda total, at=at: total[..., at] / total[..., -1]), n)  # type: ignore[misc]  # a lambda with a default has no type to infer
        for at, name in enumerate(names)
    )


def query_table(
    queries: Ints, relevance: Ints | Floats, scores: Floats, *, names: Sequence[str] = RANKING_METRICS
) -> pd.DataFrame:
    """One row a query, in ascending order: query, n (candidates), n_relevant, and a column for each metric.

    A metric is nan where nothing is relevant. ValueError, naming every problem, for arrays not of the form above.

    >>> query_table(np.array([7, 7]), np.array([0, 1]), np.array([0.9, 0.4]), names=["mrr"]).to_dict("records")
    [{'query': 7, 'n': 2, 'n_relevant': 1, 'mrr': 0.5}]
    """
    _check(queries, relevance, scores, names)
    judged = ~np.isnan(relevance)
    found, query = np.unique(queries[judged], return_inverse=True)
    places = _placed(query, relevance[judged].astype(np.float64), scores[judged].astype(np.float64), len(found))
    columns: dict[str, npt.NDArray[np.generic]] = {
        "query": found, "n": places.n_candidates.astype(np.int64), "n_relevant": places.n_relevant.astype(np.int64)
    }  # fmt: skip
    for name in names:
        base, _, cut = name.partition("@")
        columns[name] = np.where(places.n_relevant > 0, _MEASURES[base](places, float(cut or np.inf)), np.nan)
    return pd.DataFrame(columns)


def places_of(queries: Ints, scores: Floats) -> Numbers:
    """Place (n,) of each candidate among those of its query, 1 = the highest score; equal scores share the first of
    their places; nan where there is no score.

    >>> places_of(np.array([7, 9, 7, 7, 9]), np.array([0.1, np.nan, 0.5, 0.1, 0.3])).tolist()
    [2.0, nan, 1.0, 2.0, 1.0]
    """
    query, unscored = np.unique(queries, return_inverse=True)[1], np.isnan(scores)
    lowest = np.where(unscored, -np.inf, scores)
    order = np.lexsort((unscored, -lowest, query))
    query, lowest, rows = query[order], lowest[order], np.arange(len(order))
    is_first, is_other = np.ones((2, len(order)), dtype=bool)
    is_first[1:] = query[1:] != query[:-1]
    is_other[1:] = is_first[1:] | (lowest[1:] != lowest[:-1])
    starts, ties = (np.maximum.accumulate(np.where(each, rows, 0)) for each in (is_first, is_other))
    places = np.full(len(order), np.nan)
    places[order] = ties - starts + 1
    places[unscored] = np.nan
    return places


class _Placed(NamedTuple):
    """The candidates of all queries, query by query and from the top down; tied ones are a group.

    Each (n,): query; gain; place counted from 1; before, candidates above the group; place within the group, from 1;
    size, relevant ones and mean gain of the group; relevant ones above the group. Each (n_queries,): n_candidates,
    n_relevant; ideal, the gains in their best order (n,).
    """

    query: npt.NDArray[np.int64]
    place: Numbers
    before: Numbers
    place_in_group: Numbers
    group_size: Numbers
    group_relevant: Numbers
    group_gain: Numbers
    relevant_before: Numbers
    n_candidates: Numbers
    n_relevant: Numbers
    ideal: Numbers


def _placed(query: npt.NDArray[np.int64], gain: Numbers, scores: Numbers, n_queries: int) -> _Placed:
    lowest = np.where(np.isnan(scores), -np.inf, scores)
    unscored = np.isnan(scores)
    order = np.lexsort((unscored, -lowest, query))
    query, gain, lowest, unscored = query[order], gain[order], lowest[order], unscored[order]
    n = len(query)
    n_candidates = np.bincount(query, minlength=n_queries).astype(np.float64)
    first = np.concatenate([[0.0], np.cumsum(n_candidates)])[:n_queries]  # row of each query's first candidate
    rows = np.arange(n, dtype=np.float64)
    begins = np.ones(n, dtype=bool)
    begins[1:] = (query[1:] != query[:-1]) | (lowest[1:] != lowest[:-1]) | (unscored[1:] != unscored[:-1])
    group = np.cumsum(begins) - 1
    start = np.flatnonzero(begins).astype(np.float64)[group]
    is_relevant = (gain > 0).astype(np.float64)
    size, relevant, gains = (
        np.bincount(group, weights=of)[group] if n else rows for of in (rows * 0 + 1, is_relevant, gain)
    )
    relevant_above = np.concatenate([[0.0], np.cumsum(is_relevant)])
    return _Placed(
        query=query,
        place=rows - first[query] + 1,
        before=start - first[query],
        place_in_group=rows - start + 1,
        group_size=size,
        group_relevant=relevant,
        group_gain=gains / size,
        relevant_before=relevant_above[start.astype(np.int64)] - relevant_above[first.astype(np.int64)][query],
        n_candidates=n_candidates,
        n_relevant=np.bincount(query, weights=is_relevant, minlength=n_queries).astype(np.float64, copy=False),
        ideal=gain[np.lexsort((-gain, query))],
    )


def _sum(places: _Placed, values: Numbers) -> Numbers:
    """Sums over the candidates of each query (n_queries,)."""
    return np.bincount(places.query, weights=values, minlength=len(places.n_candidates)).astype(np.float64, copy=False)


def _first_relevant(places: _Placed, cut: float) -> Numbers:
    """The probability (n,) of each place within the cut-off to have the first relevant one of its query.

    It is in the first group that has one, where each place has its probability.

    Of m tied candidates with r relevant ones the first relevant one is at place j with probability C(m - j, r - 1) /
    C(m, r).
    """
    m, r, j = places.group_size, places.group_relevant, places.place_in_group
    possible = (places.relevant_before == 0) & (r > 0) & (j <= m - r + 1) & (places.place <= cut)
    m, r, j = (np.where(possible, each, 1.0) for each in (m, r, j))
    return np.where(possible, np.exp(_log_choose(m - j, r - 1) - _log_choose(m, r)), 0.0)


def _reciprocal_rank(places: _Placed, cut: float) -> Numbers:
    return _sum(places, _first_relevant(places, cut) / places.place)


def _hit(places: _Placed, cut: float) -> Numbers:
    return np.minimum(_sum(places, _first_relevant(places, cut)), 1.0)  # probabilities that add up to 1 + 1e-16


def _recall(places: _Placed, cut: float) -> Numbers:
    found = np.where(places.place <= cut, places.group_relevant / places.group_size, 0.0)
    return np.minimum(_sum(places, found) / np.maximum(places.n_relevant, 1), 1.0)


def _average_precision(places: _Placed, cut: float) -> Numbers:
    """At each place: the probability that it is relevant times the expected share of relevant ones down to it."""
    m, r, j = places.group_size, places.group_relevant, places.place_in_group
    others = (j - 1) * (r - 1) / np.maximum(m - 1, 1)
    expected = r / m * (places.relevant_before + 1 + others) / places.place
    total = _sum(places, np.where((r > 0) & (places.place <= cut), expected, 0.0))
    return total / np.maximum(np.minimum(places.n_relevant, cut), 1)


def _ndcg(places: _Placed, cut: float) -> Numbers:
    discount = np.where(places.place <= cut, 1 / np.log2(1 + places.place), 0.0)
    best = _sum(places, places.ideal * discount)
    return _sum(places, places.group_gain * discount) / np.where(best > 0, best, 1.0)


_MEASURES = {"mrr": _reciprocal_rank, "map": _average_precision, "ndcg": _ndcg, "recall": _recall, "hit": _hit}


def _log_choose(n: Numbers, k: Numbers) -> Numbers:
    return np.asarray(gammaln(n + 1) - gammaln(k + 1) - gammaln(n - k + 1), dtype=np.float64)


def _check(queries: Ints, relevance: Ints | Floats, scores: Floats, names: Sequence[str]) -> None:
    """Raise ValueError naming everything that is wrong at once."""
    problems = []
    if queries.ndim != 1 or queries.shape != relevance.shape or queries.shape != scores.shape:
        shapes = f"queries has shape {queries.shape}, relevance {relevance.shape}, scores {scores.shape}"
        problems.append(f"{shapes}; needed: (n,) all three")
    if not np.issubdtype(queries.dtype, np.integer):
        problems.append(f"queries has type {queries.dtype}; needed: integers")
    if relevance.size and ((relevance < 0) | np.isinf(relevance)).any():
        problems.append(f"relevance holds {np.nanmin(relevance)}; allowed: 0 and above, and nan (not judged)")
    unknown = [name for name in names if name.partition("@")[0] not in _MEASURES or find_metric(name) is None]
    if unknown:
        problems.append(
            f"metrics {', '.join(unknown)} are not known; there are {', '.join(_MEASURES)}, with or without @K"
        )
    if problems:
        raise ValueError("; ".join(problems))
