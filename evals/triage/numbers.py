"""Numbers that are likely wrong: how far each is from what a model says that has not seen it."""

import numpy as np
import numpy.typing as npt
from scipy.special import erf

from evals.intervals import Floats
from evals.triage.found import Found, checked

_NORMAL = 1.4826
"""Standard deviations in a median absolute deviation of a normal distribution (Rousseeuw & Croux, Alternatives to the
Median Absolute Deviation, JASA 88 (1993) 1273)."""


def number_errors(numbers: Floats, predicted_numbers: Floats) -> Found:
    """How much farther a number (n,) is from the predicted one (n,) than the others are from theirs.

    risk: how many residuals of a normal distribution are smaller, in [0, 1), where median and spread are those of the
    residuals that are known (median absolute deviation, so that wrong numbers do not hide themselves; the standard
    deviation where most residuals are equal). .9973 = three standard deviations. nan where either number is not known.
    evidence: given, predicted; deviations, signed: how many standard deviations the given number is too high.

    >>> found = number_errors(np.array([1.0, 2.0, 3.0, 9.0]), np.array([1.1, 1.9, 3.1, 4.0]))
    >>> found.risk.round(3).tolist(), found.evidence["predicted"].tolist()
    ([0.5, 0.5, 0.5, 1.0], [1.1, 1.9, 3.1, 4.0])
    """
    checked("predicted_numbers", predicted_numbers, len(numbers))
    given, predicted = np.asarray(numbers, dtype=np.float64), np.asarray(predicted_numbers, dtype=np.float64)
    if np.isnan(residual := given - predicted).all():
        return Found(residual, {})
    deviations = standard_deviations(residual)
    risk = np.asarray(erf(np.abs(deviations) / np.sqrt(2)), dtype=np.float64)
    return Found(risk, {"given": given, "predicted": predicted, "deviations": deviations})


def standard_deviations(values: Floats) -> npt.NDArray[np.float64]:
    """How many standard deviations each value (n,) lies above the median of all, by their median absolute deviation.

    By the standard deviation where most are equal; 0 where all are. nan where a value is not known.

    >>> standard_deviations(np.array([1.0, 2.0, 3.0, 30.0])).round(1).tolist()
    [-1.0, -0.3, 0.3, 18.5]
    """
    numbers: npt.NDArray[np.float64] = np.asarray(values, dtype=np.float64)
    known: npt.NDArray[np.float64] = numbers[~np.isnan(numbers)]
    if not len(known):
        return numbers
    middle = float(np.median(known))
    spread = _NORMAL * float(np.median(np.abs(known - middle))) or float(known.std()) or 1.0
    return np.asarray((numbers - middle) / spread)
