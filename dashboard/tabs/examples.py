"""Examples of a split, the worst first."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import UNKNOWN, count
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager, select
from dashboard.parts.evaluation_choice import evaluation_choice
from dashboard.parts.example_list import PER_PAGE, example_list, probability
from dashboard.responses import CLASS_TASKS, RANK_TASK, SPAN_TASK
from dashboard.source import Source
from dashboard.tabs import answer_examples, ranked_examples, span_examples, value_examples
from store import Evaluation, Run

ORDERS = {
    "highest loss": "loss",
    "lowest margin": "margin",
    "most confident": "confidence",
    "as in the data": "position",
}


def render(source: Source, run: Run) -> None:
    """Filters → one page of examples; any row opens the example."""
    chosen = evaluation_choice(source, run)
    if chosen is None or run.dataset_key is None:
        return
    if run.task == SPAN_TASK and queries.responses(source.path, chosen, (0,)):
        span_examples.render(source, run, chosen, run.dataset_key)
        return
    if run.task == RANK_TASK:
        ranked_examples.render(source, run, chosen, run.dataset_key)
        return
    names = queries.dataset(source.path, run.dataset_key).label_names or ()
    if run.task not in CLASS_TASKS:
        is_of_texts = answer_examples.is_of_texts(source, chosen, run.dataset_key)
        (answer_examples if is_of_texts else value_examples).render(source, run, chosen, run.dataset_key)
        return
    numbers = range(len(names))
    columns = st.columns([1.4, 1.4, 2, 1.2, 1], vertical_alignment="center")
    with columns[0]:
        given = select("Given", numbers, names, key="given", any_word="given: any")
    with columns[1]:
        predicted = select("Predicted", numbers, names, key="predicted", any_word="predicted: any")
    with columns[2]:
        search = st.text_input(
            "Search",
            key="words",
            bind="query-params",
            placeholder="words in the text",
            label_visibility="collapsed",
            type="search",
        )
    with columns[3]:
        order = st.selectbox("Order", list(ORDERS), key="order", bind="query-params", label_visibility="collapsed")
    with columns[4]:
        wrong_only = st.toggle("Wrong only", key="wrong", bind="query-params")
    filters: dict[str, Any] = {
        "given": given,
        "predicted": predicted,
        "search": search or None,
        "wrong_only": wrong_only,
        "order": ORDERS[order or "highest loss"],
    }
    listing(source, chosen, names, filters, key="worst")
    asked = ", ".join(f"{name}={value!r}" for name, value in filters.items() if value not in (None, False))
    behind(
        opening(source.path, "get_evaluation", "get_run", "list_predictions")
        + f"\nrun = get_run(store, {run.id!r})"
        + f"\nevaluation = get_evaluation(store, run.key, {chosen.split!r}, {chosen.step})"
        + f"\npage = list_predictions(store, evaluation, {asked})"
    )


def listing(source: Source, evaluation: Evaluation, names: Sequence[str], filters: dict[str, Any], *, key: str) -> None:
    """One page of predictions under filters (keyword arguments of `store.list_predictions`)."""
    n_found = queries.n_predictions(source.path, evaluation, filters)
    if n_found == 0:
        st.info("No example fits these filters.", icon=":material/filter_alt_off:")
        return
    offset = page_offset(n_found, PER_PAGE, key="page", of=(evaluation, filters))
    page = queries.predictions(source.path, evaluation, filters, PER_PAGE, offset)
    columns = {
        "given": st.column_config.TextColumn("given", width="small"),
        "predicted": st.column_config.TextColumn("predicted", width="small"),
    }
    shown = page.assign(
        given=[_label(names, i) for i in page["given"]],
        predicted=[
            f"{'' if pd.isna(g) else '✓ ' if g == p else '✕ '}{_label(names, p)}"
            for g, p in zip(page["given"], page["predicted"], strict=True)
        ],
    )
    shares = {"p_given": probability("p(given)"), "p_predicted": probability("p(predicted)")}
    losses = {"loss": probability("loss", "−ln p(given), in nats")}
    inputs = queries.inputs(source.path, tuple(shown["example_id"]))
    example_list(shown, {**columns, **shares, **losses}, key=key, inputs=inputs)
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(n_found, PER_PAGE, key="page")
        st.caption(f"{count(offset + 1)} to {count(offset + len(page))} of {count(n_found)} examples", width="content")


def _label(names: Sequence[str], index: int | None) -> str:
    return names[int(index)] if index is not None and index == index and 0 <= index < len(names) else UNKNOWN
