import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, mean_squared_error, r2_score

from evals.regression import score_regression


def _scores(given: np.ndarray, predicted: np.ndarray, **options: int) -> dict:
    return {score.metric: score for score in score_regression(given, predicted, **options)}


@pytest.mark.parametrize("shift", [0.0, 1e6])
@pytest.mark.parametrize("digits", [1, 12])
def test_scores_are_those_of_sklearn_and_scipy(shift: float, digits: int) -> None:
    rng = np.random.default_rng(0)
    given = (rng.normal(size=200) + shift).round(digits)  # one digit: many equal values
    predicted = (given + rng.normal(size=200)).round(digits)
    scores = _scores(given, predicted, n_boot=20)
    assert scores["spearman"].value == pytest.approx(stats.spearmanr(given, predicted).statistic)
    assert scores["pearson"].value == pytest.approx(stats.pearsonr(given, predicted).statistic, abs=1e-8)
    assert scores["r2"].value == pytest.approx(r2_score(given, predicted), abs=1e-8)
    assert scores["mae"].value == pytest.approx(mean_absolute_error(given, predicted))
    assert scores["mse"].value == pytest.approx(mean_squared_error(given, predicted))
    assert scores["rmse"].value == pytest.approx(mean_squared_error(given, predicted) ** 0.5)
    assert all(score.n == 200 for score in scores.values())


def test_intervals_are_those_of_a_bootstrap_over_examples() -> None:
    rng = np.random.default_rng(1)
    given = rng.normal(size=120).round(1)
    predicted = (given + rng.normal(size=120)).round(1)
    scores = _scores(given, predicted, n_boot=2000)
    draws = []
    for _ in range(300):
        rows = rng.integers(120, size=120)
        x, y = given[rows], predicted[rows]
        draws.append((stats.spearmanr(x, y).statistic, np.corrcoef(x, y)[0, 1], r2_score(x, y), np.abs(x - y).mean()))
    for name, column in zip(("spearman", "pearson", "r2", "mae"), np.array(draws).T, strict=True):
        low, high = np.quantile(column, [0.025, 0.975])
        width = high - low
        assert scores[name].low == pytest.approx(low, abs=0.15 * width), name
        assert scores[name].high == pytest.approx(high, abs=0.15 * width), name


def test_a_perfect_model() -> None:
    given = np.array([1.0, 2.0, 5.0, 3.0])
    scores = _scores(given, given)
    assert [scores[name].value for name in ("spearman", "pearson", "r2", "mae", "mse")] == pytest.approx(
        [1, 1, 1, 0, 0]
    )
    assert -_scores(given, -given)["spearman"].value == pytest.approx(1)


def test_what_does_not_vary_has_no_correlation() -> None:
    scores = _scores(np.array([1.0, 2.0, 3.0]), np.full(3, 2.1))
    assert np.isnan([scores["spearman"].value, scores["pearson"].value]).all()
    assert scores["mae"].value == pytest.approx(0.7)
    same = _scores(np.full(3, 0.1), np.array([0.1, 0.2, 0.3]))
    assert np.isnan([same["spearman"].value, same["pearson"].value, same["r2"].value]).all()
    one = _scores(np.array([1.0]), np.array([2.0]))
    assert one["mae"].value == 1
    assert np.isnan([one["mae"].low, one["spearman"].value, one["r2"].value]).all()


def test_missing_targets_are_left_out_and_missing_predictions_are_not() -> None:
    given, predicted = np.array([1.0, np.nan, 3.0, 2.0]), np.array([1.0, 9.0, 3.5, 2.5])
    assert _scores(given, predicted) == _scores(given[[0, 2, 3]], predicted[[0, 2, 3]])
    broken = _scores(given, np.array([1.0, 9.0, np.nan, 2.5]))
    assert all(np.isnan(score.value) and score.n == 3 for score in broken.values())
    assert all(np.isnan(score.value) for score in _scores(np.array([]), np.array([])).values())
    with pytest.raises(ValueError, match=r"given has shape \(2,\), predicted \(3,\)"):
        score_regression(np.ones(2), np.ones(3))
