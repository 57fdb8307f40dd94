"""Configurations trained with several seeds: which can be told from the best one, and how many seeds that takes.

Scores are arrays (n_seeds, n_examples): one row a run, one column an example of the same split, so that a row's mean
is the run's metric. Two things are drawn at random: the seeds, and the examples. The variance of a difference has a
part of each, as in multi-reader multi-case studies (Gallas, Acad. Radiol. 13 (2006) 353) and as advised for
comparisons of learners (Bouthillier et al. 2021, arXiv:2103.03098).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import stats

from evals.intervals import Floats, Interval, Ints, mean_interval
from evals.paired import ALPHA, POWER, holm, n_needed_for_mean

ADDITIVE = ("accuracy", "macro_f1", "weighted_f1", "loss")
"""Metrics that `example_scores` knows."""


def example_scores(metric: str, gold: Ints, predicted: Ints, loss: Floats) -> npt.NDArray[np.float64]:
    """A metric of one run as one score an example, (n,), whose mean is the metric; nan where gold is -1.

    accuracy: 1 where right. loss: the loss. F1s: F1 plus the example's influence on it, the infinitesimal jackknife
    (Efron, The Jackknife, the Bootstrap and Other Resampling Plans (1982), chapter 6): with N_c gold plus predicted
    examples of class c, an example adds (2 [both are c] - F1_c ([gold is c] + [predicted is c])) / N_c to F1_c.
    Raises ValueError for another metric.

    >>> gold, predicted = np.array([0, 0, 1, 1]), np.array([0, 1, 1, 1])
    >>> scores = example_scores("macro_f1", gold, predicted, np.zeros(4))
    >>> scores.round(3).tolist(), round(float(scores.mean()), 4)
    ([1.178, -0.031, 0.893, 0.893], 0.7333)
    """
    if metric not in ADDITIVE:
        raise ValueError(f"{metric!r} is no mean over examples; known are {', '.join(ADDITIVE)}.")
    scores = np.full(len(gold), np.nan)
    is_known = gold >= 0
    gold, predicted = gold[is_known], predicted[is_known]
    if metric == "accuracy":
        scores[is_known] = gold == predicted
    elif metric == "loss":
        scores[is_known] = loss[is_known]
    elif len(gold):
        scores[is_known] = _f1_scores(gold, predicted, is_weighted=metric == "weighted_f1")
    return scores


def _f1_scores(gold: Ints, predicted: Ints, *, is_weighted: bool) -> npt.NDArray[np.float64]:
    n, n_classes = len(gold), 1 + int(max(gold.max(), predicted.max()))
    in_gold = np.bincount(gold, minlength=n_classes)
    said = np.bincount(predicted[predicted >= 0], minlength=n_classes)
    hits = np.bincount(gold[gold == predicted], minlength=n_classes)
    total = np.maximum(in_gold + said, 1)
    f1 = 2 * hits / total
    weights = in_gold / n if is_weighted else (in_gold > 0) / np.count_nonzero(in_gold)
    share = weights * n / total  # of a class's own scale
    value = float((weights * f1).sum())
    influence = 2 * (gold == predicted) * share[gold] - (f1 * share)[gold]
    influence -= np.where(predicted >= 0, (f1 * share)[predicted], 0.0)
    if is_weighted:  # an example moves the weights too
        influence += f1[gold] - value
    scores: npt.NDArray[np.float64] = value + influence
    return scores


class _Noise(NamedTuple):
    """What seeds do, pooled over configurations; `df` is 0 where no configuration has two."""

    of_run: float
    """Variance of a run's mean over seeds."""
    of_example: float
    """Variance of an example's score over seeds, the run's own mean taken off."""
    df: int


def compare_with_best(scores: Sequence[Floats], *, is_maximised: bool, alpha: float = ALPHA) -> pd.DataFrame:
    """Every configuration against the one with the best mean: `scores` one (n_seeds, n_examples) array each.

    A row a configuration, in the order given. Columns: mean, low, high (t interval over its seeds; nan for one seed),
    n_seeds, difference (to the best, in the metric's own direction), difference_low, difference_high (95 %), p
    (two-sided, nan for the best itself), p_holm (over the rows), is_separated (p_holm below `alpha`: not the best),
    n_seeds_needed (seeds each at which a difference of this size would show with power 0.8: nan where one seed each
    says nothing about seeds, inf where no number would), n_examples_needed (examples that would then). Examples that
    any run lacks (nan) are left out. Where no configuration has two seeds only the examples are taken for random.

    >>> rng = np.random.default_rng(0)
    >>> good, bad = rng.random((3, 400)) < 0.8, rng.random((3, 400)) < 0.6
    >>> table = compare_with_best([bad.astype(float), good.astype(float)], is_maximised=True)
    >>> table["n_seeds"].tolist(), table["is_separated"].tolist(), table["difference"].round(1).tolist()
    ([3, 3], [True, False], [-0.2, 0.0])
    """
    known = ~np.isnan(np.vstack(scores)).any(axis=0)
    given = [np.asarray(each, dtype=np.float64)[:, known] for each in scores]
    noise = _noise(given)
    means = np.array([each.mean() if each.size else np.nan for each in given])
    ranks = np.where(np.isnan(means), -np.inf, means if is_maximised else -means)
    best = int(np.argmax(ranks))
    rows = []
    for place, each in enumerate(given):
        seeds = mean_interval(each.mean(axis=1)) if each.size else mean_interval([])
        compared = _compare(each, given[best], noise) if place != best else _SAME
        rows.append((seeds.mean, seeds.low, seeds.high, len(each), *compared))
    table = pd.DataFrame(rows, columns=["mean", "low", "high", "n_seeds", *_COMPARED])
    table.insert(list(table.columns).index("p") + 1, "p_holm", holm(table["p"]))
    table["is_separated"] = (table["p_holm"] < alpha).to_numpy()
    return table


MOST_SEEDS = 20
"""More seeds each nobody spends on configurations that are so alike."""
SEEDS_TO_LEARN_FROM = 3
"""So many seeds show how much of a result is chance; one shows nothing."""


class SeedPlan(NamedTuple):
    """What it would take to tell contenders from the best one."""

    n_seeds: int | None
    """Seeds each, in all; None: no number up to MOST_SEEDS would do it."""
    n_told: int
    """So many of the contenders, the best not counted, would then be told from it."""
    is_first_look: bool
    """With the seeds so far nobody knows how much is chance: these would show it."""


def seeds_to_tell(needed: Floats, n_seeds: int) -> SeedPlan:
    """The plan for contenders whose `n_seeds_needed` are `needed` (k,), of which each has `n_seeds` so far.

    >>> seeds_to_tell(np.array([np.nan]), 1)
    SeedPlan(n_seeds=3, n_told=0, is_first_look=True)
    >>> seeds_to_tell(np.array([5.0, 300.0]), 3), seeds_to_tell(np.array([np.inf]), 3).n_seeds
    (SeedPlan(n_seeds=5, n_told=1, is_first_look=False), None)
    """
    if np.isnan(needed).all():
        return SeedPlan(max(SEEDS_TO_LEARN_FROM, n_seeds + 1), 0, True)
    within = needed[needed <= MOST_SEEDS]
    if not len(within):
        return SeedPlan(None, 0, False)
    return SeedPlan(max(int(within.max()), n_seeds + 1), len(within), False)


_COMPARED = ("difference", "difference_low", "difference_high", "p", "n_seeds_needed", "n_examples_needed")
_SAME = (0.0, 0.0, 0.0, np.nan, np.nan, np.nan)


def _noise(given: Sequence[Floats]) -> _Noise:
    of_run = of_example = 0.0
    df = 0
    for each in given:
        n_seeds, n = each.shape
        if n_seeds < 2 or n < 2:
            continue
        runs = each.mean(axis=1)
        rest = each - runs[:, None] - each.mean(axis=0) + each.mean()
        of_run += float(runs.var(ddof=1)) * (n_seeds - 1)
        of_example += float((rest**2).sum()) / (n - 1)
        df += n_seeds - 1
    return _Noise(of_run / df, of_example / df, df) if df else _Noise(np.nan, np.nan, 0)


def _compare(a: Floats, best: Floats, noise: _Noise) -> tuple[float, ...]:
    """The values of `_COMPARED` for one configuration against the best."""
    n = a.shape[1]
    if n < 2:
        return (np.nan,) * len(_COMPARED)
    per_example = a.mean(axis=0) - best.mean(axis=0)
    difference = float(per_example.mean())
    of_examples = float(per_example.var(ddof=1)) / n
    shares = 1 / len(a) + 1 / len(best)
    # What both parts hold, an example's own noise, is left in both: with few seeds that keeps the test honest.
    of_seeds = noise.of_run * shares if noise.df else 0.0
    variance = of_examples + of_seeds
    if variance == 0:
        p = 1.0 if difference == 0 else np.nan  # the same shift everywhere says nothing of its spread
        return difference, difference, difference, p, np.nan, np.nan
    # Satterthwaite's degrees of freedom for a sum of two estimated variances (Biometrics Bull. 2 (1946) 110).
    df = variance**2 / (of_examples**2 / (n - 1) + (of_seeds**2 / noise.df if noise.df else 0.0))
    error = float(np.sqrt(variance))
    half = float(stats.t.ppf(0.975, df)) * error
    p = float(2 * stats.t.sf(abs(difference) / error, df))
    needed = _needed(difference, of_examples, noise, shares, n) if noise.df else (np.nan, np.nan)
    return difference, difference - half, difference + half, p, *needed


def _needed(difference: float, of_examples: float, noise: _Noise, shares: float, n: int) -> tuple[float, float]:
    """(seeds each, examples) to show this difference: inf seeds where the examples alone are too few for it."""
    if difference == 0:
        return np.inf, np.nan
    z = float(stats.norm.ppf(1 - ALPHA / 2) + stats.norm.ppf(POWER))
    lasting = max(0.0, of_examples - noise.of_example * shares / n)  # what no number of seeds takes away
    room = (difference / z) ** 2 - lasting
    if room > 0:
        return float(max(1, np.ceil(2 * (noise.of_run + noise.of_example / n) / room))), np.nan
    half = float(stats.norm.ppf(0.975)) * np.sqrt(lasting)
    return np.inf, n_needed_for_mean(difference, Interval(difference - half, difference + half), n)
