"""Two models on the same examples: what B fixed and broke against A, and whether the difference is real.

Every comparison is paired by example: what is hard for both models cancels out. Differences are b - a.
Shapes: gold, predicted_a, predicted_b are (n,) integer classes; -1 in gold = no label (the example is left
out), -1 in a prediction = no answer (wrong).
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evals import f1
from evals.intervals import (
    UNKNOWN,
    Estimate,
    Floats,
    Interval,
    Ints,
    bootstrap_p,
    mean_interval,
    percentile_interval,
    resample_counts,
)
from evals.metrics import get_metric

ALPHA = 0.05
POWER = 0.8
_NUMBERS_AT_ONCE = 1_000_000  # bounds the memory of the bootstrap: draws x cells integers


class Flips(NamedTuple):
    """How the right and wrong answers of A and B meet: `fixed` A wrong and B right, `broken` the reverse."""

    fixed: int
    broken: int
    both_right: int
    both_wrong: int

    @property
    def n(self) -> int:
        """Examples compared."""
        return sum(self)


class Difference(NamedTuple):
    """One metric of A and of B on the same `n` examples; `difference` = b - a with its 95 % interval.

    `p` is two-sided; `n_needed` is how many examples would show a difference of this size with power 0.8 at
    alpha 0.05, nan where no number would (no difference seen) or it is not known.
    """

    metric: str
    a: float
    b: float
    difference: float
    low: float
    high: float
    p: float
    n: int
    n_needed: float


def count_flips(gold: Ints, predicted_a: Ints, predicted_b: Ints) -> Flips:
    """Count right and wrong of two models, over the examples with a label.

    >>> count_flips(np.array([0, 1, 1, -1]), np.array([0, 0, 1, 0]), np.array([0, 1, 0, 0]))
    Flips(fixed=1, broken=1, both_right=1, both_wrong=0)
    """
    return flips_of(f1.count_cells(gold, predicted_a, predicted_b))


def flips_of(cells: f1.Cells) -> Flips:
    """As `count_flips`, from counted (gold, predicted_a, predicted_b): cells.values (3, n_cells).

    >>> flips_of(f1.count_cells(np.array([0, 1]), np.array([0, 0]), np.array([0, 1])))
    Flips(fixed=1, broken=0, both_right=1, both_wrong=0)
    """
    gold, predicted_a, predicted_b = cells.values
    meeting = ((predicted_a == gold) * 2 + (predicted_b == gold))[gold >= 0]
    n = np.bincount(meeting, weights=cells.counts[gold >= 0], minlength=4).astype(np.int64).tolist()
    return Flips(fixed=n[1], broken=n[2], both_right=n[3], both_wrong=n[0])


def mcnemar(fixed: int, broken: int) -> float:
    """Exact two-sided McNemar p-value that A and B are equally often right, in (0, 1]; 1 if nothing flipped.

    A binomial test of `fixed` out of `fixed + broken` against 1/2 (McNemar 1947, the exact form).

    >>> round(mcnemar(93, 50), 6)
    0.000406
    """
    flipped = fixed + broken
    return float(stats.binomtest(fixed, flipped).pvalue) if flipped else 1.0


def accuracy_difference(fixed: int, broken: int, n: int, *, confidence: float = 0.95) -> Estimate:
    """Difference in accuracy b - a = (fixed - broken) / n with its interval, in [-1, 1]; nan for n = 0.

    Wald interval with one example added to each kind of flip, which keeps its coverage for few flips and
    does not collapse to a point for none, as a bootstrap does. Source: Bonett & Price, J. Educ. Behav. Stat.
    37 (2012) 479.

    >>> difference, low, high = accuracy_difference(93, 50, 1429)
    >>> round(difference, 4), round(low, 4), round(high, 4)
    (0.0301, 0.0136, 0.0465)
    """
    if n == 0:
        return Estimate(np.nan, *UNKNOWN)
    p_fixed, p_broken = (fixed + 1) / (n + 2), (broken + 1) / (n + 2)
    centre = p_fixed - p_broken
    half = stats.norm.ppf(0.5 + confidence / 2) * np.sqrt((p_fixed + p_broken - centre**2) / (n + 2))
    return Estimate((fixed - broken) / n, float(max(-1, centre - half)), float(min(1, centre + half)))


def n_needed_for_flips(fixed: int, broken: int, n: int, *, power: float = POWER, alpha: float = ALPHA) -> float:
    """Examples for McNemar's test to show a difference at these rates of flips; nan when fixed = broken.

    [z(1 - alpha/2) sqrt(psi) + z(power) sqrt(psi - delta^2)]^2 / delta^2 with psi = (fixed + broken) / n and
    delta = (fixed - broken) / n. Source: R. J. Connor, Biometrics 43 (1987) 207.

    >>> n_needed_for_flips(30, 20, 1000)
    3923.0
    """
    if n == 0 or fixed == broken:
        return np.nan
    flipped, difference = (fixed + broken) / n, abs(fixed - broken) / n
    z_alpha, z_power = stats.norm.ppf(1 - alpha / 2), stats.norm.ppf(power)
    spread = z_alpha * np.sqrt(flipped) + z_power * np.sqrt(flipped - difference**2)
    return float(np.ceil((spread / difference) ** 2))


def n_needed_for_mean(
    difference: float, interval: Interval, n: int, *, power: float = POWER, alpha: float = ALPHA
) -> float:
    """Examples to show a difference of this size, from its 95 % interval at n examples; nan if unknowable.

    The interval's width shrinks with the square root of n: n [(z(1 - alpha/2) + z(power)) se / difference]^2.

    >>> n_needed_for_mean(0.01, Interval(-0.01, 0.03), 1000)
    8173.0
    """
    standard_error = (interval.high - interval.low) / (2 * stats.norm.ppf(0.975))
    if not np.isfinite([difference, standard_error]).all() or difference == 0:
        return np.nan
    z = stats.norm.ppf(1 - alpha / 2) + stats.norm.ppf(power)
    return float(np.ceil(n * (z * standard_error / difference) ** 2))


def holm(p: npt.ArrayLike) -> npt.NDArray[np.float64]:
    """Holm's step-down correction: p-values (m,) -> adjusted (m,) in [0, 1]; nan stays nan, uncounted.

    Holds the chance of any false alarm among the m at the level tested. Source: S. Holm, Scand. J. Stat. 6
    (1979) 65.

    >>> holm([0.01, 0.04, np.nan, 0.03]).round(3).tolist()
    [0.03, 0.06, nan, 0.06]
    """
    given = np.asarray(p, dtype=np.float64)
    adjusted = np.full(given.shape, np.nan)
    known = np.flatnonzero(~np.isnan(given))
    order = known[np.argsort(given[known], kind="stable")]
    steps = given[order] * np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(np.maximum.accumulate(steps), 1.0)
    return adjusted


def macro_f1_difference(
    gold: Ints, predicted_a: Ints, predicted_b: Ints, *, n_boot: int = 2000, seed: int = 0
) -> Difference:
    """Macro F1 of B minus that of A, with a paired percentile bootstrap: both models on the same resamples.

    Source of the design: Efron & Tibshirani (1993); paired for language data: Koehn (2004), EMNLP.

    >>> gold = np.repeat([0, 1], 50)
    >>> result = macro_f1_difference(gold, np.zeros(100, int), gold)
    >>> round(result.a, 3), result.b, round(result.difference, 3), round(result.p, 4)
    (0.333, 1.0, 0.667, 0.001)
    """
    return macro_f1_difference_of(f1.count_cells(gold, predicted_a, predicted_b), n_boot=n_boot, seed=seed)


def macro_f1_difference_of(cells: f1.Cells, *, n_boot: int = 2000, seed: int = 0) -> Difference:
    """As `macro_f1_difference`, from counted (gold, predicted_a, predicted_b): cells.values (3, n_cells).

    >>> gold = np.repeat([0, 1], 50)
    >>> round(macro_f1_difference_of(f1.count_cells(gold, np.zeros(100, int), gold)).difference, 3)
    0.667
    """
    labelled = cells.values[0] >= 0
    cells = f1.Cells(cells.values[:, labelled], cells.counts[labelled])
    n = int(cells.counts.sum())
    if n == 0:
        return Difference("macro_f1", np.nan, np.nan, np.nan, *UNKNOWN, np.nan, 0, np.nan)
    n_classes = 1 + int(cells.values.max())

    def score(counts: Ints, model: int) -> f1.Numbers:
        return f1.macro_f1(f1.class_totals(cells.values[0], cells.values[model], counts, n_classes))

    a, b = float(score(cells.counts, 1)), float(score(cells.counts, 2))
    rng = np.random.default_rng(seed)
    differences = np.empty(n_boot)
    at_once = max(1, _NUMBERS_AT_ONCE // len(cells.counts))
    for start in range(0, n_boot, at_once):
        part = differences[start : start + at_once]
        draws = resample_counts(cells.counts, len(part), rng)
        part[:] = score(draws, 2) - score(draws, 1)
    interval = percentile_interval(differences)
    needed = n_needed_for_mean(b - a, interval, n)
    return Difference("macro_f1", a, b, b - a, *interval, bootstrap_p(differences), n, needed)


def mean_difference(metric: str, a: Floats, b: Floats) -> Difference:
    """Mean of b minus mean of a for a score per example such as loss: a (n,), b (n,), paired t test.

    Examples where either is nan are left out; an infinite score leaves interval and p unknown (nan).

    >>> result = mean_difference("loss", np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.4, 2.6]))
    >>> round(result.difference, 2), round(result.low, 2), round(result.high, 2), round(result.p, 3)
    (-0.5, -0.75, -0.25, 0.013)
    """
    known = ~(np.isnan(a) | np.isnan(b))
    a, b = np.asarray(a[known], dtype=np.float64), np.asarray(b[known], dtype=np.float64)
    n = len(a)
    means = (float(a.mean()), float(b.mean())) if n else (np.nan, np.nan)
    if n < 2 or not np.isfinite([a, b]).all():
        difference = means[1] - means[0] if np.isfinite(means).all() else np.nan
        return Difference(metric, *means, difference, *UNKNOWN, np.nan, n, np.nan)
    per_example = b - a
    difference, low, high, _ = mean_interval(per_example)
    standard_error = float(per_example.std(ddof=1)) / np.sqrt(n)
    if standard_error == 0:
        p = 1.0 if difference == 0 else np.nan  # the same shift everywhere says nothing of its spread
    else:
        p = float(2 * stats.t.sf(abs(difference) / standard_error, n - 1))
    return Difference(
        metric, *means, difference, low, high, p, n, n_needed_for_mean(difference, Interval(low, high), n)
    )


def mean_differences(scores: Mapping[str, tuple[Floats, Floats]]) -> pd.DataFrame:
    """Compare two models by scores per example, a row a metric in the order given, columns as of `compare_pair`.

    scores: of each metric those of A and of B, (n,) each, whose means are the metric.

    >>> loss = np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.4, 2.6])
    >>> mean_differences({"loss": loss})[["metric", "difference", "higher_is_better"]].round(3).values.tolist()
    [['loss', -0.5, False]]
    """
    rows = [mean_difference(metric, a, b) for metric, (a, b) in scores.items()]
    return with_holm(rows)


def with_holm(rows: Sequence[Difference]) -> pd.DataFrame:
    """Rows below each other, with `p_holm` over all of them: columns as of `compare_pair`.

    >>> row = mean_difference("loss", np.array([1.0, 2.0, 3.0]), np.array([0.5, 1.4, 2.6]))
    >>> with_holm([row, row])[["metric", "p", "p_holm"]].round(3).values.tolist()
    [['loss', 0.013, 0.026], ['loss', 0.013, 0.026]]
    """
    table = pd.DataFrame(rows, columns=list(Difference._fields))
    table.insert(table.columns.get_loc("n"), "p_holm", holm(table["p"]))  # type: ignore[arg-type]  # unique name: int
    table["higher_is_better"] = [get_metric(row.metric).higher_is_better for row in rows]
    return table


def compare_pair(
    gold: Ints,
    predicted_a: Ints,
    predicted_b: Ints,
    loss_a: Floats | None = None,
    loss_b: Floats | None = None,
    *,
    n_boot: int = 2000,
    seed: int = 0,
) -> pd.DataFrame:
    """Compare two models on the same examples, a row a metric: accuracy, macro_f1 and, if given, loss (nats).

    Columns: metric, a, b, difference (b - a), low, high (95 %), p (two-sided), p_holm (over the rows), n,
    n_needed (see Difference), higher_is_better. Accuracy: exact McNemar and the interval of
    `accuracy_difference`; macro F1: paired bootstrap; loss: paired t. ValueError, naming all problems, when
    the arrays do not match.

    >>> gold = np.repeat([0, 1], 50)
    >>> table = compare_pair(gold, np.zeros(100, int), gold)
    >>> table["metric"].tolist(), table["difference"].round(3).tolist()
    (['accuracy', 'macro_f1'], [0.5, 0.667])
    """
    _check(gold, predicted_a, predicted_b, loss_a, loss_b)
    loss = None
    if loss_a is not None and loss_b is not None:
        loss = mean_difference("loss", loss_a[gold >= 0], loss_b[gold >= 0])
    return compare_cells(f1.count_cells(gold, predicted_a, predicted_b), loss, n_boot=n_boot, seed=seed)


def compare_cells(
    cells: f1.Cells, loss: Difference | None = None, *, n_boot: int = 2000, seed: int = 0
) -> pd.DataFrame:
    """As `compare_pair`, from what it counts: `count_cells(gold, predicted_a, predicted_b)`, and the loss's row.

    >>> cells = f1.count_cells(np.repeat([0, 1], 50), np.zeros(100, int), np.repeat([0, 1], 50))
    >>> compare_cells(cells)["difference"].round(3).tolist()
    [0.5, 0.667]
    """
    flips = flips_of(cells)
    n = flips.n
    right_a, right_b = flips.both_right + flips.broken, flips.both_right + flips.fixed
    rows = [
        Difference(
            "accuracy",
            right_a / n if n else np.nan,
            right_b / n if n else np.nan,
            *accuracy_difference(flips.fixed, flips.broken, n),
            mcnemar(flips.fixed, flips.broken) if n else np.nan,
            n,
            n_needed_for_flips(flips.fixed, flips.broken, n),
        ),
        macro_f1_difference_of(cells, n_boot=n_boot, seed=seed),
    ]
    if loss is not None:
        rows.append(loss)
    return with_holm(rows)


def _check(gold: Ints, predicted_a: Ints, predicted_b: Ints, loss_a: Floats | None, loss_b: Floats | None) -> None:
    """Raise ValueError naming everything that is wrong with the arrays at once."""
    problems = []
    if (loss_a is None) != (loss_b is None):
        problems.append("loss_a and loss_b: only one is given; needed: both or neither")
    for name, column in (("gold", gold), ("predicted_a", predicted_a), ("predicted_b", predicted_b)):
        if not np.issubdtype(column.dtype, np.integer):
            problems.append(f"{name} has type {column.dtype}; needed: integers (class index, -1 = none)")
        elif len(column) and column.min() < -1:
            problems.append(f"{name} holds {column.min()}; allowed: -1 and up")
    columns = {"predicted_a": predicted_a, "predicted_b": predicted_b, "loss_a": loss_a, "loss_b": loss_b}
    for name, values in columns.items():
        if values is not None and values.shape != gold.shape:
            problems.append(f"{name} has shape {values.shape}; needed: that of gold, {gold.shape}")
    if problems:
        raise ValueError("; ".join(problems))
