"""What a detector hands back: a risk for each example, groups of examples that belong together, and the evidence."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evals.intervals import Ints

Evidence = float | int | str | bool | list[Any]
"""A value that a person reads and JSON holds."""


class Group(NamedTuple):
    """Examples that share one thing: a region, a slice, two classes. `rows` (m,) are their row numbers."""

    name: str
    risk: float
    rows: Ints
    evidence: Mapping[str, Evidence]


class Found(NamedTuple):
    """What one detector says of n examples.

    risk: (n,) in [0, 1], higher = look here first, nan = not known, or not a matter of single examples.
    evidence: arrays (n,) by name; where an example has none: nan, -1, "" or None.
    groups: the worst first.
    """

    risk: npt.NDArray[np.float64]
    evidence: Mapping[str, npt.NDArray[Any]]
    groups: tuple[Group, ...] = ()


def of_groups(n: int, groups: Sequence[Group]) -> Found:
    """What a detector says that knows groups only: no risk of single examples, the worst group first.

    >>> low, high = Group("a", 0.1, np.array([0]), {}), Group("b", 0.9, np.array([1]), {})
    >>> found = of_groups(2, [low, high])
    >>> [group.name for group in found.groups], found.risk.tolist()
    (['b', 'a'], [nan, nan])
    """
    worst_first = sorted(groups, key=lambda group: -group.risk if group.risk == group.risk else np.inf)
    return Found(np.full(n, np.nan), {}, tuple(worst_first))


def evidence_of(found: Found, row: int) -> dict[str, Evidence]:
    """The evidence for one example as plain values, without what is not known.

    >>> evidence_of(Found(np.array([1.0]), {"partner": np.array([3]), "similarity": np.array([np.nan])}), 0)
    {'partner': 3}
    """
    values = {name: _plain(column[row]) for name, column in found.evidence.items()}
    return {name: value for name, value in values.items() if value is not None}


def _plain(value: Any) -> Evidence | None:
    plain = value.item() if isinstance(value, np.generic) else value
    if isinstance(plain, int) and not isinstance(plain, bool) and plain == -1:
        return None
    if plain is None or plain == "" or (isinstance(plain, float) and not np.isfinite(plain)):
        return None
    return plain  # type: ignore[no-any-return]  # numpy says Any of its own scalars


def checked(name: str, values: npt.NDArray[Any], n: int) -> None:
    """Raise ValueError where an array is not one value an example.

    >>> checked("labels", np.array([0, 1]), 3)
    Traceback (most recent call last):
    ValueError: labels has shape (2,); needed: one value an example, (3,)
    """
    if values.shape != (n,):
        raise ValueError(f"{name} has shape {values.shape}; needed: one value an example, ({n},)")


def checked_labels(labels: Ints, n: int, n_classes: int) -> None:
    """Raise ValueError unless labels is (n,) in -1 (none) to n_classes - 1.

    >>> checked_labels(np.array([0, 2]), 2, 2)
    Traceback (most recent call last):
    ValueError: labels holds 0 to 2; allowed: -1 (no label) to 1, one for each of 2 names
    """
    checked("labels", labels, n)
    if n and not -1 <= labels.min() <= labels.max() < n_classes:
        allowed = f"-1 (no label) to {n_classes - 1}, one for each of {n_classes} names"
        raise ValueError(f"labels holds {labels.min()} to {labels.max()}; allowed: {allowed}")
