"""Numbers predicted for texts: how far they are from the given ones, and whether they rise and fall together.

Shapes: given (n,), nan = no target, which is left out; predicted (n,). One nan prediction makes every score nan: a
model that answers nan has no mean error over the split.

mse = mean (predicted - given)², rmse its root, mae = mean |predicted - given|. R² = 1 - Σ (predicted - given)² / Σ
(given - mean given)²: 0 is what the mean of the split would score, below 0 is worse. Pearson: the correlation of the
values; Spearman: that of their ranks, equal values sharing the mean of their ranks. Each is nan where the values it
divides by do not vary. Source: Spearman, The Proof and Measurement of Association between Two Things (1904).
"""

import numpy as np
import numpy.typing as npt
from scipy import stats

from evals.intervals import Estimate, Floats, percentile_interval
from evals.metrics import Score
from evals.resampling import affordable_draws, resample_weights, resampled_sums

Numbers = npt.NDArray[np.float64]

MAX_RANKED = 10_000_000
"""Examples × resamples that the interval of Spearman's correlation may cost; larger splits take fewer resamples."""


def score_regression(given: Floats, predicted: Floats, *, n_boot: int = 1000, seed: int = 0) -> tuple[Score, ...]:
    """Every score with a bootstrap interval over examples: given (n,), predicted (n,) -> one Score a metric.

    >>> scores = score_regression(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0]), n_boot=0)
    >>> [(score.metric, round(score.value, 3)) for score in scores]
    [('spearman', 1.0), ('pearson', 0.929), ('r2', 0.786), ('mae', 0.333), ('rmse', 0.577), ('mse', 0.333)]
    """
    if given.ndim != 1 or given.shape != predicted.shape:
        raise ValueError(f"given has shape {given.shape}, predicted {predicted.shape}; needed: (n,) both")
    kept = ~np.isnan(given)
    x, y = given[kept].astype(np.float64), predicted[kept].astype(np.float64)
    n = len(x)
    if n == 0 or not (np.isfinite(x).all() and np.isfinite(y).all()):
        return tuple(Score(name, np.nan, np.nan, np.nan, n) for name in ("spearman", *STATISTICS))
    sums = resampled_sums(contributions(x, y), n_boot=n_boot, seed=seed)
    found = {name: sums.estimate(statistic) for name, statistic in STATISTICS.items()}
    found = {"spearman": _spearman(x, y, n_boot, seed), **found}
    return tuple(Score(name, *estimate, n) for name, estimate in found.items())


def contributions(x: Numbers, y: Numbers) -> Numbers:
    """What each example adds to the sums that STATISTICS are functions of: given x (n,), predicted y (n,) -> (n, 8).

    The values are centred, so that the sums of squares do not lose the digits that matter to a large mean.

    >>> total = contributions(np.array([1.0, 2.0, 4.0]), np.array([1.0, 3.0, 4.0])).sum(axis=0)
    >>> round(float(STATISTICS["rmse"](total)), 3)
    0.577
    """
    error = y - x
    x, y = x - x.mean(), y - y.mean()
    return np.stack([np.ones(len(x)), x, y, x * x, y * y, x * y, np.abs(error), error * error], axis=1)


def spearman(x: Numbers, y: Numbers) -> float:
    """Correlation of the ranks of two columns (n,); nan where one does not vary.

    >>> spearman(np.array([1.0, 2.0, 9.0]), np.array([0.0, 5.0, 6.0]))
    1.0
    """
    return float(_correlation(np.ones((1, len(x))), stats.rankdata(x)[None], stats.rankdata(y)[None])[0])


def spearman_draws(x: Numbers, *others: Numbers, n_boot: int, seed: int) -> list[Numbers]:
    """Of each other column (n,) its correlation with x in the same resamples, (n_draws,) each.

    Ranks are taken anew in every resample: from how often each distinct value was drawn.

    >>> x = np.arange(9.0)
    >>> rising, falling = spearman_draws(x, x**3, -x, n_boot=5, seed=0)
    >>> rising.round(3).tolist(), bool((rising == -falling).all())
    ([1.0, 1.0, 1.0, 1.0, 1.0], True)
    """
    codes = [np.unique(values, return_inverse=True)[1] for values in (x, *others)]
    n_draws = affordable_draws(n_boot, len(x), MAX_RANKED)
    draws: list[list[Numbers]] = [[np.empty(0)] for _ in others]
    for weights in resample_weights(len(x), n_draws, np.random.default_rng(seed)):
        ranks = [_ranks(weights, each) for each in codes]
        for found, own in zip(draws, ranks[1:], strict=True):
            found.append(_correlation(weights, ranks[0], own))
    return [np.concatenate(found) for found in draws]


def _spearman(x: Numbers, y: Numbers, n_boot: int, seed: int) -> Estimate:
    value = spearman(x, y)
    if np.isnan(value) or len(x) < 2:
        return Estimate(value, np.nan, np.nan)
    return Estimate(value, *percentile_interval(spearman_draws(x, y, n_boot=n_boot, seed=seed)[0]))


def _ranks(weights: Numbers, codes: npt.NDArray[np.int64]) -> Numbers:
    """The rank of each example in each resample (m, n): the mean rank of the draws that have its value."""
    order = np.argsort(codes, kind="stable")
    starts = np.flatnonzero(np.diff(codes[order], prepend=-1))
    n_drawn = np.add.reduceat(weights[:, order], starts, axis=1)
    ranks = np.cumsum(n_drawn, axis=1) - (n_drawn - 1) / 2
    return np.asarray(ranks[:, codes], dtype=np.float64)


def _correlation(weights: Numbers, x: Numbers, y: Numbers) -> Numbers:
    """Weighted Pearson correlation of each row: all (m, n) -> (m,), nan where one does not vary."""
    n = weights.sum(axis=1, keepdims=True)
    x, y = (each - (weights * each).sum(axis=1, keepdims=True) / n for each in (x, y))
    xx, yy, xy = ((weights * each).sum(axis=1) for each in (x * x, y * y, x * y))
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.where((xx > 0) & (yy > 0), xy / np.sqrt(xx * yy), np.nan), dtype=np.float64)


def _pearson(total: Numbers) -> Numbers:
    n, x, y, xx, yy, xy = (total[..., at] for at in range(6))
    spread = (n * xx - x * x) * (n * yy - y * y)
    varies = (n * xx - x * x > 1e-12 * n * xx) & (n * yy - y * y > 1e-12 * n * yy)
    return np.where(varies, np.clip((n * xy - x * y) / np.sqrt(np.abs(spread)), -1, 1), np.nan)


def _r2(total: Numbers) -> Numbers:
    n, x, xx, squares = total[..., 0], total[..., 1], total[..., 3], total[..., 7]
    spread = xx - x * x / n
    return np.where(spread > 1e-12 * xx, 1 - squares / spread, np.nan)


STATISTICS = {
    "pearson": _pearson,
    "r2": _r2,
    "mae": lambda total: total[..., 6] / total[..., 0],
    "rmse": lambda total: np.sqrt(total[..., 7] / total[..., 0]),
    "mse": lambda total: total[..., 7] / total[..., 0],
}
"""Score → function of the sums of `contributions`, (..., 8) -> (...)."""
