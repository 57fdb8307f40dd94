"""The columns of the trial table and of the table of sweeps."""

from collections.abc import Sequence
from typing import Any

import pandas as pd
import streamlit as st

from dashboard.axes import Axis, is_number
from dashboard.charts.palette import STATUS_COLOURS, require
from dashboard.formats import short
from dashboard.parts.chips import status_word
from dashboard.parts.runs_table import clock
from dashboard.rows import tuples
from dashboard.sweep_sentences import ENDED, objective_title
from dashboard.trials import number_text, parameter_frame, trial_labels
from store import Objective


def trials_table(
    trials: pd.DataFrame, axes: Sequence[Axis], objectives: Sequence[Objective], means: pd.DataFrame
) -> pd.DataFrame:
    """What people see of `store.list_trials`: a row a trial; columns of parameters are named by their label.

    `means` are those of `seed_means` over all trials, of which these may be a part.
    """
    require(trials, "trials_table", "status", "number", "seed", "parameters", "cause", "wall_seconds", "rung_value")
    parameters = parameter_frame(trials).reindex(columns=[axis.path for axis in axes])  # these may be without one
    columns: dict[str, Any] = {
        "status": [[status_word(status)] for status in trials["status"]],
        "trial": trial_labels(trials),
    }
    for i, objective in enumerate(objectives):
        columns[f"objective{i}"] = trials[objective.metric].astype("float64")
    columns["half"] = ((trials["high"].astype("float64") - trials["low"].astype("float64")) / 2).where(
        trials["status"] == "finished"
    )
    over_seeds = means.loc[trials.index].where(trials["status"] == "finished")
    columns |= {"mean": over_seeds["mean"], "mean_half": over_seeds["half"]}
    for i, axis in enumerate(axes):
        columns[f"parameter{i}"] = _column(parameters[axis.path])
    columns |= {
        "last": trials["rung_value"].astype("float64").where(trials["status"] != "finished"),
        "epochs": trials["epoch"].fillna(trials["rung_epoch"]).astype("float64"),
        "time": [clock(seconds) for seconds in trials["wall_seconds"].astype("float64")],
        "cost": trials["held_seconds"].astype("float64") / 3600,
        "note": [_note(row) for row in tuples(trials)],
    }
    table = pd.DataFrame(columns, index=trials.index)
    optional = [
        name
        for name in ("half", "mean", "mean_half", "last", "epochs", "time", "cost", "note")
        if table[name].isna().all()
    ]
    return table.drop(columns=optional)


def _column(values: "pd.Series[Any]") -> "pd.Series[Any]":
    """Numbers as numbers, so that they sort; all else as text, so that every column has one type."""
    known = values[values.notna()]
    if all(is_number(value) for value in known):
        return values.astype("float64")
    return values.map(lambda value: None if value is None else number_text(value))


def _note(row: Any) -> str | None:
    if isinstance(row.cause, str) and row.cause:
        return short(row.cause, 200)
    said = ["reused: this recipe had been run before"] if row.is_reused else []
    if row.n_promotions:
        said.append("pruned, then taken up again")
    if row.n_attempts > 1:
        said.append(f"{row.n_attempts} attempts")
    return ", ".join(said) or None


def trial_columns(axes: Sequence[Axis], objectives: Sequence[Objective]) -> dict[str, Any]:
    """Widths, formats and headings of `trials_table`."""
    column = st.column_config
    colours: Any = list(STATUS_COLOURS.values())  # Streamlit's literal type of colour names
    found: dict[str, Any] = {
        "status": column.MultiselectColumn(
            "status", width=100, options=[status_word(status) for status in STATUS_COLOURS], color=colours
        ),
        "trial": column.TextColumn("trial", width=84, help="Click to open its run."),
        "half": column.NumberColumn(
            "± (examples)",
            format="%.3f",
            width=92,
            help="Half of the 95 % interval over validation examples, one seed.",
        ),
        "last": column.NumberColumn("last rung", format="%.3f", width=76, help="What it said before it was stopped."),
        "epochs": column.NumberColumn("epoch", format="%.2g", width=60, help="Of its best checkpoint, or last rung."),
        "time": column.TextColumn("time", width=70, alignment="right", help="Wall time, h:mm:ss."),
        "cost": column.NumberColumn(
            "device h", format="%.3f", width=76, help="Hours that it held a device in this sweep, with all that failed."
        ),
        "note": column.TextColumn("note", width="medium"),
    }
    digits = _digits(objectives[0].metric)
    found["mean"] = column.NumberColumn("mean of seeds", format=digits, width=92, help="Over its finished seeds.")
    found["mean_half"] = column.NumberColumn(
        "± (seeds)", format=digits, width=76, help="Half of the 95 % interval of the mean over seeds."
    )
    for i, objective in enumerate(objectives):
        digits = _digits(objective.metric)
        found[f"objective{i}"] = column.NumberColumn(objective_title(objective.metric), format=digits, width=92)
    for i, axis in enumerate(axes):
        is_scale = axis.scale != "choice"
        width = min(150, 34 + 8 * len(axis.label))
        found[f"parameter{i}"] = (
            column.NumberColumn(axis.label, format="%.3g", width=width)
            if is_scale or all(_is_numeral(choice) for choice in axis.choices)
            else column.TextColumn(axis.label, width=width)
        )
    return found


def _digits(metric: str) -> str:
    return "%.3f" if metric.startswith("validation/") else "%.4g"


def _is_numeral(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def sweeps_table(sweeps: pd.DataFrame) -> pd.DataFrame:
    """What people see of `store.list_sweeps`: a row a sweep."""
    done = sweeps[[f"n_{status}" for status in ENDED]].sum(axis=1)
    rows = tuples(sweeps)
    return pd.DataFrame(
        {
            "status": [[status_word(row.status)] for row in rows],
            "name": sweeps["name"],
            "progress": [_share(row.n_configurations - row.n_running - row.n_queued, row.n_trials) for row in rows],
            "done": done,
            "wanted": sweeps["n_trials"].astype("float64"),
            "pruned": sweeps["n_pruned"],
            "failed": sweeps["n_failed"] + sweeps["n_killed"],
            "best": sweeps["best_value"].astype("float64"),
            "metric": [objective_title(metric) for metric in sweeps["objective"]],
            "cost": sweeps["device_seconds"].astype("float64") / 3600,
            "time": [clock(row.wall_seconds or row.run_seconds) for row in rows],
            "began": pd.to_datetime(sweeps["created_at"], unit="s", utc=True),
            "note": [short(row.cause, 200) if isinstance(row.cause, str) else None for row in rows],
        },
        index=sweeps.index,
    )


def _share(n: int, wanted: float | None) -> float | None:
    return min(1.0, max(0, n) / wanted) if wanted is not None and wanted == wanted and wanted > 0 else None


def sweep_columns() -> dict[str, Any]:
    """Widths, formats and headings of `sweeps_table`."""
    column = st.column_config
    colours: Any = list(STATUS_COLOURS.values())  # as above
    number = column.NumberColumn
    return {
        "status": column.MultiselectColumn(
            "status", width=100, options=[status_word(status) for status in STATUS_COLOURS], color=colours
        ),
        "name": column.TextColumn("name", width=220, help="Click a name to open the sweep."),
        "progress": column.ProgressColumn("progress", format="percent", min_value=0, max_value=1, width=120),
        "done": number("trials", format="%,d", width=64, help="Trials that have ended, each seed counted."),
        "wanted": number("wanted", format="%,d", width=68, help="Configurations asked for."),
        "pruned": number("pruned", format="%,d", width=64),
        "failed": number("failed", format="%,d", width=60),
        "best": number("best", format="%.3f", width=64),
        "metric": column.TextColumn("metric", width=110),
        "cost": number("device h", format="%.2f", width=76, help="Hours that its trials held devices."),
        "time": column.TextColumn("time", width=70, alignment="right", help="Wall time of its drivers, h:mm:ss."),
        "began": column.DatetimeColumn("began", format="distance", width=118),
        "note": column.TextColumn("note", width="medium"),
    }
