"""What looking at so many examples is expected to find: chances from the triage, corrected by the decisions so far.

Arrays are over the training split, in position order.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Estimate, Floats
from evals.triage.stopping import HARDLY_ANY, Outlook, outlook

Numbers = npt.NDArray[np.float64]

WORTH = 0.05
"""The least chance to be wrong for which an example is worth a look: 1 in 20."""
_IS_WRONG = {"relabel": 1.0, "keep": 0.0}
"""What an action says of the label; dropping or editing an example says nothing of it."""


def verdicts(n: int, positions: Sequence[int], actions: Sequence[str]) -> tuple[Numbers, npt.NDArray[np.bool_]]:
    """is_wrong (n,): 1 wrong, 0 right, nan = not decided; is_gone (n,): decided without a word about the label.

    >>> is_wrong, is_gone = verdicts(4, [0, 2, 3], ["relabel", "keep", "drop"])
    >>> is_wrong.tolist(), is_gone.tolist()
    ([1.0, nan, 0.0, nan], [False, False, False, True])
    """
    is_wrong, is_gone = np.full(n, np.nan), np.zeros(n, dtype=bool)
    for position, action in zip(positions, actions, strict=True):
        if 0 <= position < n:
            if action in _IS_WRONG:
                is_wrong[position] = _IS_WRONG[action]
            else:
                is_gone[position] = action in ("drop", "edit")
    return is_wrong, is_gone


def expected(
    chance: Floats, is_wrong: Numbers, is_gone: npt.NDArray[np.bool_], n_errors: Estimate, *, n_next: int,
    rows: Sequence[int] | None = None,
) -> Outlook:  # fmt: skip
    """The outlook on all examples, or on those of `rows` and what was decided.

    chance (n,) in [0, 1], nan = not known. Of a part of the queue the errors expected are its share
    of all, and as sure; its share of the examples where hardly any error is expected.

    >>> chance = np.repeat([0.5, 0.0], [10, 90])
    >>> nothing = verdicts(100, [], [])
    >>> seen = expected(chance, *nothing, Estimate(5.0, 4.0, 6.0), n_next=4, rows=[0, 1, 2, 3, 50])
    >>> seen.n_rest, round(seen.next_errors.value)
    (5, 2)
    """
    known = np.where(is_gone, np.nan, np.asarray(chance, dtype=np.float64))
    total, n_known = float(np.nansum(known)), int((~np.isnan(known)).sum())
    if rows is not None:
        inside = ~np.isnan(is_wrong)
        inside[np.asarray(rows, dtype=np.int64)] = True
        known = np.where(inside, known, np.nan)
        share = float(np.nansum(known)) / total if total > 0 else 0.0
        if n_errors.value < HARDLY_ANY:
            share = int((~np.isnan(known)).sum()) / max(1, n_known)
        n_errors = Estimate(*(each * share for each in n_errors))
    return outlook(known, is_wrong, n_errors, n_next=n_next, worth=WORTH)


def found_so_far(is_wrong: Sequence[bool]) -> pd.DataFrame:
    """Wrong labels found after each decision, in the order decided: columns n_reviewed, n_found.

    >>> found_so_far([True, False, True]).to_dict("list")
    {'n_reviewed': [1, 2, 3], 'n_found': [1, 1, 2]}
    """
    found = np.cumsum(np.asarray(is_wrong, dtype=np.int64))
    return pd.DataFrame({"n_reviewed": np.arange(1, len(found) + 1), "n_found": found})
