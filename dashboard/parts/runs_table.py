"""The columns of the runs table."""

import json
from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.charts.palette import STATUS_COLOURS, require
from dashboard.formats import UNKNOWN, is_known, short
from dashboard.parts.chips import status_word
from dashboard.rows import tuples
from dashboard.sentences import metric_title

_NEEDED = (
    "id", "name", "status", "cause", "method", "dataset", "select_metric", "value", "low", "high", "n", "base_value",
    "device_seconds", "peak_device_bytes", "peak_host_bytes", "wall_seconds", "examples_per_second",
    "created_at", "started_at", "tags", "note",
)  # fmt: skip


def runs_table(frame: pd.DataFrame, loss_lines: Sequence[list[float]], now: float) -> pd.DataFrame:
    """What people see of `store.list_runs`: a row a run, and only columns in which something is known."""
    require(frame, "runs_table", *_NEEDED)
    rows = tuples(frame)
    columns: dict[str, Any] = {
        "status": [[status_word(row.status)] for row in rows],
        "name": frame["name"],
        "method": frame["method"],
        "dataset": frame["dataset"],
        "outcome": [_outcome(row) for row in rows],
        "value": frame["value"].astype("float64"),
        "half": (frame["high"].astype("float64") - frame["low"].astype("float64")) / 2,
        "n": frame["n"].astype("float64"),
        "gain": frame["value"].astype("float64") - frame["base_value"].astype("float64"),
        "loss": list(loss_lines),
        "cost": [cost_text(row.device_seconds, row.peak_device_bytes) for row in rows],
        "time": [clock(_seconds(row, now)) for row in rows],
        "speed": frame["examples_per_second"].astype("float64"),
        "memory": frame["peak_device_bytes"].fillna(frame["peak_host_bytes"]).astype("float64"),
        "started": pd.to_datetime(frame["started_at"].fillna(frame["created_at"]), unit="s", utc=True),
        "note": [short(str(row.note), 200) if row.note else ", ".join(json.loads(row.tags)) or None for row in rows],
    }
    table = pd.DataFrame(columns, index=frame.index)
    return table.loc[:, [name for name in table if name in _ALWAYS or table[name].map(_says_something).any()]]


_ALWAYS = ("status", "name", "value", "half", "gain", "loss", "time", "started")


def _outcome(row: Any) -> str | None:
    """What the value is, or why there is none."""
    if row.status in ("failed", "killed", "pruned"):
        return short(row.cause, 200) if isinstance(row.cause, str) else "no cause was recorded"
    if not row.select_metric or not is_known(row.value):
        return None
    split, _, _ = row.select_metric.rpartition("/")
    return metric_title(row.select_metric) + (f" on {split}" if split else "")


def cost_text(device_seconds: float | None, peak_device_bytes: float | None) -> str | None:
    """Hours on the device: GPU hours where there was one, else processor hours; padded, so that texts sort as numbers.

    >>> cost_text(1440.0, 2e9), cost_text(40.0, None), cost_text(None, None)
    (' 0.40 GPU h', ' 0.01 CPU h', None)
    """
    if not is_known(device_seconds):
        return None
    return f"{device_seconds / 3600:5.2f} {'GPU' if is_known(peak_device_bytes) else 'CPU'} h"


def clock(seconds: float | None) -> str | None:
    """Hours, minutes and seconds, padded with a figure space, so that texts sort as numbers.

    >>> clock(725.0), clock(None)
    ('\u20070:12:05', None)
    """
    if not is_known(seconds):
        return None
    whole = round(seconds)
    return f"{whole // 3600:\u2007>2}:{whole // 60 % 60:02d}:{whole % 60:02d}"


def column_config() -> dict[str, Any]:
    """Widths, formats and headings."""
    column = st.column_config
    colours: Any = list(STATUS_COLOURS.values())  # Streamlit's literal type of colour names
    statuses = [status_word(status) for status in STATUS_COLOURS]
    return {
        "status": column.MultiselectColumn("status", width=100, options=statuses, color=colours),
        "name": column.TextColumn("name", width=180, help="Click a name to open the run."),
        "method": column.TextColumn("method", width=68),
        "dataset": column.TextColumn("data", width=98),
        "outcome": column.TextColumn(
            "outcome", width=172, help="The metric that chose the best checkpoint, or why the run ended."
        ),
        "value": column.NumberColumn("best", format="%.3f", width=62, help="At the best checkpoint."),
        "half": column.NumberColumn("±", format="%.3f", width=60, help="Half of the 95 % interval."),
        "n": column.NumberColumn("n", format="%,d", width=58, help="Examples it was measured on."),
        "gain": column.NumberColumn("vs base", format="%+.3f", width=70, help="Over the untrained model (epoch 0)."),
        "loss": column.LineChartColumn("train loss", width=92),
        "cost": column.TextColumn("cost", width=88, alignment="right"),
        "time": column.TextColumn("time", width=70, alignment="right", help="Wall time, h:mm:ss."),
        "speed": column.NumberColumn("ex/s", format="%,.0f", width=58, help="Training examples a second."),
        "memory": column.NumberColumn(
            "memory", format="bytes", width=76, help="At its peak; of the device where there is one."
        ),
        "started": column.DatetimeColumn("started", format="distance", width=118),
        "note": column.TextColumn("note", width="medium"),
    }


def _seconds(row: Any, now: float) -> float | None:
    if is_known(row.wall_seconds):
        return float(row.wall_seconds)
    if not is_known(row.started_at):
        return None
    return float((row.ended_at if is_known(row.ended_at) else now) - row.started_at)


def _says_something(value: object) -> bool:
    return value is not None and value == value and value != UNKNOWN
