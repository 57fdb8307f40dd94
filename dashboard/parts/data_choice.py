"""Which data: a file, an upload, a stored dataset or the built-in one; its first rows, its columns, its labels."""

import math
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import streamlit as st

from dashboard import queries, work_queries
from dashboard.charts.counts import count_chart
from dashboard.data_files import SUFFIXES, Sample, read_sample
from dashboard.formats import count, escape, short, size
from dashboard.guesses import (
    Columns,
    cautions,
    further_columns,
    guess_columns,
    label_counts,
    n_empty,
    task_sentence,
    top_labels,
)
from dashboard.parts.drawing import draw
from dashboard.source import Source
from dashboard.uploads import Upload, dataset_name, keep_upload
from dashboard.writing import write
from store import get_dataset as read_dataset
from store import read_rows, reading

FILE, UPLOAD, STORED, BUILTIN = "A file on this machine", "Upload", "A dataset in the store", "Built-in example"
PREVIEW_ROWS = 6
_CHARACTERS_A_TOKEN = 2.0  # English has 4 to 5; fewer makes the estimate of memory a bound for most languages


@dataclass(frozen=True)
class DataChoice:
    """What was chosen. `source` as a recipe names it; columns None where the source has its own.

    name: what the data are called. n_rows: rows that were seen, None where unknown; n_train: of the training split.
    """

    source: str
    text_column: str | None
    label_column: str | None
    name: str
    n_train: int | None
    dataset_name: str | None = None
    drops_empty: bool = False
    longest: int | None = None
    """Tokens of the longest text, at most; None where it was not read whole."""
    metadata: tuple[str, ...] = ()
    """Further columns to keep."""


def data_choice(source: Source, *, max_length: int) -> DataChoice | None:
    """The widgets; None until something can be trained on, with the reason shown."""
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
        return DataChoice("builtin:docstrings", None, None, "docstrings", None)
    typed = st.text_input(
        "Path",
        key="new-path",
        persist_state="session",
        placeholder="/path/to/texts.csv (or .tsv, .jsonl, .parquet)",
        label_visibility="collapsed",
    ).strip()
    if not typed:
        st.caption("The path of a table with a column of texts and a column of labels.")
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


def _of_file(path: str, max_length: int, name: str | None) -> DataChoice | None:
    sample = read_sample(path)
    if sample.problem:
        st.warning(escape(f"{sample.problem}."), icon=":material/description:")
        return None
    preview(sample)
    columns = _columns(sample.rows, path)
    kept = _kept(sample.rows, path, columns)
    counts = label_counts(sample.rows[columns.label]) if columns.label else pd.DataFrame(columns=["label", "n"])
    sentence = task_sentence(len(sample.rows), is_whole=sample.is_whole, columns=columns, counts=counts)
    st.markdown(f"**{escape(sentence)}**")
    for text in cautions(sample.rows, columns, counts, max_length=max_length):
        st.markdown(f":orange[:material/warning: {escape(text)}]")
    n = n_empty(sample.rows, columns)
    drops = bool(n) and st.toggle(
        f"Leave out {count(n)} {'row' if n == 1 else 'rows'} without text or label", value=True, key="new-drop",
        persist_state="session", help="Otherwise training stops at the first of them.",
    )  # fmt: skip
    _labels(counts)
    if columns.text is None or columns.label is None:
        return None
    n_train = round(len(sample.rows) * 0.8) if sample.is_whole else None
    known_as = name or dataset_name(Path(path).name)
    longest = math.ceil(int(sample.rows[columns.text].str.len().max()) / _CHARACTERS_A_TOKEN) + 2
    return DataChoice(
        path, columns.text, columns.label, known_as, n_train, name, drops, longest if sample.is_whole else None, kept
    )


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


def _columns(rows: pd.DataFrame, path: str) -> Columns:
    """Menus of columns, guessed anew for every file."""
    names = [str(name) for name in rows]
    if st.session_state.get("new-columns-of") != (path, tuple(names)):
        st.session_state["new-columns-of"] = (path, tuple(names))
        asked: Columns | None = st.session_state.pop("new-columns-asked", None)
        guessed = asked if asked and {*asked} <= {*names} else guess_columns(rows)
        st.session_state["new-text"], st.session_state["new-label"] = guessed
    left, right = st.columns(2)
    with left:
        text = st.selectbox(
            "Text column", names, index=None, key="new-text", persist_state="session", placeholder="choose"
        )
    with right:
        label = st.selectbox(
            "Label column", names, index=None, key="new-label", persist_state="session", placeholder="choose"
        )
    return Columns(text, label)


def _kept(rows: pd.DataFrame, path: str, columns: Columns) -> tuple[str, ...]:
    """Further columns that stay with the examples: all of them, until somebody says otherwise."""
    others = [name for name in further_columns([str(name) for name in rows]) if name not in columns]
    if not others or None in columns:
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


def _labels(counts: pd.DataFrame) -> None:
    if len(counts) > 1:
        shown = top_labels(counts).assign(label=lambda frame: [short(name, 40) for name in frame["label"]])
        draw(count_chart, shown, key="new-labels", title="Rows of each label")


def _stored(source: Source) -> DataChoice | None:
    """A menu of stored versions, and the first rows of the chosen one."""
    known = work_queries.datasets(source)
    names = [f"{row.name}@{row.version}" for row in known.itertuples(index=False)]
    chosen = st.selectbox("Dataset", names, key="new-dataset", persist_state="session", label_visibility="collapsed")
    key = int(known["key"].iloc[names.index(chosen)])
    dataset = queries.dataset(source.path, key)
    rows, counts = _stored_rows(source.path, key)
    st.dataframe(rows, hide_index=True, height="content", key="new-preview")
    splits = ", ".join(f"{split} {count(n)}" for split, n in dataset.n_rows.items())
    n_labels = len(dataset.label_names or ())
    st.markdown(f"**{escape(f'{splits}; {n_labels} labels: text classification.')}**")
    if not {"train", "validation"} <= set(dataset.n_rows):
        st.warning("It needs a training and a validation split to be trained on.", icon=":material/warning:")
        return None
    _labels(counts)
    return DataChoice(f"dataset:{chosen}", None, None, dataset.name, dataset.n_rows.get("train"))


@st.cache_data(show_spinner=False, max_entries=32)
def _stored_rows(path: str, dataset_key: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The first training rows (text, label) and the counts of labels there. A dataset version never changes."""
    with reading(path) as store:
        dataset = read_dataset(store, dataset_key)
        split = "train" if "train" in dataset.n_rows else next(iter(dataset.n_rows))
        rows = read_rows(store, dataset, split, limit=PREVIEW_ROWS)
    names = dataset.label_names or ()
    targets = queries.targets(path, dataset_key, split)
    counts = label_counts(pd.Series([names[i] for i in targets if 0 <= i < len(names)], dtype=str))
    label = [names[int(t)] if isinstance(t, int) and 0 <= t < len(names) else str(t) for t in rows["target"]]
    return pd.DataFrame({"text": [short(text, 200) for text in rows["text"]], "label": label}), counts
