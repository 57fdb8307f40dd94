"""How predicted spans differ from the given ones, in four kinds that leave no span over.

Given and predicted spans of a sentence are paired one to one: first those with the same boundaries, then, among the
rest, those that overlap: with the same tag before another, then with more tokens in common, then the earlier ones. Then

- right:      the same boundaries and the same tag;
- wrong tag:  the same boundaries, another tag;
- span shift: paired with other boundaries (the tag may be the same or another);
- missed:     a given span without a pair;
- ghost:      a predicted span without a pair.
"""

from collections import Counter
from collections.abc import Sequence
from enum import StrEnum
from typing import NamedTuple

import numpy as np
import pandas as pd

from evals.tags import Span
from evals.triage.found import Evidence, Found, Group


class SpanKind(StrEnum):
    """What is wrong with a span; see the head of this file."""

    WRONG_TAG = "wrong tag"
    SHIFT = "span shift"
    MISSED = "missed"
    GHOST = "ghost"


class SpanError(NamedTuple):
    """One difference: `given` is None for a ghost, `predicted` for a missed span."""

    kind: SpanKind
    given: Span | None
    predicted: Span | None


COLUMNS = ("row", "kind", "start", "end", "tag", "predicted_start", "predicted_end", "predicted_tag")


def compare_spans(given: Sequence[Span], predicted: Sequence[Span]) -> list[SpanError]:
    """The differences within one sentence, in the order of their places.

    >>> [error.kind.value for error in compare_spans([Span(0, 2, "PER"), Span(5, 6, "LOC")], [Span(0, 3, "PER")])]
    ['span shift', 'missed']
    """
    errors: list[SpanError] = []
    left, right = sorted(set(given) - set(predicted)), sorted(set(predicted) - set(given))
    for mine in list(left):
        other = next((each for each in right if each[:2] == mine[:2]), None)
        if other is not None:
            left.remove(mine)
            right.remove(other)
            errors.append(SpanError(SpanKind.WRONG_TAG, mine, other))
    overlaps = [
        (a.tag != b.tag, -common, a, b)
        for a in left
        for b in right
        if (common := min(a.end, b.end) - max(a.start, b.start)) > 0
    ]
    for _, _, mine, other in sorted(overlaps):
        if mine in left and other in right:
            left.remove(mine)
            right.remove(other)
            errors.append(SpanError(SpanKind.SHIFT, mine, other))
    errors += [SpanError(SpanKind.MISSED, mine, None) for mine in left]
    errors += [SpanError(SpanKind.GHOST, None, other) for other in right]
    return sorted(errors, key=lambda error: ((error.given or error.predicted or Span(0, 0, ""))[:2], error.kind))


def span_table(given_spans: Sequence[Sequence[Span]], predicted_spans: Sequence[Sequence[Span] | None]) -> pd.DataFrame:
    """All differences of n sentences, a row each: columns `COLUMNS`; -1 and "" where there is no such span.

    A sentence whose prediction is None is left out.

    >>> table = span_table([[Span(0, 1, "PER")], []], [[Span(0, 1, "LOC")], None])
    >>> table[["row", "kind", "tag", "predicted_tag"]].values.tolist()
    [[0, 'wrong tag', 'PER', 'LOC']]
    """
    none = Span(-1, -1, "")
    rows = [
        (row, error.kind.value, *(error.given or none), *(error.predicted or none))
        for row, (given, predicted) in enumerate(zip(given_spans, predicted_spans, strict=True))
        if predicted is not None
        for error in compare_spans(given, predicted)
    ]
    return pd.DataFrame(rows, columns=list(COLUMNS))


def span_errors(given_spans: Sequence[Sequence[Span]], predicted_spans: Sequence[Sequence[Span] | None]) -> Found:
    """Sentences whose spans a model sees differently: the share of their given and predicted spans that differ.

    A pair counts once; 0 where all are right or there are none, nan where the prediction is None. evidence: n_errors;
    kinds, such as "missed LOC, ghost PER"; spans, those of the prediction: [start, end, tag] each. groups: each kind of
    error for each tag, the commonest first; their risk is the share of the spans with that tag (given ones; predicted
    ones for ghosts) that have it.

    >>> found = span_errors([[Span(0, 1, "PER"), Span(3, 4, "LOC")]], [[Span(0, 1, "PER")]])
    >>> found.risk.tolist(), found.evidence["kinds"].tolist(), found.groups[0].name
    ([0.5], ['missed LOC'], 'missed LOC')
    """
    n = len(given_spans)
    table = span_table(given_spans, predicted_spans)
    ghost = (table["kind"] == SpanKind.GHOST.value).to_numpy()
    table["of_tag"] = np.where(ghost, table["predicted_tag"], table["tag"])
    n_errors = np.bincount(table["row"].to_numpy(dtype=np.int64), minlength=n)
    n_ghosts = np.bincount(table["row"].to_numpy(dtype=np.int64)[ghost], minlength=n)
    n_spans = np.array([len(set(spans)) for spans in given_spans], dtype=np.int64) + n_ghosts
    is_known = np.array([spans is not None for spans in predicted_spans], dtype=bool)
    risk = np.where(is_known, n_errors / np.maximum(n_spans, 1), np.nan)
    names: list[list[str]] = [[] for _ in range(n)]
    rows_of: dict[tuple[str, str], list[int]] = {}
    for row, kind, tag in zip(table["row"].tolist(), table["kind"].tolist(), table["of_tag"].tolist(), strict=True):
        names[row].append(f"{kind} {tag}")
        rows_of.setdefault((kind, tag), []).append(row)
    kinds = np.array([", ".join(dict.fromkeys(each)) for each in names], dtype=object)
    both = [(spans, said) for spans, said in zip(given_spans, predicted_spans, strict=True) if said is not None]
    n_given = Counter(span.tag for spans, _ in both for span in set(spans))
    n_predicted = Counter(span.tag for _, said in both for span in set(said))
    groups = []
    for (kind, tag), rows in rows_of.items():
        total = n_predicted[tag] if kind == SpanKind.GHOST.value else n_given[tag]
        evidence: dict[str, Evidence] = {"n_errors": len(rows), "n_spans": total}
        groups.append(Group(f"{kind} {tag}", len(rows) / total, np.unique(rows), evidence))
    groups.sort(key=lambda group: -int(str(group.evidence["n_errors"])))
    said = np.full(n, None, dtype=object)
    for row in np.flatnonzero(is_known & (n_errors > 0)).tolist():
        said[row] = [list(span) for span in sorted(set(predicted_spans[row] or ()))]
    told = {"n_errors": np.where(is_known & (n_errors > 0), n_errors, -1), "kinds": kinds, "spans": said}
    return Found(risk, told, tuple(groups))
