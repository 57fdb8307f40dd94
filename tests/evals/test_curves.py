import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.curves import downsample, smooth


@settings(max_examples=100, deadline=None)
@given(st.lists(st.floats(-1e6, 1e6) | st.just(float("nan")), max_size=300), st.integers(4, 60))
def test_downsampling_keeps_ends_and_extremes(values: list[float], max_points: int) -> None:
    y, x = np.array(values), np.arange(len(values)) * 10
    thin = downsample(x, y, max_points)
    assert len(thin.x) == len(thin.y) <= max_points
    np.testing.assert_array_equal(thin.y, y[(thin.x / 10).astype(int)])  # its own points
    assert (np.diff(thin.x) > 0).all()
    if len(y):
        assert (thin.x[0], thin.x[-1]) == (x[0], x[-1])
    if (~np.isnan(y)).any():
        assert (np.nanmin(thin.y), np.nanmax(thin.y)) == (np.nanmin(y), np.nanmax(y))


def test_a_gap_stays_a_gap_and_short_curves_stay_whole() -> None:
    y = np.concatenate([np.arange(100.0), np.full(100, np.nan), np.arange(100.0)])
    assert np.isnan(downsample(np.arange(300), y, 50).y).any()
    assert downsample(np.arange(3), np.arange(3), 4).y.tolist() == [0, 1, 2]
    with pytest.raises(ValueError, match="max_points = 3"):
        downsample(np.arange(3), np.arange(3), 3)


def test_smoothing_follows_the_recurrence() -> None:
    y = np.random.default_rng(0).normal(size=50)
    y[[3, 10]] = [np.nan, np.inf]
    expected, last, n = [], 0.0, 0
    for value in y:
        if not np.isfinite(value):
            expected.append(value)
            continue
        last, n = 0.9 * last + 0.1 * value, n + 1
        expected.append(last / (1 - 0.9**n))
    np.testing.assert_allclose(smooth(y, 0.9), expected)
    np.testing.assert_array_equal(smooth(y, 0), y)
    np.testing.assert_allclose(smooth(np.full(5, 2), 0.99), 2)
    assert smooth(np.array([]), 0.5).shape == (0,)
    with pytest.raises(ValueError, match="factor = 1;"):
        smooth(y, 1)
