"""Wrong labels where an example may have several: a risk for each class, then one in which the worst weighs most.

given (n, n_classes): 1 = has the class, 0 = has it not, below 0 or nan = not known. probs (n, n_classes): probability
of each class by itself, of a model that has not seen the example's labels; nan = not known.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.found import Evidence, Found, Group
from evals.triage.rows import blocks

WORST_WEIGHT = 0.8
"""Of the worst class; the next worst has this share of what is left, and so on."""
DOUBTED = 0.5
"""A class is doubted above this risk: the model holds the opposite for likelier."""

Numbers = npt.NDArray[np.float64]


def class_risks(given: Ints | Floats, probs: Floats) -> Numbers:
    """How likely each class is given wrongly, (n, n_classes) in [0, 1]: 1 - p for classes it has, p for the others.

    >>> class_risks(np.array([[1, 0, -1]]), np.array([[0.9, 0.8, 0.5]])).round(2).tolist()
    [[0.1, 0.8, nan]]
    """
    if given.shape != probs.shape or given.ndim != 2:
        raise ValueError(f"given has shape {given.shape}, probs {probs.shape}; needed: (n, n_classes) both")
    p = np.asarray(probs, dtype=np.float64)
    return np.where(given > 0, 1 - p, np.where(given == 0, p, np.nan))


def worst_weighs_most(risks: Floats, *, weight: float = WORST_WEIGHT) -> Numbers:
    """One risk of each example from those of its classes (n, n_classes): (n,) in [0, 1], nan where none is known.

    From the smallest to the largest, S = weight * risk + (1 - weight) * S: an exponential moving average, the best of
    the ways to pool that were compared by Thyagarajan et al., Identifying Incorrect Annotations in Multi-Label
    Classification Data (2022), arXiv:2211.13895.

    >>> worst_weighs_most(np.array([[0.5, 0.0], [0.5, np.nan], [0.1, 0.9]])).round(2).tolist()
    [0.4, 0.5, 0.74]
    """
    ordered = np.sort(np.asarray(risks, dtype=np.float64), axis=1)  # nan last
    pooled = np.full(len(ordered), np.nan)
    for column in ordered.T:
        moved = np.where(np.isnan(pooled), column, weight * column + (1 - weight) * pooled)
        pooled = np.where(np.isnan(column), pooled, moved)
    return pooled


def multilabel_errors(label_sets: Ints | Floats, label_set_probs: Floats, label_names: Sequence[str]) -> Found:
    """Examples with classes too many or too few: risk by `worst_weighs_most` over `class_risks`.

    evidence: worst, the most doubted class; worst_risk; and, the surest first, add and remove: names of the classes
    that the model holds for likely and the labels lack, and the reverse. groups: one a class with such examples: n_add,
    n_remove; their risk is the share of the examples with a known label for that class in which it is doubted.

    >>> found = multilabel_errors(np.array([[1, 0], [0, 1]]), np.array([[0.2, 0.9], [0.1, 0.9]]), ["fee", "card"])
    >>> found.risk.round(2).tolist(), found.evidence["add"].tolist(), found.evidence["remove"].tolist()
    ([0.88, 0.1], [['card'], None], [['fee'], None])
    """
    n, n_classes = label_sets.shape
    if label_set_probs.shape != label_sets.shape or len(label_names) != n_classes:
        shapes = f"label_sets {label_sets.shape}, label_set_probs {label_set_probs.shape}, {len(label_names)} names"
        raise ValueError(f"{shapes}; needed: (n, n_classes) both, and a name for each class")
    risk, worst, worst_risk = np.full(n, np.nan), np.full(n, -1), np.full(n, np.nan)
    add, remove = np.full(n, None, dtype=object), np.full(n, None, dtype=object)
    rows_of: list[list[int]] = [[] for _ in range(n_classes)]
    known, counts = np.zeros(n_classes), np.zeros((2, n_classes), dtype=np.int64)
    for part in blocks(n, max(1, n_classes)):
        risks = class_risks(label_sets[part], label_set_probs[part])
        risk[part] = worst_weighs_most(risks)
        has_any = ~np.isnan(risks).all(axis=1)
        filled = np.nan_to_num(risks, nan=-1.0)
        if n_classes:
            worst[part] = np.where(has_any, filled.argmax(axis=1), -1)
            worst_risk[part] = np.where(has_any, filled.max(axis=1), np.nan)
        known += (~np.isnan(risks)).sum(axis=0)
        is_doubted = filled > DOUBTED
        has_class = np.asarray(label_sets[part]) > 0
        counts += np.array([(is_doubted & ~has_class).sum(axis=0), (is_doubted & has_class).sum(axis=0)])
        for local in np.flatnonzero(is_doubted.any(axis=1)).tolist():
            surest = [c for c in np.argsort(-filled[local], kind="stable").tolist() if is_doubted[local, c]]
            add[part.start + local] = [label_names[c] for c in surest if not has_class[local, c]] or None
            remove[part.start + local] = [label_names[c] for c in surest if has_class[local, c]] or None
            for c in surest:
                rows_of[c].append(part.start + local)
    groups = []
    for c, rows in enumerate(rows_of):
        if rows:
            evidence: dict[str, Evidence] = {"n_add": int(counts[0, c]), "n_remove": int(counts[1, c])}
            groups.append(Group(label_names[c], len(rows) / float(known[c]), np.array(rows, dtype=np.int64), evidence))
    names = np.array([*label_names, ""], dtype=object)
    evidence_columns = {"worst": names[worst], "worst_risk": worst_risk, "add": add, "remove": remove}
    return Found(risk, evidence_columns, tuple(sorted(groups, key=lambda group: -group.risk)))
