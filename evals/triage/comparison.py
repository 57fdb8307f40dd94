"""What each score is worth on this data, by canaries, and which one to sort by.

How the errors would rank is taken from the canaries, how many there are from the noise rate (`evals.triage.noise`):
    precision after recall r = N r / (N r + (n - N) f(r))       f = share of the right labels ranked before
so a score can be compared with others before anyone has reviewed anything.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Estimate, Floats, percentile_interval
from evals.triage.canaries import Flips
from evals.triage.yields import GRID, believed_yield, draw_errors, recall_curve, yield_of

Numbers = npt.NDArray[np.float64]

_LEAST_OF_A_KIND = 5
_COMPARED = ("score", "average_precision", "low", "high", "precision_at_100", "precision_at_errors", "depth")
_DIFFERENCES = ("difference", "difference_low", "difference_high", "worst_difference")


def compare_scores(
    risks: pd.DataFrame,
    depths: pd.DataFrame,
    flips: Flips,
    n_errors: Estimate,
    wrong: Floats,
    *,
    default: str | None = None,
    n_boot: int = 200,
    seed: int = 0,
) -> pd.DataFrame:
    """What the canaries say of each score, the best first: risks has a column (n,) a score, depths (m,) of canaries.

    depths as from `canaries.depths`, nan = that canary was not measured for this score. wrong (n,): how probable the
    consensus finds each label to be wrong.

    Columns: score; average_precision with low, high (95 %); precision_at_100; precision_at_errors, at as many examples
    as there are errors, which is the recall there too; depth, the canaries' median; difference in average precision to
    `default` (the first score if None) with difference_low, difference_high, paired by canary; worst_difference, that
    of the kind of canary that is worst for the score. All are of the real errors, expected. The two precisions are the
    mean of what canaries and `wrong` say, as in `yields.expected_yield`. What cannot be known is nan: without canaries,
    with n_errors nan or 0.

    >>> rng = np.random.default_rng(0)
    >>> from evals.triage.canaries import depths, plan_flips
    >>> flips = plan_flips(np.arange(400) % 4, {"next": np.eye(4)[[1, 2, 3, 0]]})
    >>> risks = pd.DataFrame({"random": rng.random(400), "good": rng.random(400) * 0.8})
    >>> of_flips = {"random": rng.random(400), "good": 0.4 + 0.6 * rng.random(400)}
    >>> right = np.full(400, 0.9)
    >>> deep = pd.DataFrame({name: depths(risks[name].to_numpy(), of_flips[name], flips, right) for name in risks})
    >>> table = compare_scores(risks, deep, flips, Estimate(40.0, 30.0, 50.0), 1 - right)
    >>> table["score"].tolist(), bool(table["difference_low"][0] > 0.1), choose_score(table, "random")
    (['good', 'random'], True, 'good')
    """
    m, n = len(flips.rows), len(risks)
    rng = np.random.default_rng(seed)
    kinds = [each for each in range(len(flips.kinds)) if (flips.kind == each).sum() >= _LEAST_OF_A_KIND]
    drawn = rng.multinomial(m, np.full(m, 1 / m), size=n_boot) if m else np.zeros((n_boot, 0))
    weights = np.vstack([np.ones(m), *(flips.kind == each for each in kinds), drawn])
    first = 1 + len(kinds)
    totals = np.append(np.full(first, n_errors.value), draw_errors(n_errors, n_boot, rng))[:, None]
    totals = np.clip(totals, 0, n)

    def precision(deep: Numbers, counted: npt.NDArray[np.bool_]) -> Numbers:
        return average_precision(recall_curve(deep[counted], _shares(weights[:, counted])), totals, n)

    columns = {str(name): depths[name].to_numpy(dtype=np.float64) for name in risks}
    reference = columns[default or str(risks.columns[0])] if columns else np.zeros(m)
    rows = []
    for name, deep in columns.items():
        measured = ~np.isnan(deep)
        worth = precision(deep, measured)
        low, high = percentile_interval(worth[first:])
        found = yield_of(recall_curve(deep[measured], _shares(weights[:1, measured])), totals[:1], n)[0]
        believed = believed_yield(risks[name].to_numpy(dtype=np.float64), wrong)
        at = [_precision_at(found, believed, n, looks) for looks in (100, n_errors.value)]
        both = measured & ~np.isnan(reference)
        difference = precision(deep, both) - precision(reference, both)
        ends = percentile_interval(difference[first:])
        worst = float(difference[:first].min())
        depth = float(np.median(deep[measured])) if measured.any() else np.nan
        rows.append((name, float(worth[0]), low, high, *at, depth, float(difference[0]), *ends, worst))
    table = pd.DataFrame(rows, columns=[*_COMPARED, *_DIFFERENCES])
    return table.sort_values("average_precision", ascending=False, kind="stable", ignore_index=True)


def choose_score(table: pd.DataFrame, default: str) -> str:
    """The score to sort by: the best of `compare_scores` that is told from the default, and for which no kind of canary
    is worse; or the default.

    >>> table = pd.DataFrame({"score": ["a", "b"], "average_precision": [0.9, 0.8], "worst_difference": [0.0, 0.0]})
    >>> [choose_score(table.assign(difference_low=[low, 0]), "b") for low in (-0.01, 0.01)]
    ['b', 'a']
    """
    better = table[(table["difference_low"] > 0) & (table["worst_difference"] >= 0)]
    return str(better.sort_values("average_precision", ascending=False)["score"].iloc[0]) if len(better) else default


def average_precision(recall: Floats, n_errors: Floats, n: int) -> Numbers:
    """Expected average precision (b,): recall (b, 257) over GRID, the share of right labels ranked before; n_errors
    (b, 1) of n. nan without errors.

    >>> average_precision(GRID[None], np.array([[10.0]]), 100).round(2).tolist()
    [0.1]
    """
    if n == 0:
        return np.full(len(recall), np.nan)
    found, false = n_errors * recall, (n - n_errors) * GRID
    with np.errstate(invalid="ignore", divide="ignore"):
        precision = found[:, 1:] / (found[:, 1:] + false[:, 1:])
    before = np.concatenate([precision[:, :1], precision[:, :-1]], axis=1)
    return np.where(n_errors[:, 0] > 0, (np.diff(recall, axis=1) * (precision + before) / 2).sum(axis=1), np.nan)


def _shares(weights: Floats) -> Numbers:
    total = weights.sum(axis=1, keepdims=True)
    return np.asarray(weights / np.where(total > 0, total, 1), dtype=np.float64)


def _precision_at(found: Numbers, believed: Numbers, n: int, looks: float) -> float:
    if n == 0 or not 0 < looks <= n:
        return np.nan
    by_canaries = float(np.interp(looks, GRID * n, found))
    return (by_canaries + float(np.interp(looks, np.arange(n + 1), believed))) / 2 / looks
