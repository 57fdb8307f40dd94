from itertools import combinations
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.neighbours import Neighbours
from evals.triage.shapley import example_values, neighbour_shares


def utility(agrees: tuple[bool, ...], k: int) -> float:
    """The chance of the right label: the share of the first k, of however few there are, that agree."""
    return sum(agrees[:k]) / k


def naive_shapley(agrees: list[bool], k: int) -> list[float]:
    """By its definition, over all subsets; neighbours from the nearest to the farthest."""
    n = len(agrees)
    values = []
    for mine in range(n):
        others = [at for at in range(n) if at != mine]
        value = 0.0
        for size in range(n):
            for subset in combinations(others, size):
                with_mine = tuple(agrees[at] for at in sorted((*subset, mine)))
                without = tuple(agrees[at] for at in subset)
                value += (utility(with_mine, k) - utility(without, k)) / comb(n - 1, size) / n
        values.append(value)
    return values


def ranked(m: int, n: int) -> Neighbours:
    return Neighbours(np.tile(np.arange(n), (m, 1)), np.ones((m, n), dtype=np.float32))


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.integers(1, 8))
def test_shares_are_shapley_values(agrees: list[bool], k: int) -> None:
    found = neighbour_shares(ranked(1, len(agrees)), np.array([1]), np.array(agrees, dtype=np.int64), k=k)
    assert found[0].tolist() == pytest.approx(naive_shapley(agrees, k))


@given(st.lists(st.booleans(), min_size=10, max_size=60), st.integers(1, 5), st.integers(5, 10))
def test_with_fewer_neighbours_it_is_nearly_the_same(agrees: list[bool], k: int, depth: int) -> None:
    labels, n = np.array(agrees, dtype=np.int64), len(agrees)
    exact = neighbour_shares(ranked(1, n), np.array([1]), labels, k=k)
    near = neighbour_shares(ranked(1, depth), np.array([1]), labels, k=k)
    assert np.abs(exact[0, :depth] - near[0]).max() <= 1 / depth + 1e-12
    assert np.abs(exact[0, depth:]).max(initial=0) <= 1 / depth + 1e-12


def test_what_is_no_neighbour_has_no_share() -> None:
    rows = np.array([[2, 0, -1], [-1, -1, -1]])
    found = neighbour_shares(
        Neighbours(rows, np.ones((2, 3), np.float32)), np.array([1, 1]), np.array([1, 1, 0, 1]), k=1
    )
    assert np.isnan(found).tolist() == [[False, False, True], [True, True, True]]
    assert found[0, :2].tolist() == [-1, 0], "the nearest is wrong, the next right; the deepest counts for nothing"


def test_wrong_labels_are_worth_least() -> None:
    rng = np.random.default_rng(0)
    true = rng.integers(0, 3, 600)
    embeddings = np.eye(3)[true] + rng.normal(0, 0.2, (600, 3))
    splits = np.where(np.arange(600) < 400, "train", np.where(np.arange(600) < 500, "validation", "test"))
    wrong = rng.choice(400, 40, replace=False)
    labels = true.copy()
    labels[wrong] = (labels[wrong] + 1) % 3
    found = example_values(embeddings, labels, splits)
    assert set(np.argsort(-np.nan_to_num(found.risk, nan=-1))[:40]) >= set(wrong[~np.isnan(found.risk[wrong])])
    assert (found.risk[wrong] > 0.5).all()
    assert (found.evidence["value"][wrong] < 0).all()
    known = found.risk[:400][~np.isnan(found.risk[:400])]
    assert ((known >= 0) & (known <= 1)).all()
    assert np.isnan(found.risk[400:]).all()
    labels[500:] = 0
    assert example_values(embeddings, labels, splits).risk.tolist() == pytest.approx(
        found.risk.tolist(), nan_ok=True
    ), "what the test split says changes nothing"


def test_values_sum_to_the_accuracy() -> None:
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 60)
    embeddings = np.eye(2)[labels] + rng.normal(0, 0.6, (60, 2))
    splits = np.repeat(["train", "dev"], 30)
    values = example_values(embeddings, labels, splits, k=3, depth=30).evidence["value"]
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    nearest = np.argsort(-(unit[30:] @ unit[:30].T), axis=1)[:, :3]
    accuracy = (labels[:30][nearest] == labels[30:, None]).mean()
    assert np.nanmean(values) == pytest.approx(accuracy)


@pytest.mark.parametrize("splits", [[], ["train"], ["validation"], ["train", "test"], ["train", "validation"]])
def test_too_little_is_unknown(splits: list[str]) -> None:
    n = len(splits)
    for labels in (np.full(n, -1), np.zeros(n, dtype=np.int64)):
        found = example_values(np.ones((n, 2)), labels, np.array(splits, dtype=object))
        assert len(found.risk) == n
        assert np.isnan(found.risk).all() == ("validation" not in splits or n < 2 or labels[0] < 0)
