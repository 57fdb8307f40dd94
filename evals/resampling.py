"""Bootstrap over examples for every statistic that is a function of sums over examples.

An F1, a BLEU, a perplexity and a correlation are all functions of a few sums. So each example is reduced to its
contributions once, and a resample is one row of a matrix product. Examples that belong together (of one query, of one
document) are drawn together.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evals.intervals import Estimate, Floats, Ints, percentile_interval

Numbers = npt.NDArray[np.float64]

MAX_UNITS = 20_000
"""Beyond so many examples, as many groups of examples put together by chance are drawn instead: they are alike by
construction, so the spread of the sums stays what it was and the cost stops growing."""

FEWEST_DRAWS = 100
"""Resamples that an interval has at least, however many examples there are."""

_CELLS = 4_000_000


@dataclass(frozen=True)
class Sums:
    """Sums over examples: of the sample, `total` (d,), and of resamples, `draws` (n_boot, d)."""

    total: Numbers
    draws: Numbers

    def estimate(self, statistic: Callable[[Numbers], Numbers]) -> Estimate:
        """Value and percentile interval of a function of sums, (..., d) -> (...), nan where it is undefined.

        >>> sums = resampled_sums(np.array([[1.0, 2.0], [3.0, 2.0], [2.0, 2.0], [2.0, 2.0]]), n_boot=200)
        >>> found = sums.estimate(lambda total: total[..., 0] / total[..., 1])
        >>> found.value, 0.5 < found.low < 1 < found.high < 1.5
        (1.0, True)
        """
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            value = float(statistic(self.total))
            if np.isnan(value) or len(self.draws) == 0:
                return Estimate(value, np.nan, np.nan)
            return Estimate(value, *percentile_interval(statistic(self.draws)))


def resampled_sums(
    contributions: Ints | Floats, *, n_boot: int = 1000, seed: int = 0, clusters: Ints | None = None
) -> Sums:
    """Sums of contributions (n, d) over the sample and over `n_boot` resamples of its examples.

    `clusters` (n,): examples with one number are drawn together. With fewer than two examples or clusters, or n_boot =
    0, there are no resamples. ValueError when shapes do not fit.

    >>> sums = resampled_sums(np.array([[1.0], [2.0], [3.0]]), n_boot=5)
    >>> sums.total.tolist(), sums.draws.shape
    ([6.0], (5, 1))
    """
    given = np.asarray(contributions, dtype=np.float64)
    if given.ndim != 2 or (clusters is not None and clusters.shape != (len(given),)):
        shapes = f"contributions has shape {given.shape}, clusters {None if clusters is None else clusters.shape}"
        raise ValueError(f"{shapes}; needed: (n, d) and (n,)")
    total = given.sum(axis=0)
    units = given if clusters is None else _grouped(given, np.unique(clusters, return_inverse=True)[1])
    if len(units) < 2:
        return Sums(total, np.empty((0, given.shape[1])))
    rng = np.random.default_rng(seed)
    if len(units) > MAX_UNITS:
        units = _grouped(units, rng.permutation(len(units)) % MAX_UNITS)
    draws = [weights @ units for weights in resample_weights(len(units), n_boot, rng)]
    return Sums(total, np.concatenate(draws) if draws else np.empty((0, given.shape[1])))


def affordable_draws(n_boot: int, n_cells: int, most: int) -> int:
    """Resamples for a statistic that is no function of sums: fewer where `n_cells` of each come to more than `most`.

    The ends of an interval from few resamples waver by more, but where there are many examples it is a narrow one.

    >>> affordable_draws(1000, 1000, 10**7), affordable_draws(1000, 50_000, 10**7), affordable_draws(9, 10**9, 1)
    (1000, 200, 9)
    """
    return min(n_boot, max(FEWEST_DRAWS, most // max(1, n_cells)))


def resample_weights(n: int, n_boot: int, rng: np.random.Generator) -> Iterator[Numbers]:
    """How often each of n examples is in each resample: blocks (m, n) of whole numbers, n_boot rows in all.

    >>> [block.sum(axis=1).tolist() for block in resample_weights(3, 2, np.random.default_rng(0))]
    [[3.0, 3.0]]
    """
    rows = max(1, _CELLS // max(n, 1))
    for start in range(0, n_boot, rows):
        m = min(rows, n_boot - start)
        drawn = rng.integers(n, size=(m, n)) + n * np.arange(m)[:, None]
        yield np.bincount(drawn.ravel(), minlength=m * n).reshape(m, n).astype(np.float64)


def _grouped(contributions: Numbers, group: Ints) -> Numbers:
    """Sums by group (n_groups, d)."""
    n_groups = int(group.max()) + 1 if len(group) else 0
    columns = [np.bincount(group, weights=column, minlength=n_groups) for column in contributions.T]
    return np.stack(columns, axis=1) if columns else np.empty((n_groups, 0))
