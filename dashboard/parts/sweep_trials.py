"""A sweep's trials: how far it came, every trial as a line over its parameters, and the table of what is brushed."""

import pandas as pd
import streamlit as st

from dashboard import work_queries
from dashboard.axes import Axis, axes_of, objective_axis
from dashboard.charts.parallel import parallel_chart
from dashboard.charts.search import importance_chart, progress_chart
from dashboard.formats import UNKNOWN, count, escape, percent
from dashboard.parts.drawing import draw, draw_selectable
from dashboard.parts.trials_table import trial_columns, trials_table
from dashboard.source import Source
from dashboard.sweep_sentences import objective_title
from dashboard.trials import brushed, drawn, finished_values, parallel_frame, parameter_frame, progress, seed_means
from evals.importance import METHOD, Importance
from store import Sweep

MOST_COMPARED = 10
MOST_AXES = 10


def render(source: Source, sweep: Sweep, trials: pd.DataFrame) -> None:
    """Progress beside importance, then the lines, then the table."""
    if trials.empty:
        st.info("The first trial appears here the moment it starts.", icon=":material/hourglass_empty:")
        return
    objective = sweep.objectives[0]
    title = objective_title(objective.metric)
    found = work_queries.importance(trials, objective.metric)
    left, right = st.columns([3, 2], gap="medium")
    with left:
        reached = progress(trials, objective)
        if reached.frame["value"].notna().any():
            draw(progress_chart, reached.frame, key="progress", x_title=reached.unit, y_title=title)
        else:
            st.info("No trial has finished yet.", icon=":material/hourglass_empty:")
    axes = axes_of(parameter_frame(trials), space_of(sweep))
    with right:
        importance_panel(found, axes)
    chosen = _lines(sweep, trials, axes, found)
    _table(sweep, trials.loc[chosen.index[chosen]] if chosen is not None else trials, axes, all_trials=trials)


def space_of(sweep: Sweep) -> dict[str, object]:
    """The `[sweep.space]` of its recipe."""
    search = sweep.recipe.get("sweep")
    return dict(search.get("space") or {}) if isinstance(search, dict) else {}


def importance_panel(found: Importance, axes: list[Axis]) -> None:
    """Bars with intervals, how they were measured and on what; or why they could not be."""
    if found.reason is not None:
        st.markdown("###### What mattered :gray[· not measured]")
        st.caption(escape(f"{found.reason[0].upper()}{found.reason[1:]}."))
        return
    labels = {axis.path: axis.label for axis in axes}
    table = found.table.assign(label=[labels.get(path, path) for path in found.table["parameter"]])
    draw(importance_chart, table[:MOST_AXES], key="importance")
    st.caption(
        f"n = {count(found.n)} finished configurations; the forest explains {percent(found.explained)} of how held-out "
        "trials differ.",
        help=METHOD,
    )


def _lines(sweep: Sweep, trials: pd.DataFrame, axes: list[Axis], found: Importance) -> "pd.Series[bool] | None":
    """The lines; returns which trials are inside the brushes, None without a brush.

    While there is a brush the lines stay as they are, so that no brush is lost when a trial ends.
    """
    objective = sweep.objectives[0]
    values = finished_values(trials, objective.metric)
    if not axes or len(trials) < 2 or pd.isna(values).all():
        return None
    order = found.table["parameter"].tolist()
    by_share = sorted(axes, key=lambda axis: -order.index(axis.path) if axis.path in order else -len(order))
    last = objective_axis(objective.metric, objective_title(objective.metric), pd.Series(values))
    shown = [*by_share[-MOST_AXES:], last]
    some = drawn(trials, objective)
    key, kept = f"parallel-{sweep.id}", f"parallel-kept-{sweep.id}"
    if _is_brushed(key) and kept in st.session_state:
        shown, some = st.session_state[kept]
    else:
        st.session_state[kept] = (shown, some)
    selections = draw_selectable(
        parallel_chart,
        parallel_frame(some, shown, objective.metric).reset_index(drop=True),
        key=key,
        width="stretch",
        axes=shown,
        is_maximised=objective.direction == "maximize",
        is_dark=st.context.theme.type == "dark",
    )
    notes = []
    if len(some) < len(trials):
        notes.append(f"The best {count(len(some))} of {count(len(trials))} trials are drawn.")
    if len(shown) <= len(axes):
        notes.append(f"The {len(shown) - 1} parameters that matter most.")
    notes.append("Drag along an axis to pick trials, along several to pick those in all; a double click lets go.")
    st.caption(" ".join(notes))
    if not any(selections.values()):
        return None
    return brushed(parallel_frame(trials, shown, objective.metric), selections)


def _is_brushed(key: str) -> bool:
    """Whether anything is selected in the chart as it was drawn last."""
    state = st.session_state.get(key) or {}
    return any(dict(state.get("selection") or {}).values())


def _table(sweep: Sweep, trials: pd.DataFrame, axes: list[Axis], *, all_trials: pd.DataFrame) -> None:
    objective = sweep.objectives[0]
    order = trials.assign(key_=finished_values(trials, objective.metric)).sort_values(
        ["key_", "number"], ascending=[objective.direction == "minimize", True], na_position="last"
    )
    place = st.container(horizontal=True, vertical_alignment="center", gap="small")
    runs = order["run_id"].tolist()
    event = st.dataframe(
        trials_table(order, axes, sweep.objectives, seed_means(all_trials, objective.metric)),
        column_config=trial_columns(axes, sweep.objectives),
        hide_index=True,
        height="content" if len(order) <= 15 else 480,
        placeholder=UNKNOWN,
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        key=f"trials-{hash(tuple(order['key']))}",
    )
    for row, column in event["selection"]["cells"]:
        if column == "trial" and runs[row]:
            st.switch_page("views/run.py", query_params={"run": runs[row]})
    rows = [row for row in event["selection"]["rows"] if runs[row]]
    with place:
        n = len(rows)
        if st.button(
            f"Compare {n}" if n else "Compare",
            type="primary" if n >= 2 else "secondary",
            disabled=not 2 <= n <= MOST_COMPARED,
            icon=":material/compare_arrows:",
            shortcut="M",
            help=f"Choose 2 to {MOST_COMPARED} trials; the best of them is the baseline.",
        ):
            st.switch_page("views/compare.py", query_params={"runs": ",".join(runs[row] for row in sorted(rows))})
        said = f"{count(len(order))} of {count(len(all_trials))} trials, the best first"
        st.caption(f"{said} · tick rows to compare their runs, click a number to open one", width="content")
