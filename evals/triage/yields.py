"""What a queue sorted by risk will yield: how many errors are found after how many looks, with an interval.

Where the errors lie is taken from the canaries (`evals.triage.canaries`), their number N from the noise rate: at the
depth f, where a share f of the right labels has been passed, N recall(f) + (n - N) f looks have found N recall(f)
errors. A score worth sorting by finds errors ever more slowly, so the recall curve is taken to be concave: the least
concave majorant of what the canaries show, whose slope is Grenander's estimate of a falling density (Skand. Aktuar. 39
(1956) 125). Where the top of the queue holds few canaries it borrows strength from deeper ones.
"""

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy import sparse
from scipy.special import expit, logit

from evals.intervals import Estimate, Floats

Numbers = npt.NDArray[np.float64]

GRID: Numbers = (np.arange(257) / 256) ** 2
"""Depths in [0, 1], (257,): finest at the top of the queue."""
_EDGE = 1e-9  # risks nearer to 0 or 1 say no more than this


def expected_yield(
    depths: Floats, n: int, n_errors: Estimate, *, believed: Floats | None = None, n_boot: int = 200, seed: int = 0
) -> pd.DataFrame:
    """One row a share of GRID of the queue: n_reviewed (0 to n), n_found, low, high, precision.

    depths (m,) of the canaries in [0, 1]; n examples in the queue. believed (n + 1,) as from `believed_yield`: n_found
    is then the mean of what canaries and probabilities say, and the interval (95 %, of canaries and of n_errors) holds
    both: where one errs the other often does not. Without canaries it is what the probabilities say, low and high nan;
    without these too, or without a known number of errors, everything is nan. precision is n_found / n_reviewed, nan at
    0 looks.

    >>> curve = expected_yield(np.linspace(0, 0.2, 99), 1000, Estimate(100.0, 80.0, 120.0))
    >>> at = curve.iloc[(curve["n_reviewed"] - 140).abs().argmin()]
    >>> round(at["n_found"]), bool(at["low"] < 50 < at["high"])
    (50, True)
    """
    rng = np.random.default_rng(seed)
    m = len(depths)
    weights = np.full(m, 1 / max(1, m))
    as_many = int(
        np.clip(np.nan_to_num(n_errors.value), 1, max(1, m))
    )  # as there are errors: so much is left to chance
    drawn = rng.multinomial(as_many, weights, size=n_boot) / as_many if m else np.zeros((n_boot, 0))
    totals = np.clip(np.append(n_errors.value, draw_errors(n_errors, n_boot, rng))[:, None], 0, n)
    by_canaries = yield_of(recall_curve(depths, np.vstack([weights, drawn])), totals, n)
    found, reviewed = by_canaries[0], GRID * n
    low, high = np.quantile(by_canaries[1:], [0.025, 0.975], axis=0) if n_boot else (found * np.nan, found * np.nan)
    ends = [found, low, high]
    if believed is not None:
        expected = np.interp(reviewed, np.arange(n + 1), believed)
        found = _concave((found + expected) / 2 if m else expected)
        ends += [found, expected]
    return pd.DataFrame(
        {
            "n_reviewed": reviewed,
            "n_found": found,
            "low": np.min(ends, axis=0),
            "high": np.max(ends, axis=0),
            "precision": np.where(reviewed > 0, found / np.where(reviewed > 0, reviewed, 1), np.nan),
        }
    )


def believed_yield(risk: Floats, wrong: Floats) -> Numbers:
    """Errors found after 0 to n looks, (n + 1,), if each label were wrong with its probability `wrong` (n,), nan = 0:
    the queue is sorted by risk (n,), ties by position, unknown risks last.

    >>> believed_yield(np.array([0.1, 0.9]), np.array([0.25, 0.5])).tolist()
    [0.0, 0.5, 0.75]
    """
    order = np.argsort(-np.where(np.isnan(risk), -np.inf, risk), kind="stable")
    return np.append(0, np.cumsum(np.nan_to_num(wrong)[order]))


def chances(risk: Floats, curve: pd.DataFrame) -> Numbers:
    """The chance that each example's label is wrong, (n,) in [0, 1]: the slope of its queue's yield where it stands.

    risk (n,); ties are told apart by position, unknown risks (nan) come last. The chances sum to the expected errors.

    >>> curve = expected_yield(np.linspace(0, 0.2, 99), 10, Estimate(1.0, 0.5, 1.5))
    >>> chances(np.arange(10.0), curve).round(2).tolist()
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.28, 0.35, 0.36]
    """
    n = len(risk)
    order = np.argsort(-np.where(np.isnan(risk), -np.inf, risk), kind="stable")
    ends = np.interp(np.arange(n + 1), curve["n_reviewed"], curve["n_found"])
    chance = np.empty(n)
    chance[order] = np.clip(np.diff(ends), 0, 1)
    return chance


def centred(risk: Floats, n_errors: float) -> Numbers:
    """The same queue with its risks moved (n,): 0.5 and more have as many labels as are expected to be wrong.

    A shift of the log-odds, half way between the last of the round(n_errors) likeliest and the next: the order stays,
    and what is counted by risk agrees with the estimate (ties at the border aside). Unknown risks stay nan. Where
    n_errors is not known (nan) they are halved: none is called wrong.

    >>> centred(np.array([0.9, 0.8, 0.6, np.nan]), 1.0).round(2)
    array([0.6, 0.4, 0.2, nan])
    """
    if np.isnan(n_errors):
        return np.asarray(np.asarray(risk, dtype=np.float64) * np.nextafter(0.5, 0))
    known = np.sort(risk[~np.isnan(risk)])[::-1]
    n = int(np.clip(round(float(n_errors)), 0, len(known)))
    around = np.concatenate([[1.0], known, [0.0]])[n : n + 2]
    border = float(logit(np.clip(around, _EDGE, 1 - _EDGE)).mean())
    return np.asarray(expit(logit(np.asarray(risk, dtype=np.float64)) - border))


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
    lies_in = sparse.coo_array((np.ones(m), (np.arange(m), cell)), shape=(m, len(GRID))).tocsr()
    share = np.asarray(np.asarray(weights, dtype=np.float64) @ lies_in)
    recall = np.cumsum(share, axis=1) * m / (m + 1)
    recall[:, 0], recall[:, -1] = 0, 1
    return np.stack([_concave(row) for row in recall])


def yield_of(recall: Floats, n_errors: Floats, n: int) -> Numbers:
    """Errors found after each share of GRID of n looks: recall (b, 257), n_errors (b, 1) in 0..n -> (b, 257).

    >>> yield_of(np.minimum(GRID * 20, 1)[None], np.array([[10.0]]), 100)[0, [16, 256]].round(2).tolist()
    [0.27, 10.0]
    """
    found = recall * n_errors
    looks = found + (n - n_errors) * GRID
    known = np.isfinite(looks).all(axis=1)
    rows = np.full(found.shape, np.nan)
    for row in np.flatnonzero(known):
        rows[row] = np.interp(GRID * n, looks[row], found[row])
    return rows


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
