"""The example that is looked at, where it is a sentence with spans: as given, and as the newest run has it."""

import json
from typing import NamedTuple

import streamlit as st

from dashboard.spans import Marked, is_span_target, marked, sentence_html
from dashboard.triage.reads import Desk
from evals.tags import Span
from store import (
    RunNotFound,
    get_dataset,
    get_evaluation,
    get_run,
    list_findings,
    read_inputs,
    read_responses,
    read_rows,
    reading,
)


class Sentence(NamedTuple):
    """Words, and the spans of each line by its title."""

    tokens: list[str]
    lines: dict[str, list[Marked]]
    target: str
    """Its spans as the store has them."""


def show_sentence(desk: Desk, split: str, position: int) -> bool:
    """Draw it; False where the example is none."""
    found = sentence(desk, split, position)
    if found is None:
        return False
    st.html(sentence_html(found.tokens, found.lines, desk.dataset.label_names or ()))
    return True


@st.cache_data(show_spinner=False, max_entries=256, hash_funcs={Desk: lambda desk: desk.key[:2]})
def sentence(desk: Desk, split: str, position: int) -> Sentence | None:
    """None where the example is no sentence with spans. What a run says is of a split that it did not train on."""
    if desk.triage.summary.get("unjudged") != "spans":
        return None
    names = desk.dataset.label_names or ()
    with reading(desk.path) as store:
        row = read_rows(store, desk.dataset, split, positions=[position]).iloc[0]
        tokens = read_inputs(store, [row["example_id"]])[row["example_id"]].get("tokens")
        if tokens is None or not is_span_target(row["target"]):
            return None
        lines = {"given": marked(json.loads(row["target"]), names)}
        for each in desk.triage.sources:
            try:
                run = get_run(store, str(each.get("id")))
            except RunNotFound:  # removed since
                continue
            evaluation = get_evaluation(store, run.key, split)
            said = read_responses(store, evaluation, [position]) if evaluation else {}
            if position in said:
                lines[run.name] = marked(said[position]["spans"], names)
                break
        if len(lines) == 1:  # a training sentence: what models say that had not seen it, where that is something else
            found = list_findings(store, desk.triage.key, kind="span_error", split=split, position=position)
            for evidence in found["evidence"].head(1):
                by = (desk.triage.summary.get("judged") or {}).get("name") or "model"
                lines[f"{by}, unseen"] = [Marked(Span(*each)) for each in evidence.get("spans") or ()]
        return Sentence(tokens, lines, str(row["target"]))


def target_of(desk: Desk, split: str, position: int) -> object:
    """What an example has, as the store keeps it: a label's index, a number, or JSON."""
    return _target(desk.path, desk.dataset.key, split, position)


@st.cache_data(show_spinner=False, max_entries=1024)
def _target(path: str, dataset_key: int, split: str, position: int) -> object:
    with reading(path) as store:
        target: object = read_rows(store, get_dataset(store, dataset_key), split, positions=[position])["target"].iloc[
            0
        ]
        return target
