import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from evals.triage.neighbours import Neighbours, label_disagreement, nearest, vote


def _clusters(n: int, d: int, n_clusters: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    label = rng.integers(n_clusters, size=n)
    return rng.normal(size=(n_clusters, d))[label] * 1.5 + rng.normal(size=(n, d)), label


def _naive(base: np.ndarray, queries: np.ndarray, k: int, without_self: bool) -> np.ndarray:
    unit = [row / np.linalg.norm(row) for row in base]
    expected = []
    for place, query in enumerate(queries):
        similar = [float(row @ query / np.linalg.norm(query)) for row in unit]
        if without_self:
            similar[place] = -np.inf
        expected.append(sorted(similar, reverse=True)[:k])
    return np.array(expected)


@settings(max_examples=25, deadline=None)
@cases(st.integers(4, 40), st.integers(1, 3), st.booleans(), st.booleans(), st.integers(0, 10**6))
def test_every_pair_is_compared(n: int, k: int, without_self: bool, in_cells: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    base = rng.normal(size=(n, 4)).astype(np.float16)
    queries = None if without_self else rng.normal(size=(7, 4))
    # A few rows have no more cells than are looked into, so the cells must give the exact answer too.
    found = nearest(base, k, queries=queries, exact_below=2 if in_cells else 10**6, seed=seed)
    exact = base.astype(np.float64)
    expected = _naive(exact, exact if queries is None else queries, k, without_self)
    np.testing.assert_allclose(found.similarity, expected, atol=1e-5)
    for place, rows in enumerate(found.rows):
        assert len(set(rows.tolist())) == k
        assert not (without_self and place in rows)


def test_what_cells_miss() -> None:
    base, _ = _clusters(6000, 32, 25, 0)
    exact = nearest(base, 10)
    in_cells = nearest(base, 10, exact_below=1000)
    kept = np.mean(
        [len(set(a) & set(b)) / 10 for a, b in zip(exact.rows.tolist(), in_cells.rows.tolist(), strict=True)]
    )
    assert kept > 0.95
    again = nearest(base, 10, exact_below=1000)
    assert (again.rows == in_cells.rows).all()


def test_copies_do_not_swell_one_cell() -> None:
    base, _ = _clusters(3000, 8, 5, 1)
    base[:2500] = base[0]
    found = nearest(base, 3, exact_below=1000)
    assert (found.similarity[:2500] > 0.9999).all()
    assert (found.rows >= 0).all()


def test_rows_without_a_direction() -> None:
    base = np.array([[1.0, 0.0], [np.nan, 1.0], [0.0, 0.0], [1.0, 1.0]])
    found = nearest(base, 3)
    assert found.rows.tolist() == [[3, -1, -1], [-1, -1, -1], [-1, -1, -1], [0, -1, -1]]
    assert np.isnan(found.similarity[1:3]).all()
    risk = label_disagreement(found, np.array([0, 0, 0, 1]))
    assert np.isnan(risk).tolist() == [False, True, True, False]
    assert np.isnan(vote(found, np.array([0, 0, 0, 1]), 2)[1]).all()


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_to_compare_with(n: int) -> None:
    found = nearest(np.ones((n, 3)), 2)
    assert found.rows.tolist() == [[-1, -1]] * n
    assert np.isnan(label_disagreement(found, np.zeros(n, dtype=int))).tolist() == [True] * n
    assert vote(found, np.zeros(n, dtype=int), 2).shape == (n, 2)


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="k = 0"):
        nearest(np.ones((3, 2)), 0)
    with pytest.raises(ValueError, match="one width"):
        nearest(np.ones((3, 2)), 1, queries=np.ones((3, 4)))
    with pytest.raises(ValueError, match="same rows"):
        label_disagreement(nearest(np.ones((3, 2)), 1), np.zeros(2, dtype=int))


def test_votes_by_hand() -> None:
    # All equally near: every weight is 1. 0 names 1 and 2; 1 names 0 and 2; 2 names 3 and 1; 3 names 2 and 0.
    rows = np.array([[1, 2], [0, 2], [3, 1], [2, 0]])
    neighbours = Neighbours(rows, np.ones((4, 2), dtype=np.float32))
    given = np.array([0, 1, 1, -1])
    risk = label_disagreement(neighbours, given)
    # Shares: 1/3, 2/3. About 0: forward says 1, 1; backward only 1 says 1 (3 has no label): 0 of 3 agree.
    assert risk[0] == pytest.approx(1 - (0 + 1 / 3) / (3 + 1))
    # About 1: forward 0, 1; backward from 0 and 2 (labels 0, 1), as many as forward: 2 of 4 agree.
    assert risk[1] == pytest.approx(1 - (2 + 2 / 3) / (4 + 1))
    # About 2: forward only 1 (label 1); backward from 0, 1 (labels 0, 1), scaled to the weight of 1: 1.5 of 2 agree.
    assert risk[2] == pytest.approx(1 - (1.5 + 2 / 3) / (2 + 1))
    assert np.isnan(risk[3])
    np.testing.assert_allclose(1 - np.exp(vote(neighbours, given, 2))[[0, 1, 2], given[:3]], risk[:3], atol=1e-5)
    np.testing.assert_allclose(np.exp(vote(neighbours, given, 3)).sum(axis=1), 1, atol=1e-5)


def test_planted_errors_come_first() -> None:
    base, label = _clusters(800, 16, 4, 2)
    given = label.copy()
    planted = np.random.default_rng(3).choice(800, 40, replace=False)
    given[planted] = (given[planted] + 1) % 4
    neighbours = nearest(base, 10)
    first = np.argsort(-label_disagreement(neighbours, given))[:40]
    assert len(set(first.tolist()) & set(planted.tolist())) >= 36
    assert (vote(neighbours, given, 4)[planted].argmax(axis=1) == label[planted]).mean() > 0.9
