"""A search over configurations: the best so far, and what no other configuration beats in everything."""

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


def best_so_far(values: npt.ArrayLike, *, is_maximised: bool) -> Floats:
    """The best of the first i values (n,), in their order; nan until the first known value.

    >>> best_so_far([np.nan, 0.2, 0.1, 0.4], is_maximised=True).tolist()
    [nan, 0.2, 0.2, 0.4]
    """
    given = np.asarray(values, dtype=np.float64)
    return np.fmax.accumulate(given) if is_maximised else np.fmin.accumulate(given)


def pareto_front(
    values: npt.ArrayLike,
    is_maximised: npt.ArrayLike,
    lows: npt.ArrayLike | None = None,
    highs: npt.ArrayLike | None = None,
) -> npt.NDArray[np.bool_]:
    """Which rows of values (n, m) no other row beats: none is as good in every objective and better in one.

    `is_maximised` (m,) says where higher is better. A row with nan is not on the front and beats none; equal rows
    stand together.

    `lows` and `highs` (n, m) are intervals around the values, in one objective at most (elsewhere they equal them; nan
    is no interval): what overlaps there counts as equally good. A row is then beaten only by one that stands on the
    front itself, so that in a chain of overlaps the fast end is not lost to a middle that the other end beats. Raises
    ValueError for intervals in several objectives: what beats what could then go in a circle.

    >>> pareto_front([[0.9, 10.0], [0.8, 5.0], [0.7, 7.0]], [True, False]).tolist()
    [True, True, False]
    >>> lows, highs = [[0.9, 9.0], [0.8, 8.0]], [[0.9, 11.0], [0.8, 10.0]]
    >>> pareto_front([[0.9, 10.0], [0.8, 9.0]], [True, False], lows, highs).tolist()
    [True, False]
    """
    given = np.asarray(values, dtype=np.float64)
    ups = np.asarray(is_maximised, dtype=bool)
    is_known: npt.NDArray[np.bool_] = ~np.isnan(given).any(axis=1)  # type: ignore[assignment]  # numpy's stubs: or one bool
    ends = [given if end is None else np.asarray(end, dtype=np.float64) for end in (lows, highs)]
    low, high = (np.where(np.isnan(end), given, end) for end in ends)
    worst, best = np.where(ups, low, -high), np.where(ups, high, -low)  # from here on higher is better
    is_wide = (best > worst)[is_known].any(axis=0)
    if is_wide.sum() > 1:
        raise ValueError(f"{is_wide.sum()} objectives have intervals; one may.")
    # No row is beaten by one that comes after it: by the exact objectives, then by the clearly better end of the other.
    keys = [worst[:, i] for i in np.flatnonzero(is_wide)] + [worst[:, i] for i in np.flatnonzero(~is_wide)]
    order = np.lexsort(tuple(keys))[::-1] if keys else np.arange(len(given))
    front = np.zeros(len(given), dtype=bool)
    for i in order[is_known[order]]:
        others = np.flatnonzero(front)
        is_beaten = (best[others] >= worst[i]).all(axis=1) & (worst[others] > best[i]).any(axis=1)
        front[i] = not is_beaten.any()
    return front
