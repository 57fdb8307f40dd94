import numpy as np
import pytest

from evals.triage.regions import LEAST_ROWS, MOST_REGIONS, directions, find_regions, region_names
from evals.triage.terms import distinctive_terms


def test_clouds_are_regions_whatever_their_length() -> None:
    rng = np.random.default_rng(0)
    points = np.repeat(np.eye(5), 40, axis=0) + rng.normal(0, 0.1, (200, 5))
    points *= rng.uniform(0.1, 10, (200, 1))
    points[7] = np.nan
    found = find_regions(points, n_regions=5)
    assert found.region[7] == -1
    numbers = [set(found.region[start : start + 40].tolist()) - {-1} for start in range(0, 200, 40)]
    assert all(len(each) == 1 for each in numbers)
    assert len(set.union(*numbers)) == 5
    assert np.linalg.norm(found.centroids, axis=1) == pytest.approx(1)


@pytest.mark.parametrize(("n", "expected"), [(0, 0), (1, 1), (5, 1), (200, 10), (1800, 30), (9000, MOST_REGIONS)])
def test_regions_are_few_enough_to_read(n: int, expected: int) -> None:
    found = find_regions(np.random.default_rng(1).normal(size=(n, 3)))
    assert len(found.centroids) == expected
    assert n < LEAST_ROWS or n / expected >= LEAST_ROWS
    assert len(found.region) == n


def test_copies_and_unknowns_are_no_error() -> None:
    assert set(find_regions(np.ones((50, 4)), n_regions=30).region.tolist()) <= set(range(30))
    assert find_regions(np.full((3, 4), np.nan)).region.tolist() == [-1, -1, -1]
    unit, is_known = directions(np.zeros((2, 3)))
    assert (unit.tolist(), is_known.tolist()) == ([[0.0] * 3] * 2, [False, False])


def test_a_sample_gives_the_same_regions(monkeypatch: pytest.MonkeyPatch) -> None:
    points = np.repeat(np.eye(3), 60, axis=0) + np.random.default_rng(2).normal(0, 0.1, (180, 3))
    monkeypatch.setattr("evals.triage.regions.SAMPLE", 60)
    found = find_regions(points, n_regions=3)
    assert sorted(np.bincount(found.region).tolist()) == [60, 60, 60]


def test_terms_name_what_is_particular() -> None:
    rng = np.random.default_rng(3)
    common = ["the", "card", "please", "how", "when", "where"]
    special = [["visa", "travel"], ["refund"], []]
    groups = np.arange(300) % 3
    texts: list[str | None] = [" ".join([*rng.choice(common, 5), *special[group]]) for group in groups]
    texts[5], groups[8] = None, -1
    found = distinctive_terms(texts, groups, 4)
    assert set(found[0][:2]) == {"visa", "travel"}
    assert found[1][0] == "refund"
    assert not {"visa", "travel", "refund"} & set(found[2])
    assert found[3] == [], "a group without texts has no words"


@pytest.mark.parametrize("texts", [[], [None], ["", "1 2 3"], ["word"]])
def test_names_of_nothing_are_numbers(texts: list[str | None]) -> None:
    regions = find_regions(np.ones((len(texts), 2)), n_regions=1)
    assert region_names(texts, regions) == ["region 0"] * bool(texts)


def test_no_two_regions_have_one_name() -> None:
    regions = find_regions(np.repeat(np.eye(2), 30, axis=0), n_regions=2)
    names = region_names(["hello"] * 60, regions)
    assert len(set(names)) == 2
