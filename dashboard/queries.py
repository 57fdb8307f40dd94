"""Everything the pages read, cached.

What is about several runs is keyed on the store's version; what is about one run on that run's own version, so that a
live run does not make the others' data old. Each miss opens a read-only store for as long as it reads: Streamlit's
threads come and go, and a connection belongs to a thread.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import streamlit as st
from numpy.typing import NDArray

from dashboard.source import Source
from dashboard.spans import kinds_table, marked
from evals.classification import confusion_matrix
from evals.curves import downsample, smooth
from evals.dynamics import decode
from evals.entities import count_entities, entity_table
from store import (
    Answers,
    Checkpoint,
    Dataset,
    Evaluation,
    Flight,
    Profile,
    Run,
    RunCost,
    SpoolStatus,
    count_matching_runs,
    count_predictions,
    count_runs,
    get_cost,
    get_dataset,
    get_flight,
    get_run,
    list_alerts,
    list_checkpoints,
    list_evaluations,
    list_events,
    list_example_history,
    list_example_places,
    list_flight_examples,
    list_flights,
    list_latest,
    list_metrics,
    list_predictions,
    list_profiles,
    list_run_facets,
    list_runs,
    list_samples,
    list_scores,
    list_sparklines,
    read_answers,
    read_example_dynamics,
    read_inputs,
    read_log,
    read_responses,
    read_rows,
    read_targets,
    read_values,
    reading,
    spool_status,
)

X_AXES = {"step": "step", "epoch": "epoch", "tokens": "tokens", "time": "seconds"}


# several runs ------------------------------------------------------------------------------------------------------


class Counts(NamedTuple):
    """What the header line says. `n_live` runs hold a lease; the oldest heartbeat is a unix time.

    `rows_pending` wait in the memory of running processes.
    """

    n_runs: int
    n_live: int
    oldest_heartbeat_at: float | None
    rows_pending: int
    rows_lost: int


def counts(source: Source) -> Counts:
    """How many runs there are, and how the running ones are."""
    return _counts(*source)


@st.cache_data(show_spinner=False, max_entries=64)
def _counts(path: str, version: int) -> Counts:
    with reading(path) as store:
        by_status = count_runs(store)
        live = list_runs(store, status=["running"])
    beats = live["heartbeat_at"].dropna()
    return Counts(
        sum(by_status.values()),
        by_status.get("running", 0),
        None if beats.empty else float(beats.min()),
        int(live["rows_pending"].fillna(0).sum()),
        int(live["rows_lost"].fillna(0).sum()),
    )


@st.cache_data(show_spinner=False, ttl=2.0, max_entries=8)  # files: they change without a write to the store
def spooled(path: str) -> SpoolStatus:
    """`store.spool_status`: what waits on disk to be written to the store."""
    with reading(path) as store:
        return spool_status(store)


def runs_page(source: Source, filters: Mapping[str, Any], *, sort: str, limit: int, offset: int) -> pd.DataFrame:
    """One page of `store.list_runs` under filters that are its keyword arguments."""
    return _runs_page(*source, dict(filters), sort, limit, offset)


@st.cache_data(show_spinner=False, max_entries=64)
def _runs_page(path: str, version: int, filters: dict[str, Any], sort: str, limit: int, offset: int) -> pd.DataFrame:
    is_descending = sort not in ("name", "status", "method")
    with reading(path) as store:
        return list_runs(store, **filters, sort=sort, descending=is_descending, limit=limit, offset=offset)


def n_matching(source: Source, filters: Mapping[str, Any]) -> int:
    """How many runs pass the filters."""
    return _n_matching(*source, dict(filters))


@st.cache_data(show_spinner=False, max_entries=64)
def _n_matching(path: str, version: int, filters: dict[str, Any]) -> int:
    with reading(path) as store:
        return count_matching_runs(store, **filters)


def facets(source: Source) -> dict[str, list[str]]:
    """The statuses, tasks, methods and datasets that occur."""
    return _facets(*source)


@st.cache_data(show_spinner=False, max_entries=64)
def _facets(path: str, version: int) -> dict[str, list[str]]:
    with reading(path) as store:
        return list_run_facets(store)


@st.cache_data(show_spinner=False, max_entries=2048)
def loss_line(path: str, run_key: int, run_version: int) -> list[float]:
    """A coarse curve of the run's training loss; empty where none was logged."""
    with reading(path) as store:
        name = loss_name(list_latest(store, [run_key])["metric"].tolist())
        return list_sparklines(store, [run_key], name).get(run_key, []) if name else []


def loss_name(metrics: Sequence[str]) -> str | None:
    """The metric that is a run's training loss, whatever the script called it.

    >>> loss_name(["validation/loss", "train/loss"]), loss_name(["accuracy"])
    ('train/loss', None)
    """
    losses = [name for name in metrics if name.replace("_", "/").split("/")[-1] == "loss"]
    return min(losses, key=lambda name: (name != "train/loss", name != "loss", "train" not in name), default=None)


# one run -----------------------------------------------------------------------------------------------------------


def run(source: Source, selector: str) -> Run:
    """The run of that id, id prefix or name. Raises RunNotFound or RunAmbiguous."""
    return _run(*source, selector)


@st.cache_data(show_spinner=False, max_entries=256)
def _run(path: str, version: int, selector: str) -> Run:
    with reading(path) as store:
        return get_run(store, selector)


@st.cache_data(show_spinner=False, max_entries=64)
def dataset(path: str, key: int) -> Dataset:
    """A dataset version; it never changes."""
    with reading(path) as store:
        return get_dataset(store, key)


def profiles(source: Source, dataset_key: int) -> list[Profile]:
    """`store.list_profiles`."""
    return _profiles(*source, dataset_key)


@st.cache_data(show_spinner=False, max_entries=32)
def _profiles(path: str, version: int, dataset_key: int) -> list[Profile]:
    with reading(path) as store:
        return list_profiles(store, dataset_key)


@st.cache_data(show_spinner=False, max_entries=256)
def scores(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_scores` of one run."""
    with reading(path) as store:
        return list_scores(store, [run_key])


@st.cache_data(show_spinner=False, max_entries=256)
def evaluations(path: str, run_key: int, run_version: int) -> list[Evaluation]:
    """`store.list_evaluations`."""
    with reading(path) as store:
        return list_evaluations(store, run_key)


@st.cache_data(show_spinner=False, max_entries=256)
def latest(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_latest` of one run."""
    with reading(path) as store:
        return list_latest(store, [run_key])


@st.cache_data(show_spinner=False, max_entries=256)
def curves(
    path: str, run_key: int, run_version: int, names: tuple[str, ...], x: str, smoothing: float, max_points: int
) -> pd.DataFrame:
    """Curves ready to draw. Columns metric, x, value; at most `max_points` a metric, extremes kept.

    Smoothing comes before thinning, so that the line drawn is a thinned moving average and not the reverse. Steps of
    which the x is not known are left out; a value that is not finite is a gap.
    """
    with reading(path) as store:
        frame = list_metrics(store, [run_key], names)
    parts = []
    for name, part in frame.groupby("metric", sort=False):
        part = part[part[X_AXES[x]].notna()].sort_values(X_AXES[x], kind="stable")
        line = downsample(part[X_AXES[x]].to_numpy(), smooth(part["value"].to_numpy(), smoothing), max_points)
        parts.append(pd.DataFrame({"metric": name, "x": line.x, "value": line.y}))
    return pd.concat(parts) if parts else pd.DataFrame(columns=["metric", "x", "value"])


@st.cache_data(show_spinner=False, max_entries=64)
def samples(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_samples`."""
    with reading(path) as store:
        return list_samples(store, run_key)


@st.cache_data(show_spinner=False, max_entries=64)
def confusion(path: str, evaluation: Evaluation, dataset_key: int) -> NDArray[np.int64]:
    """Counts (n_classes, n_classes), rows = given, columns = predicted."""
    given, predicted = targets(path, dataset_key, evaluation.split), answers(path, evaluation).predicted
    n = min(len(given), len(predicted))
    return confusion_matrix(given[:n], predicted[:n], len(dataset(path, dataset_key).label_names or ()))


@st.cache_data(show_spinner=False, max_entries=8)
def targets(path: str, dataset_key: int, split: str) -> NDArray[np.int64]:
    """`store.read_targets`; a dataset version never changes."""
    with reading(path) as store:
        return read_targets(store, get_dataset(store, dataset_key), split)


@st.cache_data(show_spinner=False, max_entries=32)
def answers(path: str, evaluation: Evaluation) -> Answers:
    """`store.read_answers`; an evaluation never changes. 1.6 MB for 100,000 examples."""
    with reading(path) as store:
        return read_answers(store, evaluation)


@st.cache_data(show_spinner=False, max_entries=128)
def predictions(path: str, evaluation: Evaluation, filters: dict[str, Any], limit: int, offset: int) -> pd.DataFrame:
    """One page of `store.list_predictions`."""
    with reading(path) as store:
        return list_predictions(store, evaluation, **filters, limit=limit, offset=offset)


@st.cache_data(show_spinner=False, max_entries=128)
def responses(path: str, evaluation: Evaluation, positions: tuple[int, ...]) -> dict[int, Any]:
    """`store.read_responses` of some positions."""
    with reading(path) as store:
        return read_responses(store, evaluation, positions)


@st.cache_data(show_spinner=False, max_entries=16)
def span_table(path: str, evaluation: Evaluation, dataset_key: int) -> pd.DataFrame:
    """`kinds_table` of all sentences of an evaluation, with loss and the probability of the least likely given tag."""
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        given = [json.loads(target) for target in read_values(store, dataset, evaluation.split)]
        said = read_responses(store, evaluation)
        losses = read_answers(store, evaluation).loss
    table = kinds_table(given, said, dataset.label_names or ())
    least = [said[at].get("least", [0, float("nan")])[1] for at in table["position"]]
    return table.assign(loss=losses[table["position"].to_numpy(dtype=np.int64)], least=least)


@st.cache_data(show_spinner=False, max_entries=16)
def type_table(path: str, evaluation: Evaluation, dataset_key: int) -> pd.DataFrame:
    """`entity_table` of an evaluation."""
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        names = dataset.label_names or ()
        targets = [json.loads(target) for target in read_values(store, dataset, evaluation.split)]
        said = read_responses(store, evaluation)
    given = [[each.span for each in marked(target, names)] for target in targets]
    predicted = [[each.span for each in marked(said[at]["spans"], names)] for at in range(len(given))]
    return entity_table(count_entities(given, predicted, names))


@st.cache_data(show_spinner=False, max_entries=128)
def rows_at(path: str, dataset_key: int, split: str, positions: tuple[int, ...]) -> pd.DataFrame:
    """`store.read_rows` of these positions."""
    with reading(path) as store:
        return read_rows(store, get_dataset(store, dataset_key), split, positions=positions)


@st.cache_data(show_spinner=False, max_entries=128)
def inputs(path: str, example_ids: tuple[str, ...]) -> dict[str, Mapping[str, Any]]:
    """`store.read_inputs`."""
    with reading(path) as store:
        return read_inputs(store, example_ids)


@st.cache_data(show_spinner=False, max_entries=128)
def n_predictions(path: str, evaluation: Evaluation, filters: dict[str, Any]) -> int:
    """`store.count_predictions`."""
    with reading(path) as store:
        return count_predictions(store, evaluation, **{k: v for k, v in filters.items() if k != "order"})


@st.cache_data(show_spinner=False, max_entries=64)
def cost(path: str, run_key: int, run_version: int) -> RunCost:
    """`store.get_cost`."""
    with reading(path) as store:
        return get_cost(store, run_key)


@st.cache_data(show_spinner=False, max_entries=32)
def log(path: str, run_key: int, run_version: int, last: int | None) -> str:
    """`store.read_log`."""
    with reading(path) as store:
        return read_log(store, run_key, last=last)


@st.cache_data(show_spinner=False, max_entries=64)
def events(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_events`."""
    with reading(path) as store:
        return list_events(store, run_key)


@st.cache_data(show_spinner=False, max_entries=64)
def alerts(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_alerts`."""
    with reading(path) as store:
        return list_alerts(store, run_key)


@st.cache_data(show_spinner=False, max_entries=64)
def flights(path: str, run_key: int, run_version: int) -> pd.DataFrame:
    """`store.list_flights`."""
    with reading(path) as store:
        return list_flights(store, run_key)


@st.cache_data(show_spinner=False, max_entries=32)
def flight(path: str, key: int) -> Flight:
    """`store.get_flight`; a flight never changes."""
    with reading(path) as store:
        return get_flight(store, key)


@st.cache_data(show_spinner=False, max_entries=128)
def flight_examples(path: str, key: int, step: int, limit: int, offset: int) -> pd.DataFrame:
    """One page of `store.list_flight_examples`."""
    with reading(path) as store:
        return list_flight_examples(store, get_flight(store, key), step, limit=limit, offset=offset)


@st.cache_data(show_spinner=False, max_entries=64)
def checkpoints(path: str, run_key: int, run_version: int) -> list[Checkpoint]:
    """`store.list_checkpoints`."""
    with reading(path) as store:
        return list_checkpoints(store, run_key)


# one example -------------------------------------------------------------------------------------------------------


def places(source: Source, example_id: str) -> pd.DataFrame:
    """`store.list_example_places`."""
    return _places(*source, example_id)


@st.cache_data(show_spinner=False, max_entries=128)
def _places(path: str, version: int, example_id: str) -> pd.DataFrame:
    with reading(path) as store:
        return list_example_places(store, example_id)


def history(source: Source, example_id: str) -> pd.DataFrame:
    """`store.list_example_history`."""
    return _history(*source, example_id)


@st.cache_data(show_spinner=False, max_entries=128)
def _history(path: str, version: int, example_id: str) -> pd.DataFrame:
    with reading(path) as store:
        return list_example_history(store, example_id)


@st.cache_data(show_spinner=False, max_entries=256)
def dynamics(path: str, run_key: int, run_version: int, position: int, given: int) -> pd.DataFrame:
    """What training saw of one training example. Columns epoch, step, p_given, margin (of logits), predicted (index).

    One row an epoch in which it was seen.
    """
    with reading(path) as store:
        rows = read_example_dynamics(store, run_key, position)
    records = []
    for row in rows:
        said = decode(row.words, row.n_classes, np.array([given]))
        values = (float(said.p_given[0]), float(said.margin_logit[0]), int(said.top_classes[0, 0]))
        records.append((row.epoch, row.step, *values))
    frame = pd.DataFrame(records, columns=["epoch", "step", "p_given", "margin", "predicted"])
    return frame[frame["predicted"] >= 0]
