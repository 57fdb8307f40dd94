"""What the pages about sweeps, jobs and new runs read, cached as in `dashboard.queries`.

A sweep's page shows costs and scores of its runs too, which move without it: those are keyed on the store's version.
"""

from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.source import Source
from dashboard.trials import parameter_frame
from evals.importance import Importance, parameter_importance
from evals.leaders import INTERVALS, Leaders, find_leaders
from store import (
    Job,
    Objective,
    Sweep,
    get_job,
    get_sweep,
    job_log,
    latest_triage,
    list_datasets,
    list_jobs,
    list_runs,
    list_sweeps,
    list_trial_reports,
    list_trials,
    list_workers,
    reading,
)
from store.trial_answers import read_together

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


def leaders(source: Source, sweep: Sweep, trials: pd.DataFrame) -> Leaders | None:
    """`evals.leaders` over its trials, as `runner sweep` compares them; done once for each set of results."""
    metrics = [objective.metric for objective in sweep.objectives]
    ends = [column for metric in metrics for column in INTERVALS.get(metric, ())]
    columns = ["number", "status", "run_key", "wall_seconds", *metrics, *ends]
    rows = tuple(trials[columns].astype(object).where(trials[columns].notna(), None).itertuples(index=False, name=None))
    return _leaders(source.path, rows, sweep.objectives, _trials=trials)


@st.cache_data(show_spinner="Comparing the best configurations …", max_entries=32)
def _leaders(
    path: str, rows: tuple[tuple[object, ...], ...], objectives: tuple[Objective, ...], _trials: pd.DataFrame
) -> Leaders | None:
    with reading(path) as store:
        return find_leaders(_trials, objectives, partial(read_together, store, split="validation"))


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


def is_triaged(source: Source, dataset_key: int) -> bool:
    """Whether there is a finished triage of a data set version."""
    return _is_triaged(*source, dataset_key)


@st.cache_data(show_spinner=False, max_entries=64)
def _is_triaged(path: str, version: int, dataset_key: int) -> bool:
    with reading(path) as store:
        return latest_triage(store, dataset_key) is not None


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
