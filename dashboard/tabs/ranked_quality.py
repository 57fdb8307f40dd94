"""How well documents are put in order: where the first relevant ones are, and whether scores follow relevance."""

import streamlit as st

from dashboard.charts.counts import count_chart
from dashboard.formats import UNKNOWN, count, escape
from dashboard.outcomes import outcome
from dashboard.parts.drawing import draw
from dashboard.rankings import ANY, LOWEST, first_words, fitting, grade_table, place_counts, query_rows
from dashboard.source import Source
from dashboard.tabs import ranked_examples
from evals.outcomes import Ranked
from store import Evaluation


def render(source: Source, evaluation: Evaluation, dataset_key: int) -> None:
    """Chart beside table, the worst queries below."""
    found = outcome(source.path, evaluation, dataset_key)
    if not isinstance(found, Ranked):
        st.info("No scores of this evaluation were recorded.", icon=":material/info:")
        return
    table = query_rows(found)
    left, right = st.columns([1.2, 1], gap="medium")
    with left:
        title = f"Queries by the place of their first relevant document, n = {count(len(table))}"
        draw(count_chart, place_counts(table["first"]), key="first-places", title=title)
    with right:
        st.markdown(escape(first_words(table["first"])))
        st.markdown("###### Scores by given relevance")
        number = st.column_config.NumberColumn
        st.dataframe(
            grade_table(found),
            column_config={
                "documents": number("documents", format="%,d", width=96),
                "low": number("low", format="%.3f", help="A tenth of them score below."),
                "median": number("median", format="%.3f", help="Half of them score below."),
                "high": number("high", format="%.3f", help="Nine tenths of them score below."),
            },
            hide_index=True, height="content", placeholder=UNKNOWN, key="grades",
        )  # fmt: skip
    st.markdown("###### Queries ranked worst")
    ranked_examples.listing(source, evaluation, dataset_key, found, fitting(table, ANY, LOWEST))
