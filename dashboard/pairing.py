"""Two runs, example by example: whether they can be paired, how they differ, and which examples flipped."""

from typing import Any, NamedTuple

import pandas as pd
import streamlit as st

from dashboard import queries
from dashboard.source import Source
from evals.f1 import Cells, count_cells
from evals.paired import Flips, compare_cells, flips_of, holm, mcnemar, mean_difference
from store import Dataset, Evaluation, Run, count_flips, list_flips, read_pairs, reading


class Pairing(NamedTuple):
    """A (the baseline) and B on the examples of one split that both saw.

    table: a row a metric, as `evals.paired.compare_pair` gives it. cells: counts of (gold, predicted by A, by B).
    n_a, n_b: what each was evaluated on.
    """

    a: Evaluation
    b: Evaluation
    table: pd.DataFrame
    cells: Cells
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


def pair(path: str, a: Evaluation, b: Evaluation, dataset: Dataset, *, is_same_data: bool) -> Pairing:
    """Compare two evaluations; `dataset` is A's. An evaluation never changes, so neither does the answer."""
    return _pair(path, a, b, dataset.key, is_same_data)


@st.cache_data(show_spinner="Pairing the predictions …", max_entries=128)
def _pair(path: str, a: Evaluation, b: Evaluation, dataset_key: int, is_same_data: bool) -> Pairing:
    if is_same_data:  # examples pair by position: what was read for one pair serves all others
        gold = queries.targets(path, dataset_key, a.split)
        said = [queries.answers(path, evaluation) for evaluation in (a, b)]
        n = min(len(gold), *(len(answers.predicted) for answers in said))
        columns = (gold[:n], said[0].predicted[:n], said[1].predicted[:n])
        losses = [answers.loss[:n] for answers in said]
    else:
        with reading(path) as store:
            pairs = read_pairs(store, a, b)
        columns, losses = (pairs.gold, pairs.predicted_a, pairs.predicted_b), [pairs.loss_a, pairs.loss_b]
    cells = count_cells(*columns)
    flips = flips_of(cells)
    loss = mean_difference("loss", *(values[columns[0] >= 0] for values in losses))
    return Pairing(
        a, b, compare_cells(cells, loss), cells, flips, mcnemar(flips.fixed, flips.broken), a.n_examples, b.n_examples
    )


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


def flip_counts(path: str, found: Pairing, label: int | None, search: str | None) -> dict[str, int]:
    """`store.count_flips`; without a search, from what was already counted."""
    return _searched(path, found.a, found.b, label, search) if search else counts_by_kind(found.cells, label)


def counts_by_kind(cells: Cells, label: int | None) -> dict[str, int]:
    """As `store.count_flips` counts them: what has no label or no answer is neither right nor wrong.

    >>> import numpy as np
    >>> counts_by_kind(Cells(np.array([[0, 0, -1], [0, 1, 0], [1, 0, 1]]), np.array([5, 2, 1])), None)
    {'broken': 5, 'fixed': 2, 'both wrong': 0, 'differ': 8}
    """
    gold, a, b = cells.values
    is_answered = (a >= 0) & (b >= 0) & ((gold == label) if label is not None else True)
    is_judged = is_answered & (gold >= 0)
    kinds = {
        "broken": is_judged & (a == gold) & (b != gold),
        "fixed": is_judged & (a != gold) & (b == gold),
        "both wrong": is_judged & (a != gold) & (b != gold),
        "differ": is_answered & (a != b),
    }
    return {kind: int(cells.counts[these].sum()) for kind, these in kinds.items()}


@st.cache_data(show_spinner=False, max_entries=128)
def _searched(path: str, a: Evaluation, b: Evaluation, label: int | None, search: str) -> dict[str, int]:
    with reading(path) as store:
        return count_flips(store, a, b, label=label, search=search)
