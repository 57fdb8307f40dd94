"""What a table of texts is good for: which column is what, which labels there are, and what a person should know."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from dashboard.formats import count, percent, short

_TEXT_NAMES = (
    "text", "sentence", "content", "tweet", "review", "utterance", "question", "comment", "body", "message", "document",
    "title", "input", "prompt",
)  # fmt: skip
_LABEL_NAMES = (
    "label_text", "label_name", "label", "labels", "category", "class", "target", "intent", "sentiment", "topic",
    "mood", "gold", "emotion", "stars", "rating", "output",
)  # fmt: skip
_FEW = 10
"""A label of fewer rows than this can hardly be learnt, or measured in a split of a tenth."""


class Columns(NamedTuple):
    """The column of the text and that of the label; None where no column looks like it."""

    text: str | None
    label: str | None


def guess_columns(rows: pd.DataFrame) -> Columns:
    """By name where a name says it; else the column of the longest texts, and the one of the fewest repeated values.

    >>> guess_columns(pd.DataFrame({"id": ["1", "2", "3"], "Tweet": ["so good", "bad", "ok"], "mood": ["a", "b", "a"]}))
    Columns(text='Tweet', label='mood')
    """
    names = {str(name).strip().lower(): str(name) for name in rows}
    text = next((names[name] for name in _TEXT_NAMES if name in names), None)
    label = next((names[name] for name in _LABEL_NAMES if name in names and names[name] != text), None)
    head = rows[:5000]
    if text is None:
        lengths = {str(name): float(head[name].str.len().mean()) for name in head if name != label}
        text = max(lengths, key=lambda name: lengths[name], default=None)
    if label is None:
        distinct = {str(name): int(head[name].nunique()) for name in head if name != text}
        repeated = {name: n for name, n in distinct.items() if 1 < n <= max(2, len(head) // 2)}
        label = min(repeated, key=lambda name: repeated[name], default=None)
    return Columns(text, label)


def further_columns(names: Sequence[str]) -> list[str]:
    """Columns that can be kept by their name: those without one, or with one that another has too, were named by
    whoever read the table.

    >>> further_columns(["Unnamed: 0", "text", "id", "note", "note.1", " "])
    ['text', 'id']
    """
    twice = {name for name in names if f"{name}.1" in names}
    made = {name for name in names if (base := name.rpartition("."))[2].isdecimal() and base[0] in twice}
    return [
        name for name in names if name.strip() and not re.fullmatch(r"Unnamed: \d+", name) and name not in twice | made
    ]


def label_counts(labels: "pd.Series[str]") -> pd.DataFrame:
    """Columns label, n; the most frequent first. Rows without a label are left out."""
    counts = labels[labels.str.strip() != ""].value_counts()
    return pd.DataFrame({"label": [str(name) for name in counts.index], "n": counts.to_numpy()})


def top_labels(counts: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """The most frequent labels, and all others as one row."""
    if len(counts) <= most:
        return counts
    others = counts[most - 1 :]
    rest = pd.DataFrame({"label": [f"{len(others)} other labels"], "n": [others["n"].sum()]})
    return pd.concat([counts[: most - 1], rest], ignore_index=True)


def task_sentence(n_rows: int, *, is_whole: bool, columns: Columns, counts: pd.DataFrame) -> str:
    """What can be learnt from it: `1,429 rows, 3 labels in "mood": text classification.`"""
    n = f"{count(n_rows)} rows" if is_whole else f"More than {count(n_rows)} rows"
    if columns.text is None:
        return f"{n}, but no column of texts: choose one."
    if columns.label is None or counts.empty:
        return f"{n} of texts without labels: choose the column that says what each text is."
    return f"{n}, {count(len(counts))} labels in “{columns.label}”: text classification."


def n_empty(rows: pd.DataFrame, columns: Columns) -> int:
    """Rows without text or without label."""
    chosen = [column for column in columns if column is not None]
    return int((rows[chosen].apply(lambda values: values.str.strip()) == "").any(axis=1).sum()) if chosen else 0


def cautions(rows: pd.DataFrame, columns: Columns, counts: pd.DataFrame, *, max_length: int) -> list[str]:
    """What a person should know before training on it, in sentences; empty where all looks well."""
    if columns.text is None or columns.label is None:
        return []
    texts = rows[columns.text]
    if columns.text == columns.label:
        return ["Text and label are the same column."]
    said = []
    if len(counts) == 1:
        said.append(f"There is only one label, {counts['label'].iloc[0]!r}: nothing can be told apart.")
    elif _are_fractions(counts):
        said.append("The labels are numbers with fractions: they look measured rather than chosen.")
    elif len(counts) > max(50, len(rows) // 5):
        said.append(f"{count(len(counts))} labels for {count(len(rows))} rows: is this the column of labels?")
    else:
        rare = counts[counts["n"] < _FEW]
        if len(rare):
            names = ", ".join(short(name, 30) for name in rare["label"][-3:])
            said.append(
                f"{count(len(rare))} of {count(len(counts))} labels have fewer than {_FEW} rows (such as {names})."
            )
        if counts["n"].iloc[0] > 0.9 * counts["n"].sum():
            share = percent(counts["n"].iloc[0] / counts["n"].sum())
            said.append(f"{share} of the rows are {short(str(counts['label'].iloc[0]), 40)}: judge by macro F1.")
    n_double = int(texts.duplicated().sum())
    if n_double > 0.01 * len(texts):
        said.append(f"{count(n_double)} texts occur more than once ({percent(n_double / len(texts))}).")
    n_long = int((texts.str.len() > 5 * max_length).sum())
    if n_long:
        said.append(f"{count(n_long)} texts are longer than about {count(max_length)} tokens: their ends are cut off.")
    return said


def _are_fractions(counts: pd.DataFrame) -> bool:
    numbers = pd.to_numeric(counts["label"], errors="coerce")
    return bool(numbers.notna().all() and (numbers % 1 != 0).any())
