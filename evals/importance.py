"""Which parameters of a search mattered: permutation importance on trials that the forest was not fitted to."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import resample_counts

Floats = npt.NDArray[np.float64]

LEAST_TRIALS = 10
METHOD = (
    "A random forest predicts the objective of trials it was not fitted to (5-fold, 3 times). The share of a parameter "
    "is half of what the squared error grows when its values are taken from other trials, over the variance of the "
    "objective: what it explains alone and together with others. Intervals are a bootstrap over trials."
)
_FOLDS, _REPEATS, _TREES, _DRAWS, _N_BOOT = 5, 3, 60, 8, 1000


@dataclass(frozen=True)
class Importance:
    """How much of an objective's variance over the trials each parameter explains.

    table: columns parameter, share (about 0 to 1, below 0 by chance), low, high (95 %); the largest share first.
    n: trials with a finite objective. explained: the part of the variance that the forest explains of held-out trials
    (R squared, at most 1). reason: why nothing could be measured, in a sentence, with an empty table; else None.
    """

    table: pd.DataFrame
    n: int
    explained: float
    reason: str | None = None


def parameter_importance(parameters: pd.DataFrame, objective: npt.ArrayLike) -> Importance:
    """Importance of each column of `parameters` for `objective` (n,); nan objectives are left out.

    Columns of numbers are taken as numbers (their logarithm would give the forest the same splits); others, with
    missing values as "not used", as categories. A parameter that has one value in all trials is left out. Below
    `LEAST_TRIALS` trials, or where the forest predicts held-out trials no better than their mean, nothing is measured.

    The share is half the growth of the error, over the variance: for a forest that is right this is Sobol's
    total-effect index (Jansen, Comput. Phys. Commun. 117 (1999) 35); the permutation is Breiman's (Mach. Learn. 45
    (2001) 5).

    >>> rng = np.random.default_rng(0)
    >>> trials = pd.DataFrame({"a": rng.uniform(size=60), "b": rng.uniform(size=60)})
    >>> found = parameter_importance(trials, trials["a"])
    >>> found.table["parameter"].tolist(), found.n, bool(found.table["share"].iloc[1] < 0.05)
    (['a', 'b'], 60, True)
    """
    values = np.asarray(objective, dtype=np.float64)
    is_known = np.isfinite(values)
    values, parameters = values[is_known], parameters[is_known].reset_index(drop=True)
    n = len(values)
    varying = [str(name) for name in parameters if parameters[name].map(repr).nunique() > 1]
    if reason := _reason(n, values, varying):
        return _nothing(n, reason)
    columns = [_encoded(parameters[name]) for name in varying]
    errors, growths = _held_out(columns, values)
    variance = float(np.var(values))
    explained = 1 - float(errors.mean()) / variance
    if explained <= 0:
        return _nothing(
            n,
            f"the {n} configurations predict each other no better than their mean does: no effect can be told",
            explained,
        )
    shares = growths.mean(axis=0) / (2 * variance)
    low, high = _bootstrap(growths, values)
    table = pd.DataFrame({"parameter": varying, "share": shares, "low": low, "high": high})
    return Importance(table.sort_values("share", ascending=False, ignore_index=True), n, explained)


def _reason(n: int, values: Floats, varying: Sequence[str]) -> str | None:
    if n < LEAST_TRIALS:
        what = "configuration" if n == 1 else "configurations"
        return f"{n} finished {what}; it takes {LEAST_TRIALS} to say anything"
    if not varying:
        return "no parameter has more than one value"
    if np.ptp(values) == 0:
        return f"all {n} configurations reached the same value"
    return None


def _nothing(n: int, reason: str, explained: float = np.nan) -> Importance:
    return Importance(pd.DataFrame(columns=["parameter", "share", "low", "high"]), n, explained, reason)


def _encoded(values: "pd.Series[Any]") -> Floats:
    """A parameter as (n, width): one number, or one column a category."""
    is_number = values.map(lambda value: isinstance(value, (int, float)) and not isinstance(value, bool))
    is_missing = values.isna()
    if bool((is_number | is_missing).all()):
        numbers = values.astype("float64").to_numpy()
        known = numbers[~np.isnan(numbers)]
        apart = known.min() - max(1.0, np.ptp(known))  # "not used" is a place of its own, below all others
        return np.where(np.isnan(numbers), apart, numbers)[:, None]
    codes, _ = pd.factorize(values.map(repr))
    return np.eye(int(codes.max()) + 1)[codes]


def _held_out(columns: Sequence[Floats], values: Floats) -> tuple[Floats, Floats]:
    """Squared errors (n,) of held-out trials, and how they grow (n, p) when one parameter comes from other trials."""
    from sklearn.ensemble import RandomForestRegressor
    from sklearn.model_selection import KFold

    rng = np.random.default_rng(0)
    x = np.hstack(columns)
    ends = np.cumsum([column.shape[1] for column in columns])
    places = [slice(end - column.shape[1], end) for end, column in zip(ends, columns, strict=True)]
    n, p = len(values), len(columns)
    errors, growths = np.zeros(n), np.zeros((n, p))
    for repeat in range(_REPEATS):
        for fitted, held in KFold(_FOLDS, shuffle=True, random_state=repeat).split(x):
            forest = RandomForestRegressor(_TREES, min_samples_leaf=2, random_state=repeat, n_jobs=1)
            forest.fit(x[fitted], values[fitted])
            copies = np.tile(x[held], (1 + p * _DRAWS, 1)).reshape(1 + p * _DRAWS, len(held), -1)
            for j in range(p):
                for draw in range(_DRAWS):
                    others = rng.integers(n, size=len(held))
                    copies[1 + j * _DRAWS + draw][:, places[j]] = x[others][:, places[j]]
            said = forest.predict(copies.reshape(-1, x.shape[1])).reshape(1 + p * _DRAWS, len(held))
            wrong = (said - values[held]) ** 2
            errors[held] += wrong[0] / _REPEATS
            growths[held] += (wrong[1:].reshape(p, _DRAWS, -1).mean(axis=1) - wrong[0]).T / _REPEATS
    return errors, growths


def _bootstrap(growths: Floats, values: Floats) -> tuple[Floats, Floats]:
    """Ends (p,), (p,) of 95 % intervals of the shares: trials drawn again, the forests kept."""
    n = len(values)
    counts = resample_counts(np.ones(n, dtype=np.int64), _N_BOOT, np.random.default_rng(0)) / n
    variance = counts @ values**2 - (counts @ values) ** 2
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = (counts @ growths) / (2 * variance[:, None])
    shares[variance <= 0] = np.nan
    low, high = np.nanquantile(shares, [0.025, 0.975], axis=0)
    return low, high
