"""Class imbalance that hurts: rare classes that the model finds less often than the others."""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Ints, wilson_bounds
from evals.paired import ALPHA, holm
from evals.triage.found import Found, Group, checked, checked_labels, of_groups
from evals.triage.rates import compare_rates

RARE = 0.5
"""A class is rare that has less than this share of what each would have if all were alike."""


def class_balance(
    labels: Ints, is_train: npt.NDArray[np.bool_], predicted: Ints, label_names: Sequence[str]
) -> pd.DataFrame:
    """What each class has to learn from, and what came of it: a row a class.

    labels (n,), -1 = none; predicted (n,) the classes a model said of the held-out examples, -1 = not known. Columns:
    label, n_train, share (of n_train over what each class would have if all were alike), is_rare, n, recall with low,
    high (95 %), rest (the recall of all other classes together), difference with difference_low, difference_high, p,
    and p_holm, over the rare classes. nan where nothing is known.

    >>> labels = np.repeat([0, 1, 0, 1], [90, 10, 50, 20])
    >>> predicted = np.repeat([-1, 0, 0, 1], [100, 50, 15, 5])
    >>> table = class_balance(labels, np.arange(170) < 100, predicted, ["common", "rare"])
    >>> table[["label", "share", "is_rare", "recall"]].values.tolist()
    [['common', 1.8, False, 1.0], ['rare', 0.2, True, 0.25]]
    """
    n_classes = len(label_names)
    checked_labels(labels, len(labels), n_classes)
    checked("is_train", is_train, len(labels))
    checked("predicted", predicted, len(labels))
    n_train = np.bincount(labels[is_train & (labels >= 0)], minlength=n_classes)
    is_judged = ~is_train & (labels >= 0) & (predicted >= 0)
    gold = labels[is_judged]
    n = np.bincount(gold, minlength=n_classes)
    hits = np.bincount(gold[gold == predicted[is_judged]], minlength=n_classes)
    found = compare_rates(hits, n, hits.sum() - hits, n.sum() - n)
    low, high = wilson_bounds(hits, n)
    share = n_train * n_classes / max(1, int(n_train.sum()))
    is_rare = share < RARE
    with np.errstate(invalid="ignore", divide="ignore"):
        recall, rest = hits / n, (hits.sum() - hits) / (n.sum() - n)
    columns = {
        "label": list(label_names), "n_train": n_train, "share": share, "is_rare": is_rare, "n": n, "recall": recall,
        "low": low, "high": high, "rest": rest, "difference": found.difference, "difference_low": found.low,
        "difference_high": found.high, "p": found.p, "p_holm": holm(np.where(is_rare, found.p, np.nan)),
    }  # fmt: skip
    return pd.DataFrame(columns)


def rare_classes(labels: Ints, is_train: npt.NDArray[np.bool_], predicted: Ints, label_names: Sequence[str]) -> Found:
    """Rare classes with significantly lower recall than the others together (p_holm below 0.05): collect more of them.

    Groups only, rows: the class's training examples. risk: by how much the recall is lower, at least (the nearer end of
    the interval). evidence: the columns of `class_balance`.

    >>> labels = np.repeat([0, 1, 0, 1], [90, 10, 50, 20])
    >>> predicted = np.repeat([-1, 0, 0, 1], [100, 50, 15, 5])
    >>> (group,) = rare_classes(labels, np.arange(170) < 100, predicted, ["common", "rare"]).groups
    >>> group.name, round(group.risk, 2), len(group.rows)
    ('rare', 0.52, 10)
    """
    table = class_balance(labels, is_train, predicted, label_names)
    groups = []
    for place, row in enumerate(table.to_dict("records")):
        if row["is_rare"] and row["p_holm"] < ALPHA and row["difference"] < 0:
            rows = np.flatnonzero(is_train & (labels == place))
            evidence = {str(name): value for name, value in row.items() if name not in ("label", "is_rare")}
            groups.append(Group(row["label"], max(0.0, -row["difference_high"]), rows, evidence))
    return of_groups(len(labels), groups)
