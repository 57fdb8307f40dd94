"""Two runs, example by example: whether they can be paired, how they differ, and which examples flipped."""

from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from dashboard.source import Source
from evals.paired import Flips, compare_pair, holm, mcnemar
from evals.paired import count_flips as count_flips_of
from store import Dataset, Evaluation, Run, count_flips, list_flips, read_pairs, reading


class Pairing(NamedTuple):
    """A (the baseline) and B on the examples of one split that both saw.

    table: a row a metric, as `evals.paired.compare_pair` gives it. n_a, n_b: what each was evaluated on.
    """

    a: Evaluation
    b: Evaluation
    table: pd.DataFrame
    flips: Flips
    p_flips: float
    n_a: int
    n_b: int

    @property
    def n(self) -> int:
        """Examples paired."""
        return self.flips.n


def why_not(a: Run, b: Run, dataset_a: Dataset | None, dataset_b: Dataset | None) -> str | None:
    """Why two runs cannot be compared example by example; None where they can."""
    for run, dataset in ((a, dataset_a), (b, dataset_b)):
        if dataset is None:
            return (
                f"{run.name} was recorded without a dataset, so its examples are not known. "
                "Curves, cost and configuration can be compared; examples cannot."
            )
        if dataset.label_names is None:
            return f"{dataset} has no label names, so what was predicted cannot be matched with another run."
    assert dataset_a is not None, "checked above"
    assert dataset_b is not None, "checked above"
    if dataset_a.label_names != dataset_b.label_names:
        return (
            f"{a.name} tells {_labels(dataset_a)} apart, {b.name} {_labels(dataset_b)}: "
            "their scores measure different things. Curves, cost and configuration can be compared; examples cannot."
        )
    return None


def _labels(dataset: Dataset) -> str:
    names = dataset.label_names or ()
    return f"{len(names)} labels ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"


@st.cache_data(show_spinner="Pairing the predictions of both runs …", max_entries=128)
def pair(path: str, a: Evaluation, b: Evaluation) -> Pairing:
    """Read both evaluations and compare them; an evaluation never changes, so neither does the answer."""
    with reading(path) as store:
        pairs = read_pairs(store, a, b)
    columns = (pairs.gold, pairs.predicted_a, pairs.predicted_b)
    flips = count_flips_of(*columns)
    table = compare_pair(*columns, pairs.loss_a, pairs.loss_b)
    return Pairing(a, b, table, flips, mcnemar(flips.fixed, flips.broken), a.n_examples, b.n_examples)


def correct_jointly(tables: list[pd.DataFrame]) -> pd.DataFrame:
    """All comparisons on one page below each other, `p_holm` corrected over all of their rows."""
    together = pd.concat(tables, ignore_index=True)
    together["p_holm"] = holm(together["p"].to_numpy())
    return together


def flips_page(
    source: Source, a: Evaluation, b: Evaluation, filters: dict[str, Any], limit: int, offset: int
) -> pd.DataFrame:
    """One page of `store.list_flips`."""
    return _flips_page(source.path, a, b, filters, limit, offset)


@st.cache_data(show_spinner=False, max_entries=128)
def _flips_page(
    path: str, a: Evaluation, b: Evaluation, filters: dict[str, Any], limit: int, offset: int
) -> pd.DataFrame:
    with reading(path) as store:
        return list_flips(store, a, b, **filters, limit=limit, offset=offset)


@st.cache_data(show_spinner=False, max_entries=128)
def flip_counts(path: str, a: Evaluation, b: Evaluation, label: int | None, search: str | None) -> dict[str, int]:
    """`store.count_flips`."""
    with reading(path) as store:
        return count_flips(store, a, b, label=label, search=search)
