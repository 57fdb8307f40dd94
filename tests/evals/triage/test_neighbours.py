import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from evals.triage.members import one_hot
from evals.triage.neighbours import Neighbours, nearest, vote


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
    said = vote(found, one_hot(np.array([0, 0, 0, 1]), 2))
    assert np.isnan(said).all(axis=1).tolist() == [False, True, True, False]


@pytest.mark.parametrize("n", [0, 1])
def test_nobody_to_compare_with(n: int) -> None:
    found = nearest(np.ones((n, 3)), 2)
    assert found.rows.tolist() == [[-1, -1]] * n
    said = vote(found, one_hot(np.zeros(n, dtype=int), 2))
    assert said.shape == (n, 2)
    assert np.isnan(said).all()


def test_bad_input_is_named() -> None:
    with pytest.raises(ValueError, match="k = 0"):
        nearest(np.ones((3, 2)), 0)
    with pytest.raises(ValueError, match="one width"):
        nearest(np.ones((3, 2)), 1, queries=np.ones((3, 4)))
    with pytest.raises(ValueError, match="same rows"):
        vote(nearest(np.ones((3, 2)), 1), np.eye(2))


def test_votes_by_hand() -> None:
    # All equally near: every weight is 1. 0 names 1 and 2; 1 names 0 and 2; 2 names 3 and 1; 3 names 2 and 0.
    rows = np.array([[1, 2], [0, 2], [3, 1], [2, 0]])
    neighbours = Neighbours(rows, np.ones((4, 2), dtype=np.float32))
    given = np.array([0, 1, 1, -1])
    said = np.exp(vote(neighbours, one_hot(given, 2)))
    risk = 1 - said[[0, 1, 2], given[:3]]
    # Shares: 1/3, 2/3. About 0: forward says 1, 1; backward only 1 says 1 (3 has no label): 0 of 3 agree.
    assert risk[0] == pytest.approx(1 - (0 + 1 / 3) / (3 + 1))
    # About 1: forward 0, 1; backward from 0 and 2 (labels 0, 1), as many as forward: 2 of 4 agree.
    assert risk[1] == pytest.approx(1 - (2 + 2 / 3) / (4 + 1))
    # About 2: forward only 1 (label 1); backward from 0, 1 (labels 0, 1), scaled to the weight of 1: 1.5 of 2 agree.
    assert risk[2] == pytest.approx(1 - (1.5 + 2 / 3) / (2 + 1))
    np.testing.assert_allclose(np.exp(vote(neighbours, one_hot(given, 3))).sum(axis=1), 1, atol=1e-5)


def test_votes_may_be_divided() -> None:
    neighbours = Neighbours(np.array([[1], [0], [0]]), np.ones((3, 1), dtype=np.float32))
    targets = np.array([[0.0, 0.0], [0.75, 0.25], [0.0, 0.0]])
    said = np.exp(vote(neighbours, targets))
    # About 0: 1 and, as it is 1's neighbour too, 1 again, and the shares, which are 1's own. About 1: no label at all.
    assert said[0] == pytest.approx([0.75, 0.25])
    assert np.isnan(said[1]).all()


def test_planted_errors_come_first() -> None:
    base, label = _clusters(800, 16, 4, 2)
    given = label.copy()
    planted = np.random.default_rng(3).choice(800, 40, replace=False)
    given[planted] = (given[planted] + 1) % 4
    neighbours = nearest(base, 10)
    said = vote(neighbours, one_hot(given, 4))
    first = np.argsort(said[np.arange(800), given])[:40]
    assert len(set(first.tolist()) & set(planted.tolist())) >= 36
    assert (said[planted].argmax(axis=1) == label[planted]).mean() > 0.9
