"""Sentences with spans: what is given, and what runs said of splits that they were not trained on. Loads no torch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.tags import Span
from runner.triage.rows import Rows, unjudged
from store import Run, Store, get_evaluation, read_responses, read_values


class Sentences(NamedTuple):
    """Of n sentences, as detectors take them."""

    given: list[list[Span]]
    predicted: list[list[Span] | None]
    """None where no run spoke of it."""
    p_given: NDArray[np.float64]
    """(n_words,) of the word whose given tag is the least likely; nan for all others."""
    offsets: NDArray[np.int64]
    """(n + 1,)."""


def read_sentences(store: Store, rows: Rows, runs: Sequence[Run]) -> Sentences | None:
    """All sentences of a data set in the order of its rows; None where its targets are no spans.

    Of the training split nothing is known: whoever was trained on a tag knows it by heart.
    """
    if unjudged(store, rows.dataset) != "spans":
        return None
    names = rows.dataset.label_names or ()
    given: list[list[Span]] = []
    predicted: list[list[Span] | None] = []
    least: list[tuple[int, float] | None] = []
    for split in rows.splits:
        targets = [json.loads(value) for value in read_values(store, rows.dataset, split)]
        said: Mapping[int, Any] = {} if split == "train" else _said(store, rows, runs, split)
        for position, spans in enumerate(targets):
            answer = said.get(position)
            given.append(_spans(spans, names))
            predicted.append(None if answer is None else _spans(answer["spans"], names))
            least.append(None if answer is None or "least" not in answer else tuple(answer["least"]))
    offsets = np.concatenate([[0], np.cumsum([each[0] + 1 if each else 1 for each in least])]).astype(np.int64)
    p_given = np.full(int(offsets[-1]), np.nan)
    for row, each in enumerate(least):
        if each is not None:
            p_given[offsets[row] + each[0]] = each[1]
    return Sentences(given, predicted, p_given, offsets)


def _said(store: Store, rows: Rows, runs: Sequence[Run], split: str) -> Mapping[int, Any]:
    """What the newest run that spoke of a split said: position → response."""
    for run in runs:
        evaluation = get_evaluation(store, run.key, split)
        if evaluation is not None and (found := read_responses(store, evaluation)):
            return found
    return {}


def _spans(items: Sequence[Sequence[float]], names: Sequence[str]) -> list[Span]:
    return [Span(int(start), int(end), names[int(at)]) for start, end, at, *_ in items]
