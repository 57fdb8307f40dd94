"""Sentences with spans: what is given, and what models say that were not trained on it. Loads no torch."""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.tags import Scheme, Span, scheme_tags, spans_of, tags_of
from runner.triage.rows import Rows, unjudged
from store import Dataset, Run, Store, get_evaluation, iter_inputs, read_opinion, read_responses, read_values

Floats = NDArray[np.float64]


class Sentences(NamedTuple):
    """Of n sentences, as detectors take them."""

    given: list[list[Span]]
    predicted: list[list[Span] | None]
    """None where no model spoke of it."""
    p_given: Floats
    """(n_words,) how likely each given tag is; nan: not known."""
    offsets: NDArray[np.int64]
    """(n + 1,)."""


class Told(NamedTuple):
    """What a model says of the sentences of one split; of a sentence that it did not speak of None, and no words."""

    predicted: list[list[Span] | None]
    p_given: list[Floats]


def read_sentences(store: Store, rows: Rows, runs: Sequence[Run], opinion_key: int | None) -> Sentences | None:
    """All sentences of a data set in the order of its rows; None where its targets are no spans.

    Of the training split what the opinion says, a cross-validation; without one nothing is known: whoever was trained
    on a tag knows it by heart. Of the others what the newest run said there: of the word whose given tag is the least
    likely how likely it is, of the other words nothing.
    """
    if unjudged(store, rows.dataset) != "spans":
        return None
    names = rows.dataset.label_names or ()
    given: list[list[Span]] = []
    predicted: list[list[Span] | None] = []
    p_given: list[Floats] = []
    for split in rows.splits:
        targets = [_spans(json.loads(value), names) for value in read_values(store, rows.dataset, split)]
        if split == "train":
            told = (
                _nothing(len(targets)) if opinion_key is None else _of_folds(store, rows.dataset, targets, opinion_key)
            )
        else:
            told = _of_runs(store, rows, runs, split, len(targets))
        given += targets
        predicted += told.predicted
        p_given += told.p_given
    offsets = np.concatenate([[0], np.cumsum([len(each) for each in p_given])]).astype(np.int64)
    return Sentences(given, predicted, np.concatenate([np.zeros(0), *p_given]), offsets)


def _of_folds(store: Store, dataset: Dataset, given: Sequence[Sequence[Span]], opinion_key: int) -> Told:
    n_words = [len(each["tokens"]) for some in iter_inputs(store, dataset, "train") for each in some]
    log_probs = read_opinion(store, opinion_key, n_rows=sum(n_words)).astype(np.float64)
    names = dataset.label_names or ()
    # BILOU has other letters for the tags of BIOES, in the same order.
    scheme = Scheme.BIO if log_probs.shape[1] == len(scheme_tags(names, Scheme.BIO)) else Scheme.BIOES
    tags = scheme_tags(names, scheme)
    index = {tag: at for at, tag in enumerate(tags)}
    is_known = np.asarray(~np.isnan(log_probs).any(axis=1))
    likeliest = np.where(is_known, np.nan_to_num(log_probs, nan=-np.inf).argmax(axis=1), 0)
    told = Told([], [])
    first = 0
    for spans, n in zip(given, n_words, strict=True):
        words = slice(first, first + n)
        own = np.array([index[tag] for tag in tags_of(spans, n, scheme)], dtype=np.int64)
        told.p_given.append(np.exp(log_probs[words][np.arange(n), own]))
        told.predicted.append(spans_of([tags[at] for at in likeliest[words]]) if is_known[words].any() else None)
        first += n
    return told


def _of_runs(store: Store, rows: Rows, runs: Sequence[Run], split: str, n: int) -> Told:
    names = rows.dataset.label_names or ()
    told = _nothing(n)
    for position, answer in responses_of(store, runs, split).items():
        told.predicted[position] = _spans(answer["spans"], names)
        if "least" in answer:
            word, p = answer["least"]
            told.p_given[position] = np.append(np.full(word, np.nan), p)
    return told


def _nothing(n: int) -> Told:
    return Told([None] * n, [np.zeros(0)] * n)


def responses_of(store: Store, runs: Sequence[Run], split: str) -> Mapping[int, Any]:
    """What the newest run that spoke of a split said: position → response."""
    for run in runs:
        evaluation = get_evaluation(store, run.key, split)
        if evaluation is not None and (found := read_responses(store, evaluation)):
            return found
    return {}


def _spans(items: Sequence[Sequence[float]], names: Sequence[str]) -> list[Span]:
    return [Span(int(start), int(end), names[int(at)]) for start, end, at, *_ in items]
