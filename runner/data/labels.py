"""From the values of a label column to label names in index order."""

import math
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.data.problems import SHOWN, Problems, did_you_mean, listed

MAX_LABELS = 10_000  # more different labels than this are no classes: the column is an id or a free text

_LONE_SURROGATE = re.compile("[\ud800-\udfff]")
_INDEX = re.compile(r"\d{1,999}")  # Python turns no text of some thousands of digits into a number
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")


class NotALabel(ValueError):
    """The value is of a kind that cannot name a class."""


def label_key(value: object) -> str | None:
    """The text that a label's value stands for; None when it is missing (None, nan, an empty text).

    Whole floats read as integers, because a column of integers with a gap turns into floats on its way through
    many a tool. Raises NotALabel for lists, mappings, texts that are no Unicode and other things that are no label.

    >>> label_key(" joy "), label_key(3), label_key(1.0), label_key(0.5), label_key(True), label_key("  ")
    ('joy', '3', '1', '0.5', 'true', None)
    """
    if value is None:
        return None
    if isinstance(value, str):
        if _LONE_SURROGATE.search(value):
            raise NotALabel("half a character (a lone surrogate)")
        return value.strip() or None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, numbers.Integral):
        return str(int(value))
    if isinstance(value, numbers.Real):
        number = float(value)
        if math.isnan(number):
            return None
        return str(int(number)) if number.is_integer() else repr(number)
    kinds: dict[type, str] = {list: "a list", dict: "an object", bytes: "bytes"}
    raise NotALabel(kinds.get(type(value), type(value).__name__))


def natural_order(names: Sequence[str]) -> tuple[str, ...]:
    """Names sorted as a person would: by value where all are numbers, else with numbers inside them by value.

    >>> natural_order(["b10", "b2", "a"]), natural_order(["10", "-1", "9"])
    (('a', 'b2', 'b10'), ('-1', '9', '10'))
    """
    if all(re.fullmatch(r"-?[0-9]{1,999}", name) for name in names):
        return tuple(sorted(names, key=lambda name: (int(name), name)))
    return tuple(sorted(names, key=lambda name: (_natural_key(name), name)))


def _natural_key(name: str) -> tuple[tuple[int, int, str], ...]:
    pieces = re.split(r"([0-9]{1,999})", name.casefold())
    return tuple((0, int(piece), "") if i % 2 else (1, 0, piece) for i, piece in enumerate(pieces) if piece)


class LabelCounts(NamedTuple):
    """What a reading of the label column found, per different value."""

    keys: Sequence[str]
    """(n_keys,): texts by `label_key`, in the order in which they were met."""
    places: Sequence[str]
    """(n_keys,): where each was met first, such as "train.csv line 7"."""
    counts: Mapping[str, NDArray[np.int64]]
    """Split → (n_keys,) rows."""

    def total(self) -> NDArray[np.int64]:
        """(n_keys,) rows in all splits."""
        return sum(self.counts.values(), start=np.zeros(len(self.keys), dtype=np.int64))


class LabelIndex(NamedTuple):
    """The classes, and which of them each key means."""

    names: tuple[str, ...]
    positions: NDArray[np.int32]
    """(n_keys,): position in `names`, or -1 where the key means none (then a problem says so)."""


def index_labels(
    found: LabelCounts,
    problems: Problems,
    *,
    column: str,
    field: str = "data.columns.label",
    declared: Sequence[str] | None = None,
    class_names: Sequence[str] | None = None,
    train_complete: bool = True,
) -> LabelIndex:
    """Decide the label names and their order; every doubt goes to `problems`.

    `declared` is the recipe's `data.labels`; `class_names` are those of a `datasets.ClassLabel` column,
    whose values are indices. Without either, the names met in train are used in natural order.
    `train_complete=False` says that train could not be read, so nothing is said about labels it lacks.
    """
    where = f'{field}: the column "{column}"'
    keys = list(found.keys)
    if not class_names:
        keys = _whole_numbers(found, problems, where)
    elif keys:
        keys = [_class_name(key, class_names) for key in keys]
        rows = found.total()
        if bad := [i for i, key in enumerate(keys) if key == "" and rows[i]]:
            problems.add(
                f"{where} holds {_occurrences(found, bad)}; its class names allow 0 to "
                f"{len(class_names) - 1} ({listed(class_names)}). "
                "Remove the rows without a label or correct them."
            )
    if declared:
        names = tuple(declared)
        keys = _declared(keys, names, found, problems)
    elif class_names:
        names = tuple(class_names)
    else:
        counted = found.counts["train"] if train_complete else found.total()
        names = natural_order(list({key for key, n in zip(keys, counted, strict=True) if n}))
    position = {name: i for i, name in enumerate(names)}
    positions = np.array([position.get(key, -1) for key in keys], dtype=np.int32)
    if train_complete and not declared and not class_names:
        _check_unknown(found, keys, names, problems)
    return LabelIndex(names, positions)


def _class_name(key: str, class_names: Sequence[str]) -> str:
    if _INDEX.fullmatch(key) and int(key) < len(class_names):
        return class_names[int(key)]
    return key if key in class_names else ""


def _whole_numbers(found: LabelCounts, problems: Problems, where: str) -> list[str]:
    """Keys with "1.0" read as "1" where the whole column is numeric; numbers that are not whole are a problem."""
    keys = list(found.keys)
    if not all(_NUMBER.fullmatch(key) for key in keys):
        return keys
    fractional = [i for i, key in enumerate(keys) if not float(key).is_integer()]
    if fractional:
        problems.add(
            f"{where} holds numbers that are not whole: {_occurrences(found, fractional)}. This looks like "
            "regression; Assay's text classification needs names or whole numbers. Turn the numbers into classes "
            "(for instance low, medium, high), or name another label column."
        )
        return keys
    return [key if re.fullmatch(r"[+-]?\d+", key) else str(int(float(key))) for key in keys]


def _declared(keys: list[str], names: tuple[str, ...], found: LabelCounts, problems: Problems) -> list[str]:
    """Keys as declared names: names win; a column of whole numbers that are not names holds indices."""
    if all(key in names for key in keys):
        return keys
    if all(_INDEX.fullmatch(key) for key in keys):
        outside = [i for i, key in enumerate(keys) if int(key) >= len(names)]
        if outside:
            problems.add(
                f"data.labels names {len(names)} labels, so the label column may hold 0 to {len(names) - 1}; it also "
                f"holds {_occurrences(found, outside)}. Name all labels, or leave data.labels out."
            )
        return [names[int(key)] if int(key) < len(names) else key for key in keys]
    for i, key in enumerate(keys):
        if key not in names and key:
            problems.add(
                f'label "{key}" ({_occurrences(found, [i], value=False)}) is not in data.labels '
                f"({listed(names)}).{did_you_mean(key, names)} Add it to data.labels or correct the rows."
            )
    return keys


def _check_unknown(found: LabelCounts, keys: Sequence[str], names: tuple[str, ...], problems: Problems) -> None:
    for split, counts in found.counts.items():
        unknown = [i for i, key in enumerate(keys) if counts[i] and key not in names]
        if unknown:
            labels = listed([f'"{keys[i]}" ({counts[i]:,} × from {found.places[i]})' for i in unknown])
            near = did_you_mean(keys[unknown[0]], names) if len(unknown) == 1 else ""
            problems.add(
                f"the {split} split has labels that train does not have: {labels}.{near} Train has {listed(names)}. "
                "Correct the rows, add training examples, or name every label in data.labels."
            )


def _occurrences(found: LabelCounts, which: Sequence[int], *, value: bool = True) -> str:
    """Values with where they were met first and how often, such as "0.5 (12 rows, first train.csv line 3)"."""
    pieces = []
    for i in which[:SHOWN]:
        n = sum(int(counts[i]) for counts in found.counts.values())
        rows = f"{n:,} row{'s' if n != 1 else ''}, first {found.places[i]}"
        pieces.append(f"{found.keys[i]} ({rows})" if value else rows)
    return listed(pieces, len(which))
