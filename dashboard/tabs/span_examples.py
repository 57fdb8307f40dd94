"""Sentences of a split with the spans that are given and those that a model says, the worst first."""

import json
from typing import Any

import streamlit as st

from dashboard import queries
from dashboard.formats import count, escape, number
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager, select
from dashboard.parts.example_list import open_example
from dashboard.source import Source
from dashboard.spans import KINDS, difference_words, differences, fitting, legend_html, marked, sentence_html
from store import Evaluation, Run

PER_PAGE = 15
ORDERS = ("highest loss", "least likely tag", "as in the data")


def render(source: Source, run: Run, evaluation: Evaluation, dataset_key: int) -> None:
    """Filters → one page of sentences, each twice: as given and as the model has it."""
    names = queries.dataset(source.path, dataset_key).label_names or ()
    table = queries.span_table(source.path, evaluation, dataset_key)
    columns = st.columns([1.3, 1.3, 1.3, 3], vertical_alignment="center")
    with columns[0]:
        kind = st.selectbox("Kind", KINDS, key="kind", bind="query-params", label_visibility="collapsed") or "any"
    with columns[1]:
        chosen = select("Type", range(len(names)), names, key="type", any_word="type: any")
    with columns[2]:
        order = st.selectbox("Order", ORDERS, key="order", bind="query-params", label_visibility="collapsed")
    with columns[3]:
        st.html(legend_html(names))
    found = fitting(table, kind, None if chosen is None else names[chosen])
    if order == "highest loss":
        found = found.sort_values("loss", ascending=False, kind="stable")
    elif order == "least likely tag":
        found = found.sort_values("least", kind="stable")
    if found.empty:
        st.info("No sentence fits these filters.", icon=":material/filter_alt_off:")
        return
    offset = page_offset(len(found), PER_PAGE, key="page", of=(evaluation, kind, chosen, order))
    page = found.iloc[offset : offset + PER_PAGE]
    positions = tuple(page["position"].tolist())
    rows = queries.rows_at(source.path, dataset_key, evaluation.split, positions)
    known = dict(zip(rows["position"], zip(rows["example_id"], rows["target"], strict=True), strict=True))
    said = queries.responses(source.path, evaluation, positions)
    inputs = queries.inputs(source.path, tuple(rows["example_id"]))
    for at, loss in zip(positions, page["loss"], strict=True):
        example_id, target = known[at]
        _sentence(inputs[example_id]["tokens"], target, said[at], names, (at, loss, example_id))
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(len(found), PER_PAGE, key="page")
        st.caption(
            f"{count(offset + 1)} to {count(offset + len(page))} of {count(len(found))} sentences", width="content"
        )
        behind(
            opening(source.path, "get_evaluation", "get_run", "read_responses", "read_values")
            + f"\nrun = get_run(store, {run.id!r})"
            + f"\nevaluation = get_evaluation(store, run.key, {evaluation.split!r}, {evaluation.step})"
            + "\nsaid = read_responses(store, evaluation)"
        )


def _sentence(
    tokens: list[str], target: str, answer: dict[str, Any], names: tuple[str, ...], about: tuple[int, float, str]
) -> None:
    given, spans = marked(json.loads(target), names), marked(answer["spans"], names)
    at, loss, example_id = about
    with st.container(border=True, gap="small"):
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            words = f"{count(at)} · loss {number(loss, 3)} · {difference_words(differences(given, spans))}"
            st.caption(escape(words), width="content")
            st.space("stretch")
            st.button(
                "", icon=":material/open_in_full:", key=f"open-{at}", type="tertiary", on_click=open_example,
                args=(example_id,), help="All that is known of it",
            )  # fmt: skip
        st.html(sentence_html(tokens, {"given": given, "model": spans}, names))
