import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, ndcg_score

from evals.ranking import query_table, score_ranking


def _by_hand(gains: tuple, cut: float) -> dict[str, float]:
    """The three measures of one order, written down from their definitions."""
    relevant = sum(gain > 0 for gain in gains)
    ranks = [place for place, gain in enumerate(gains, 1) if gain > 0 and place <= cut]
    precisions = [sum(gain > 0 for gain in gains[:place]) / place for place in ranks]
    dcg = [
        sum(gain / np.log2(1 + place) for place, gain in enumerate(order, 1) if place <= cut)
        for order in (gains, sorted(gains, reverse=True))
    ]
    return {
        "mrr": 1 / ranks[0] if ranks else 0.0,
        "map": sum(precisions) / min(relevant, cut),
        "ndcg": dcg[0] / dcg[1],
        "recall": len(ranks) / relevant,
        "hit": float(bool(ranks)),
    }


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from([0, 0, 1, 3]), st.sampled_from([0.1, 0.2, 0.3])), min_size=1, max_size=6),
    st.sampled_from([1, 2, 4, None]),
)
def test_ties_are_the_mean_over_all_orders(candidates: list, cut: int | None) -> None:
    gains, scores = np.array([c[0] for c in candidates], dtype=float), np.array([c[1] for c in candidates])
    names = [name if cut is None else f"{name}@{cut}" for name in ("mrr", "map", "ndcg", "recall", "hit")]
    found = query_table(np.zeros(len(gains), dtype=int), gains, scores, names=names).iloc[0]
    if not gains.any():
        assert found[names].isna().all()
        return
    orders = [
        _by_hand(tuple(gains[list(order)]), cut or np.inf)
        for order in itertools.permutations(range(len(gains)))
        if (np.diff(scores[list(order)]) <= 0).all()
    ]
    for name in names:
        assert found[name] == pytest.approx(np.mean([order[name.partition("@")[0]] for order in orders])), name


def test_means_agree_with_sklearn() -> None:
    rng = np.random.default_rng(0)
    queries = np.repeat(np.arange(40), 12)
    gains = rng.integers(0, 4, size=480) * (rng.random(480) < 0.4)
    scores = rng.normal(size=480)
    order = rng.permutation(480)  # rows of a query need not stand together
    table = query_table(queries[order], gains[order], scores[order], names=["ndcg", "ndcg@5", "map"])
    for row in table.itertuples():
        mine = queries == row.query
        if gains[mine].any():
            assert row[4] == pytest.approx(ndcg_score([gains[mine]], [scores[mine]]))
            assert row[5] == pytest.approx(ndcg_score([gains[mine]], [scores[mine]], k=5))
            assert row[6] == pytest.approx(average_precision_score(gains[mine] > 0, scores[mine]))
    measured = table[table["n_relevant"] > 0]
    score = score_ranking(queries, gains, scores, names=["map"])[0]
    assert score.value == pytest.approx(measured["map"].mean())
    assert score.n == len(measured)
    assert score.low < score.value < score.high


def test_the_interval_is_that_of_the_mean_over_queries() -> None:
    rng = np.random.default_rng(1)
    queries, gains = np.repeat(np.arange(300), 5), np.tile([1, 0, 0, 0, 0], 300)
    scores = rng.normal(size=1500) + gains
    score = score_ranking(queries, gains, scores, names=["mrr"], n_boot=2000)[0]
    ranks = query_table(queries, gains, scores, names=["mrr"])["mrr"]
    half = 1.96 * ranks.std() / np.sqrt(300)
    assert score.high - score.value == pytest.approx(half, rel=0.1)
    assert score.value - score.low == pytest.approx(half, rel=0.1)


def test_a_model_without_an_opinion_gets_what_chance_gets() -> None:
    queries, gains = np.zeros(4, dtype=int), np.array([0, 0, 0, 1])
    for scores in (np.zeros(4), np.full(4, np.nan)):
        table = query_table(queries, gains, scores, names=["mrr", "mrr@2"])
        assert table["mrr"][0] == pytest.approx(np.mean([1, 1 / 2, 1 / 3, 1 / 4]))
        assert table["mrr@2"][0] == pytest.approx(np.mean([1, 1 / 2, 0, 0]))


def test_candidates_without_a_score_are_last_and_without_a_judgement_are_left_out() -> None:
    gains, scores = np.array([1.0, 0.0, np.nan]), np.array([np.nan, -np.inf, 5.0])
    found = query_table(np.zeros(3, dtype=int), gains, scores, names=["mrr"])
    assert found.to_dict("records") == [{"query": 0, "n": 2, "n_relevant": 1, "mrr": 0.5}]


def test_queries_that_cannot_be_answered_are_left_out() -> None:
    scores = score_ranking(np.array([1, 2, 2]), np.array([0, 1, 0]), np.array([0.5, 0.9, 0.1]))
    assert all((score.n, score.value) == (1, 1.0) for score in scores)
    nothing = score_ranking(np.array([], dtype=int), np.array([]), np.array([]))
    assert all(score.n == 0 and np.isnan(score.value) for score in nothing)


def test_a_large_group_of_ties_is_no_trouble() -> None:
    n = 2000
    table = query_table(np.zeros(n, dtype=int), (np.arange(n) < 700).astype(int), np.zeros(n), names=["mrr", "map"])
    assert table["mrr"][0] == pytest.approx(0.35 + 0.65 * 0.35 / 2 + 0.65**2 * 0.35 / 3 + 0.65**3 * 0.35 / 4, abs=0.03)
    assert table["map"][0] == pytest.approx(0.35, abs=0.01)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(
        ValueError, match=r"queries has shape \(2,\).*type float64.*relevance holds -1.*precision, ndcg@0 are"
    ):
        score_ranking(np.zeros(2), np.array([-1.0]), np.zeros(1), names=["precision", "ndcg@0", "map"])
