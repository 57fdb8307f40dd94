"""What a cross-validation judges: a label of each training example, a set of labels, spans, or a number.

Loads no torch.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from evals.tags import Scheme, scheme_tags
from runner.triage.rows import unjudged
from store import Dataset, Store, read_targets, read_values

Ints = NDArray[np.int64]

TASKS: Mapping[str, str | None] = MappingProxyType(
    {
        "text-classification": None,
        "pair-classification": None,
        "rerank": None,
        "multi-label-classification": "sets of labels",
        "token-classification": "spans",
        "regression": "numbers",
    }
)
"""Tasks that can be cross-validated, and what their examples have in place of one label each."""
N_BINS = 10
"""Numbers are spread over the folds by tenths."""


@dataclass(frozen=True)
class Targets:
    """What n training examples have. Labels are classes, members of sets, or types of spans."""

    kind: str | None
    """None: one label each; else as `runner.triage.rows.unjudged` says."""
    label: Ints
    """(m,) every label that an example has, once,"""
    owner: Ints
    """(m,) and whose it is."""
    strata: Ints
    """(n,) what the folds are stratified by: the rarest label of each example, the tenth of its number; -1 = none."""
    is_known: NDArray[np.bool_]
    """(n,) which examples can be trained on."""


def read_judged(store: Store, dataset: Dataset) -> Targets:
    """The targets of the training split."""
    kind = unjudged(store, dataset)
    if kind is None:
        targets = read_targets(store, dataset, "train")
        owner = np.flatnonzero(targets >= 0)
        return Targets(kind, targets[owner], owner, targets, targets >= 0)
    values = read_values(store, dataset, "train")
    n = len(values)
    if kind == "numbers":
        numbers = np.array([np.nan if value is None else value for value in values], dtype=np.float64)
        edges = np.nanquantile(numbers, np.linspace(0, 1, N_BINS + 1)[1:-1])
        strata = np.where(np.isnan(numbers), -1, np.searchsorted(edges, numbers))
        return Targets(kind, np.zeros(0, np.int64), np.zeros(0, np.int64), strata, ~np.isnan(numbers))
    of_each = [_labels(value, kind) for value in values]
    owner = np.repeat(np.arange(n), [len(labels) for labels in of_each])
    label = np.array([at for labels in of_each for at in labels], dtype=np.int64)
    return Targets(kind, label, owner, _rarest(label, owner, n), np.array([value is not None for value in values]))


def width(targets: str | None, n_labels: int, scheme: str) -> int:
    """Numbers that a model says of an example, or of a word: classes, labels, tags, or one.

    >>> width(None, 3, "BIO"), width("spans", 3, "BIO"), width("spans", 3, "BIOES"), width("numbers", 0, "BIO")
    (3, 7, 13, 1)
    """
    if targets == "numbers":
        return 1
    return len(scheme_tags(map(str, range(n_labels)), Scheme(scheme))) if targets == "spans" else n_labels


def _labels(value: object, kind: str) -> list[int]:
    """Each label of an example once: of a set its members, of spans their types."""
    if not isinstance(value, str) or kind == "texts":
        return []
    members = json.loads(value)
    return sorted({int(member[2]) if kind == "spans" else int(member) for member in members})


def _rarest(label: Ints, owner: Ints, n: int) -> Ints:
    """(n,) the rarest label of each example, the next number where it has none."""
    counts = np.bincount(label)
    strata = np.full(n, len(counts), dtype=np.int64)
    order = np.argsort(-counts[label], kind="stable")  # the rarest is written last
    strata[owner[order]] = label[order]
    return strata
