"""The map of the data: which marks are drawn, how they are grouped, and what lies in a lasso.

xy (n, 2): the stored layout of a split, nan = not laid out.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Floats, Ints

MOST_MARKS = 4000
MOST_COLOURS = 9
"""Groups that have a colour of their own; the rest share grey."""
_RISKS = ((0.0, "risk below 0.5"), (0.5, "0.5 to 0.8"), (0.8, "0.8 to 0.95"), (0.95, "0.95 and more"))


BANDS = tuple(name for _, name in _RISKS)
"""Of risk, from the lowest."""


def drawn(xy: Floats, risk: Floats | None, sampled: npt.NDArray[Any] | None, *, most: int = MOST_MARKS) -> Ints:
    """Which positions are drawn, ascending: all, or half of them the riskiest and half spread over the rest.

    sampled (n,): 1 = in the sample that the runner drew with an eye to density; the rest is taken from there.

    >>> xy = np.arange(20.0).reshape(10, 2)
    >>> drawn(xy, np.arange(10) / 10, None, most=4).tolist()
    [0, 7, 8, 9]
    """
    known = np.flatnonzero(~np.isnan(xy).any(axis=1))
    if len(known) <= most:
        return known.astype(np.int64)
    top: Ints = np.zeros(0, dtype=np.int64)
    if risk is not None:
        order = known[np.argsort(-np.nan_to_num(risk[known], nan=-1.0), kind="stable")]
        top = order[: most // 2]
    rest = np.setdiff1d(known, top)
    preferred = rest[np.asarray(sampled)[rest] > 0] if sampled is not None else rest
    pool = preferred if len(preferred) >= most - len(top) else rest
    spread = pool[np.linspace(0, len(pool) - 1, most - len(top)).astype(np.int64)]
    return np.union1d(top, spread).astype(np.int64)


def risk_bands(risk: Floats) -> list[str]:
    """The band of each risk, in words.

    >>> risk_bands(np.array([0.2, 0.97, np.nan]))
    ['risk below 0.5', '0.95 and more', 'risk not known']
    """
    return [
        "risk not known" if np.isnan(value) else [name for least, name in _RISKS if value >= least][-1]
        for value in risk
    ]


def commonest(groups: Sequence[str], *, most: int = MOST_COLOURS) -> list[str]:
    """The groups that get a colour, the commonest first.

    >>> commonest(["a", "b", "b", "c"], most=2)
    ['b', 'a']
    """
    return [str(name) for name in pd.Series(list(groups), dtype=object).value_counts().index[:most]]


def inside(xy: Floats, areas: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.bool_]:
    """Which points (n, 2) lie in any of the brushed areas: brush_type `rect` or `polygon` with coord_range.

    >>> square = {"brush_type": "rect", "coord_range": [[0, 2], [0, 2]]}
    >>> corner = {"brush_type": "polygon", "coord_range": [[5, 5], [7, 5], [5, 7]]}
    >>> inside(np.array([[1.0, 1.0], [3.0, 1.0], [5.5, 5.5], [6.9, 6.9]]), [square, corner]).tolist()
    [True, False, True, False]
    """
    found = np.zeros(len(xy), dtype=bool)
    for area in areas:
        range_ = np.asarray(area["coord_range"], dtype=np.float64)
        if area["brush_type"] == "rect":
            low, high = range_.min(axis=1), range_.max(axis=1)
            found |= ((xy >= low) & (xy <= high)).all(axis=1)
        elif area["brush_type"] == "polygon" and len(range_) >= 3:
            found |= _in_polygon(xy, range_)
    return found


def _in_polygon(xy: Floats, corners: Floats) -> npt.NDArray[np.bool_]:
    """Even-odd rule: a ray to the right crosses the outline an odd number of times."""
    x, y = xy[:, 0], xy[:, 1]
    crossed = np.zeros(len(xy), dtype=bool)
    for (x0, y0), (x1, y1) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
        if y0 == y1:
            continue
        spans = (y0 > y) != (y1 > y)
        crossed ^= spans & (x < (x1 - x0) * (y - y0) / (y1 - y0) + x0)
    return crossed
