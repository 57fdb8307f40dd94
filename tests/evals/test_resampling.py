import numpy as np
import pytest

from evals import resampling
from evals.resampling import resample_weights, resampled_sums


def _means(total: np.ndarray) -> np.ndarray:
    return total[..., 0] / total[..., 1]


def _columns(values: np.ndarray) -> np.ndarray:
    return np.stack([values, np.ones(len(values))], axis=1)


def test_the_interval_of_a_mean_is_the_one_that_theory_gives() -> None:
    values = np.random.default_rng(0).normal(3, 2, size=2000)
    found = resampled_sums(_columns(values), n_boot=4000).estimate(_means)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.value == pytest.approx(values.mean())
    assert found.high - found.value == pytest.approx(half, rel=0.1)
    assert found.value - found.low == pytest.approx(half, rel=0.1)


def test_examples_put_together_by_chance_leave_the_spread_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.sort(np.random.default_rng(1).exponential(size=20_000))  # sorted: neighbours are alike
    every = resampled_sums(_columns(values), n_boot=600, seed=1).estimate(_means)
    monkeypatch.setattr(resampling, "MAX_UNITS", 1000)
    grouped = resampled_sums(_columns(values), n_boot=600, seed=1).estimate(_means)
    assert grouped.value == pytest.approx(every.value)
    assert grouped.high - grouped.low == pytest.approx(every.high - every.low, rel=0.15)


def test_clusters_are_drawn_whole() -> None:
    # ten copies of each value say no more than one of each
    values = np.random.default_rng(2).normal(size=100)
    one = resampled_sums(_columns(values), n_boot=1000).estimate(_means)
    copies = resampled_sums(_columns(np.repeat(values, 10)), n_boot=1000, clusters=np.repeat(np.arange(100), 10))
    ten = copies.estimate(_means)
    assert (ten.low, ten.high) == pytest.approx((one.low, one.high))


def test_weights_come_in_blocks_that_fit_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(resampling, "_CELLS", 50)
    blocks = list(resample_weights(10, 12, np.random.default_rng(0)))
    assert [len(block) for block in blocks] == [5, 5, 2]
    assert all((block.sum(axis=1) == 10).all() for block in blocks)


@pytest.mark.parametrize(("n", "n_boot"), [(0, 100), (1, 100), (5, 0)])
def test_too_little_to_draw_from_gives_no_interval(n: int, n_boot: int) -> None:
    found = resampled_sums(_columns(np.ones(n)), n_boot=n_boot).estimate(_means)
    assert (found.value == 1) == (n > 0)
    assert np.isnan([found.low, found.high]).all()


def test_shapes_must_fit() -> None:
    with pytest.raises(ValueError, match=r"contributions has shape \(3,\), clusters None"):
        resampled_sums(np.ones(3))
    with pytest.raises(ValueError, match=r"clusters \(2,\)"):
        resampled_sums(np.ones((3, 1)), clusters=np.zeros(2, dtype=int))
