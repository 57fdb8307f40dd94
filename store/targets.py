"""Targets as they are decided: a label by its index or name, a set of labels, spans, a number.

Sets and spans are JSON, as the store keeps targets: [label, ...], or [[first word, word after the last, type], ...];
labels and types by index or by name.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from store.records import Dataset

Label = int | float | str


def label_value(dataset: Dataset, label: Label | None) -> Label | None:
    """The target that a label stands for: an index for an index or a name, JSON of indices for a set or spans.

    ValueError where the dataset has no such label, or spans overlap. Data without label names take any target.
    """
    names = dataset.label_names
    if label is None or names is None:
        return label
    if isinstance(label, str) and label in names:
        return names.index(label)
    if isinstance(label, int) and not isinstance(label, bool) and 0 <= label < len(names):
        return label
    if isinstance(label, str) and label.startswith("["):
        return _listed_value(dataset, label)
    raise _unknown(dataset, label)


def target_problem(target: object, label: Label | None, n_words: int | None) -> str | None:
    """Why a label (as `label_value` gives it) cannot take the place of a target; None where it can.

    n_words: of the sentence, None where the example is none.

    >>> target_problem(1, "[[0, 1, 0]]", None), target_problem("[]", "[[0, 3, 0]]", 3)
    ('the example has one label, not a set of them or spans', None)
    >>> target_problem("[]", "[[0, 4, 0]]", 3), target_problem("[]", "[0]", 3)
    ('a span reaches to word 4 of a sentence of 3', 'the example is a sentence: needed are [[first, end, type]]')
    >>> target_problem(2.5, 4, None), target_problem(2.5, "many", None)
    (None, "the example has a number, and 'many' is none that is finite")
    """
    is_listed = isinstance(label, str) and label.startswith("[")
    if label is None or target is None:
        return None
    if isinstance(target, float):
        is_number = isinstance(label, int | float) and not isinstance(label, bool) and math.isfinite(label)
        return None if is_number else f"the example has a number, and {label!r} is none that is finite"
    if not isinstance(target, str):
        return "the example has one label, not a set of them or spans" if is_listed else None
    if not target.startswith("["):
        return None
    if not is_listed:
        return "the example has a set of labels or spans: JSON, such as [0, 2] or [[3, 5, 0]]"
    items = json.loads(str(label))
    has_spans = any(isinstance(item, list) for item in items)
    if n_words is None:
        return "the example is no sentence: it has a set of labels, such as [0, 2]" if has_spans else None
    if items and not has_spans:
        return "the example is a sentence: needed are [[first, end, type]]"
    end = max((item[1] for item in items), default=0)
    return f"a span reaches to word {end} of a sentence of {n_words}" if end > n_words else None


def by_name(target: Any, names: Sequence[str] | None) -> Any:
    """A target with the names of its labels, as `label_value` reads it in any dataset that has them.

    >>> by_name("[[0, 2, 1]]", ["LOC", "PER"]), by_name("[0, 1]", ["joy", "love"]), by_name("joy", ["joy"])
    ('[[0, 2, "PER"]]', '["joy", "love"]', 'joy')
    """
    if names is None or not isinstance(target, str) or not target.startswith("[") or target in names:
        return target
    items = json.loads(target)
    told = [[*item[:2], names[item[2]]] if isinstance(item, list) else names[item] for item in items]
    return json.dumps(told, ensure_ascii=False)


def _listed_value(dataset: Dataset, text: str) -> str:
    """JSON of a set of labels or of spans, by indices and in order. ValueError for anything else."""
    try:
        items = json.loads(text)
    except ValueError:
        raise _unknown(dataset, text) from None
    if not any(isinstance(item, list) for item in items):
        return json.dumps(sorted({_index(dataset, item) for item in items}))
    spans = []
    for item in items:
        if not (isinstance(item, list) and len(item) == 3 and all(type(at) is int for at in item[:2])):
            raise ValueError(f"{json.dumps(item)} is no span; needed is [first word, word after the last, type].")
        if not 0 <= item[0] < item[1]:
            raise ValueError(f"span {item[0]} to {item[1]} is empty or begins before the sentence.")
        spans.append([*item[:2], _index(dataset, item[2])])
    spans.sort()
    for before, after in pairwise(spans):
        if after[0] < before[1]:
            raise ValueError(f"spans {before[0]} to {before[1]} and {after[0]} to {after[1]} overlap.")
    return json.dumps(spans)


def _index(dataset: Dataset, label: object) -> int:
    names = dataset.label_names or ()
    if isinstance(label, str) and label in names:
        return names.index(label)
    if type(label) is int and 0 <= label < len(names):
        return label
    raise _unknown(dataset, label)


def _unknown(dataset: Dataset, label: object) -> ValueError:
    names = dataset.label_names or ()
    known = ", ".join(names[:20]) + (", ..." if len(names) > 20 else "")
    return ValueError(f"{label!r} is no label of {dataset}; its {len(names)} labels are {known}.")
