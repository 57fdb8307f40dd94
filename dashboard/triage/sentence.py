"""The example that is looked at, where it is a sentence with spans: as given, and as the newest run has it."""

import json
from typing import NamedTuple

import streamlit as st

from dashboard.spans import Marked, is_span_target, marked, sentence_html
from dashboard.triage.reads import Desk
from store import RunNotFound, get_evaluation, get_run, read_inputs, read_responses, read_rows, reading


class Sentence(NamedTuple):
    """Words, and the spans of each line by its title."""

    tokens: list[str]
    lines: dict[str, list[Marked]]


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
        return Sentence(tokens, lines)
