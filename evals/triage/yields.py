"""What a queue sorted by risk will yield: how many errors are found after how many looks, with an interval.

Recall by depth is the canaries' (`evals.triage.canaries`), the number of errors the noise rate's. A score worth sorting
by finds errors ever more slowly, so the recall curve is taken to be concave: the least concave majorant of what the
canaries show, whose slope is Grenander's estimate of a falling density (Skand. Aktuar. 39 (1956) 125). Where the top of
the queue holds few canaries it borrows strength from deeper ones. And no look finds more than one error.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Estimate, Floats

Numbers = npt.NDArray[np.float64]

GRID: Numbers = (np.arange(257) / 256) ** 2
"""Depths in [0, 1], (257,): finest at the top of the queue."""


def expected_yield(
    depths: Floats, n: int, n_errors: Estimate, *, wrong: Floats | None = None, n_boot: int = 200, seed: int = 0
) -> pd.DataFrame:
    """One row a depth of GRID: n_reviewed (0 to n), n_found, low, high (95 %, of canaries and of n_errors), precision.

    depths (m,) of the canaries in [0, 1]; n examples in the queue. wrong (n,): how probable the consensus finds each
    label to be wrong, in the order of the queue. n_found is then the mean of what canaries and probabilities say, and
    the interval holds both: canaries are easier to see than real errors, the probabilities too low where noise looks
    like ambiguity, and on planted noise their mean was off by two thirds of what the canaries alone were. precision is
    n_found / n_reviewed, nan at 0 looks. Without canaries, or without a known number of errors, everything is nan.

    >>> curve = expected_yield(np.linspace(0, 0.2, 99), 1000, Estimate(100.0, 80.0, 120.0))
    >>> at = curve.iloc[(curve["n_reviewed"] - 100).abs().argmin()]
    >>> round(at["n_found"]), bool(at["low"] < 50 < at["high"])
    (50, True)
    """
    rng = np.random.default_rng(seed)
    m = len(depths)
    weights = np.full(m, 1 / max(1, m))
    drawn = rng.multinomial(m, weights, size=n_boot) / m if m else np.zeros((n_boot, 0))
    totals = np.append(n_errors.value, draw_errors(n_errors, n_boot, rng))[:, None]
    by_canaries = yield_of(recall_curve(depths, np.vstack([weights, drawn])), totals, n)
    found, reviewed = by_canaries[0], GRID * n
    low, high = np.quantile(by_canaries[1:], [0.025, 0.975], axis=0) if n_boot else (found * np.nan, found * np.nan)
    ends = [found, low, high]
    if wrong is not None:
        believed = np.interp(reviewed, np.arange(n + 1), np.append(0, np.cumsum(np.nan_to_num(wrong))))
        found = _concave((found + believed) / 2)
        ends += [found, believed]
    return pd.DataFrame(
        {
            "n_reviewed": reviewed,
            "n_found": found,
            "low": np.min(ends, axis=0),
            "high": np.max(ends, axis=0),
            "precision": np.where(reviewed > 0, found / np.where(reviewed > 0, reviewed, 1), np.nan),
        }
    )


def chances(risk: Floats, curve: pd.DataFrame) -> Numbers:
    """The chance that each example's label is wrong, (n,) in [0, 1]: the slope of its queue's yield where it stands.

    risk (n,); ties are told apart by position, unknown risks (nan) come last. The chances sum to the expected errors.

    >>> curve = expected_yield(np.linspace(0, 0.2, 99), 10, Estimate(1.0, 0.5, 1.5))
    >>> chances(np.arange(10.0), curve).round(2).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.01, 0.48, 0.5]
    """
    n = len(risk)
    order = np.argsort(-np.where(np.isnan(risk), -np.inf, risk), kind="stable")
    ends = np.interp(np.arange(n + 1), curve["n_reviewed"], curve["n_found"])
    chance = np.empty(n)
    chance[order] = np.clip(np.diff(ends), 0, 1)
    return chance


def recall_curve(depths: Floats, weights: Floats) -> Numbers:
    """Recall at each depth of GRID, concave: depths (m,), weights (b, m) rows that sum to 1 -> (b, 257); nan for m = 0.

    Shares are of one more canary than there are, one at the very end: with few the top is not sure to be found.

    >>> recall_curve(np.array([0.1, 0.1, 0.1]), np.full((1, 3), 1 / 3))[0, [0, 128, 256]].round(3).tolist()
    [0.0, 0.792, 1.0]
    """
    m = len(depths)
    if m == 0:
        return np.full((len(weights), len(GRID)), np.nan)
    cell = np.searchsorted(GRID, np.clip(depths, 0, 1), side="left")
    share = np.zeros((len(weights), len(GRID)))
    np.add.at(share.T, cell, np.asarray(weights, dtype=np.float64).T)
    recall = np.cumsum(share, axis=1) * m / (m + 1)
    recall[:, 0], recall[:, -1] = 0, 1
    return np.stack([_concave(row) for row in recall])


def yield_of(recall: Floats, n_errors: Floats, n: int) -> Numbers:
    """Errors found at each depth of GRID: recall (b, 257), n_errors (b, 1) -> (b, 257), at most one a look.

    >>> yield_of(np.minimum(GRID * 20, 1)[None], np.array([[10.0]]), 100)[0, [16, 256]].round(2).tolist()
    [0.39, 10.0]
    """
    return np.asarray(np.minimum(recall * n_errors, GRID * n))


def draw_errors(n_errors: Estimate, n_draws: int, rng: np.random.Generator) -> Numbers:
    """Draws (n_draws,) of the number of errors: normal, of its own width to each side; never below 0.

    >>> drawn = draw_errors(Estimate(100.0, 80.0, 150.0), 4000, np.random.default_rng(0))
    >>> np.quantile(drawn, [0.025, 0.5, 0.975]).round(-1).tolist()
    [80.0, 100.0, 150.0]
    """
    z = rng.standard_normal(n_draws)
    width = np.where(z > 0, n_errors.high - n_errors.value, n_errors.value - n_errors.low) / 1.96
    return np.asarray(np.maximum(n_errors.value + z * width, 0))


def _concave(recall: Numbers) -> Numbers:
    """The least concave majorant over GRID: the upper hull of the points."""
    depth, height = GRID.tolist(), recall.tolist()
    hull = [0]
    for point in range(1, len(depth)):
        while len(hull) > 1:
            a, b = hull[-2], hull[-1]
            if (height[b] - height[a]) * (depth[point] - depth[b]) > (height[point] - height[b]) * (
                depth[b] - depth[a]
            ):
                break
            hull.pop()
        hull.append(point)
    return np.interp(GRID, GRID[hull], recall[hull])
