"""F1 from counts of (gold, predicted), of one sample or of a thousand resamples at once.

A class that never occurs in gold has no F1 (nan): there was nothing to find, so recall is undefined.
Predicting it still costs, because those predictions are missing from the recall of the classes they were
taken from. A class that occurs but is never predicted has F1 = 0. The prediction -1 ("no answer") is wrong
for every class.
"""

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

from evals.intervals import Ints

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class Cells(NamedTuple):
    """The non-empty cells of a cross table: `values` (n_columns, n_cells) and how many examples each
    holds."""

    values: Counts
    counts: Counts


class ClassTotals(NamedTuple):
    """Per class, for one or many samples, each (..., n_classes): right, occurring in gold, predicted."""

    hits: Counts
    gold: Counts
    predicted: Counts


def count_cells(*columns: Ints) -> Cells:
    """Count the distinct rows of integer columns, each (n,) with values >= -1.

    >>> count_cells(np.array([0, 0, 1]), np.array([1, 1, 0]))
    Cells(values=array([[0, 1],
           [1, 0]]), counts=array([2, 1]))
    """
    base = 2 + max((int(column.max()) for column in columns if len(column)), default=0)
    code = np.zeros(len(columns[0]), dtype=np.int64)
    for column in columns:
        code = code * base + (column + 1)
    found, counts = np.unique(code, return_counts=True)
    values = np.empty((len(columns), len(found)), dtype=np.int64)
    for row in range(len(columns) - 1, -1, -1):
        found, rest = np.divmod(found, base)
        values[row] = rest - 1
    return Cells(values, counts.astype(np.int64))


def class_totals(gold: Ints, predicted: Ints, counts: Ints, n_classes: int) -> ClassTotals:
    """Totals per class from cells: gold (c,), predicted (c,), counts (..., c) -> three arrays (...,
    n_classes).

    >>> class_totals(np.array([0, 1]), np.array([0, 0]), np.array([5, 2]), 2)
    ClassTotals(hits=array([5, 0]), gold=array([5, 2]), predicted=array([7, 0]))
    """
    right = np.where(gold == predicted, gold, -1)
    return ClassTotals(*(_sum_by_class(classes, counts, n_classes) for classes in (right, gold, predicted)))


def f1_per_class(totals: ClassTotals) -> Numbers:
    """F1 = 2 hits / (gold + predicted), (..., n_classes) in [0, 1]; nan for a class that is not in gold.

    >>> f1_per_class(ClassTotals(np.array([5, 0, 0]), np.array([5, 2, 0]), np.array([6, 0, 1]))).round(3)
    array([0.909, 0.   ,   nan])
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = 2 * totals.hits / (totals.gold + totals.predicted)
    return np.where(totals.gold > 0, f1, np.nan)


def macro_f1(totals: ClassTotals) -> Numbers:
    """Mean F1 over the classes that occur in gold, (...) in [0, 1]; nan without examples.

    >>> round(float(macro_f1(ClassTotals(np.array([5, 0, 0]), np.array([5, 2, 0]), np.array([6, 0, 1])))), 3)
    0.455
    """
    n_present = (totals.gold > 0).sum(axis=-1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(np.nansum(f1_per_class(totals), axis=-1) / n_present, dtype=np.float64)


def weighted_f1(totals: ClassTotals) -> Numbers:
    """Mean F1 weighted by how often each class occurs in gold, (...) in [0, 1]; nan without examples.

    >>> round(float(weighted_f1(ClassTotals(np.array([5, 0]), np.array([5, 2]), np.array([6, 0])))), 3)
    0.649
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        total = np.nansum(f1_per_class(totals) * totals.gold, axis=-1)
        return np.asarray(total / totals.gold.sum(axis=-1), dtype=np.float64)


def _sum_by_class(classes: Ints, counts: Ints, n_classes: int) -> Counts:
    """Sum counts (..., c) into (..., n_classes); cells of class -1 go nowhere."""
    cells = np.flatnonzero(classes >= 0)
    ones = np.ones(len(cells), dtype=np.int64)
    indicator: Any = sparse.csr_array((ones, (classes[cells], cells)), shape=(n_classes, len(classes)))
    return np.asarray((indicator @ counts.T).T, dtype=np.int64)
