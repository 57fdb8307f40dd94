"""Reading the tags of sentences: their scheme is found out and its rules are held, and the spans are what is stored."""

import json
from collections.abc import Sequence
from hashlib import blake2b
from typing import Literal

import numpy as np

from evals.tags import Scheme, Span, detect_scheme, spans_of, split_tag, tag_problems
from runner.data.labels import MAX_LABELS, LabelCounts, LabelIndex
from runner.data.problems import SHOWN, Problems
from runner.data.tables import CheckedRow, Columns, Table
from runner.data.targets import Stored, is_empty
from runner.data.words import is_empty_list, tag_at, words_in

Rules = Literal["strict", "lenient"]

_EDGE = ""  # beside the first and the last tag of a sentence


class _Seen:
    """Two tags that stand next to each other: how often, and where first."""

    def __init__(self) -> None:
        self.places: list[str] = []
        self.n = 0


class TagReader:
    """A tag for each word of a sentence. Stored as a JSON list of spans: [first word, word after the last, type].

    What a scheme allows is a matter of two neighbours, so pairs of neighbours are all that the first reading keeps;
    they are judged when all are known, and the scheme with them.
    """

    def __init__(self, columns: Columns, problems: Problems, tag_names: Sequence[str] | None, rules: Rules) -> None:
        self._columns, self._problems, self._names, self._rules = columns, problems, tag_names, rules
        self._pairs: dict[tuple[str, str, str], _Seen] = {}
        self._types: dict[str, str] = {}
        self._counts: dict[str, dict[str, int]] = {}

    def is_missing(self, value: object) -> bool:
        return is_empty(value) or is_empty_list(value)

    def read(self, row: CheckedRow, table: Table) -> int:
        """1 with a span, 0 without."""
        tags = self._tags(row, table)
        if tags is None:
            return -1
        self._note_pairs(tags, row.number, table)
        spans = spans_of(tags)
        counts = self._counts.setdefault(table.split, {})
        for span in spans:
            if span.tag not in self._types and len(self._types) < MAX_LABELS:
                self._types[span.tag] = f"{table.title} {table.word_place(row.number, span.start)}"
            counts[span.tag] = counts.get(span.tag, 0) + 1
        return 1 if spans else 0

    def digest(self, value: object) -> bytes:
        return blake2b(json.dumps(self._spans(value)).encode(), digest_size=16).digest()

    def label_counts(self, splits: Sequence[str]) -> LabelCounts:
        """Entity types, and how many spans of each there are. Tags that break the rules become problems."""
        self._check_rules()
        types = list(self._types)
        counts = {
            split: np.array([self._counts.get(split, {}).get(name, 0) for name in types], dtype=np.int64)
            for split in splits
        }
        return LabelCounts(types, list(self._types.values()), counts)

    def stored(self, value: object, labels: LabelIndex | None) -> Stored:
        assert labels is not None
        index = {name: int(at) for name, at in zip(self._types, labels.positions, strict=True)}
        return json.dumps([[start, end, index[name]] for start, end, name in self._spans(value)])

    def _spans(self, value: object) -> list[Span]:
        return spans_of([tag_at(tag, self._names) or "O" for tag in words_in(value) or ()])

    def _tags(self, row: CheckedRow, table: Table) -> list[str] | None:
        """Tags as texts, one for each word; else None and a problem."""
        column, values, n_words = self._columns.target, words_in(row.target), len(row.inputs["tokens"])
        if values is None:
            self._fault(table, f'"{column}" holds no list of tags', table.place(row.number))
            return None
        if len(values) != n_words:
            there = f"{table.place(row.number)} ({n_words} words, {len(values)} tags)"
            self._fault(table, f'"{column}" has not as many tags as there are words', there)
            return None
        tags = [tag_at(value, self._names) for value in values]
        if None not in tags:
            return [str(tag) for tag in tags]
        for word, (value, tag) in enumerate(zip(values, tags, strict=True)):
            if tag is None:
                place = table.word_place(row.number, word)
                self._fault(table, f'"{column}" holds {value!r:.40}, which is no tag', place)
        return None

    def _fault(self, table: Table, what: str, place: str) -> None:
        advice = (
            "Write one tag for each word, such as B-PER, I-PER and O; numbers need the names of all tags, in their "
            "order, in data.labels."
        )
        self._problems.add_row(table.title, what, place, advice)

    def _note_pairs(self, tags: Sequence[str], number: int, table: Table) -> None:
        for word, pair in enumerate(zip((_EDGE, *tags), (*tags, _EDGE), strict=True)):
            seen = self._pairs.setdefault((table.title, *pair), _Seen())
            seen.n += 1
            if len(seen.places) < SHOWN:
                seen.places.append(table.word_place(number, min(word, len(tags) - 1)))

    def _odd_places(self) -> str:
        """Where tags that are not of plain BIO stand first."""
        first: dict[str, str] = {}
        for (title, _, tag), seen in self._pairs.items():
            prefix, name = split_tag(tag)
            if tag not in (_EDGE, "O") and (prefix not in ("B", "I") or not name):
                first.setdefault(tag, f"{tag} first in {title}, {seen.places[0]}")
        return "; ".join([*first.values()][:SHOWN])

    def _check_rules(self) -> None:
        """Find the scheme, and what breaks its rules."""
        names = {tag for _, *pair in self._pairs for tag in pair} - {_EDGE}
        if self._rules == "lenient" or not names:
            return
        field, lenient = "data.columns.tags", 'data.tag_rules = "lenient" reads them as the CoNLL evaluation does'
        for known in (names, {tag for tag in names if _has_form(tag)}):  # what else breaks rules is to be heard too
            try:
                scheme = detect_scheme(known)
                break
            except ValueError as error:
                where = f'in the column "{self._columns.target}" ({self._odd_places()})'
                self._problems.add(f"{field}: {where}, {error}. Correct them; {lenient}.")
        else:
            return
        for (title, before, tag), seen in self._pairs.items():
            if {before, tag} <= {*known, _EDGE} and (said := _broken(before, tag, scheme)):
                advice = f"These are tags of {scheme.value}. Correct them; {lenient}."
                self._problems.add_rows(title, said, seen.places, seen.n, advice)


def _has_form(tag: str) -> bool:
    """Whether a tag is one of any scheme.

    >>> [tag for tag in ("O", "B-PER", "U-PER", "X-PER", "B-", "PER") if _has_form(tag)]
    ['O', 'B-PER', 'U-PER']
    """
    prefix, name = split_tag(tag)
    return prefix == "O" or (prefix in tuple("BIESLU") and bool(name))


def _broken(before: str, tag: str, scheme: Scheme) -> str | None:
    """What is wrong with two neighbours, of which an empty one is the edge of the sentence; None where nothing is.

    >>> _broken("O", "I-PER", Scheme.BIO), _broken("B-PER", "I-LOC", Scheme.BIO), _broken("B-PER", "I-PER", Scheme.BIO)
    ('I-PER after O', 'I-LOC after B-PER', None)
    >>> _broken("B-PER", "", Scheme.BIOES), _broken("", "E-PER", Scheme.BIOES)
    ('B-PER at the end of the sentence', 'E-PER at the beginning of the sentence')
    """
    prefix, name = split_tag(before)
    beginning = [f"B-{name}"] if prefix in ("I", "E", "L") else []
    last = {Scheme.BIOES: "E", Scheme.BILOU: "L"}.get(scheme)
    prefix, name = split_tag(tag)
    ending = [f"{last}-{name}"] if last and prefix in ("B", "I") else []
    sentence = [*beginning, *filter(None, (before, tag)), *ending]
    if not tag_problems([sentence], scheme, limit=1):
        return None
    if not before:
        return f"{tag} at the beginning of the sentence"
    return f"{tag} after {before}" if tag else f"{before} at the end of the sentence"


def types_of(names: Sequence[str]) -> tuple[str, ...]:
    """Entity types in their order, from names that are tags (then O is one of them) or the types themselves.

    >>> types_of(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]), types_of(["PER", "LOC"])
    (('PER', 'LOC'), ('PER', 'LOC'))
    """
    if "O" not in names:
        return tuple(names)
    return tuple(dict.fromkeys(name for name in (split_tag(tag)[1] for tag in names) if name))
