"""Sets of labels and numbers: what is given, and what models say that were not trained on it. Loads no torch."""

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.triage.rows import Rows, unjudged
from runner.triage.spans import responses_of
from store import Run, Store, read_opinion, read_values

Floats = NDArray[np.float64]


class LabelSets(NamedTuple):
    """Of n examples."""

    given: NDArray[np.int8]
    """(n, n_labels) 1 = has the label, 0 = has it not, -1 = not known."""
    probs: Floats
    """(n, n_labels) of each label by itself, nan = not known."""


class Numbers(NamedTuple):
    """Of n examples, (n,) each, nan = not known."""

    given: Floats
    predicted: Floats


def read_label_sets(store: Store, rows: Rows, runs: Sequence[Run], opinion_key: int | None) -> LabelSets | None:
    """All examples of a data set in the order of its rows; None where its targets are no sets of labels.

    Of the training split what the opinion says, a cross-validation, of the others what the newest run said there
    (where it wrote down no probability, that is small: 0).
    """
    if unjudged(store, rows.dataset) != "sets of labels":
        return None
    n_labels = len(rows.dataset.label_names or ())
    given = np.full((len(rows), n_labels), -1, dtype=np.int8)
    probs = np.full((len(rows), n_labels), np.nan)
    for split in rows.splits:
        start = rows.of(split).start
        for position, value in enumerate(read_values(store, rows.dataset, split)):
            if value is not None:
                given[start + position] = _has(json.loads(value), n_labels)
        if split == "train":
            continue
        for position, answer in responses_of(store, runs, split).items():
            of_label = answer.get("p", {})
            probs[start + position] = [of_label.get(str(label), 0.0) for label in range(n_labels)]
    if opinion_key is not None:
        probs[: rows.n_train] = np.exp(read_opinion(store, opinion_key).astype(np.float64))
    return LabelSets(given, probs)


def read_numbers(store: Store, rows: Rows, runs: Sequence[Run], opinion_key: int | None) -> Numbers | None:
    """As `read_label_sets`, where the targets are numbers."""
    if unjudged(store, rows.dataset) != "numbers":
        return None
    given, predicted = np.full(len(rows), np.nan), np.full(len(rows), np.nan)
    for split in rows.splits:
        values = read_values(store, rows.dataset, split)
        given[rows.of(split)] = [np.nan if value is None else value for value in values]
        if split != "train":
            for position, answer in responses_of(store, runs, split).items():
                predicted[rows.of(split).start + position] = float(answer)
    if opinion_key is not None:
        train = given[: rows.n_train]
        said = read_opinion(store, opinion_key).astype(np.float64)[:, 0]  # in standard deviations around the mean
        predicted[: rows.n_train] = np.nanmean(train) + said * (np.nanstd(train) or 1.0)
    return Numbers(given, predicted)


def _has(labels: Iterable[int], n_labels: int) -> NDArray[np.int8]:
    has = np.zeros(n_labels, dtype=np.int8)
    has[list(labels)] = 1
    return has
