"""Reading the target column: once to learn what is in it, once more to store it.

A reader gives each row a **stratum** in the first reading, a small integer by which splits are cut evenly (for a label
its own), and what is stored of it in the second.
"""

import json
import math
import numbers
from collections.abc import Sequence
from hashlib import blake2b
from typing import Protocol

import numpy as np

from runner.data.labels import MAX_LABELS, LabelCounts, LabelIndex, NotALabel, label_key
from runner.data.problems import Problems, listed
from runner.data.tables import CheckedRow, Columns, Table
from runner.data.words import json_list

Stored = int | float | str
"""A target as the store holds it: a label's index, a number, or JSON."""


class TargetReader(Protocol):
    """What one column of targets holds."""

    def is_missing(self, value: object) -> bool:
        """Whether a row without more than this has no target."""

    def read(self, row: CheckedRow, table: Table) -> int:
        """The row's stratum, -1 where its target is none (then a problem says so)."""

    def digest(self, value: object) -> bytes:
        """16 bytes that say the target, whatever its labels' indices are; empty where strata say it."""

    def label_counts(self, splits: Sequence[str]) -> LabelCounts | None:
        """The labels met so far, counted in each of these splits; None where targets are no labels."""

    def stored(self, value: object, labels: LabelIndex | None) -> Stored | None:
        """A value that was read before, as it is stored."""


def is_empty(value: object) -> bool:
    """Whether nothing is there: no value, nan, or blanks only."""
    if isinstance(value, str):
        return not value or value.isspace()
    return value is None or (isinstance(value, float) and math.isnan(value))


class LabelReader:
    """One label a row. Turns label values into small integers, in the order in which they are met."""

    def __init__(self, columns: Columns, problems: Problems) -> None:
        self.keys: list[str] = []
        self.places: list[str] = []
        self._field, self._column, self._problems = f"data.columns.{columns.shape.target}", columns.target, problems
        self._by_value: dict[object, int] = {}
        self._by_key: dict[str, int] = {}
        self._counts: dict[str, list[int]] = {}

    def is_missing(self, value: object) -> bool:
        return is_empty(value)

    def read(self, row: CheckedRow, table: Table) -> int:
        code = self._code(row.target, table, row.number)
        if code >= 0:
            counts = self._counts.setdefault(table.split, [])
            if code >= len(counts):
                counts += [0] * (len(self.keys) - len(counts))
            counts[code] += 1
        return code

    def digest(self, value: object) -> bytes:
        return b""

    def label_counts(self, splits: Sequence[str]) -> LabelCounts:
        counts = {split: np.zeros(len(self.keys), dtype=np.int64) for split in splits}
        for split, found in self._counts.items():
            counts[split][: len(found)] = found
        return LabelCounts(self.keys, self.places, counts)

    def stored(self, value: object, labels: LabelIndex | None) -> Stored:
        assert labels is not None
        return int(labels.positions[self._by_value[value]])

    def _code(self, value: object, table: Table, number: int) -> int:
        try:
            known = self._by_value.get(value)
        except TypeError:  # unhashable: a list or an object
            known = None
        if known is not None:
            return known
        place = table.place(number)
        try:
            key = label_key(value)
        except NotALabel as error:
            self._problems.add_row(
                table.title,
                f'"{self._column}" holds {error}',
                place,
                "A label is a text, a whole number or a boolean.",
            )
            return -1
        if key is None:  # in a list of labels: alone, the row was taken out before
            self._problems.add_row(
                table.title, f'"{self._column}" holds an empty label', place, "Name it or remove it."
            )
            return -1
        code = self._by_key.get(key)
        if code is None:
            if len(self.keys) >= MAX_LABELS:
                self._problems.add(
                    f'{self._field}: the column "{self._column}" has more than {MAX_LABELS:,} different values '
                    f"({listed(self.keys)}), so it looks like an id or a free text. Name another label column."
                )
                return -1
            code = self._by_key[key] = len(self.keys)
            self.keys.append(key)
            self.places.append(f"{table.title} {place}")
        self._by_value[value] = code
        return code


class LabelSetReader(LabelReader):
    """Any number of labels a row, none included: a list, or a text with "|" between them. Stored as a JSON list of
    their indices in order; a label that is named twice counts once."""

    def __init__(self, columns: Columns, problems: Problems) -> None:
        super().__init__(columns, problems)
        self._repeated = Problems()

    def warnings(self) -> tuple[str, ...]:
        """What a person should know of the rows that were read."""
        return self._repeated.messages()

    def is_missing(self, value: object) -> bool:
        return False  # no labels is an answer too

    def read(self, row: CheckedRow, table: Table) -> int:
        """Rows are not told apart: 0."""
        codes = [super(LabelSetReader, self).read(row._replace(target=label), table) for label in labels_in(row.target)]
        if len(set(codes)) < len(codes) and -1 not in codes:
            what, place = f'"{self._column}" names a label twice', table.place(row.number)
            self._repeated.add_row(table.title, what, place, "It is taken once.")
        return -1 if -1 in codes else 0

    def digest(self, value: object) -> bytes:
        keys = sorted({str(label_key(label)) for label in labels_in(value)})
        return blake2b(json.dumps(keys).encode(), digest_size=16).digest()

    def stored(self, value: object, labels: LabelIndex | None) -> Stored:
        assert labels is not None
        return json.dumps(sorted({int(labels.positions[self._by_value[label]]) for label in labels_in(value)}))


def labels_in(value: object) -> Sequence[object]:
    """The labels that a value of a column of label sets names.

    >>> labels_in("joy | love"), labels_in(["joy"]), labels_in(None), labels_in('["a|b"]')
    (['joy', 'love'], ['joy'], [], ['a|b'])
    """
    if is_empty(value):
        return []
    if isinstance(value, str):
        listed = json_list(value)
        return [part.strip() for part in value.split("|")] if listed is None else listed
    return list(value) if isinstance(value, list | tuple | np.ndarray) else [value]


class NumberReader:
    """One finite number a row."""

    def __init__(self, columns: Columns, problems: Problems) -> None:
        self._column, self._problems = columns.target, problems

    def is_missing(self, value: object) -> bool:
        return is_empty(value)

    def read(self, row: CheckedRow, table: Table) -> int:
        value = row.target
        if number_in(value) is not None:
            return 0
        shown = f'"{str(value)[:40]}"' if isinstance(value, str) else f"{value!r:.40}"
        self._problems.add_row(
            table.title,
            f'"{self._column}" holds {shown}, which is no finite number',
            table.place(row.number),
            'Correct it, or remove the row. (Names and grades are classes: task = "text-classification".)',
        )
        return -1

    def digest(self, value: object) -> bytes:
        return blake2b(repr(number_in(value)).encode(), digest_size=16).digest()

    def label_counts(self, splits: Sequence[str]) -> None:
        return None

    def stored(self, value: object, labels: LabelIndex | None) -> Stored:
        found = number_in(value)
        assert found is not None
        return found


def number_in(value: object) -> float | None:
    """The finite number that a value is or spells; None where it is none.

    >>> number_in("0.5"), number_in(3), number_in(True), number_in("nan"), number_in("half")
    (0.5, 3.0, None, None, None)
    """
    if isinstance(value, bool | np.bool_) or not isinstance(value, str | numbers.Real):
        return None
    try:
        found = float(value)
    except (ValueError, OverflowError):
        return None
    return found if math.isfinite(found) else None
