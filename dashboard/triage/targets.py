"""What is suggested in place of spans, a set of labels or a number, and what a person typed instead of it."""

import json
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import pandas as pd

from dashboard.formats import is_known, number, short

Target = str | float
"""JSON of spans or of a set of labels, both by their indices, or a number, as `store.targets`."""
COLUMNS = ("from", "to", "type")
"""First and last word of a span, counted from 1, and its type."""


def suggested_target(
    target: object, evidence: Mapping[str, Mapping[str, Any]], names: Sequence[str]
) -> tuple[Target, str] | None:
    """What a triage would put in place of a target, as it is decided, and in words; None where it has nothing else.

    evidence: of the example's findings, by kind.

    >>> suggested_target("[]", {"span_error": {"spans": [[0, 2, "PER"]]}}, ["LOC", "PER"])
    ('[[0, 2, 1]]', '1 span')
    >>> suggested_target("[0, 1]", {"label_set": {"remove": ["love"], "add": ["joy"]}}, ["joy", "love"])
    ('[0]', '− love')
    >>> suggested_target(3.0, {"number_error": {"predicted": 4.25}}, [])
    (4.25, '4.25')
    """
    index = {name: at for at, name in enumerate(names)}
    spans = evidence.get("span_error", {}).get("spans")
    if isinstance(target, str) and spans is not None:
        found = json.dumps([[start, end, index[tag]] for start, end, tag in spans if tag in index])
        return (found, f"{len(spans)} {'span' if len(spans) == 1 else 'spans'}") if found != target else None
    if isinstance(target, str) and "label_set" in evidence:
        given = set(json.loads(target))
        add = [name for name in evidence["label_set"].get("add") or () if name in index and index[name] not in given]
        remove = [name for name in evidence["label_set"].get("remove") or () if index.get(name) in given]
        if not add and not remove:
            return None
        changed = (given | {index[name] for name in add}) - {index[name] for name in remove}
        words = " ".join([*(f"+ {name}" for name in add), *(f"− {name}" for name in remove)])
        return json.dumps(sorted(changed)), short(words, 40)
    predicted = evidence.get("number_error", {}).get("predicted")
    if isinstance(target, float) and is_known(predicted):
        return float(predicted), number(predicted, 2)
    return None


def span_rows(target: str, names: Sequence[str]) -> pd.DataFrame:
    """Spans as a table with COLUMNS, the first first.

    >>> span_rows("[[0, 2, 1]]", ["LOC", "PER"]).values.tolist()
    [[1, 2, 'PER']]
    """
    rows = [(start + 1, end, names[at]) for start, end, at in json.loads(target)]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def spans_of_rows(rows: pd.DataFrame, names: Sequence[str], n_words: int) -> str:
    """The spans of an edited table, as they are decided. ValueError, in words for the person who edits.

    >>> spans_of_rows(pd.DataFrame([(1, 2, "PER")], columns=COLUMNS), ["LOC", "PER"], 3)
    '[[0, 2, 1]]'
    """
    spans = []
    for first, last, name in rows[list(COLUMNS)].itertuples(index=False):
        if not is_known(first) and not is_known(last) and not is_known(name):
            continue  # a row that was only begun
        if not is_known(first) or not is_known(name):
            raise ValueError("A span needs its first word and its type.")
        start, end = int(first) - 1, int(last if is_known(last) else first)
        if not 0 <= start < end <= n_words:
            raise ValueError(f"A span from word {start + 1} to {end} does not lie in a sentence of {n_words} words.")
        spans.append([start, end, list(names).index(str(name))])
    spans.sort()
    for before, after in pairwise(spans):
        if after[0] < before[1]:
            raise ValueError(f"Two spans share word {after[0] + 1}.")
    return json.dumps(spans)


def set_of(labels: Sequence[int]) -> str:
    """A set of labels as it is decided.

    >>> set_of([3, 0]), set_of([])
    ('[0, 3]', '[]')
    """
    return json.dumps(sorted(labels))


def number_of(typed: float | None, before: float, *, is_edited: bool = False) -> float:
    """A number as it is decided; nothing typed: as it is, where the text is another one (`is_edited`).

    ValueError, in words for the person who types, where there is nothing to decide.

    >>> number_of(4, 2.5), number_of(None, 2.5, is_edited=True), number_of(None, 2.5)
    Traceback (most recent call last):
    ValueError: Nothing was typed: a number such as 4.5 is needed. K keeps the example as it is.
    """
    if typed is None and not is_edited:
        raise ValueError("Nothing was typed: a number such as 4.5 is needed. K keeps the example as it is.")
    return before if typed is None else float(typed)


def numbered(tokens: Sequence[str]) -> str:
    """The words of a sentence with their numbers, counted from 1.

    >>> numbered(["New", "York"])
    '1 New  2 York'
    """
    return "  ".join(f"{at} {word}" for at, word in enumerate(tokens, 1))
