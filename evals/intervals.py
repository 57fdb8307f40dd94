"""Intervals for one number: a rate, a mean over seeds, any statistic of a resample. All are 95 % unless
told."""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Ints = npt.NDArray[np.integer[Any]]
Floats = npt.NDArray[np.floating[Any]]


class Interval(NamedTuple):
    """Ends of an interval, `low <= high`; nan where it could not be measured."""

    low: float
    high: float


class Estimate(NamedTuple):
    """A value with its interval; nan where it could not be measured."""

    value: float
    low: float
    high: float


class MeanInterval(NamedTuple):
    """A mean with its interval, over `n` finite values."""

    mean: float
    low: float
    high: float
    n: int


UNKNOWN = Interval(np.nan, np.nan)


def wilson(successes: float, n: float, *, confidence: float = 0.95) -> Interval:
    """Wilson score interval of a rate, in [0, 1]; it stays honest for 0 of n, n of n and small n.

    nan for n = 0. `successes` outside [0, n] raises ValueError. Source: E. B. Wilson, JASA 22 (1927) 209.

    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    low, high = wilson_bounds(np.array([successes]), np.array([n]), confidence=confidence)
    return Interval(float(low[0]), float(high[0]))


def wilson_bounds(
    successes: Ints | Floats, n: Ints | Floats, *, confidence: float = 0.95
) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Wilson intervals of many rates: successes (m,), n (m,) -> low (m,), high (m,) in [0, 1], nan where n =
    0.

    >>> low, high = wilson_bounds(np.array([0, 5]), np.array([0, 5]))
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([nan, 0.566], [nan, 1.0])
    """
    hits, total = np.asarray(successes, dtype=np.float64), np.asarray(n, dtype=np.float64)
    if np.any((hits < 0) | (hits > total)):
        raise ValueError(f"successes must lie between 0 and n: got successes = {hits.tolist()}, n = {total.tolist()}")
    z2 = float(stats.norm.ppf(0.5 + confidence / 2)) ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        rate = hits / total
        centre = (rate + z2 / (2 * total)) / (1 + z2 / total)
        half = np.sqrt(z2 * (rate * (1 - rate) + z2 / (4 * total)) / total) / (1 + z2 / total)
        # At 0 of n and n of n the end is exactly 0 or 1; rounding may leave it an ulp away.
        low = np.where(hits == 0, 0.0, np.maximum(centre - half, 0.0))
        high = np.where(hits == total, 1.0, np.minimum(centre + half, 1.0))
    unknown = ~(total > 0)
    return np.where(unknown, np.nan, low), np.where(unknown, np.nan, high)


def mean_interval(values: npt.ArrayLike, *, confidence: float = 0.95) -> MeanInterval:
    """Mean ± t interval, for a metric over seeds or a per-example score such as loss: values (n,).

    nan values are "not measured" and left out; an infinite value makes the mean infinite and the interval
    nan. One value has a mean but no interval; no value has neither.

    >>> mean, low, high, n = mean_interval([0.70, 0.72, 0.74])
    >>> round(mean, 3), round(low, 3), round(high, 3), n
    (0.72, 0.67, 0.77, 3)
    """
    given = np.asarray(values, dtype=np.float64).ravel()
    known = given[~np.isnan(given)]
    n = len(known)
    if n == 0:
        return MeanInterval(np.nan, np.nan, np.nan, 0)
    mean = float(known.mean())
    if n == 1 or not np.isfinite(known).all():
        return MeanInterval(mean, np.nan, np.nan, n)
    half = float(stats.t.ppf(0.5 + confidence / 2, n - 1) * known.std(ddof=1) / np.sqrt(n))
    return MeanInterval(mean, mean - half, mean + half, n)


def resample_counts(counts: Ints, n_boot: int, rng: np.random.Generator) -> npt.NDArray[np.int64]:
    """Bootstrap over examples, of which only the count per cell matters: counts (c,) -> (n_boot, c) counts.

    Drawing n examples with replacement gives multinomial cell counts, so the cells are drawn at once, at a
    cost free of n; with more cells than about n / 16 drawing the examples one by one is the faster way to
    the same.

    >>> resample_counts(np.array([3, 0, 7]), 2, np.random.default_rng(0)).sum(axis=1).tolist()
    [10, 10]
    """
    n = int(counts.sum())
    if n == 0:
        return np.zeros((n_boot, len(counts)), dtype=np.int64)
    if len(counts) * 16 <= n:
        return rng.multinomial(n, counts / n, size=n_boot).astype(np.int64, copy=False)
    cell_of = np.repeat(np.arange(len(counts)), counts)
    draws = np.empty((n_boot, len(counts)), dtype=np.int64)
    for draw in draws:
        draw[:] = np.bincount(cell_of[rng.integers(n, size=n)], minlength=len(counts))
    return draws


def percentile_interval(draws: npt.ArrayLike, *, confidence: float = 0.95) -> Interval:
    """Percentile bootstrap interval: draws (n_boot,) of a statistic. nan draws are left out; none left gives
    nan.

    Source: Efron & Tibshirani, An Introduction to the Bootstrap (1993), chapter 13.

    >>> low, high = percentile_interval(np.arange(101.0))
    >>> round(low, 1), round(high, 1)
    (2.5, 97.5)
    """
    known = np.asarray(draws, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return UNKNOWN
    low, high = np.quantile(known, [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Interval(float(low), float(high))


def bootstrap_p(draws: npt.ArrayLike) -> float:
    """Two-sided p-value that a difference is 0, from bootstrap draws (n_boot,) of it: in (0, 1], never 0.

    Twice the smaller tail beyond 0, with the observed sample counted as one more draw: 2 (b + 1) / (B + 1)
    (Davison & Hinkley, Bootstrap Methods (1997), section 4.2). nan without draws.

    >>> bootstrap_p(np.full(999, 0.1))
    0.002
    """
    known = np.asarray(draws, dtype=np.float64)
    known = known[~np.isnan(known)]
    if len(known) == 0:
        return np.nan
    tail = min(int((known <= 0).sum()), int((known >= 0).sum()))
    return min(1.0, 2 * (tail + 1) / (len(known) + 1))
