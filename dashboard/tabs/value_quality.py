"""How good predictions are that are no classes: each label of a set, or numbers against those that are given."""

import numpy as np
import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.numbers import MOST_POINTS, fit_chart
from dashboard.formats import UNKNOWN, count, escape, number
from dashboard.outcomes import outcome
from dashboard.parts.drawing import draw
from dashboard.source import Source
from dashboard.tabs import answer_quality, value_examples
from dashboard.tabs.value_examples import OFF, fitting, in_order
from evals.multilabel import set_table, thresholds_of
from evals.outcomes import Sets, Values
from store import Evaluation, Run


def render(source: Source, run: Run, evaluation: Evaluation, dataset_key: int) -> None:
    """A table or a chart above, the worst examples below."""
    found = outcome(source.path, evaluation, dataset_key)
    if isinstance(found, Sets):
        _labels(source, evaluation, dataset_key, found)
    elif isinstance(found, Values):
        _numbers(source, evaluation, dataset_key, found)
    else:
        answer_quality.render(source, run, evaluation, found)


def _labels(source: Source, evaluation: Evaluation, dataset_key: int, found: Sets) -> None:
    names = queries.dataset(source.path, dataset_key).label_names or ()
    table = set_table(found.given, found.said, names)
    table.insert(3, "threshold", thresholds_of(found.probs, found.said))
    st.markdown(f"###### Each label · 95 % interval of F1 · n = {count(len(found.loss))}")
    column = st.column_config.NumberColumn
    event = st.dataframe(
        table,
        column_config={
            "label": st.column_config.TextColumn("label", width=200),
            "n": column("n", format="%,d", width=70, help="Examples that have it."),
            "n_predicted": column("predicted", format="%,d", width=84, help="Examples that are said to have it."),
            "threshold": column(
                "threshold", format="≈ %.2f", width=90,
                help="A label is predicted from about this probability on; chosen on validation for the best F1.",
            ),
            "precision": column("precision", format="%.3f", width=84),
            "recall": column("recall", format="%.3f", width=76),
            "f1": st.column_config.ProgressColumn("F1", format="%.3f", min_value=0, max_value=1, width=140),
            "f1_low": column("from", format="%.3f", width=72, help="Lower end of the 95 % interval of F1."),
            "f1_high": column("to", format="%.3f", width=72, help="Upper end of the 95 % interval of F1."),
        },
        hide_index=True, height="content" if len(table) <= 14 else 480, placeholder=UNKNOWN, on_select="rerun",
        selection_mode="single-row", key="set-labels",
    )  # fmt: skip
    rows = event["selection"]["rows"]
    chosen = int(rows[0]) if rows else None
    order = in_order(found, "highest loss")
    if chosen is None:
        st.markdown("###### Examples it got wrong :gray[· choose a label to see its own]")
        fits = fitting(found, None, None, wrong_only=True)
    else:
        st.markdown(f"###### Examples it got wrong about {escape(names[chosen])}")
        fits = found.given[:, chosen] != found.said[:, chosen]
    value_examples.listing(source, evaluation, dataset_key, names, order[fits[order]], key=f"wrong-sets-{chosen}")


def _numbers(source: Source, evaluation: Evaluation, dataset_key: int, found: Values) -> None:
    known = np.flatnonzero(np.isfinite(found.given) & np.isfinite(found.said))
    drawn = known[np.linspace(0, len(known) - 1, min(MOST_POINTS, len(known))).astype(np.int64)]
    error = (found.said - found.given)[known]
    st.markdown(f"###### Predicted against given · n = {count(len(known))}")
    left, right = st.columns([1.5, 1], gap="medium")
    with left:
        points = pd.DataFrame({"given": found.given[drawn], "said": found.said[drawn], "position": drawn})
        draw(fit_chart, points, key="fit")
        if len(drawn) < len(known):
            st.caption(f"{count(len(drawn))} of {count(len(known))} examples are drawn, spread evenly.")
    with right:
        st.markdown(escape(error_words(error)))
    st.markdown("###### Furthest off")
    value_examples.listing(source, evaluation, dataset_key, (), in_order(found, OFF), key="furthest")


def error_words(error: "np.ndarray[tuple[int, ...], np.dtype[np.float64]]") -> str:
    """How far off predictions are, in sentences.

    >>> print(error_words(np.array([-1.0, 0.5, 0.5, 1.0])))
    Half of the predictions are within 0.75 of what is given, nine in ten within 1.00. On average they are 0.25 too \
high.
    """
    if not len(error):
        return "No example has a number."
    half, most = np.quantile(np.abs(error), [0.5, 0.9])
    lean = float(error.mean())
    way = "too high" if lean > 0 else "too low"
    return (
        f"Half of the predictions are within {number(half, 2)} of what is given, nine in ten within {number(most, 2)}. "
        f"On average they are {number(abs(lean), 2)} {way}."
    )
