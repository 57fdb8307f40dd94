import numpy as np
import pytest

from evals.triage.layout import data_map


def clusters(n: int, k: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return np.repeat(rng.normal(size=(k, 16)), n, axis=0) + 0.3 * rng.normal(size=(n * k, 16))


def of_own(points: np.ndarray, n: int) -> float:
    """How often the nearest point on the map is of the same cluster."""
    gaps = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(gaps, np.inf)
    return float((gaps.argmin(axis=1) // n == np.arange(len(points)) // n).mean())


def test_what_is_alike_lies_together() -> None:
    found = data_map(clusters(40, 6))
    assert found.points.shape == (240, 2)
    assert found.points.dtype == np.float32
    assert found.is_sampled.all()
    assert of_own(found.points, 40) > 0.95


def test_the_same_seed_gives_the_same_map() -> None:
    embeddings = clusters(20, 3)
    assert np.array_equal(data_map(embeddings, seed=4).points, data_map(embeddings, seed=4).points)


def test_of_many_a_sample_is_laid_out_and_the_others_stand_beside_it() -> None:
    found = data_map(clusters(100, 4), most=80)
    assert found.is_sampled.sum() == 80
    assert np.isfinite(found.points).all()
    assert of_own(found.points, 100) > 0.9


def test_rows_in_dense_places_are_sampled_less_often() -> None:
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(2000, 8))
    distance = np.repeat([0.1, 1.0], [1500, 500])
    sampled = data_map(embeddings, distance=distance, most=400).is_sampled
    assert sampled[1500:].mean() > 2 * sampled[:1500].mean()


def test_rows_without_a_direction_are_nowhere() -> None:
    embeddings = clusters(20, 2)
    embeddings[3], embeddings[7, 0] = 0, np.nan
    points = data_map(embeddings).points
    assert np.flatnonzero(np.isnan(points).any(axis=1)).tolist() == [3, 7]


@pytest.mark.parametrize("n", [0, 1, 2, 3])
def test_a_handful_of_rows_can_be_laid_out(n: int) -> None:
    points = data_map(np.random.default_rng(0).normal(size=(n, 4))).points
    assert points.shape == (n, 2)
    assert np.isfinite(points).all()


def test_equal_rows_and_rows_of_one_number_can_be_laid_out() -> None:
    assert np.isfinite(data_map(np.ones((30, 4))).points).all()
    assert np.isfinite(data_map(np.ones((5, 1))).points).all()
