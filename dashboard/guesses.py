"""What a table of texts is good for: which task, which column is what, and what a person should know.

Values are text, "" where there is none (`dashboard.data_files`). A task that is not named here is guessed by the names
of its own fields.
"""

import json
import re
from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from dashboard.formats import count, number, percent, short
from dashboard.tasks import CLASSIFICATION, Field, Task

_NAMES: Mapping[str, tuple[str, ...]] = {
    "text": (
        "text", "sentence", "content", "tweet", "review", "utterance", "question", "comment", "body", "message",
        "document", "title", "input", "prompt", "text1", "text_a", "sentence1", "sentence_a", "question1", "premise",
        "query", "article", "source",
    ),
    "text_pair": (
        "text_pair", "text2", "text_b", "sentence2", "sentence_b", "question2", "hypothesis", "passage", "reply",
    ),
    "label": (
        "label_text", "label_name", "label", "labels", "category", "class", "target", "intent", "sentiment", "topic",
        "mood", "gold", "emotion", "stars", "rating", "output",
    ),
    "labels": ("labels", "label", "emotions", "categories", "classes", "topics", "intents", "genres", "tags"),
    "score": ("score", "similarity", "similarity_score", "relevance", "value", "target", "label"),
    "query": ("query", "question", "claim", "search"),
    "document": ("document", "passage", "doc", "answer", "paragraph", "candidate", "source", "evidence"),
    "relevance": ("relevance", "relevant", "is_relevant", "rel", "grade", "judgement", "qrel", "label"),
    "query_id": ("query_id", "qid", "question_id", "query-id"),
    "tokens": ("tokens", "words"),
    "tags": ("tags", "ner_tags", "labels"),
    "prompt": ("prompt", "instruction", "question", "input"),
    "input": ("input", "context"),
    "completion": ("completion", "answer", "output", "response"),
    "messages": ("messages", "conversations", "conversation"),
    "target": ("target", "summary", "highlights", "translation", "abstract", "answer", "output"),
}  # fmt: skip
"""What columns are often called, by field; the surest first."""
_ABOUT = frozenset(
    (
        "channel", "source", "origin", "lang", "language", "locale", "country", "region", "city", "split", "fold",
        "date", "day", "month", "year", "author", "user", "annotator", "gender", "age", "version", "device", "platform",
    )
)  # fmt: skip
"""What columns are called that say where a text comes from rather than what it is."""
_PLAIN = ("text", "label")
"""Fields that speak for no task of their own."""
_FEW = 10
"""A label of fewer rows than this can hardly be learnt, or measured in a split of a tenth."""
_HEAD = 5000
"""Rows that are looked at to guess."""
_GRADES = 12
"""Different values of relevance that are shown one by one."""
_LONG = 12
"""Characters of a text that somebody wrote, on average: labels are shorter, or come again and again."""

Columns = Mapping[str, str | None]
"""Field of the task → column; None where no column looks like it."""


def guess_task(rows: pd.DataFrame, tasks: Sequence[Task]) -> Task:
    """The task whose columns are called so; else by what the column of labels holds.

    >>> pairs = Task("pairs", "label", (*CLASSIFICATION.fields, Field("text_pair", "second text")))
    >>> sets = Task("sets", "labels", (Field("text", "text"), Field("labels", "labels", is_target=True)))
    >>> tasks = [CLASSIFICATION, pairs, sets]
    >>> guess_task(pd.DataFrame({"premise": ["a"], "hypothesis": ["b"], "label": ["yes"]}), tasks).name
    'pairs'
    >>> guess_task(pd.DataFrame({"text": ["a", "b"], "mood": ["joy|love", "joy"]}), tasks).name
    'sets'
    """
    head = rows[:_HEAD]
    speaking = {task.name: _evidence(head, task) for task in tasks}
    best = max(tasks, key=lambda task: speaking[task.name])
    if speaking[best.name]:
        return best
    label = guess_columns(head, CLASSIFICATION)["label"]
    held = head[label] if label else None
    for kind in ("labels", "number"):
        simple = [task for task in tasks if task.kind == kind and all(each.name == "text" for each in _needed(task))]
        if simple and held is not None and looks_like(kind, held) and not (kind == "number" and _are_whole(held)):
            return simple[0]
    return next((task for task in tasks if task.name == CLASSIFICATION.name), tasks[0])


def _needed(task: Task) -> list[Field]:
    return [field for field in task.inputs if not field.is_optional]


def _evidence(head: pd.DataFrame, task: Task) -> int:
    """How many columns are called like fields that speak for this task; 0 where one that it needs is not there."""
    found: dict[str, str | None] = {}
    for field in task.fields:  # what may be left out takes nothing that another field has
        found[field.name] = _by_name(head, field, [*filter(None, found.values())] if field.may_be_empty else ())
    target = task.target
    if task.missing(found):
        return 0
    if task.alone(found):
        return 1
    if target and not _can_be_target(head, task, found):
        return 0
    if task.kind == "relevance" and not head[str(found[task.inputs[0].name])].duplicated().any():
        return 0  # nothing can be put in order where every query has one document
    named = {name: column for name, column in found.items() if column is not None}
    if len(set(named.values())) < len(named):  # two fields would read the same column
        return 0
    return sum(name not in _PLAIN for name in named)


def guess_columns(rows: pd.DataFrame, task: Task = CLASSIFICATION) -> dict[str, str | None]:
    """By name where a name says it; else texts are the column of the longest, and the target is the column of the
    fewest repeated values, or of numbers.

    >>> guess_columns(pd.DataFrame({"id": ["1", "2", "3"], "Tweet": ["so good", "bad", "ok"], "mood": ["a", "b", "a"]}))
    {'text': 'Tweet', 'label': 'mood'}
    """
    head, found = rows[:_HEAD], dict[str, str | None]()
    for field in task.fields:
        found[field.name] = _by_name(head, field, [column for column in found.values() if column])
    if task.alone(found):
        return {name: column if column == task.alone(found) else None for name, column in found.items()}
    target = task.target
    if target and found[target.name] and not _can_be_target(head, task, found):
        found[target.name] = None
    taken = [column for column in found.values() if column]
    for field in task.inputs:
        if found[field.name] is None and not field.is_optional:
            lengths = {str(name): float(head[name].str.len().mean()) for name in head if name not in taken}
            found[field.name] = max(lengths, key=lambda name: lengths[name], default=None)
            taken += [str(found[field.name])]
    if target and found[target.name] is None:
        found[target.name] = _target_column(head, task, taken)
    return found


def _can_be_target(head: pd.DataFrame, task: Task, found: Columns) -> bool:
    """Whether the column found for a target can be one: by what it holds, or by columns beside it that no other task
    has."""
    is_said = any(found.get(field.name) for field in task.fields if field.may_be_empty)
    return is_said or (task.target is not None and looks_like(task.kind, head[str(found[task.target.name])]))


def _by_name(head: pd.DataFrame, field: Field, taken: Sequence[str]) -> str | None:
    names = {str(name).strip().lower(): str(name) for name in head if name not in taken}
    wanted = (field.name, *_NAMES.get(field.name, ())) if field.name != "label" else _NAMES["label"]
    return next((names[name] for name in wanted if name in names), None)


def _target_column(head: pd.DataFrame, task: Task, taken: Sequence[str]) -> str | None:
    free = [str(name) for name in head if name not in taken]
    if task.kind == "label":
        repeated = {name: n for name in free if 1 < (n := int(head[name].nunique())) <= max(2, len(head) // 2)}
        return min(repeated, key=lambda name: (name.strip().lower() in _ABOUT, repeated[name]), default=None)
    return next((name for name in free if looks_like(task.kind, head[name])), None)


def rivals(rows: pd.DataFrame, columns: Columns) -> list[str]:
    """Other columns that could be the label just as well, where none is called like one.

    >>> rows = pd.DataFrame({"message": ["some words", "other words", "words"], "queue": ["a", "b", "a"]})
    >>> rivals(rows.assign(channel=["x", "y", "x"]), {"text": "message", "label": "queue"})
    ['channel']
    >>> rivals(rows.assign(label=["x", "y", "x"]), {"text": "message", "label": "label"})
    []
    """
    head, label = rows[:_HEAD], str(columns.get("label") or "")
    if label.strip().lower() in _NAMES["label"]:
        return []
    free = [str(name) for name in head if name not in columns.values()]
    return [name for name in free if 1 < int(head[name].nunique()) <= min(50, max(2, len(head) // 5))]


def looks_like(kind: str, values: "pd.Series[str]") -> bool:
    """Whether a column can hold targets of a kind; of kinds that are not known here any column can.

    >>> looks_like("number", pd.Series(["1.5", "2", ""])), looks_like("number", pd.Series(["1.5", "many"]))
    (True, False)
    >>> looks_like("labels", pd.Series(["joy|love", "joy"])), looks_like("labels", pd.Series(["joy", "love"]))
    (True, False)
    """
    held = values[values.str.strip() != ""][:_HEAD]
    if held.empty:
        return False
    is_list = held.str.startswith("[")
    if kind == "relevance":
        return bool(_relevance(held).ge(0).all())
    if kind == "number":
        return bool(pd.to_numeric(held, errors="coerce").notna().all())
    if kind == "labels":
        return bool(is_list.all() or held.str.contains("|", regex=False).mean() > 0.01)
    if kind == "spans":
        return bool(is_list.all())
    if kind == "text":
        return bool(held.str.len().mean() >= _LONG and held.nunique() > len(held) / 2)
    return True


def _relevance(values: "pd.Series[str]") -> "pd.Series[float]":
    """Numbers, true as 1 and false as 0; nan for anything else."""
    said = values.str.strip().str.lower().replace({"true": "1", "false": "0"})
    return pd.to_numeric(said, errors="coerce")


def _are_whole(values: "pd.Series[str]") -> bool:
    numbers = pd.to_numeric(values, errors="coerce").dropna()
    return bool((numbers % 1 == 0).all())


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


# what is in the target ---------------------------------------------------------------------------------------------


def label_set(text: str) -> list[str]:
    """The labels of a row, as the runner reads them: a JSON list, or names with `|` between them.

    >>> label_set("joy | love"), label_set('["joy", 3]'), label_set(""), label_set("[odd")
    (['joy', 'love'], ['joy', '3'], [], ['[odd'])
    """
    if text.startswith("["):
        try:
            return [str(name) for name in json.loads(text)]
        except ValueError:
            pass
    return [name.strip() for name in text.split("|") if name.strip()]


def target_counts(values: "pd.Series[str]", kind: str) -> pd.DataFrame:
    """Columns label, n, the most frequent first; of spans their types by the tags that begin one; of numbers ranges in
    their order; of other kinds nothing.

    >>> target_counts(pd.Series(["joy|love", "joy", ""]), "labels").to_dict("list")
    {'label': ['joy', 'love'], 'n': [2, 1]}
    >>> target_counts(pd.Series(["0", "1", "10"]), "number")["label"].tolist()[:2]
    ['0 to 1', '1 to 2']
    """
    if kind == "labels":
        values = pd.Series([name for text in values for name in label_set(text)], dtype=str)
    elif kind == "spans":
        tags = (tag for text in values for tag in label_set(text))
        values = pd.Series([tag[2:] for tag in tags if tag[:2] in ("B-", "S-", "U-")], dtype=str)
    elif kind == "relevance" and (known := _relevance(values).dropna()).nunique() <= _GRADES:
        counts = known.value_counts().sort_index()
        return pd.DataFrame({"label": [f"{grade:g}" for grade in counts.index], "n": counts.to_numpy()})
    elif kind in ("number", "relevance"):
        return _ranges(pd.to_numeric(values, errors="coerce").dropna().to_numpy(dtype=np.float64))
    elif kind != "label":
        return pd.DataFrame({"label": pd.Series(dtype=str), "n": pd.Series(dtype=int)})
    return label_counts(values)


def label_counts(labels: "pd.Series[str]") -> pd.DataFrame:
    """Columns label, n; the most frequent first. Rows without a label are left out."""
    counts = labels[labels.str.strip() != ""].value_counts()
    return pd.DataFrame({"label": [str(name) for name in counts.index], "n": counts.to_numpy()})


def _ranges(values: np.ndarray[tuple[int], np.dtype[np.float64]]) -> pd.DataFrame:
    finite = values[np.isfinite(values)]
    n, ends = np.histogram(finite, bins=10) if len(finite) else (np.zeros(0, dtype=int), np.zeros(1))
    names = [f"{low:.4g} to {high:.4g}" for low, high in pairwise(ends)]
    return pd.DataFrame({"label": names, "n": n})


def top_labels(counts: pd.DataFrame, most: int = 20) -> pd.DataFrame:
    """The most frequent labels, and all others as one row."""
    if len(counts) <= most:
        return counts
    others = counts[most - 1 :]
    rest = pd.DataFrame({"label": [f"{len(others)} other labels"], "n": [others["n"].sum()]})
    return pd.concat([counts[: most - 1], rest], ignore_index=True)


# in words ----------------------------------------------------------------------------------------------------------


def task_sentence(rows: pd.DataFrame, *, is_whole: bool, task: Task, columns: Columns, counts: pd.DataFrame) -> str:
    """What can be learnt from it: `1,429 rows, 3 labels in “mood”: text classification.`"""
    n = f"{count(len(rows))} rows" if is_whole else f"More than {count(len(rows))} rows"
    lacking, target = task.missing(columns), task.target
    if lacking and lacking[0] != target:
        noun = lacking[0].noun
        nouns = f"{noun[:-1]}ies" if noun.endswith("y") else f"{noun}s"
        return f"{n}, but no column of {nouns}: choose one."
    if target is None or task.alone(columns):
        return f"{n}: {task.words}."
    if lacking or (task.kind == "label" and counts.empty):
        what = "says what each text is" if task.kind == "label" else f"has the {target.noun}"
        without = f"{target.noun.removesuffix('s')}s"
        return f"{n} of texts without {without}: choose the column that {what}."
    column = f"“{columns[target.name]}”"
    if task.kind in ("label", "labels"):
        sets = ""
        if task.kind == "labels" and len(rows):
            sets = f", {number(float(counts['n'].sum()) / len(rows), 1)} a row"
        return f"{n}, {count(len(counts))} labels in {column}{sets}: {task.words}."
    if task.kind == "spans" and len(counts):
        return f"{n}, {count(counts['n'].sum())} spans of {count(len(counts))} types in {column}: {task.words}."
    if task.kind == "relevance":
        n_queries = rows[columns[task.inputs[0].name]].nunique()
        return f"{n} of {count(n_queries)} queries, {target.noun} in {column}: {task.words}."
    if task.kind == "number" and len(counts):
        low, high = counts["label"].iloc[0].split(" to ")[0], counts["label"].iloc[-1].split(" to ")[1]
        return f"{n}, numbers from {low} to {high} in {column}: {task.words}."
    return f"{n}, {target.noun} in {column}: {task.words}."


def n_empty(rows: pd.DataFrame, task: Task, columns: Columns) -> int:
    """Rows without a text, or without a target where one is needed: an empty set of labels is none that is missing."""
    chosen = [
        column
        for field in task.fields
        if (column := columns.get(field.name))
        and not (field.is_target and task.kind == "labels")
        and not field.may_be_empty
    ]
    if not chosen:
        return 0
    is_empty = rows[chosen].apply(lambda values: values.str.strip()) == ""
    return int(is_empty.any(axis=1).sum())


def cautions(rows: pd.DataFrame, task: Task, columns: Columns, counts: pd.DataFrame, *, max_length: int) -> list[str]:
    """What a person should know before training on it, in sentences; empty where all looks well."""
    if task.missing(columns):
        return []
    chosen = [column for field in task.fields if (column := columns.get(field.name))]
    if len(set(chosen)) < len(chosen):
        nouns = [field.noun for field in task.fields if columns.get(field.name)]
        words = f"{', '.join(nouns[:-1])} and {nouns[-1]} are the same column." if len(set(chosen)) == 1 else ""
        return [(words or "Two of the columns are the same.").capitalize()]
    target = columns[task.target.name] if task.target else None
    said = _of_target(rows[target], task.kind, counts) if target else []
    texts = rows[[str(columns[field.name]) for field in task.inputs if columns.get(field.name)]]
    n_double = int(texts.duplicated().sum())
    if n_double > 0.01 * len(texts):
        what = "texts occur" if texts.shape[1] == 1 else "inputs occur"
        said.append(f"{count(n_double)} {what} more than once ({percent(n_double / len(texts))}).")
    lengths = texts.apply(lambda values: values.str.len()).sum(axis=1)
    n_long = int((lengths > 5 * max_length).sum())
    if n_long and task.kind != "none":  # raw texts are cut into stretches, and nothing is lost
        said.append(f"{count(n_long)} texts are longer than about {count(max_length)} tokens: their ends are cut off.")
    return said


def _of_target(values: "pd.Series[str]", kind: str, counts: pd.DataFrame) -> list[str]:
    if kind == "relevance":
        known = _relevance(values[values.str.strip() != ""])
        n_odd = int((~(known >= 0)).sum())
        said = [f"{count(n_odd)} values are no numbers from 0 up."] if n_odd else []
        return [*said, *(["All have the same relevance: nothing can be told apart."] if known.nunique() == 1 else [])]
    if kind == "number":
        held = values[values.str.strip() != ""]
        odd = held[pd.to_numeric(held, errors="coerce").isna()]
        return [f"{count(len(odd))} values are no numbers (such as {short(odd.iloc[0], 30)!r})."] if len(odd) else []
    if kind not in ("label", "labels"):
        return []
    if kind == "label" and len(counts) == 1:
        return [f"There is only one label, {counts['label'].iloc[0]!r}: nothing can be told apart."]
    if kind == "label" and _are_fractions(counts):
        return ["The labels are numbers with fractions: they look measured rather than chosen."]
    if len(counts) > max(50, len(values) // 5):
        return [f"{count(len(counts))} labels for {count(len(values))} rows: is this the column of labels?"]
    said = []
    rare = counts[counts["n"] < _FEW]
    if len(rare):
        names = ", ".join(short(name, 30) for name in rare["label"][-3:])
        said.append(f"{count(len(rare))} of {count(len(counts))} labels have fewer than {_FEW} rows (such as {names}).")
    if kind == "label" and len(counts) and counts["n"].iloc[0] > 0.9 * counts["n"].sum():
        share = percent(counts["n"].iloc[0] / counts["n"].sum())
        said.append(f"{share} of the rows are {short(str(counts['label'].iloc[0]), 40)}: judge by macro F1.")
    return said


def _are_fractions(counts: pd.DataFrame) -> bool:
    numbers = pd.to_numeric(counts["label"], errors="coerce")
    return bool(numbers.notna().all() and (numbers % 1 != 0).any())
