"""Entities found in sentences: an entity is right when its words and its type both are.

Precision is the share of the predicted entities that are right, recall the share of the given ones that were found, F1
= 2 right / (given + predicted). Micro: over all entities. Macro: the mean over the types that were given or predicted;
precision of a type never predicted and recall of one never given count 0, as seqeval and conlleval have it. Source:
Tjong Kim Sang & De Meulder, Introduction to the CoNLL-2003 Shared Task (2003).

Counts are taken once a sentence; resamples draw sentences, because entities of one sentence are not independent.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import percentile_interval, wilson_bounds
from evals.metrics import Score
from evals.resampling import Sums, resampled_sums
from evals.tags import Scheme, Span, spans_of

Counts = npt.NDArray[np.int64]
Numbers = npt.NDArray[np.float64]


class EntityCounts(NamedTuple):
    """Entities of each sentence and type, each (n_sentences, n_types): found and right, given, predicted."""

    hits: Counts
    given: Counts
    predicted: Counts
    types: tuple[str, ...]


def count_entities(
    given: Sequence[Sequence[Span]], predicted: Sequence[Sequence[Span] | None], types: Sequence[str] = ()
) -> EntityCounts:
    """Count the entities of n sentences by type; None as prediction counts as nothing found.

    `types` come first and are there even without an entity; others follow in alphabetical order.

    >>> counts = count_entities([[Span(0, 2, "PER")], []], [[Span(0, 2, "PER")], [Span(1, 2, "LOC")]])
    >>> counts.types, counts.hits.tolist(), counts.predicted.tolist()
    (('LOC', 'PER'), [[0, 1], [0, 0]], [[0, 1], [1, 0]])
    """
    if len(given) != len(predicted):
        raise ValueError(f"{len(given)} sentences with given entities, {len(predicted)} with predicted ones")
    said = [spans or () for spans in predicted]
    seen = {span.tag for sentences in (given, said) for spans in sentences for span in spans}
    names = (*types, *sorted(seen - set(types)))
    column = {name: at for at, name in enumerate(names)}
    counts = np.zeros((3, len(given), len(names)), dtype=np.int64)
    for row, (mine, theirs) in enumerate(zip(given, said, strict=True)):
        gold, found = set(mine), set(theirs)
        for kind, spans in enumerate((gold & found, gold, found)):
            for span in spans:
                counts[kind, row, column[span.tag]] += 1
    return EntityCounts(counts[0], counts[1], counts[2], names)


def score_entities(
    given: Sequence[Sequence[str]],
    predicted: Sequence[Sequence[str] | None],
    *,
    strict: Scheme | None = None,
    n_boot: int = 1000,
    seed: int = 0,
) -> tuple[Score, ...]:
    """Entity and tag scores from the tags of n sentences, each with a bootstrap interval over sentences.

    Tags are read by `spans_of(tags, strict=strict)`. A sentence without a prediction (None) counts as nothing found and
    no tag right. ValueError, with the first such sentence, where there are not as many tags as words.

    >>> scores = score_entities([["B-PER", "I-PER", "O"], ["B-LOC"]], [["B-PER", "I-PER", "O"], ["B-PER"]], n_boot=0)
    >>> [(score.metric, score.value) for score in scores][:3]
    [('entity_f1', 0.5), ('entity_precision', 0.5), ('entity_recall', 0.5)]
    """
    _check(given, predicted)
    counts = count_entities(
        [spans_of(tags, strict=strict) for tags in given],
        [None if tags is None else spans_of(tags, strict=strict) for tags in predicted],
    )
    n_tags = np.array([len(tags) for tags in given], dtype=np.int64)
    n_right = np.array(
        [sum(map(str.__eq__, mine, said or ())) for mine, said in zip(given, predicted, strict=True)], dtype=np.int64
    )
    sums = resampled_sums(contributions(counts, n_right, n_tags), n_boot=n_boot, seed=seed)
    n = len(given)
    return tuple(Score(name, *sums.estimate(statistic), n) for name, statistic in STATISTICS.items())


def entity_table(counts: EntityCounts, *, n_boot: int = 1000, seed: int = 0) -> pd.DataFrame:
    """One row a type: type, n (times given), n_predicted, precision, recall, f1, f1_low, f1_high (95 %).

    precision is nan for a type never predicted, recall and F1 for one never given. The interval is a bootstrap over
    sentences; where every resample gives one value (no mistake, or nothing found) it is Wilson's, as in
    `evals.classification.class_table`.

    >>> counts = count_entities([[Span(0, 1, "PER")]] * 8 + [[]], [[Span(0, 1, "PER")]] * 8 + [[Span(0, 1, "LOC")]])
    >>> entity_table(counts)[["type", "n", "f1", "f1_low"]].round(2).to_dict("records")
    [{'type': 'LOC', 'n': 0, 'f1': nan, 'f1_low': nan}, {'type': 'PER', 'n': 8, 'f1': 1.0, 'f1_low': 0.81}]
    """
    sums = resampled_sums(contributions(counts), n_boot=n_boot, seed=seed)
    hits, given, predicted = _by_type(sums.total)
    with np.errstate(invalid="ignore", divide="ignore"):
        f1 = np.where(given > 0, 2 * hits / (given + predicted), np.nan)
        precision, recall = hits / predicted, hits / given
    low, high = _f1_intervals(sums, hits, given, predicted)
    return pd.DataFrame(
        {
            "type": list(counts.types),
            "n": given.astype(np.int64),
            "n_predicted": predicted.astype(np.int64),
            "precision": precision,
            "recall": recall,
            "f1": f1,
            "f1_low": np.where(given > 0, low, np.nan),
            "f1_high": np.where(given > 0, high, np.nan),
        }
    )


def _f1_intervals(sums: Sums, hits: Numbers, given: Numbers, predicted: Numbers) -> tuple[Numbers, Numbers]:
    low, high = wilson_bounds(hits, given + predicted - hits)
    low, high = 2 * low / (1 + low), 2 * high / (1 + high)
    with np.errstate(invalid="ignore", divide="ignore"):
        draws = _f1(*_by_type(sums.draws))
    for at, column in enumerate(draws.T):
        found = percentile_interval(column)
        if found.low < found.high:
            low[at], high[at] = found
    return low, high


def contributions(counts: EntityCounts, n_right: Counts | None = None, n_tags: Counts | None = None) -> Counts:
    """What each sentence adds to the sums that STATISTICS are functions of, (n_sentences, 3 types + 2): hits, given and
    predicted by type, then tags right and tags (0 where tags are not known).

    >>> contributions(count_entities([[Span(0, 1, "PER")]], [[Span(0, 1, "PER")]])).tolist()
    [[1, 1, 1, 0, 0]]
    """
    nothing = np.zeros(len(counts.hits), dtype=np.int64)
    n_right, n_tags = (nothing if each is None else each for each in (n_right, n_tags))
    return np.concatenate([counts.hits, counts.given, counts.predicted, n_right[:, None], n_tags[:, None]], axis=1)


def _by_type(total: Numbers) -> tuple[Numbers, Numbers, Numbers]:
    """Hits, given and predicted by type, each (..., n_types)."""
    k = (total.shape[-1] - 2) // 3
    return total[..., :k], total[..., k : 2 * k], total[..., 2 * k : 3 * k]


def _precision(hits: Numbers, given: Numbers, predicted: Numbers) -> Numbers:
    return np.where((predicted == 0) & (given > 0), 0.0, hits / predicted)


def _recall(hits: Numbers, given: Numbers, predicted: Numbers) -> Numbers:
    return np.where((given == 0) & (predicted > 0), 0.0, hits / given)


def _f1(hits: Numbers, given: Numbers, predicted: Numbers) -> Numbers:
    return np.asarray(2 * hits / (given + predicted), dtype=np.float64)


_Measure = Callable[[Numbers, Numbers, Numbers], Numbers]


def _micro(measure: _Measure) -> Callable[[Numbers], Numbers]:
    return lambda total: measure(*(part.sum(axis=-1) for part in _by_type(total)))


def _macro(measure: _Measure) -> Callable[[Numbers], Numbers]:
    def mean(total: Numbers) -> Numbers:
        values = measure(*_by_type(total))
        return np.asarray(np.nansum(values, axis=-1) / (~np.isnan(values)).sum(axis=-1), dtype=np.float64)

    return mean


def _tag_accuracy(total: Numbers) -> Numbers:
    return np.asarray(total[..., -2] / total[..., -1], dtype=np.float64)


STATISTICS: dict[str, Callable[[Numbers], Numbers]] = {
    "entity_f1": _micro(_f1),
    "entity_precision": _micro(_precision),
    "entity_recall": _micro(_recall),
    "entity_macro_f1": _macro(_f1),
    "entity_macro_precision": _macro(_precision),
    "entity_macro_recall": _macro(_recall),
    "tag_accuracy": _tag_accuracy,
}
"""Score → function of the sums of `contributions`, (..., 3 types + 2) -> (...)."""


def _check(given: Sequence[Sequence[str]], predicted: Sequence[Sequence[str] | None]) -> None:
    if len(given) != len(predicted):
        raise ValueError(f"{len(given)} sentences with given tags, {len(predicted)} with predicted ones")
    for row, (mine, said) in enumerate(zip(given, predicted, strict=True)):
        if said is not None and len(mine) != len(said):
            raise ValueError(f"sentence {row} has {len(mine)} given tags and {len(said)} predicted ones")
