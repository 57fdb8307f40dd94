"""Who was stopped where."""

import pandas as pd
import streamlit as st

from dashboard import work_queries
from dashboard.charts.search import rung_chart
from dashboard.formats import count, percent
from dashboard.parts.behind import behind, opening
from dashboard.parts.drawing import draw
from dashboard.source import Source
from dashboard.sweep_sentences import objective_title
from dashboard.trials import drawn, rung_counts, rung_frame
from store import Sweep


def render(source: Source, sweep: Sweep, trials: pd.DataFrame) -> None:
    """A line a trial over its rungs; a table with a row a rung."""
    reports = work_queries.reports(source, sweep)
    search = sweep.recipe.get("sweep")
    pruner = search.get("pruner", "none") if isinstance(search, dict) else "none"
    if reports.empty:
        why = "this sweep has no pruner" if pruner == "none" else "no trial has reached its first rung yet"
        st.info(f"Nothing was compared early: {why}.", icon=":material/stairs:")
        return
    title = objective_title(sweep.objectives[0].metric)
    kept = drawn(trials, sweep.objectives[0])
    frame = rung_frame(reports[reports["trial_key"].isin(kept["key"])], trials)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        x_title = "optimizer steps" if reports["epoch"].isna().any() else "epochs trained"
        draw(rung_chart, frame, key="rungs", x_title=x_title, y_title=f"{title} at each rung")
        if len(kept) < len(trials):
            st.caption(f"The best {count(len(kept))} of {count(len(trials))} trials are drawn; the table counts all.")
    with right:
        st.markdown(f"###### Who went on · pruner {pruner}")
        _table(rung_counts(rung_frame(reports, trials)))
        st.caption(_saved(trials))
        behind(
            opening(source.path, "get_sweep", "list_trial_reports")
            + f"\nsweep = get_sweep(store, {sweep.id!r})\nreports = list_trial_reports(store, sweep.key)"
        )


def _table(counts: pd.DataFrame) -> None:
    number = st.column_config.NumberColumn
    st.dataframe(
        counts,
        column_config={
            "rung": number("rung", format="%d", width=52, help="The highest is the end of the training."),
            "at": number("at epoch", format="%.3g", width=76),
            "n": number("reached", format="%,d", width=70),
            "n_stopped": number("stopped", format="%,d", width=70, help="Pruned there, and not taken up again."),
            "low": number("lowest", format="%.3f", width=70),
            "high": number("highest", format="%.3f", width=70),
        },
        hide_index=True,
        height="content" if len(counts) <= 12 else 420,
    )


def _saved(trials: pd.DataFrame) -> str:
    """How many epochs were not trained, because trials were pruned; measured against full trials."""
    finished = trials[trials["status"] == "finished"]
    pruned = trials[trials["status"] == "pruned"]
    full = finished["rung_epoch"].max()
    if pruned.empty or pd.isna(full) or full <= 0 or pruned["rung_epoch"].isna().any():
        return ""
    trained = finished["rung_epoch"].fillna(full).sum() + pruned["rung_epoch"].sum()
    wanted = full * (len(finished) + len(pruned))
    return f"{percent(1 - trained / wanted)} of the epochs of these trials were not trained: pruning saved them."
