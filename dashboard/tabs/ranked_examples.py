"""Queries with their documents in the order in which a run puts them, the worst first."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.formats import count, escape, short
from dashboard.outcomes import found_by, outcome
from dashboard.parts.behind import behind, opening
from dashboard.parts.choices import page_offset, pager
from dashboard.parts.example_list import example_list
from dashboard.rankings import (
    ANY,
    KINDS,
    LOWEST,
    ORDERS,
    fitting,
    query_rows,
    query_words,
    relevance_words,
    shown_documents,
)
from dashboard.rows import mappings
from dashboard.source import Source
from evals.outcomes import Ranked
from evals.ranking import places_of
from store import Evaluation, Run

PER_PAGE = 8
MOST_DOCUMENTS = 30
"""Of a query; relevant ones behind them are shown, too."""
TALL = 12
"""Documents from which on a table scrolls."""


def render(source: Source, run: Run, evaluation: Evaluation, dataset_key: int) -> None:
    """Filters → one page of queries; any document opens its example."""
    found = outcome(source.path, evaluation, dataset_key)
    if not isinstance(found, Ranked):
        st.info("No scores of this evaluation were recorded.", icon=":material/info:")
        return
    columns = st.columns([1.4, 2, 1.4, 2], vertical_alignment="center")
    with columns[0]:
        kind = st.selectbox("Kind", KINDS, key="kind", bind="query-params", label_visibility="collapsed") or ANY
    with columns[1]:
        search = st.text_input(
            "Search", key="words", bind="query-params", placeholder="words in the query or a document",
            label_visibility="collapsed", type="search",
        )  # fmt: skip
    with columns[2]:
        order = st.selectbox("Order", ORDERS, key="order", bind="query-params", label_visibility="collapsed") or LOWEST
    table = fitting(query_rows(found), kind, order)
    if search:
        named = np.unique(found.query[found_by(source.path, evaluation, search)])
        table = table[table["query"].isin(named)]
    listing(source, evaluation, dataset_key, found, table)
    behind(
        opening(
            source.path, "get_dataset", "get_evaluation", "get_run", "read_queries", "read_responses", "read_values"
        )
        + f"\nrun = get_run(store, {run.id!r})\ndataset = get_dataset(store, run.dataset_key)"
        + f"\nevaluation = get_evaluation(store, run.key, {evaluation.split!r}, {evaluation.step})"
        + f"\nqueries = read_queries(store, dataset, {evaluation.split!r})"
        + f"\nrelevance = read_values(store, dataset, {evaluation.split!r})"
        + "\nsaid = read_responses(store, evaluation)"
    )


def listing(source: Source, evaluation: Evaluation, dataset_key: int, found: Ranked, table: pd.DataFrame) -> None:
    """One page of the queries of `dashboard.rankings.query_rows`."""
    if table.empty:
        st.info("No query fits these filters.", icon=":material/filter_alt_off:")
        return
    offset = page_offset(len(table), PER_PAGE, key="page", of=(evaluation, hash(tuple(table["query"]))))
    page = table.iloc[offset : offset + PER_PAGE]
    of_query = {int(query): shown_documents(found, int(query), MOST_DOCUMENTS) for query in page["query"]}
    wanted = tuple(int(at) for positions in of_query.values() for at in positions)
    rows = queries.rows_at(source.path, dataset_key, evaluation.split, tuple(sorted(wanted))).set_index("position")
    inputs = queries.inputs(source.path, tuple(rows["example_id"]))
    places = places_of(found.query, found.logit)
    for row in mappings(page):
        positions = of_query[int(row["query"])]
        ids = rows["example_id"].loc[positions.tolist()].tolist()
        shown = pd.DataFrame(
            {
                "example_id": ids,
                "text": [inputs[each].get("document", "") for each in ids],
                "place": places[positions],
                "relevance": relevance_words(found.given[positions].tolist()),
                "score": found.score[positions],
            }
        )
        with st.container(border=True, gap="small"):
            st.markdown(f"**{escape(short(str(inputs[ids[0]].get('query', '')), 400))}**")
            st.caption(escape(query_words(row, int(row["n"]) - len(positions))))
            example_list(
                shown,
                {
                    "place": st.column_config.NumberColumn("place", format="%d", width=56),
                    "text": st.column_config.TextColumn("document", width=900, help="Choose a row to see all of it."),
                    "relevance": st.column_config.TextColumn("relevance", width=84, help="As it is given."),
                    "score": st.column_config.NumberColumn(
                        "score", format="%.3f", width=84, help="The relevance that the model expects."
                    ),
                },
                key=f"query-{row['query']}", ahead=("place",), height=400 if len(shown) > TALL else "content",
            )  # fmt: skip
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        pager(len(table), PER_PAGE, key="page")
        words = f"{count(offset + 1)} to {count(offset + len(page))} of {count(len(table))} queries"
        st.caption(words, width="content")
