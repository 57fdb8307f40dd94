"""The trials of a sweep as the frames that its charts draw: `store.list_trials` → frames, nothing else."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from dashboard.axes import ABSENT_PLACE, Axis, written
from dashboard.charts.palette import require
from evals.intervals import mean_interval
from evals.leaders import front_of
from evals.search import best_so_far
from store import Objective

Floats = NDArray[np.float64]

MOST_DRAWN = 400
"""Trials in one chart of lines, each of which is a mark an axis."""


def trial_labels(trials: pd.DataFrame) -> list[str]:
    """A name for each trial: its number, with the seed where a configuration has several.

    >>> trial_labels(pd.DataFrame({"number": [0, 1, 1], "seed": [0, 0, 1]}))
    ['0', '1 · seed 0', '1 · seed 1']
    """
    n_seeds = trials.groupby("number")["seed"].transform("size")
    rows = zip(trials["number"], trials["seed"], n_seeds, strict=True)
    return [f"{number} · seed {seed}" if n > 1 else str(number) for number, seed, n in rows]


def parameter_frame(trials: pd.DataFrame) -> pd.DataFrame:
    """A column a parameter (by its path), a row a trial; None where a trial does not have it."""
    paths = list(dict.fromkeys(path for values in trials["parameters"] for path in values))
    columns = {path: [values.get(path) for values in trials["parameters"]] for path in paths}
    return pd.DataFrame({path: pd.Series(column, dtype=object) for path, column in columns.items()}).set_axis(
        trials.index
    )


def finished_values(trials: pd.DataFrame, metric: str) -> Floats:
    """An objective (n,), nan unless the trial finished: what a pruned one said early is not comparable."""
    return trials[metric].where(trials["status"] == "finished").to_numpy(dtype=np.float64)


def seed_means(trials: pd.DataFrame, metric: str) -> pd.DataFrame:
    """Columns mean and half (of the 95 % interval) of an objective over the finished seeds of each trial's
    configuration, with the index of `trials`; nan where it has fewer than two.
    """
    values = pd.Series(finished_values(trials, metric), index=trials.index)
    found = {number: mean_interval(of_one) for number, of_one in values.groupby(trials["number"])}
    several = [found[number] if found[number].n > 1 else None for number in trials["number"]]
    return pd.DataFrame(
        {
            "mean": [np.nan if each is None else each.mean for each in several],
            "half": [np.nan if each is None else each.high - each.mean for each in several],
        },
        index=trials.index,
        dtype="float64",
    )


def drawn(trials: pd.DataFrame, objective: Objective, most: int = MOST_DRAWN) -> pd.DataFrame:
    """At most so many trials: those with the best objective, then the newest of the others; in their order."""
    if len(trials) <= most:
        return trials
    is_ascending = objective.direction == "minimize"
    order = trials.sort_values([objective.metric, "number"], ascending=[is_ascending, False], na_position="last")
    return trials.loc[order.index[:most].sort_values()]


class Progress(NamedTuple):
    """The best value against what it took: a row an ended trial, in the order they ended.

    frame: columns label, status, compute (cumulated, in `unit`), value (nan unless finished), best. unit: such as
    `GPU minutes`, or `trials` where no run measured its cost.
    """

    frame: pd.DataFrame
    unit: str


def progress(trials: pd.DataFrame, objective: Objective) -> Progress:
    """What a search reached, against the seconds that its trials held devices; a run that was reused held none."""
    ended = trials[trials["ended_at"].notna() & ~trials["status"].isin(("queued", "running"))]
    ended = ended.sort_values("ended_at", kind="stable")
    values = finished_values(ended, objective.metric)
    seconds = ended["held_seconds"].astype("float64").fillna(0.0).to_numpy()
    compute, unit = np.arange(1, len(ended) + 1, dtype=np.float64), "trials"
    if seconds.sum() > 0:
        device = "GPU" if ended["peak_device_bytes"].notna().any() else "device"
        total = float(seconds.sum())
        scale, name = (1, "seconds") if total < 180 else (60, "minutes") if total < 10_800 else (3600, "hours")
        compute, unit = np.cumsum(seconds) / scale, f"{device} {name}"
    best = best_so_far(values, is_maximised=objective.direction == "maximize")
    columns = {"label": trial_labels(ended), "status": ended["status"], "compute": compute, "value": values}
    return Progress(pd.DataFrame({**columns, "best": best}), unit)


def parallel_frame(trials: pd.DataFrame, axes: Sequence[Axis], metric: str) -> pd.DataFrame:
    """What `parallel_chart` draws, with the index of `trials`; the last axis is the objective's.

    A trial that does not have a parameter stands below that axis; one without a value ends before the last one.
    """
    require(trials, "parallel_frame", metric, "number", "seed", "status", "parameters")
    parameters = parameter_frame(trials)
    values = finished_values(trials, metric)
    columns: dict[str, Any] = {"label": trial_labels(trials), "status": trials["status"], "value": values}
    columns["said"] = [parameters_text(given, axes) for given in trials["parameters"]]
    for i, axis in enumerate(axes[:-1]):
        places = axis.places(parameters[axis.path])
        columns[f"p{i}"] = np.where(np.isnan(places), ABSENT_PLACE, places)
    columns[f"p{len(axes) - 1}"] = axes[-1].places(pd.Series(values, dtype="float64"))
    return pd.DataFrame(columns, index=trials.index)


def parameters_text(parameters: Mapping[str, Any], axes: Sequence[Axis]) -> str:
    """The values of a trial in a line, in the order of the axes: `learning_rate 0.001 · method lora`."""
    return " · ".join(f"{axis.label} {number_text(parameters[axis.path])}" for axis in axes if axis.path in parameters)


def number_text(value: object) -> str:
    """A parameter's value, with four digits where it is a fraction.

    >>> number_text(0.000123456), number_text(16), number_text("lora")
    ('0.0001235', '16', 'lora')
    """
    return f"{value:.4g}" if isinstance(value, float) and value == value else written(value)


def brushed(frame: pd.DataFrame, selections: Mapping[str, Any]) -> "pd.Series[bool]":
    """Which rows of a `parallel_frame` are inside all brushes: `{"brush0": {"p0": [low, high]}, …}`."""
    inside = np.ones(len(frame), dtype=bool)
    for ranges in selections.values():
        for column, ends in dict(ranges or {}).items():
            if column in frame and len(ends) == 2:
                places = frame[column].to_numpy(dtype=np.float64)
                inside &= (places >= min(ends)) & (places <= max(ends))
    return pd.Series(inside, index=frame.index, dtype=bool)


def rung_frame(reports: pd.DataFrame, trials: pd.DataFrame) -> pd.DataFrame:
    """Columns label, number, rung, at (epochs; steps where no report has an epoch), value, status, is_last, ends.

    `status` is the trial's; `ends` is true at the last report of a trial that was pruned.
    """
    require(reports, "rung_frame", "trial_key", "rung", "step", "epoch", "value")
    of = trials.set_index("key").assign(label=trial_labels(trials))
    frame = reports.assign(
        label=of["label"].reindex(reports["trial_key"]).to_numpy(),
        status=of["status"].reindex(reports["trial_key"]).to_numpy(),
        at=(reports["step"] if reports["epoch"].isna().any() else reports["epoch"]).astype("float64"),
    )
    is_last = ~frame.duplicated("trial_key", keep="last")
    frame = frame.assign(ends=is_last & (frame["status"] == "pruned"))
    return frame[["label", "number", "rung", "at", "value", "status", "ends"]].reset_index(drop=True)


def rung_counts(frame: pd.DataFrame) -> pd.DataFrame:
    """Of a `rung_frame`, a row a rung: rung, at (median), n (trials that reached it), n_stopped, best_low, best_high.

    best_low and best_high are the range of the values there.
    """
    by_rung = frame.groupby("rung")
    return pd.DataFrame(
        {
            "at": by_rung["at"].median(),
            "n": by_rung.size(),
            "n_stopped": by_rung["ends"].sum(),
            "low": by_rung["value"].min(),
            "high": by_rung["value"].max(),
        }
    ).reset_index()


def slice_frame(trials: pd.DataFrame, axis: Axis, metric: str) -> pd.DataFrame:
    """Columns label, x (a number, or text for a choice), value: the finished trials that have that parameter."""
    values = finished_values(trials, metric)
    given = [parameters.get(axis.path) for parameters in trials["parameters"]]
    x = [written(value) for value in given] if axis.scale == "choice" else given
    frame = pd.DataFrame({"label": trial_labels(trials), "x": x, "value": values})
    is_given = pd.Series([value is not None for value in given], dtype=bool)
    return frame[is_given & frame["value"].notna()].reset_index(drop=True)


def trade_off_frame(trials: pd.DataFrame, objectives: Sequence[Objective], x: str, y: str) -> pd.DataFrame:
    """Columns label, x, y, is_front: the finished trials over two objectives; the front is that of all of them.

    Latencies whose intervals overlap count as equal there.
    """
    finished = trials[trials["status"] == "finished"]
    front = front_of(finished, objectives)
    columns = {"label": trial_labels(finished), "x": finished[x], "y": finished[y], "is_front": front}
    return pd.DataFrame(columns).dropna(subset=["x", "y"]).reset_index(drop=True)
