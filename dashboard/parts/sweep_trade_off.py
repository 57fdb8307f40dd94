"""Several objectives: what no other trial beats in everything."""

import pandas as pd
import streamlit as st

from dashboard.axes import axes_of
from dashboard.charts.search import trade_off_chart
from dashboard.formats import UNKNOWN, count
from dashboard.parts.drawing import draw
from dashboard.parts.sweep_trials import space_of
from dashboard.parts.trials_table import trial_columns, trials_table
from dashboard.source import Source
from dashboard.sweep_sentences import objective_title
from dashboard.trials import MOST_DRAWN, parameter_frame, seed_means, trade_off_frame, trial_labels
from store import Sweep


def render(source: Source, sweep: Sweep, trials: pd.DataFrame) -> None:
    """Two objectives against each other; below, the trials on the front."""
    metrics = [objective.metric for objective in sweep.objectives]
    if not (trials["status"] == "finished").any():
        st.info("No trial has finished yet.", icon=":material/hourglass_empty:")
        return
    y, x = metrics[0], metrics[1]
    if len(metrics) > 2:
        with st.container(horizontal=True, vertical_alignment="bottom"):
            y = st.selectbox("Up", metrics, index=0, format_func=objective_title, key="up", width=220) or y
            x = st.selectbox("Across", metrics, index=1, format_func=objective_title, key="across", width=220) or x
    frame = trade_off_frame(trials, sweep.objectives, x, y)
    if frame.empty:
        st.info("No finished trial has a value for both.", icon=":material/info:")
        return
    known = frame["x"]
    is_log = bool(known.min() > 0 and known.max() / known.min() > 20)
    finished = trials[trials["status"] == "finished"]
    labels = frame.loc[frame["is_front"], "label"]
    front = finished[[label in set(labels) for label in trial_labels(finished)]].sort_values(y, ascending=False)
    left, _ = st.columns([3, 1])
    with left:
        some = pd.concat([frame[frame["is_front"]], frame[~frame["is_front"]][:MOST_DRAWN]])
        draw(
            trade_off_chart,
            some.reset_index(drop=True),
            key="trade-off",
            x_title=objective_title(x) + (" (log)" if is_log else ""),
            y_title=objective_title(y),
            is_x_log=is_log,
        )
    st.markdown(f"###### On the front: {count(len(front))} of {count(len(frame))} finished trials")
    axes = axes_of(parameter_frame(trials), space_of(sweep))
    event = st.dataframe(
        trials_table(front, axes, sweep.objectives, seed_means(trials, metrics[0])),
        column_config=trial_columns(axes, sweep.objectives),
        hide_index=True,
        height="content" if len(front) <= 12 else 420,
        placeholder=UNKNOWN,
        on_select="rerun",
        selection_mode="single-cell",
        key="front",
    )
    runs = front["run_id"].tolist()
    for row, column in event["selection"]["cells"]:
        if column == "trial" and runs[row]:
            st.switch_page("views/run.py", query_params={"run": runs[row]})
