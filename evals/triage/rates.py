"""Rates and means of one part of the data against the rest, many parts at once: difference, interval, p-value."""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from evals.intervals import Floats, Ints, wilson_bounds

Numbers = npt.NDArray[np.float64]


class Differences(NamedTuple):
    """Part minus rest, each (m,): difference with its 95 % interval, and a two-sided p-value; nan where not known."""

    difference: Numbers
    low: Numbers
    high: Numbers
    p: Numbers


def compare_rates(hits: Ints, n: Ints, rest_hits: Ints, rest_n: Ints) -> Differences:
    """Differences of rates hits / n - rest_hits / rest_n, (m,) in [-1, 1]; nan where either has no examples.

    Interval: from the Wilson intervals of both rates (method 10 of Newcombe, Stat. Med. 17 (1998) 873). p: Fisher's
    exact test, twice the smaller tail, at most 1.

    >>> found = compare_rates(np.array([56]), np.array([70]), np.array([48]), np.array([80]))
    >>> [round(float(column[0]), 4) for column in found]
    [0.2, 0.0524, 0.3339, 0.0126]
    """
    low, high = wilson_bounds(hits, n)
    rest_low, rest_high = wilson_bounds(rest_hits, rest_n)
    known = (n > 0) & (rest_n > 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        rate, rest = hits / n, rest_hits / rest_n
    difference = rate - rest
    fewer: Numbers = np.asarray(stats.hypergeom.cdf(hits, n + rest_n, hits + rest_hits, n))
    more: Numbers = np.asarray(stats.hypergeom.sf(hits - 1, n + rest_n, hits + rest_hits, n))
    return Differences(
        difference,
        difference - np.sqrt((rate - low) ** 2 + (rest_high - rest) ** 2),
        difference + np.sqrt((high - rate) ** 2 + (rest - rest_low) ** 2),
        np.where(known, np.minimum(1, 2 * np.minimum(fewer, more)), np.nan),
    )


class Moments(NamedTuple):
    """Of m parts, each (m,): how many values, their sum, and the sum of their squares."""

    n: Numbers
    total: Numbers
    squares: Numbers


def moments(values: Floats, part: Ints, n_parts: int) -> Moments:
    """Moments of each part: values (n,) without nan, part (n,) in 0 to n_parts - 1.

    >>> moments(np.array([1.0, 2.0, 4.0]), np.array([0, 1, 1]), 2).total.tolist()
    [1.0, 6.0]
    """
    exact = np.asarray(values, dtype=np.float64)
    return Moments(
        np.bincount(part, minlength=n_parts).astype(np.float64),
        np.bincount(part, weights=exact, minlength=n_parts).astype(np.float64),
        np.bincount(part, weights=exact**2, minlength=n_parts).astype(np.float64),
    )


def compare_means(part: Moments, rest: Moments) -> Differences:
    """Differences of means, by Welch's test (Biometrika 34 (1947) 28); nan where either has fewer than two values.

    >>> part = moments(np.array([1.0, 2.0, 3.0]), np.zeros(3, int), 1)
    >>> rest = moments(np.arange(9.0), np.zeros(9, int), 1)
    >>> [round(float(column[0]), 3) for column in compare_means(part, rest)]
    [-2.0, -4.422, 0.422, 0.095]
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        mean, error = _mean(part)
        rest_mean, rest_error = _mean(rest)
        variance = error + rest_error
        df = variance**2 / (error**2 / (part.n - 1) + rest_error**2 / (rest.n - 1))
        difference = mean - rest_mean
        half = stats.t.ppf(0.975, df) * np.sqrt(variance)
        p: Numbers = 2 * np.asarray(stats.t.sf(np.abs(difference) / np.sqrt(variance), df))
    known = (part.n > 1) & (rest.n > 1)
    half = np.where(known & (variance == 0), np.nan, half)
    return Differences(
        np.where((part.n > 0) & (rest.n > 0), difference, np.nan), difference - half, difference + half, p
    )


def _mean(each: Moments) -> tuple[Numbers, Numbers]:
    """Mean, and the squared standard error of it."""
    mean = each.total / each.n
    variance = np.maximum(each.squares - each.n * mean**2, 0) / (each.n - 1)
    return mean, variance / each.n
