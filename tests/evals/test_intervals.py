import numpy as np
import pytest
from scipy import stats

from evals.intervals import (
    bootstrap_p,
    mean_interval,
    percentile_interval,
    resample_counts,
    wilson,
    wilson_bounds,
)


@pytest.mark.parametrize(("hits", "n"), [(0, 1), (1, 1), (0, 20), (7, 20), (20, 20), (929, 1000)])
def test_wilson_agrees_with_scipy(hits: int, n: int) -> None:
    expected = stats.binomtest(hits, n).proportion_ci(method="wilson")
    assert wilson(hits, n) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_wilson_without_examples_is_unknown_and_bad_counts_are_refused() -> None:
    assert np.isnan(wilson(0, 0)).all()
    with pytest.raises(ValueError, match=r"successes = \[3.0\], n = \[2.0\]"):
        wilson(3, 2)
    low, high = wilson_bounds(np.array([0, 2]), np.array([0, 2]))
    assert np.isnan([low[0], high[0]]).all()
    assert high[1] == 1


def test_mean_interval_of_seeds() -> None:
    assert mean_interval([0.7]) == pytest.approx((0.7, np.nan, np.nan, 1), nan_ok=True)
    assert mean_interval([]) == pytest.approx((np.nan, np.nan, np.nan, 0), nan_ok=True)
    mean, low, high, n = mean_interval([1, np.nan, 3])
    half = stats.t.ppf(0.975, 1)  # sd = sqrt(2), n = 2
    assert (mean, low, high, n) == pytest.approx((2, 2 - half, 2 + half, 2))
    assert mean_interval([1, np.inf]) == pytest.approx((np.inf, np.nan, np.nan, 2), nan_ok=True)


@pytest.mark.parametrize("counts", [[900, 90, 10], [3, 2, 1]])  # multinomial, one by one
def test_resampled_counts_have_the_moments_of_a_bootstrap(counts: list[int]) -> None:
    observed = np.array(counts)
    n, shares = observed.sum(), observed / observed.sum()
    draws = resample_counts(observed, 20_000, np.random.default_rng(0))
    assert draws.shape == (20_000, 3)
    assert set(draws.sum(axis=1)) == {n}
    np.testing.assert_allclose(draws.mean(axis=0), observed, atol=5 * np.sqrt(n * shares.max() / 20_000))
    np.testing.assert_allclose(np.var(draws, axis=0), n * shares * (1 - shares), rtol=0.05)


def test_resampling_nothing() -> None:
    assert resample_counts(np.array([], dtype=np.int64), 3, np.random.default_rng(0)).shape == (3, 0)


def test_percentiles_leave_out_nan() -> None:
    assert percentile_interval([np.nan, 1, 1]) == (1, 1)
    assert np.isnan(percentile_interval([np.nan])).all()


def test_bootstrap_p_is_two_sided_and_never_zero() -> None:
    assert bootstrap_p(np.full(99, -1.0)) == pytest.approx(0.02)
    assert bootstrap_p(np.array([-1.0] * 9 + [1.0] * 90)) == pytest.approx(0.2)
    assert bootstrap_p(np.zeros(99)) == 1
    assert np.isnan(bootstrap_p([]))
