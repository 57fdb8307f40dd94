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


def pareto_front(values: npt.ArrayLike, is_maximised: npt.ArrayLike) -> npt.NDArray[np.bool_]:
    """Which rows of values (n, m) no other row beats: none is as good in every objective and better in one.

    `is_maximised` (m,) says where higher is better. A row with nan is not on the front and beats none; equal rows
    stand together.

    >>> pareto_front([[0.9, 10.0], [0.8, 5.0], [0.7, 7.0]], [True, False]).tolist()
    [True, True, False]
    """
    given = np.asarray(values, dtype=np.float64)
    signs = np.where(np.asarray(is_maximised, dtype=bool), 1.0, -1.0)
    is_known: npt.NDArray[np.bool_] = ~np.isnan(given).any(axis=1)  # type: ignore[assignment]  # numpy's stubs: or one bool
    scores = np.where(is_known[:, None], given * signs, -np.inf)
    front = is_known.copy()
    for i in np.flatnonzero(is_known):
        is_beaten = (scores >= scores[i]).all(axis=1) & (scores > scores[i]).any(axis=1)
        front[i] = not is_beaten.any()
    return front
