"""Taking it away: the corrected data set as files, the decisions as a patch; and doing a patch again."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.formats import count, escape, short
from dashboard.triage import reads
from dashboard.triage.exports import WRITERS, to_folder
from dashboard.triage.reads import Desk
from dashboard.triage.tagged import tagged, tagged_conll, tagged_jsonl
from dashboard.writing import note, write
from store import PatchReport, apply_patch, export_patch, read_inputs, reading

_FOLDER_HELP = "A ZIP with a Parquet file a split: unpack it, then datasets.load_dataset(FOLDER)"


def corrected(rows: pd.DataFrame, changes: pd.DataFrame) -> pd.DataFrame:
    """Rows of a split with its changes done: columns id, split, text, label, metadata, new_text (missing: as it was).

    rows: as `store.read_rows`; changes: as `store.list_changes`, of that split.

    >>> rows = pd.DataFrame({"position": [0, 1], "example_id": ["a", "b"], "text": ["x", "y"], "label": ["no", "no"],
    ...     "metadata": [{}, {}]})
    >>> changes = pd.DataFrame({"position": [0, 1], "change": ["drop", "relabel"], "label": [None, "yes"],
    ...     "new_text": [None, None]})
    >>> corrected(rows.assign(split="train"), changes)[["id", "text", "label"]].values.tolist()
    [['b', 'y', 'yes']]
    """
    done = rows.rename(columns={"example_id": "id"}).set_index("position")
    by_place = changes.set_index("position")
    relabelled = by_place[by_place["change"] != "drop"]
    done.loc[relabelled.index, "label"] = relabelled["label"].to_numpy(dtype=object)
    edited = relabelled[relabelled["new_text"].notna()]
    done.loc[edited.index, "text"] = edited["new_text"].to_numpy(dtype=object)
    done["new_text"] = None
    done.loc[edited.index, "new_text"] = edited["new_text"].to_numpy(dtype=object)
    done = done.drop(index=by_place.index[by_place["change"] == "drop"])
    return done.reset_index()[["id", "split", "text", "label", "metadata", "new_text"]]


def as_they_came(
    rows: pd.DataFrame, inputs: Mapping[str, Mapping[str, Any]], columns: Mapping[str, str | None]
) -> pd.DataFrame:
    """`corrected` rows with a column for each input, called as in the file that they came from where that is known.

    inputs: example id → field → value (`store.read_inputs`). columns: field of the recipe → column, of inputs and
    target (`data.columns`); fields that it does not have keep their own names, a target without one is `label`. A text
    that was edited is its example's only input; where that is more than a text, it stands in a column `edited_text`.

    >>> rows = pd.DataFrame([("a", "train", "b?", "yes", {}, "b?")],
    ...     columns=["id", "split", "text", "label", "metadata", "new_text"])
    >>> as_they_came(rows, {"a": {"text": "a?"}}, {"text": "message", "label": "intent"}).to_dict("records")
    [{'id': 'a', 'split': 'train', 'message': 'b?', 'intent': 'yes', 'metadata': {}}]
    """
    fields = list(dict.fromkeys(field for each in inputs.values() for field in each)) or ["text"]
    target = next((field for field in columns if field not in (*fields, "id")), "label")
    names = {field: columns.get(field) or field for field in (*fields, target)}
    if len({"id", "split", "metadata", *names.values()}) < 3 + len(names):  # a file's column is called like one of ours
        names = {field: field for field in names}
    found = rows[["id", "split"]].copy()
    for field in fields:
        found[names[field]] = [inputs.get(identity, {}).get(field) for identity in rows["id"]]
    is_text = len(fields) == 1 and all(isinstance(value, str) for value in found[names[fields[0]]])
    if is_text:
        found[names[fields[0]]] = rows["text"]
    found[names[target]] = rows["label"]
    if not is_text and rows["new_text"].notna().any():
        found["edited_text"] = rows["new_text"]
    return found.assign(metadata=rows["metadata"])


def downloads(desk: Desk) -> None:
    """A menu of files; each is made when it is asked for."""
    name = f"{desk.dataset.name}-{desk.dataset.version}-corrected"
    with st.popover("Export", icon=":material/download:"):
        st.caption("The whole data set with what was decided done. Where authors differ the newest decision counts.")
        with st.container(horizontal=True, gap="small"):
            if desk.triage.summary.get("unjudged") == "spans":
                _of_sentences(desk, name)
            else:
                _of_texts(desk, name)
        st.caption("The decisions alone, each author's last word, to be done again here or elsewhere.")
        st.download_button(
            "Patch", lambda: _patch(desk), f"{desk.dataset.name}-{desk.dataset.version}.patch.jsonl",
            "application/jsonl", key="export-patch", on_click="ignore", icon=":material/difference:",
        )  # fmt: skip


def _of_texts(desk: Desk, name: str) -> None:
    for suffix, (writer, mime) in WRITERS.items():
        st.download_button(
            suffix.upper() if suffix != "parquet" else "Parquet", _lazily(desk, writer), f"{name}.{suffix}",
            mime, key=f"export-{suffix}", on_click="ignore",
        )  # fmt: skip
    st.download_button(
        "datasets folder", _folder(desk, name), f"{name}.zip", "application/zip", key="export-folder",
        on_click="ignore", help=_FOLDER_HELP,
    )  # fmt: skip


def _of_sentences(desk: Desk, name: str) -> None:
    st.download_button(
        "JSONL", lambda: tagged_jsonl(corrected_sentences(desk)), f"{name}.jsonl", "application/jsonl",
        key="export-jsonl", on_click="ignore", help="A list of words and a list of their tags for each sentence",
    )  # fmt: skip
    st.download_button(
        "CoNLL", lambda: tagged_conll(corrected_sentences(desk)), f"{name}.zip", "application/zip",
        key="export-conll", on_click="ignore", help="A ZIP with a file a split: a word and its tag on each line",
    )  # fmt: skip


def corrected_sentences(desk: Desk) -> pd.DataFrame:
    """`tagged` of `corrected_rows`."""
    rows = corrected_rows(desk)
    return tagged(rows, {identity: each["tokens"] for identity, each in _inputs(desk, rows).items()})


def _inputs(desk: Desk, rows: pd.DataFrame) -> dict[str, Mapping[str, Any]]:
    with reading(desk.path) as store:
        return read_inputs(store, rows["id"])


def taken(desk: Desk) -> pd.DataFrame:
    """`corrected_rows` in the columns of the file that they came from."""
    rows = corrected_rows(desk)
    return as_they_came(rows, _inputs(desk, rows), _columns(desk))


def _columns(desk: Desk) -> Mapping[str, str | None]:
    named = desk.dataset.source.get("columns")
    return named if isinstance(named, Mapping) else {}


def _lazily(desk: Desk, writer: Callable[[pd.DataFrame], bytes]) -> Callable[[], bytes]:
    return lambda: writer(taken(desk))


def _folder(desk: Desk, name: str) -> Callable[[], bytes]:
    title, label_names = f"{name}, from {desk.dataset}", desk.label_names or None
    is_of_labels = desk.triage.summary.get("unjudged") is None
    column = _columns(desk).get("label") or "label"

    def made() -> bytes:
        rows = taken(desk)
        is_named = is_of_labels and column in rows
        return to_folder(rows, label_names if is_named else None, title=title, label_column=column)

    return made


def corrected_rows(desk: Desk) -> pd.DataFrame:
    """All splits with what was decided until now done."""
    changes = reads.changes_now(desk)
    parts = [
        corrected(
            reads.rows_of(desk.path, desk.dataset.key, split).assign(split=split), changes[changes["split"] == split]
        )
        for split in desk.dataset.n_rows
    ]
    return pd.concat(parts, ignore_index=True)


def _patch(desk: Desk) -> bytes:
    with reading(desk.path) as store:
        lines = [json.dumps(line, ensure_ascii=False) for line in export_patch(store, desk.dataset)]
    return "".join(f"{line}\n" for line in lines).encode()


def replay(desk: Desk) -> None:
    """A patch from elsewhere is done again on this data set."""
    with st.popover("Replay a patch", icon=":material/upload_file:", type="tertiary"):
        st.caption(f"Decisions of a patch file are recorded for {escape(str(desk.dataset))}, under their authors.")
        file = st.file_uploader("Patch", type=["jsonl"], key="patch-file", label_visibility="collapsed")
        st.button(
            "Replay it", key="patch-replay", type="primary", disabled=file is None, on_click=_replay,
            args=(desk, None if file is None else file.getvalue()),
        )  # fmt: skip


def _replay(desk: Desk, content: bytes | None) -> None:
    try:
        lines = patch_lines(content or b"")
    except ValueError as error:
        note(f"This is no patch: {error}. A patch is what Export, Patch gives.", is_problem=True)
        return
    report = write(desk.path, lambda store: apply_patch(store, desk.dataset, lines))
    if report is not None:
        note(told(report), is_problem=bool(report.told))


def patch_lines(content: bytes) -> list[Any]:
    """The lines of a patch file, read. Raises ValueError that names the first line that is no JSON object.

    >>> patch_lines(b'{"action": "keep"}'), patch_lines(b'{"action": "keep"}\\nkeep it')
    Traceback (most recent call last):
    ValueError: line 2 is no JSON object: 'keep it'
    """
    found = []
    for number, line in enumerate(content.decode("utf-8-sig", "replace").splitlines(), 1):
        if not line.strip():
            continue
        try:
            found.append(json.loads(line))
        except ValueError:
            found.append(None)
        if not isinstance(found[-1], dict):
            raise ValueError(f"line {number} is no JSON object: {short(line, 60)!r}")
    return found


def told(report: PatchReport) -> str:
    """What became of a patch.

    >>> told(PatchReport(n_lines=5, n_applied=3, n_already=1, n_missing=1, told=["line 5: there is no such example."]))
    '3 of 5 decisions recorded, 1 was there already. line 5: there is no such example.'
    """
    words = f"{count(report.n_applied)} of {count(report.n_lines)} decisions recorded"
    if report.n_already:
        words += f", {count(report.n_already)} {'was' if report.n_already == 1 else 'were'} there already"
    return f"{words}. {' '.join(report.told[:3])}".strip()
