"""What a run said of a split where classes do not say it, and two runs of such a task beside each other; cached.

An evaluation never changes, and neither does what is made of it here.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd
import streamlit as st

from evals.outcomes import Outcome, are_ranked, outcome_of
from evals.paired import Flips, mcnemar
from evals.paired_outcomes import compare_outcomes, outcome_flips
from store import (
    Evaluation,
    get_dataset,
    list_predictions,
    read_answers,
    read_meetings,
    read_queries,
    read_responses,
    read_values,
    reading,
)

Positions = npt.NDArray[np.int64]


class Paired(NamedTuple):
    """A and B on the examples that both saw; positions_a (n,): where these stand in A's split."""

    a: Outcome
    b: Outcome
    positions_a: Positions
    positions_b: Positions


class Comparison(NamedTuple):
    """table: a row a metric, columns as of `evals.paired.compare_pair`; n: examples that both saw."""

    table: pd.DataFrame
    flips: Flips | None
    p_flips: float
    n: int


@st.cache_data(show_spinner="Reading what the run said …", max_entries=16)
def outcome(path: str, evaluation: Evaluation, dataset_key: int) -> Outcome:
    """All of an evaluation: of which kind, the answers themselves say."""
    with reading(path) as store:
        dataset = get_dataset(store, dataset_key)
        targets = read_values(store, dataset, evaluation.split)
        loss = read_answers(store, evaluation).loss.astype(np.float64)
        said = read_responses(store, evaluation)
        asked = read_queries(store, dataset, evaluation.split) if are_ranked(said) else ()
        return outcome_of(targets, said, loss, dataset.label_names or (), queries=asked)


@st.cache_data(show_spinner=False, max_entries=64)
def found_by(path: str, evaluation: Evaluation, search: str) -> Positions:
    """The positions of all examples whose texts have these words."""
    with reading(path) as store:
        found = list_predictions(store, evaluation, search=search, order="position", limit=evaluation.n_examples)
    return found["position"].to_numpy(dtype=np.int64)


@st.cache_data(show_spinner=False, max_entries=16)
def paired(path: str, a: Evaluation, b: Evaluation, dataset_a: int, dataset_b: int) -> Paired:
    """Two evaluations, example by example: by position on one dataset version, by content on two."""
    ours, theirs = outcome(path, a, dataset_a), outcome(path, b, dataset_b)
    if dataset_a == dataset_b and a.split == b.split:
        places = (np.arange(min(len(ours.loss), len(theirs.loss))),) * 2
    else:
        with reading(path) as store:
            meetings = read_meetings(store, a, b)
        places = meetings.positions_a, meetings.positions_b
    return Paired(ours.take(places[0]), theirs.take(places[1]), *places)


@st.cache_data(show_spinner="Comparing what both said …", max_entries=64)
def compared(path: str, a: Evaluation, b: Evaluation, dataset_a: int, dataset_b: int) -> Comparison:
    """`evals.paired_outcomes.compare_outcomes` of two evaluations, and the flips between them."""
    both = paired(path, a, b, dataset_a, dataset_b)
    flips = outcome_flips(both.a, both.b)
    p = float("nan") if flips is None else mcnemar(flips.fixed, flips.broken)
    return Comparison(compare_outcomes(both.a, both.b), flips, p, len(both.positions_a))
