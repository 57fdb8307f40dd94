"""Parts of the data in which the model is worse: by metadata, length, region, or anything else that parts examples.

A `Slicing` parts the examples by one thing; `slice_table` compares each part with the rest, corrected over all parts.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Floats, Ints, wilson_bounds
from evals.paired import ALPHA, holm
from evals.triage.found import Found, Group, checked, of_groups
from evals.triage.rates import Moments, compare_means, compare_rates, moments

LEAST_ROWS = 10
"""Smaller slices say nothing, and each costs the others power."""
MOST_VALUES = 30
"""Of a column with more values the commonest are looked at."""
N_BINS = 5
COLUMNS = (
    "slicing", "slice", "n", "mean", "low", "high", "rest", "difference", "difference_low", "difference_high", "p",
    "p_holm",
)  # fmt: skip


class Slicing(NamedTuple):
    """Examples parted by one thing: part (n,) into `names`, -1 = in no part."""

    name: str
    part: npt.NDArray[np.int64]
    names: tuple[str, ...]


def slice_table(errors: Floats, slicings: Sequence[Slicing], *, least_rows: int = LEAST_ROWS) -> pd.DataFrame:
    """Each slice against all other examples: errors (n,), nan = not known, higher = worse.

    Errors of 0 and 1 are compared as rates, others (a loss) as means. Columns: slicing, slice, n, mean with low, high
    (95 %), rest (the mean of all others), difference with difference_low, difference_high (95 %), p, p_holm (over all
    rows). The worst first: by the lower end of the difference. Slices of fewer than `least_rows` known errors, and
    those that hold all examples, are left out.

    >>> errors = np.repeat([1.0, 0.0, 1.0, 0.0], [15, 5, 10, 70])
    >>> slicing = Slicing("source", np.repeat([0, 1], [20, 80]), ("web", "app"))
    >>> slice_table(errors, [slicing])[["slice", "n", "mean", "difference"]].values.tolist()
    [['web', 20, 0.75, 0.625], ['app', 80, 0.125, -0.625]]
    """
    known = ~np.isnan(errors)
    values = np.asarray(errors, dtype=np.float64)[known]
    is_rate = bool(np.isin(values, (0, 1)).all())
    whole = moments(values, np.zeros(len(values), dtype=np.int64), 1)
    tables = []
    for slicing in slicings:
        checked(f"the part of {slicing.name}", slicing.part, len(errors))
        part = slicing.part[known]
        inside = moments(values[part >= 0], part[part >= 0], len(slicing.names))
        keep = (inside.n >= least_rows) & (inside.n < whole.n)
        inside = Moments(*(column[keep] for column in inside))
        names = [name for name, is_kept in zip(slicing.names, keep, strict=True) if is_kept]
        tables.append(_compare(slicing.name, names, inside, whole, is_rate=is_rate))
    table = pd.concat(tables, ignore_index=True) if tables else pd.DataFrame(columns=list(COLUMNS))
    table["p_holm"] = holm(table["p"].astype(np.float64))
    order = np.argsort(-table["difference_low"].astype(np.float64).to_numpy(), kind="stable")
    return table.iloc[order].reset_index(drop=True)[list(COLUMNS)]


def weak_slices(errors: Floats, slicings: Sequence[Slicing], *, least_rows: int = LEAST_ROWS) -> Found:
    """Slices with significantly more errors than the rest (p_holm below 0.05). Groups only, named "source = web".

    risk: the lower end of the difference to the rest, in [0, 1]; for errors that are no rates, of the difference over
    the largest error. evidence: the columns of `slice_table`.

    >>> errors = np.repeat([1.0, 0.0, 1.0, 0.0], [15, 5, 10, 70])
    >>> (group,) = weak_slices(errors, [Slicing("source", np.repeat([0, 1], [20, 80]), ("web", "app"))]).groups
    >>> group.name, round(group.risk, 2), len(group.rows)
    ('source = web', 0.39, 20)
    """
    table = slice_table(errors, slicings, least_rows=least_rows)
    table = table[(table["p_holm"] < ALPHA) & (table["difference"] > 0)]
    worst = float(np.nanmax(errors, initial=1.0))
    by_name = {slicing.name: slicing for slicing in slicings}
    groups = []
    for row in table.to_dict("records"):
        slicing = by_name[row["slicing"]]
        rows = np.flatnonzero(slicing.part == slicing.names.index(row["slice"]))
        evidence = {str(name): row[name] for name in COLUMNS[2:]}
        groups.append(
            Group(f"{row['slicing']} = {row['slice']}", max(0.0, row["difference_low"] / worst), rows, evidence)
        )
    return of_groups(len(errors), groups)


def length_slicing(lengths: Ints | Floats, *, name: str = "length", unit: str = "characters") -> Slicing:
    """Parts of about equal size by length: lengths (n,), nan = not known.

    >>> length_slicing(np.arange(1, 101)).names[0], length_slicing(np.array([7, 7])).names
    ('1 to 20 characters', ('7 characters',))
    """
    part, names = _bins(np.asarray(lengths, dtype=np.float64))
    return Slicing(name, part, tuple(f"{each} {unit}" for each in names))


def metadata_slicings(metadata: pd.DataFrame) -> list[Slicing]:
    """A slicing for each column: numbers of many values in bins, others by value, the MOST_VALUES commonest.

    Missing values are a slice of their own. A column of one value, and one whose values are nearly all different (ids,
    free text), parts nothing and is left out.

    >>> frame = pd.DataFrame({"source": ["web", "app"] * 3, "id": list("abcdef"), "year": [1, 1, 2, 2, None, 2]})
    >>> [(slicing.name, slicing.names) for slicing in metadata_slicings(frame)]
    [('source', ('app', 'web')), ('year', ('2', '1', 'missing'))]
    """
    slicings = []
    for name in metadata.columns:
        column = metadata[name]
        is_number = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
        is_missing = column.isna().to_numpy()
        if is_number and column.nunique() > MOST_VALUES:
            part, names = _bins(column.to_numpy(dtype=np.float64, na_value=np.nan))
        else:
            texts = np.array([_text(value) for value in column], dtype=object)
            counts = pd.Series(texts[~is_missing]).value_counts()
            if counts.empty or len(counts) > max(2, int((~is_missing).sum()) // 2):
                continue
            kept = sorted(counts.index, key=lambda value: (-counts[value], value))[:MOST_VALUES]
            place = {value: at for at, value in enumerate(kept)}
            part, names = np.array([place.get(text, -1) for text in texts], dtype=np.int64), list(kept)
        if is_missing.any():
            part[is_missing], names = len(names), [*names, "missing"]
        if len(names) > 1:
            slicings.append(Slicing(str(name), part, tuple(names)))
    return slicings


def _compare(name: str, names: list[str], inside: Moments, whole: Moments, *, is_rate: bool) -> pd.DataFrame:
    rest = Moments(*(all_of_it - part for part, all_of_it in zip(inside, whole, strict=True)))
    mean, others = inside.total / inside.n, rest.total / rest.n
    if is_rate:
        counts = [np.round(each).astype(np.int64) for each in (inside.total, inside.n, rest.total, rest.n)]
        found = compare_rates(*counts)
        low, high = wilson_bounds(counts[0], counts[1])
    else:
        found = compare_means(inside, rest)
        alone = compare_means(
            inside, Moments(np.full_like(mean, 2), 0 * mean, 0 * mean)
        )  # against nought, known exactly
        low, high = alone.low, alone.high
    columns = (mean, low, high, others, *found[:3], found.p)
    table = pd.DataFrame(dict(zip([*COLUMNS[3:10], "p"], columns, strict=True)))
    table.insert(0, "n", inside.n.astype(np.int64))
    table.insert(0, "slice", np.array(names, dtype=object))
    table.insert(0, "slicing", name)
    return table


def _bins(values: Floats) -> tuple[npt.NDArray[np.int64], list[str]]:
    """Bins of about equal size; -1 for nan. Equal values are never parted."""
    part = np.full(len(values), -1, dtype=np.int64)
    known = np.isfinite(values)
    if not known.any():
        return part, []
    edges = np.unique(np.quantile(values[known], np.arange(1, N_BINS) / N_BINS))
    codes = np.searchsorted(edges, values[known], side="left")
    used, codes = np.unique(codes, return_inverse=True)
    part[known] = codes
    ends = [(values[part == place].min(), values[part == place].max()) for place in range(len(used))]
    return part, [f"{low:,.6g}" if low == high else f"{low:,.6g} to {high:,.6g}" for low, high in ends]


def _text(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)
