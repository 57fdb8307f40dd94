import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from evals.triage.rates import compare_means, compare_rates, moments


@given(st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=1, max_size=5))
def test_rates_are_compared_as_scipy_does_one_by_one(rows: list[tuple[int, ...]]) -> None:
    columns = np.array([(min(a, b), max(a, b), min(c, d), max(c, d)) for a, b, c, d in rows]).T
    found = compare_rates(*columns)
    for at, (hits, n, rest_hits, rest_n) in enumerate(columns.T):
        if n == 0 or rest_n == 0:
            assert np.isnan([found.difference[at], found.low[at], found.high[at], found.p[at]]).all()
            continue
        table = [[hits, n - hits], [rest_hits, rest_n - rest_hits]]
        tails = [stats.fisher_exact(table, alternative=side)[1] for side in ("less", "greater")]
        assert found.p[at] == pytest.approx(min(1, 2 * min(tails)))
        assert found.difference[at] == pytest.approx(hits / n - rest_hits / rest_n)
        assert -1 <= found.low[at] <= found.difference[at] + 1e-12
        assert found.difference[at] - 1e-12 <= found.high[at] <= 1


@pytest.mark.parametrize(
    ("cells", "low", "high"),
    [((56, 70, 48, 80), 0.0524, 0.3339), ((9, 10, 3, 10), 0.1705, 0.8090), ((0, 10, 0, 20), -0.1611, 0.2775)],
)
def test_newcombes_own_examples(cells: tuple[int, ...], low: float, high: float) -> None:
    """Table II of Newcombe (1998), method 10."""
    found = compare_rates(*(np.array([each]) for each in cells))
    assert [found.low[0], found.high[0]] == pytest.approx([low, high], abs=5e-5)


def test_means_are_compared_as_scipy_does() -> None:
    rng = np.random.default_rng(0)
    values, part = rng.exponential(size=200), rng.integers(0, 3, 200)
    inside = moments(values, part, 4)
    whole = moments(values, np.zeros(200, dtype=np.int64), 1)
    rest = type(inside)(*(a - b for a, b in zip(whole, inside, strict=True)))
    found = compare_means(inside, rest)
    for at in range(3):
        expected = stats.ttest_ind(values[part == at], values[part != at], equal_var=False)
        interval = expected.confidence_interval()
        assert found.p[at] == pytest.approx(expected.pvalue)
        assert [found.low[at], found.high[at]] == pytest.approx([interval.low, interval.high])
    assert np.isnan([found.difference[3], found.p[3]]).all()
