"""Which data: a file, an upload, a stored dataset or the built-in one; its first rows, its columns, its labels."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import queries, work_queries
from dashboard.charts.counts import count_chart
from dashboard.commands import list_tasks
from dashboard.data_files import SUFFIXES, Sample, read_sample
from dashboard.formats import count, escape, short, size
from dashboard.guesses import (
    Columns,
    cautions,
    further_columns,
    guess_columns,
    guess_task,
    label_counts,
    n_empty,
    rivals,
    target_counts,
    task_sentence,
    top_labels,
)
from dashboard.parts.drawing import draw
from dashboard.sizes import begins_with, measured
from dashboard.source import Source
from dashboard.tasks import CLASSIFICATION, Task
from dashboard.uploads import Upload, dataset_name, keep_upload
from dashboard.writing import write
from store import get_dataset as read_dataset
from store import read_rows, reading

FILE, UPLOAD, STORED, BUILTIN = "A file on this machine", "Upload", "A dataset in the store", "Built-in example"
PREVIEW_ROWS = 6
MOST_COUNTED = 20_000
"""Rows of a stored data set whose targets are counted."""
USUAL_LENGTH = 256
"""Tokens of a text, where neither a person nor the data say otherwise."""
_CHARACTERS_A_TOKEN = 2.0  # English has 4 to 5; fewer makes the estimate of memory a bound for most languages


@dataclass(frozen=True)
class DataChoice:
    """What was chosen. `source` as a recipe names it; columns: of each field of the task, empty where the source has
    its own.

    name: what the data are called. n_train: rows of the training split, None where unknown.
    """

    source: str
    task: Task
    columns: Columns
    name: str
    n_train: int | None
    dataset_name: str | None = None
    drops_empty: bool = False
    longest: int | None = None
    """Tokens of the longest text, at most; None where it was not read whole."""
    metadata: tuple[str, ...] = ()
    """Further columns to keep."""
    settings: Mapping[str, str] = field(default_factory=dict)
    """Path → what fits the data where nothing is typed (`dashboard.sizes`)."""


def data_choice(source: Source, *, max_length: int | None) -> DataChoice | None:
    """The widgets; None until something can be trained on, with the reason shown. max_length: tokens of a text, where
    they were typed."""
    kinds = [UPLOAD, FILE, STORED, BUILTIN] if len(work_queries.datasets(source)) else [UPLOAD, FILE, BUILTIN]
    if st.session_state.get("new-kind") not in kinds:
        st.session_state["new-kind"] = UPLOAD
    kind = st.segmented_control(
        "Data", kinds, key="new-kind", persist_state="session", required=True, label_visibility="collapsed"
    )
    if kind == UPLOAD:
        upload = _upload(source)
        return _of_file(str(upload.path), max_length, upload.name) if upload else None
    if kind == STORED:
        return _stored(source)
    if kind == BUILTIN:
        st.caption("Docstrings of Python libraries by topic; 8 % of the training labels are flipped on purpose.")
        return DataChoice("builtin:docstrings", CLASSIFICATION, {}, "docstrings", None)
    typed = st.text_input(
        "Path",
        key="new-path",
        persist_state="session",
        placeholder="/path/to/texts.csv (or .tsv, .jsonl, .parquet)",
        label_visibility="collapsed",
    ).strip()
    if not typed:
        st.caption("The path of a table with a column of texts and a column of what is to be learnt of them.")
        return None
    return _of_file(str(Path(typed).expanduser().absolute()), max_length, None)


def _upload(source: Source) -> Upload | None:
    """Keep what was uploaded, once; says how large it is."""
    file = st.file_uploader(
        "Upload", type=[suffix.removeprefix(".") for suffix in SUFFIXES], key="new-upload", label_visibility="collapsed"
    )
    if file is None:
        st.caption("It is kept beside the store. A file that is on this machine already needs no upload: name it.")
        return None
    kept: dict[str, Upload] = st.session_state.setdefault("uploads", {})
    if file.file_id not in kept:
        made = write(source.path, lambda store: keep_upload(store, file.name, file.getbuffer()))
        if made is None:
            return None
        kept[file.file_id] = made
    upload = kept[file.file_id]
    st.caption(f"{escape(file.name)}, {size(upload.size_bytes)}, kept as {escape(str(upload.path))}")
    return upload


def _of_file(path: str, max_length: int | None, name: str | None) -> DataChoice | None:
    sample = read_sample(path)
    if sample.problem:
        st.warning(escape(f"{sample.problem}."), icon=":material/description:")
        return None
    preview(sample)
    task, columns = _task_and_columns(sample.rows, path)
    target = columns.get(task.target.name) if task.target else None
    kept = _kept(sample.rows, path, task, columns)
    counts = target_counts(sample.rows[target], task.kind) if target else label_counts(pd.Series(dtype=str))
    sentence = task_sentence(sample.rows, is_whole=sample.is_whole, task=task, columns=columns, counts=counts)
    st.markdown(f"**{escape(sentence)}**")
    fitting = begins_with(task, _characters(sample.rows, task, columns))
    room = max_length or int(fitting.get("model.max_length", USUAL_LENGTH))
    for text in cautions(sample.rows, task, columns, counts, max_length=room):
        st.markdown(f":orange[:material/warning: {escape(text)}]")
    if task.kind == "label" and (others := rivals(sample.rows, columns)) and not task.missing(columns):
        listed = ", ".join(f"“{short(name, 30)}”" for name in others[:3])
        st.caption(escape(f"The label could be {listed} as well: choose the column that the model shall learn to say."))
    drops = _drop(n_empty(sample.rows, task, columns), task)
    _counts(counts, task)
    if task.missing(columns):
        return None
    n_train = round(len(sample.rows) * 0.8) if sample.is_whole else None
    known_as = name or dataset_name(Path(path).name)
    inputs = [column for each in task.inputs if (column := columns.get(each.name))]
    longest = math.ceil(sum(sample.rows[each].str.len().max() for each in inputs) / _CHARACTERS_A_TOKEN) + 2
    return DataChoice(
        path, task, columns, known_as, n_train, name, drops, longest if sample.is_whole else None, kept, fitting
    )


def _characters(rows: pd.DataFrame, task: Task, columns: Columns) -> "pd.Series[int]":
    """Of each row, in all that a model reads of it at once: of prompts also their answers."""
    read = [each for each in task.fields if not each.is_target or "prompt" in columns]
    chosen = [column for each in read if (column := columns.get(each.name))]
    lengths = [rows[column].str.len() for column in dict.fromkeys(chosen)]
    return sum(lengths[1:], lengths[0]) if lengths else pd.Series(dtype=int)


def _drop(n: int, task: Task) -> bool:
    """Whether rows that lack something are left out; asked where there are any."""
    if not n:
        return False
    first = task.inputs[0].noun
    lacks = f"{first} or {task.target.noun}" if task.target and task.kind != "labels" else first
    return st.toggle(
        f"Leave out {count(n)} {'row' if n == 1 else 'rows'} without {lacks}", value=True, key="new-drop",
        persist_state="session", help="Otherwise training stops at the first of them.",
    )  # fmt: skip


def preview(sample: Sample) -> None:
    """The first rows, as text."""
    shown = sample.rows[:PREVIEW_ROWS]
    st.dataframe(
        shown.map(lambda text: short(text, 200)), hide_index=True, height="content", placeholder="", key="new-preview"
    )
    seen = "" if sample.is_whole else f"; the first {count(len(sample.rows))} rows were read"
    st.caption(
        f"The first {len(shown)} rows, {count(len(sample.rows.columns))} columns, {size(sample.size_bytes)}{seen}"
    )


def _task_and_columns(rows: pd.DataFrame, path: str) -> tuple[Task, Columns]:
    """Menus of tasks and of the columns that the chosen one reads, guessed anew for every file."""
    names, tasks = [str(name) for name in rows], {task.name: task for task in list_tasks()}
    state = st.session_state
    asked: tuple[str, Columns] | None = None
    if state.get("new-columns-of") != (path, tuple(names)):
        state["new-columns-of"] = (path, tuple(names))
        asked = state.pop("new-asked", None)
        state["new-task"] = asked[0] if asked and asked[0] in tasks else guess_task(rows, [*tasks.values()]).name
        state.pop("new-columns-task", None)
    elif state.get("new-task") not in tasks:
        state["new-task"] = CLASSIFICATION.name
    menus = st.container(horizontal=True, gap="small", key="new-menus")
    with menus:
        chosen = st.selectbox(
            "Task", [*tasks], format_func=lambda name: tasks[name].words if name in tasks else name, key="new-task",
            persist_state="session", width=220, filter_mode=None,
        )  # fmt: skip
    task = tasks[chosen]
    if state.get("new-columns-task") != task.name:
        state["new-columns-task"] = task.name
        known = {name: column for name, column in (asked[1] if asked else {}).items() if column in names}
        for name, column in (guess_columns(rows, task) | known).items():
            state[f"new-column-{name}"] = column
    found = {}
    with menus:
        for field in task.fields:
            found[field.name] = st.selectbox(
                f"{field.noun.capitalize()} column", names, index=None, key=f"new-column-{field.name}", width=220,
                persist_state="session", placeholder="none" if field.is_optional else "choose",
            )  # fmt: skip
    return task, found


def _kept(rows: pd.DataFrame, path: str, task: Task, columns: Columns) -> tuple[str, ...]:
    """Further columns that stay with the examples: all of them, until somebody says otherwise."""
    used = set(columns.values())
    others = [name for name in further_columns([str(name) for name in rows]) if name not in used]
    if not others or task.missing(columns):
        return ()
    if st.session_state.get("new-kept-of") != (path, tuple(others)):
        st.session_state["new-kept-of"] = (path, tuple(others))
        asked = st.session_state.pop("new-metadata-asked", others)
        st.session_state["new-metadata"] = [name for name in asked if name in others]
    return tuple(
        st.multiselect(
            "Keep too", others, key="new-metadata", persist_state="session", placeholder="nothing else",
            help="The model does not see them. Triage filters and slices by them, and exports have them.",
        )
    )  # fmt: skip


def _counts(counts: pd.DataFrame, task: Task) -> None:
    if len(counts) > 1:
        shown = top_labels(counts).assign(label=lambda frame: [short(name, 40) for name in frame["label"]])
        title = (
            f"Rows by {task.target.noun}"
            if task.kind in ("number", "relevance") and task.target
            else "Rows of each label"
        )
        draw(count_chart, shown, key="new-labels", title=title)


def _stored(source: Source) -> DataChoice | None:
    """A menu of stored versions, and the first rows of the chosen one."""
    known = work_queries.datasets(source)
    names = [f"{row.name}@{row.version}" for row in known.itertuples(index=False)]
    chosen = st.selectbox("Dataset", names, key="new-dataset", persist_state="session", label_visibility="collapsed")
    key = int(known["key"].iloc[names.index(chosen)])
    dataset = queries.dataset(source.path, key)
    tasks = {task.name: task for task in list_tasks(source.path, chosen)}
    if not tasks:
        st.warning("No task here reads rows like these.", icon=":material/warning:")
        return None
    rows, counts = _stored_rows(source.path, key, next(iter(tasks.values())).kind)
    st.dataframe(rows, hide_index=True, height="content", key="new-preview")
    if st.session_state.get("new-stored-task") not in tasks:
        st.session_state["new-stored-task"] = next(iter(tasks))
    if len(tasks) > 1:
        st.selectbox(
            "Task", [*tasks], format_func=lambda name: tasks[name].words if name in tasks else name,
            key="new-stored-task", persist_state="session", width=220, filter_mode=None,
        )  # fmt: skip
    task = tasks[st.session_state["new-stored-task"]]
    splits = ", ".join(f"{split} {count(n)}" for split, n in dataset.n_rows.items())
    labels = f"; {count(len(dataset.label_names))} labels" if dataset.label_names else ""
    st.markdown(f"**{escape(f'{splits}{labels}: {task.words}.')}**")
    if not {"train", "validation"} <= set(dataset.n_rows):
        st.warning("It needs a training and a validation split to be trained on.", icon=":material/warning:")
        return None
    _counts(counts, task)
    profiles = queries.profiles(source, key)
    fitting = (
        measured(task, profiles[0].profile) if profiles else begins_with(task, _stored_characters(source.path, key))
    )
    n_train = dataset.n_rows.get("train")
    return DataChoice(f"dataset:{chosen}", task, {}, dataset.name, n_train, settings=fitting)


@st.cache_data(show_spinner=False, max_entries=32)
def _stored_characters(path: str, dataset_key: int) -> "pd.Series[int]":
    """Of the first training rows, texts and answers together."""
    with reading(path) as store:
        rows = read_rows(store, read_dataset(store, dataset_key), "train", limit=MOST_COUNTED)
    answers = rows["target"].map(lambda target: len(target) if isinstance(target, str) else 0)
    return rows["text"].str.len() + answers


@st.cache_data(show_spinner=False, max_entries=32)
def _stored_rows(path: str, dataset_key: int, kind: str) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first training rows (text and target) and the counts of targets of a kind there. A dataset version never
    changes."""
    with reading(path) as store:
        dataset = read_dataset(store, dataset_key)
        split = "train" if "train" in dataset.n_rows else next(iter(dataset.n_rows))
        rows = read_rows(store, dataset, split, limit=PREVIEW_ROWS)
        if kind in ("labels", "number") or (kind == "relevance" and dataset.label_names is None):
            every = read_rows(store, dataset, split, limit=MOST_COUNTED)["label"].map(lambda each: str(each or ""))
            counts = target_counts(every, kind)
        else:
            counts = _class_counts(queries.targets(path, dataset_key, split), dataset.label_names or ())
    shown = pd.DataFrame({"text": [short(text, 200) for text in rows["text"]]})
    if rows["target"].notna().any():
        shown["label" if kind == "label" else "target"] = [short(str(label), 80) for label in rows["label"]]
    return shown, counts


def _class_counts(targets: NDArray[np.int64], names: Sequence[str]) -> pd.DataFrame:
    return label_counts(pd.Series([names[i] for i in targets if 0 <= i < len(names)], dtype=str))
