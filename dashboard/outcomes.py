"""What a run said of a split where classes do not say it, sets of labels, numbers or orders, beside what is given.

Cached: an evaluation never changes, and neither does what is made of it here.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from evals.paired import mean_differences
from evals.ranking import RANKING_METRICS, query_table
from store import (
    Evaluation,
    get_dataset,
    list_predictions,
    read_answers,
    read_queries,
    read_responses,
    read_values,
    reading,
)

Numbers = npt.NDArray[np.float64]


class Sets(NamedTuple):
    """given, said (n, k): 1 = has the label. probs (n, k) in [0, 1]: 0 where it was too small to be recorded. loss
    (n,): nan where an example has none."""

    given: npt.NDArray[np.int8]
    said: npt.NDArray[np.int8]
    probs: npt.NDArray[np.float32]
    loss: Numbers

    def measures(self) -> dict[str, Numbers]:
        """Scores of each example whose means are metrics of the split."""
        wrong = (self.given != self.said).mean(axis=1)
        return {"exact_match": (wrong == 0).astype(np.float64), "hamming_loss": wrong, "loss": self.loss}


class Values(NamedTuple):
    """given, said, loss: (n,), nan = none."""

    given: Numbers
    said: Numbers
    loss: Numbers

    def measures(self) -> dict[str, Numbers]:
        """Scores of each example whose means are metrics of the split."""
        error = self.said - self.given
        return {"mae": np.abs(error), "mse": error**2, "loss": self.loss}


class Ranked(NamedTuple):
    """query (n,) a number for each query; given (n,) relevance; score (n,) what the model expects; logit (n,) by which
    it orders; loss (n,). nan = none."""

    query: npt.NDArray[np.int64]
    given: Numbers
    score: Numbers
    logit: Numbers
    loss: Numbers

    def measures(self) -> dict[str, Numbers]:
        """Scores of each query whose means are metrics of the split; nan where none of its documents is relevant."""
        table = query_table(self.query, self.given, self.logit)
        return {name: table[name].to_numpy(dtype=np.float64) for name in RANKING_METRICS}


class Others(NamedTuple):
    """What is neither: its loss is all that can be compared. loss: (n,)."""

    loss: Numbers

    def measures(self) -> dict[str, Numbers]:
        """Scores of each example whose means are metrics of the split."""
        return {"loss": self.loss}


Outcome = Sets | Values | Ranked | Others


@st.cache_data(show_spinner="Reading what the run said …", max_entries=16)
def outcome(path: str, evaluation: Evaluation, dataset_key: int) -> Outcome:
    """All of an evaluation: of which kind, the answers themselves say."""
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        targets = read_values(store, dataset, evaluation.split)
        said = read_responses(store, evaluation)
        loss = read_answers(store, evaluation).loss.astype(np.float64)
        is_ranked = any("logit" in each for each in said.values() if isinstance(each, Mapping))
        asked = read_queries(store, dataset, evaluation.split) if is_ranked else []
    first = next(iter(said.values()), None)
    n = min(len(targets), len(loss))
    if isinstance(first, Mapping) and "labels" in first:
        return _sets(targets[:n], said, loss[:n], len(dataset.label_names or ()))
    if isinstance(first, int | float):
        given = np.array([np.nan if target is None else float(target) for target in targets[:n]])
        return Values(given, np.array([float(said.get(at, np.nan)) for at in range(n)]), loss[:n])
    if is_ranked:
        query = np.unique(asked[:n], return_inverse=True)[1].astype(np.int64)
        given = np.array([np.nan if target is None else float(target) for target in targets[:n]])
        of = [said.get(at, {}) for at in range(n)]
        score, logit = (np.array([each.get(name, np.nan) for each in of]) for name in ("score", "logit"))
        return Ranked(query, given, score, logit, loss[:n])
    return Others(loss[:n])


def _sets(targets: list[Any], said: Mapping[int, Any], loss: Numbers, n_labels: int) -> Sets:
    shape = (len(targets), n_labels)
    given, predicted = np.zeros(shape, dtype=np.int8), np.zeros(shape, dtype=np.int8)
    probs = np.zeros(shape, dtype=np.float32)
    for at, target in enumerate(targets):
        given[at, json.loads(target or "[]")] = 1
        answer = said.get(at, {"labels": [], "p": {}})
        predicted[at, answer["labels"]] = 1
        for index, p in answer["p"].items():
            probs[at, int(index)] = p
    return Sets(given, predicted, probs, loss)


@st.cache_data(show_spinner=False, max_entries=64)
def found_by(path: str, evaluation: Evaluation, search: str) -> npt.NDArray[np.int64]:
    """The positions of all examples whose texts have these words."""
    with reading(path) as store:
        found = list_predictions(store, evaluation, search=search, order="position", limit=evaluation.n_examples)
    return found["position"].to_numpy(dtype=np.int64)


@st.cache_data(show_spinner=False, max_entries=64)
def compared(path: str, a: Evaluation, b: Evaluation, dataset_key: int) -> pd.DataFrame:
    """Two evaluations of one split, example by example: `evals.paired.mean_differences` of what measures both."""
    ours, theirs = outcome(path, a, dataset_key).measures(), outcome(path, b, dataset_key).measures()
    n = min(len(next(iter(each.values()))) for each in (ours, theirs))
    return mean_differences({name: (ours[name][:n], theirs[name][:n]) for name in ours if name in theirs})
