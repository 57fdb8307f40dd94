"""What the pages about sweeps, jobs and new runs read, cached as in `dashboard.queries`.

A sweep's page shows costs and scores of its runs too, which move without it: those are keyed on the store's version.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard import queries
from dashboard.source import Source
from dashboard.trials import parameter_frame
from evals.importance import Importance, parameter_importance
from evals.seeds import ADDITIVE, compare_with_best, example_scores
from store import (
    Job,
    Objective,
    Sweep,
    get_job,
    get_run,
    get_sweep,
    job_log,
    list_datasets,
    list_evaluations,
    list_jobs,
    list_runs,
    list_sweeps,
    list_trial_reports,
    list_trials,
    list_workers,
    reading,
)

MOST_CONTENDERS = 30
"""Configurations that are compared example by example."""

# sweeps ------------------------------------------------------------------------------------------------------------


def sweeps(source: Source) -> pd.DataFrame:
    """`store.list_sweeps`."""
    return _sweeps(*source)


@st.cache_data(show_spinner=False, max_entries=16)
def _sweeps(path: str, version: int) -> pd.DataFrame:
    with reading(path) as store:
        return list_sweeps(store)


def sweep(source: Source, selector: str) -> Sweep:
    """The sweep of that id, id prefix or name. Raises SweepNotFound."""
    return _sweep(*source, selector)


@st.cache_data(show_spinner=False, max_entries=64)
def _sweep(path: str, version: int, selector: str) -> Sweep:
    with reading(path) as store:
        return get_sweep(store, selector)


def trials(source: Source, sweep_key: int) -> pd.DataFrame:
    """`store.list_trials`."""
    return _trials(*source, sweep_key)


@st.cache_data(show_spinner=False, max_entries=16)
def _trials(path: str, version: int, sweep_key: int) -> pd.DataFrame:
    with reading(path) as store:
        return list_trials(store, sweep_key)


def reports(source: Source, sweep: Sweep) -> pd.DataFrame:
    """`store.list_trial_reports`."""
    return _reports(source.path, sweep.key, sweep.version)


@st.cache_data(show_spinner=False, max_entries=16)
def _reports(path: str, sweep_key: int, sweep_version: int) -> pd.DataFrame:
    with reading(path) as store:
        return list_trial_reports(store, sweep_key)


def importance(trials: pd.DataFrame, metric: str) -> Importance:
    """`evals.importance` over the finished configurations; a second's work, done once for each set of them.

    The seeds of a configuration count as one, by their mean: two that share all parameters would predict each other.
    """
    finished = trials[(trials["status"] == "finished") & trials[metric].notna()]
    values = finished.groupby("number")[metric].mean()
    firsts = finished.drop_duplicates("number").set_index("number").loc[values.index].reset_index(drop=True)
    rows = tuple(zip(map(repr, firsts["parameters"]), values.tolist(), strict=True))
    return _importance(rows, _parameters=parameter_frame(firsts), _values=values.to_numpy(dtype=np.float64))


@st.cache_data(show_spinner="Fitting which parameters matter …", max_entries=32)
def _importance(
    rows: tuple[tuple[str, float], ...], _parameters: pd.DataFrame, _values: NDArray[np.float64]
) -> Importance:
    return parameter_importance(_parameters, _values)


class Contenders(NamedTuple):
    """The best configurations, each against the best: `numbers` of them, in the order of `table`.

    table: as `evals.seeds.compare_with_best` gives it. seconds: mean wall time of one of their runs; nan if unknown.
    """

    numbers: tuple[int, ...]
    table: pd.DataFrame
    seconds: float


def contenders(source: Source, trials: pd.DataFrame, objective: Objective) -> Contenders | None:
    """The best configurations by mean, compared on the examples of the validation split.

    None where the objective is no mean over examples, or fewer than two configurations have predictions to compare.
    """
    split, _, metric = objective.metric.rpartition("/")
    finished = trials[(trials["status"] == "finished") & trials["run_key"].notna() & trials[objective.metric].notna()]
    if metric not in ADDITIVE or not split or finished.empty:
        return None
    means = finished.groupby("number")[objective.metric].mean()
    best = means.sort_values(ascending=objective.direction == "minimize", kind="stable").index[:MOST_CONTENDERS]
    chosen = finished[finished["number"].isin(best)]
    runs = tuple(zip(chosen["number"].astype(int), chosen["run_key"].astype(int), strict=True))
    seconds = float(pd.to_numeric(chosen["wall_seconds"]).mean())
    numbers = tuple(int(number) for number in best)
    return _contenders(source.path, runs, numbers, split, metric, objective.direction == "maximize", seconds)


@st.cache_data(show_spinner="Comparing the best configurations …", max_entries=32)
def _contenders(
    path: str,
    runs: tuple[tuple[int, int], ...],
    numbers: tuple[int, ...],
    split: str,
    metric: str,
    is_maximised: bool,
    seconds: float,
) -> Contenders | None:
    scores: dict[int, list[NDArray[np.float64]]] = {}
    for number, run_key in runs:
        found = _example_scores(path, run_key, split, metric)
        if found is not None:
            scores.setdefault(number, []).append(found)
    if len(scores) < 2 or len({len(row) for rows in scores.values() for row in rows}) > 1:
        return None
    kept = tuple(number for number in numbers if number in scores)
    table = compare_with_best([np.vstack(scores[number]) for number in kept], is_maximised=is_maximised)
    return Contenders(kept, table, seconds)


def _example_scores(path: str, run_key: int, split: str, metric: str) -> NDArray[np.float64] | None:
    with reading(path) as store:
        run = get_run(store, run_key)
        best = next((e for e in list_evaluations(store, run_key) if e.split == split and e.is_best), None)
    if best is None or run.dataset_key is None:
        return None
    gold, said = queries.targets(path, run.dataset_key, split), queries.answers(path, best)
    if len(said.predicted) != len(gold):
        return None
    return example_scores(metric, gold, said.predicted, said.loss)


# jobs --------------------------------------------------------------------------------------------------------------


def jobs(source: Source, limit: int) -> pd.DataFrame:
    """`store.list_jobs`: those that run, those that wait, the ended ones."""
    return _jobs(*source, limit)


@st.cache_data(show_spinner=False, max_entries=16)
def _jobs(path: str, version: int, limit: int) -> pd.DataFrame:
    with reading(path) as store:
        return list_jobs(store, limit=limit)


def job(source: Source, selector: str) -> Job:
    """The job of that id, id prefix or name. Raises JobNotFound."""
    return _job(*source, selector)


@st.cache_data(show_spinner=False, max_entries=64)
def _job(path: str, version: int, selector: str) -> Job:
    with reading(path) as store:
        return get_job(store, selector)


def job_output(source: Source, job: Job, last: int = 6000) -> str:
    """The end of what a job printed; empty where there is nothing. A file, so never cached."""
    with reading(source.path) as store:
        path = job_log(store, job)
    try:
        with path.open("rb") as file:
            file.seek(max(0, path.stat().st_size - last))
            return file.read().decode("utf-8", "replace")
    except OSError:
        return ""


def live_workers(source: Source) -> pd.DataFrame:
    """Of `store.list_workers`, those that may be alive. Never cached: a process may die without a write."""
    with reading(source.path) as store:
        workers = list_workers(store)
    return workers[workers["cause"].isna()].reset_index(drop=True)


# new runs ----------------------------------------------------------------------------------------------------------


def datasets(source: Source) -> pd.DataFrame:
    """`store.list_datasets`."""
    return _datasets(*source)


@st.cache_data(show_spinner=False, max_entries=16)
def _datasets(path: str, version: int) -> pd.DataFrame:
    with reading(path) as store:
        return list_datasets(store)


class Speed(NamedTuple):
    """Training examples a second in earlier runs like the one planned, of `n_runs`."""

    examples_per_second: float
    n_runs: int


def speed(source: Source, base_model: str, method: str) -> Speed | None:
    """The median over the newest finished runs of that model and method; None where none was measured."""
    return _speed(*source, base_model, method)


@st.cache_data(show_spinner=False, max_entries=64)
def _speed(path: str, version: int, base_model: str, method: str) -> Speed | None:
    with reading(path) as store:
        frame = list_runs(store, status=["finished"], method=[method], limit=200)
    measured = frame[frame["base_model"] == base_model]["examples_per_second"].astype("float64").dropna()[:10]
    return Speed(float(measured.median()), len(measured)) if len(measured) else None
