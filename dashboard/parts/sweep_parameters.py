"""Which parameters mattered, and the objective over each of them."""

import pandas as pd
import streamlit as st

from dashboard import work_queries
from dashboard.axes import axes_of
from dashboard.charts.search import slice_chart
from dashboard.formats import count, escape
from dashboard.parts.drawing import draw
from dashboard.parts.sweep_trials import importance_panel, space_of
from dashboard.source import Source
from dashboard.sweep_sentences import objective_title
from dashboard.trials import drawn, parameter_frame, slice_frame
from store import Sweep

MARKS_ON_A_PAGE = 3000
IN_A_ROW = 3


def render(source: Source, sweep: Sweep, trials: pd.DataFrame) -> None:
    """Importance, then a small chart for each parameter, the one that matters most first."""
    objective = sweep.objectives[0]
    finished = trials[(trials["status"] == "finished") & trials[objective.metric].notna()]
    if finished.empty:
        st.info("No trial has finished yet, so nothing can be said about parameters.", icon=":material/tune:")
        return
    axes = axes_of(parameter_frame(trials), space_of(sweep))
    found = work_queries.importance(trials, objective.metric)
    left, _ = st.columns([3, 2])
    with left:
        importance_panel(found, axes)
    order = found.table["parameter"].tolist()
    axes.sort(key=lambda axis: order.index(axis.path) if axis.path in order else len(order))
    shown = drawn(finished, objective, MARKS_ON_A_PAGE // max(1, len(axes)))
    st.markdown(f"###### {escape(objective_title(objective.metric))} over each parameter · n = {count(len(shown))}")
    if len(shown) < len(finished):
        st.caption(f"The best {count(len(shown))} of {count(len(finished))} finished trials.")
    columns = st.columns(IN_A_ROW)
    for i, axis in enumerate(axes):
        with columns[i % IN_A_ROW]:
            draw(
                slice_chart,
                slice_frame(shown, axis, objective.metric),
                key=f"slice-{axis.path}",
                axis=axis,
                y_title=objective_title(objective.metric),
            )
    st.caption("Each point is a finished trial; all other parameters differ too, so a slope here is not yet a cause.")
