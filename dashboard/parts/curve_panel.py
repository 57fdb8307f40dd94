"""Curves of one or several runs: what to draw, over what, how smooth."""

from collections.abc import Iterable, Sequence

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.charts.curves import curve_chart
from dashboard.parts.behind import behind, opening
from dashboard.parts.chips import labels
from dashboard.parts.drawing import draw
from dashboard.sentences import metric_title
from dashboard.source import Source
from store import Run

POINTS_ON_A_PAGE = 3000
X_TITLES = {"step": "step", "epoch": "epoch", "tokens": "tokens seen", "time": "seconds since the start"}


def grouped(metrics: Iterable[str]) -> dict[str, list[str]]:
    """Metrics by what they measure: the same quantity on several splits is one chart. The losses come first.

    >>> grouped(["train/loss", "validation/accuracy", "validation/loss", "learning_rate"])
    {'loss': ['train/loss', 'validation/loss'], 'accuracy': ['validation/accuracy'], 'learning_rate': ['learning_rate']}
    """
    groups: dict[str, list[str]] = {}
    for name in sorted(set(metrics), key=_by_split):
        groups.setdefault(name.rpartition("/")[2], []).append(name)
    first = ("loss", "macro_f1", "accuracy")
    order = sorted(groups, key=lambda group: first.index(group) if group in first else len(first))
    return {group: groups[group] for group in order}


def _by_split(name: str) -> tuple[int, str]:
    """Training, validation, test; then the rest by name."""
    split = name.rpartition("/")[0]
    known = ("train", "validation", "test")
    return (known.index(split) if split in known else len(known), name)


def points_a_line(n_lines: int) -> int:
    """How many points each line may have, so that a page never sends more than a few thousand.

    >>> points_a_line(1), points_a_line(20), points_a_line(1000)
    (1000, 150, 20)
    """
    return max(20, min(1000, POINTS_ON_A_PAGE // max(1, n_lines)))


def curve_panel(source: Source, runs: Sequence[Run]) -> None:
    """Controls, charts and the call behind them."""
    known = [queries.latest(source.path, run.key, run.version)["metric"] for run in runs]
    groups = grouped(name for names in known for name in names)
    if not groups:
        st.info("No metric has been logged yet.", icon=":material/show_chart:")
        return
    x, smoothing, is_log, chosen = _controls(list(groups))
    names = tuple(name for group in chosen for name in groups[group])
    n_points = points_a_line(len(names) * len(runs))
    run_names = labels(runs)
    parts = [
        queries.curves(source.path, run.key, run.version, names, x, smoothing, n_points).assign(run=name)
        for run, name in zip(runs, run_names, strict=True)
    ]
    frame = pd.concat(parts, ignore_index=True)
    missing = [name for name, part in zip(run_names, parts, strict=True) if part.empty]
    columns = st.columns(2) if len(chosen) > 1 else [st.container()]
    for i, group in enumerate(chosen):
        part = frame[frame["metric"].isin(groups[group])]
        series = part["metric"].str.rpartition("/")[0].replace("", group)
        order = list(dict.fromkeys(name.rpartition("/")[0] or group for name in groups[group]))
        with columns[i % len(columns)]:
            draw(
                curve_chart,
                part.assign(series=series).drop(columns="metric"),
                key=f"curve-{group}",
                x_title=X_TITLES[x],
                y_title=metric_title(group),
                runs=run_names,
                series=order,
                is_log=is_log,
            )
    _footnote(source, runs, names, x, smoothing, n_points, missing)


def _controls(groups: list[str]) -> tuple[str, float, bool, list[str]]:
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        chosen = st.multiselect(
            "Charts", groups, default=groups[:4], key="charts", format_func=metric_title, bind="query-params"
        )
        x = st.segmented_control(
            "Over", list(queries.X_AXES), default="step", required=True, key="x", bind="query-params"
        )
        smoothing = st.slider("Smoothing", 0.0, 0.99, 0.0, 0.01, key="smooth", bind="query-params", width=160)
        is_log = st.toggle("Log scale", key="log", bind="query-params")
    return x or "step", smoothing, is_log, chosen


def _footnote(
    source: Source,
    runs: Sequence[Run],
    names: tuple[str, ...],
    x: str,
    smoothing: float,
    n_points: int,
    missing: list[str],
) -> None:
    said = [f"At most {n_points:,} points a line; every bucket keeps its lowest and highest."]
    if smoothing:
        said.insert(0, f"**Smoothed**: moving average with factor {smoothing:g}, not what was measured.")
    if missing and x != "step":
        said.append(f"Not recorded by {x} in {len(missing)} of {len(runs)} runs.")
    keys = [run.key for run in runs]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(" ".join(said), width="content")
        behind(opening(source.path, "list_metrics") + f"\ncurves = list_metrics(store, {keys}, {list(names)})")
