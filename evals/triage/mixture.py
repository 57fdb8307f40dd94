"""One score made of several, with weights that the canaries choose.

A score enters by the logarithm of the depth it puts an example at: its scale does not matter, its top counts most.
    risk = 1 - prod_s depth_s ^ (w_s / sum w)        w >= 0 by logistic regression of canary against the rest
The rest holds the real errors too. They pull every weight towards 0 alike, not one against another (learning from
positive and unlabelled data: Elkan & Noto, KDD 2008).
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.optimize import minimize
from scipy.special import expit
from scipy.stats import rankdata

from evals.triage.canaries import Flips

Numbers = npt.NDArray[np.float64]

_FOLDS = 5
_RIDGE = 1e-2
_MOST_REST = 50_000  # of the examples that are no canaries, so many are enough to fit on


class Mixture(NamedTuple):
    """names (s,) of scores, and their weights (s,) >= 0, summing to 1 (or all 0: nothing was learned)."""

    names: tuple[str, ...]
    weights: Numbers


def fit_mixture(risks: pd.DataFrame, flips: Flips, *, seed: int = 0) -> Mixture:
    """The mixture that tells canaries from the rest best: risks has a column (n,) a score, of the copy.

    Without canaries all scores weigh the same.

    >>> flips = Flips(np.arange(50), np.zeros(50, dtype=int), np.zeros(50, dtype=int), ("uniform",))
    >>> rng = np.random.default_rng(0)
    >>> risks = pd.DataFrame({"chance": rng.random(1000), "good": np.arange(1000) < 50 + rng.random(1000)})
    >>> fit_mixture(risks, flips).weights.round(1).tolist()
    [0.0, 1.0]
    """
    logs = _log_depths(risks)
    return Mixture(tuple(map(str, risks)), _fit(logs, *_target(len(risks), flips, seed)))


def mix(risks: pd.DataFrame, mixture: Mixture) -> Numbers:
    """The mixture's risk (n,) in [0, 1] for scores with the mixture's names; nan where all of them are nan.

    A score that is nan is left out there. Weights of 0 throughout give the plain mean of the logarithms.

    >>> risks = pd.DataFrame({"a": [0.9, 0.5, 0.1], "b": [0.2, 0.1, 0.3]})
    >>> mix(risks, Mixture(("a", "b"), np.array([1.0, 0.0]))).round(2).tolist()
    [0.83, 0.5, 0.17]
    """
    return _mixed(_log_depths(risks[list(mixture.names)]), mixture.weights)


def held_out_mixture(risks: pd.DataFrame, flips: Flips, *, seed: int = 0) -> Numbers:
    """The mixture's risk (n,) where each example is scored by weights fitted without it, to be compared with others.

    >>> flips = Flips(np.arange(50), np.zeros(50, dtype=int), np.zeros(50, dtype=int), ("uniform",))
    >>> risks = pd.DataFrame({"good": np.arange(1000) < 50})
    >>> bool(held_out_mixture(risks, flips)[:50].min() > 0.5)
    True
    """
    n = len(risks)
    logs, fold = _log_depths(risks), np.random.default_rng(seed).permutation(n) % _FOLDS
    is_canary, importance = _target(n, flips, seed)
    risk = np.full(n, np.nan)
    for held_out in range(_FOLDS):
        inside = fold == held_out
        risk[inside] = _mixed(logs[inside], _fit(logs, is_canary, np.where(inside, 0, importance)))
    return risk


def _log_depths(risks: pd.DataFrame) -> Numbers:
    """-log of each score's depth, (n, s), from 0 at the bottom to log(2 n) at the top; nan = not known."""
    logs = np.full(risks.shape, np.nan)
    for column, name in enumerate(risks):
        risk = risks[name].to_numpy(dtype=np.float64)
        known = ~np.isnan(risk)
        if known.any():
            logs[known, column] = -np.log((rankdata(-risk[known]) - 0.5) / known.sum())
    return logs


def _target(n: int, flips: Flips, seed: int) -> tuple[Numbers, Numbers]:
    """Which examples are canaries (n,), and what each counts for in the fit (n,): both sides together the same."""
    is_canary, importance = np.zeros(n), np.zeros(n)
    is_canary[flips.rows] = 1
    rest = np.flatnonzero(is_canary == 0)
    if len(rest) > _MOST_REST:
        rest = np.random.default_rng(seed).choice(rest, _MOST_REST, replace=False)
    importance[rest] = 0.5 / max(1, len(rest))
    importance[flips.rows] = 0.5 / max(1, len(flips.rows))
    return is_canary, importance


def _fit(logs: Numbers, is_canary: Numbers, importance: Numbers) -> Numbers:
    n_scores = logs.shape[1]
    used = importance > 0
    known, target, counts = logs[used], is_canary[used], importance[used]
    if not target.any() or target.all():
        return np.full(n_scores, 1 / max(1, n_scores))
    known = np.where(np.isnan(known), 1.0, known)  # the mean of -log depth: says nothing
    sign = 2 * target - 1

    def loss(parameters: Numbers) -> tuple[float, Numbers]:
        slope, offset = parameters[:-1], parameters[-1]
        margin = sign * (known @ slope + offset)
        pull = -counts * sign * expit(-margin)
        value = float(counts @ np.logaddexp(0, -margin)) + _RIDGE * float(slope @ slope) / 2
        return value, np.append(known.T @ pull + _RIDGE * slope, pull.sum())

    start = np.append(np.full(n_scores, 1 / n_scores), -1.0)
    bounds: Sequence[tuple[float | None, float | None]] = [(0, None)] * n_scores + [(None, None)]
    slope = np.asarray(minimize(loss, start, jac=True, bounds=bounds, method="L-BFGS-B").x)[:-1]
    return np.asarray(slope / slope.sum()) if slope.sum() > 0 else np.zeros(n_scores)


def _mixed(logs: Numbers, weights: Numbers) -> Numbers:
    used = weights if weights.any() else np.ones_like(weights)
    known = ~np.isnan(logs)
    heard = known @ used
    # Where only scores without weight know the example, they are better than nothing.
    fallback = known.sum(axis=1)
    total = np.where(known, logs, 0) @ used
    plain = np.where(known, logs, 0).sum(axis=1)
    mean = np.where(heard > 0, total / np.where(heard > 0, heard, 1), plain / np.maximum(fallback, 1))
    return np.where(fallback > 0, -np.expm1(-mean), np.nan)
