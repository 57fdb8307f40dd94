"""Two models on the same examples, by metrics that are functions of sums over examples: F1, BLEU, perplexity.

A resample draws examples, and both models are judged on those that were drawn, so that what is hard for both cancels
out. Source of the design: Koehn, Statistical Significance Tests for Machine Translation Evaluation (2004).
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints, bootstrap_p, percentile_interval
from evals.paired import Difference, accuracy_difference, mcnemar, n_needed_for_flips, n_needed_for_mean
from evals.resampling import resampled_sums

Numbers = npt.NDArray[np.float64]

N_BOOT = 2000
"""Resamples of a difference: its p-value is at least 2 / (N_BOOT + 1)."""


class PairedSums:
    """Sums over examples of A and of B, of the sample and of the same resamples."""

    def __init__(self, a: Ints | Floats, b: Ints | Floats, *, n_boot: int = N_BOOT, seed: int = 0) -> None:
        """a, b: what each example adds, (n, d). ValueError where they are not of the same examples."""
        if len(a) != len(b):
            raise ValueError(f"{len(a)} examples of A, {len(b)} of B")
        sums = resampled_sums(np.concatenate([a, b], axis=1), n_boot=n_boot, seed=seed)
        at = a.shape[1]
        self.n = len(a)
        self._totals = sums.total[:at], sums.total[at:]
        self._draws = sums.draws[:, :at], sums.draws[:, at:]

    def difference(self, metric: str, statistic: Callable[[Numbers], Numbers]) -> Difference:
        """A metric that is a function of the sums, (..., d) -> (...).

        >>> right = np.array([[1.0, 1.0]] * 30), np.array([[1.0, 1.0]] * 20 + [[0.0, 1.0]] * 10)
        >>> found = PairedSums(*right).difference("accuracy", lambda total: total[..., 0] / total[..., 1])
        >>> round(found.difference, 3), found.low < found.difference < found.high < 0, found.n
        (-0.333, True, 30)
        """
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            a, b = (float(statistic(total)) for total in self._totals)
            draws = [statistic(each) if len(each) else np.empty(0) for each in self._draws]
        return from_draws(metric, a, b, draws[1] - draws[0], self.n)


def from_draws(metric: str, a: float, b: float, draws: Numbers, n: int) -> Difference:
    """A difference from what it is in each resample, (n_boot,); not known where a or b is not.

    >>> found = from_draws("entity_f1", 0.5, 0.75, np.linspace(0.1, 0.4, 99), 40)
    >>> found.difference, round(found.low, 2), round(found.high, 2), found.p
    (0.25, 0.11, 0.39, 0.02)
    """
    if not np.isfinite([a, b]).all():
        return Difference(metric, a, b, np.nan, np.nan, np.nan, np.nan, n, np.nan)
    interval = percentile_interval(draws)
    return Difference(metric, a, b, b - a, *interval, bootstrap_p(draws), n, n_needed_for_mean(b - a, interval, n))


def rate_difference(metric: str, a: Floats, b: Floats) -> Difference:
    """How much more often B is right than A: 1 = right, 0 = wrong, (n,) each; where either is nan is left out.

    As for accuracy: exact McNemar and the interval of `evals.paired.accuracy_difference`.

    >>> found = rate_difference("exact_match", np.array([0.0, 1.0, np.nan]), np.array([1.0, 1.0, 0.0]))
    >>> found.a, found.b, found.p, found.n
    (0.5, 1.0, 1.0, 2)
    """
    known = ~(np.isnan(a) | np.isnan(b))
    right_a, right_b = a[known] == 1, b[known] == 1
    n, fixed, broken = int(known.sum()), int((~right_a & right_b).sum()), int((right_a & ~right_b).sum())
    means = (float(right_a.mean()), float(right_b.mean())) if n else (np.nan, np.nan)
    gain = accuracy_difference(fixed, broken, n)
    p = mcnemar(fixed, broken) if n else np.nan
    return Difference(metric, *means, *gain, p, n, n_needed_for_flips(fixed, broken, n))
