"""What a model said of the examples of a split where no class says it: sets of labels, numbers, spans, texts, losses.

Each kind knows what measures one example by itself, which of two models may be better at, and whether an example came
out right. Arrays are in the order of the examples; nan = not measured.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from evals.answers import answer_columns
from evals.generated import rouge_columns
from evals.metrics import get_metric
from evals.ranking import RANKING_METRICS, query_table
from evals.tags import Span

Numbers = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]


class Measure(NamedTuple):
    """One number an example. values (n,). is_count: whether they are whole."""

    title: str
    values: Numbers
    higher_is_better: bool
    is_count: bool = False


class Sets(NamedTuple):
    """given, said (n, k): 1 = has the label. probs (n, k) in [0, 1]: 0 where it was too small to be recorded. loss
    (n,): nan where an example has none."""

    given: npt.NDArray[np.int8]
    said: npt.NDArray[np.int8]
    probs: npt.NDArray[np.float32]
    loss: Numbers

    def take(self, rows: Rows) -> "Sets":
        """Some of the examples (m,), in that order."""
        return Sets(self.given[rows], self.said[rows], self.probs[rows], self.loss[rows])

    def right(self) -> Numbers:
        """1 where the set is the given one, else 0."""
        return np.asarray((self.given == self.said).all(axis=1), dtype=np.float64)

    def measures(self) -> tuple[Measure, ...]:
        """The one to look at first ahead."""
        wrong = (self.given != self.said).sum(axis=1).astype(np.float64)
        return Measure("labels wrong", wrong, False, True), Measure("loss", self.loss, False)


class Values(NamedTuple):
    """given, said, loss: (n,), nan = none."""

    given: Numbers
    said: Numbers
    loss: Numbers

    def take(self, rows: Rows) -> "Values":
        """Some of the examples (m,), in that order."""
        return Values(self.given[rows], self.said[rows], self.loss[rows])

    def right(self) -> None:
        """A number is near or far, not right or wrong."""
        return

    def measures(self) -> tuple[Measure, ...]:
        """The one to look at first ahead."""
        return Measure("error", np.abs(self.said - self.given), False), Measure("loss", self.loss, False)


class Spans(NamedTuple):
    """given, said: the spans of each of n sentences; types: all there may be. loss (n,)."""

    given: tuple[tuple[Span, ...], ...]
    said: tuple[tuple[Span, ...], ...]
    types: tuple[str, ...]
    loss: Numbers

    def take(self, rows: Rows) -> "Spans":
        """Some of the sentences (m,), in that order."""
        given, said = (tuple(each[row] for row in rows) for each in (self.given, self.said))
        return Spans(given, said, self.types, self.loss[rows])

    def right(self) -> Numbers:
        """1 where all spans are the given ones, else 0."""
        return np.asarray(self._wrong() == 0, dtype=np.float64)

    def measures(self) -> tuple[Measure, ...]:
        """The one to look at first ahead; a span that is missed and one that is not there count one each."""
        return Measure("spans wrong", self._wrong(), False, True), Measure("loss", self.loss, False)

    def _wrong(self) -> Numbers:
        pairs = zip(self.given, self.said, strict=True)
        return np.array([len(set(given) ^ set(said)) for given, said in pairs], dtype=np.float64)


class Ranked(NamedTuple):
    """query (n,) a number for each query; given (n,) relevance; score (n,) what the model expects; logit (n,) by which
    it orders; loss (n,). nan = none."""

    query: npt.NDArray[np.int64]
    given: Numbers
    score: Numbers
    logit: Numbers
    loss: Numbers

    def take(self, rows: Rows) -> "Ranked":
        """Some of the documents (m,), in that order."""
        columns = (self.given[rows], self.score[rows], self.logit[rows], self.loss[rows])
        return Ranked(self.query[rows], *columns)

    def right(self) -> None:
        """An order is better or worse, not right or wrong."""
        return

    def measures(self) -> tuple[Measure, ...]:
        """The one to look at first ahead. Of a query, at its first document; the others are nan."""
        queries, first = np.unique(self.query, return_index=True)
        table = query_table(self.query, self.given, self.logit).set_index("query").reindex(queries)
        found = []
        for name in RANKING_METRICS:
            values = np.full(len(self.query), np.nan)
            values[first] = table[name].to_numpy(dtype=np.float64)
            found.append(Measure(get_metric(name).title_inside, values, True))
        return tuple(found)


class Likelihoods(NamedTuple):
    """loss (n,): nats a token; n_tokens (n,), n_bytes (n,): what it was measured on, nan where that is not known."""

    loss: Numbers
    n_tokens: Numbers
    n_bytes: Numbers

    def take(self, rows: Rows) -> "Likelihoods":
        """Some of the examples (m,), in that order."""
        return Likelihoods(*(column[rows] for column in self))

    def right(self) -> None:
        """What is more or less likely is not right or wrong."""
        return

    def measures(self) -> tuple[Measure, ...]:
        """The only one."""
        return (Measure("loss", self.loss, False),)


class Texts(NamedTuple):
    """given: the right answer of each of n examples; said: what was written, None = nothing was asked for."""

    given: tuple[str | None, ...]
    said: tuple[str | None, ...]
    likelihoods: Likelihoods

    @property
    def loss(self) -> Numbers:
        """(n,): nats a token of the right answer."""
        return self.likelihoods.loss

    @property
    def is_written(self) -> npt.NDArray[np.bool_]:
        """(n,): whether there is an answer, and a right one beside it."""
        pairs = zip(self.given, self.said, strict=True)
        return np.array([given is not None and said is not None for given, said in pairs], dtype=np.bool_)

    def take(self, rows: Rows) -> "Texts":
        """Some of the examples (m,), in that order."""
        given, said = (tuple(each[row] for row in rows) for each in (self.given, self.said))
        return Texts(given, said, self.likelihoods.take(rows))

    def right(self) -> Numbers:
        """1 where the answer is the right one (exact match), else 0; nan where none was asked for."""
        return self.columns()["exact_match"]

    def measures(self) -> tuple[Measure, ...]:
        """The one to look at first ahead."""
        columns = self.columns()
        titles = {"token_f1": "F1", "rougeL": "ROUGE-L", "exact_match": "exact match"}
        return *(Measure(title, columns[name], True) for name, title in titles.items()), Measure(
            "loss", self.loss, False
        )

    def columns(self) -> dict[str, Numbers]:
        """What each answer scores: exact_match, token_f1, rouge1, rouge2, rougeL, (n,) in [0, 1]; nan without one.

        >>> nothing = Likelihoods(*np.full((3, 2), np.nan))
        >>> Texts(("a b", "c"), ("b", None), nothing).columns()["rougeL"].round(2).tolist()
        [0.67, nan]
        """
        right: list[list[str]] = [
            [given] if given is not None and said is not None else []
            for given, said in zip(self.given, self.said, strict=True)
        ]
        return {**answer_columns(self.said, right), **rouge_columns(self.said, right)}


Outcome = Sets | Values | Spans | Ranked | Texts | Likelihoods


def are_ranked(said: Mapping[int, Any]) -> bool:
    """Whether answers are scores of documents, position → the value of its JSON.

    >>> are_ranked({0: {"score": 0.9, "logit": 2.2}}), are_ranked({0: 0.9})
    (True, False)
    """
    return any("logit" in each for each in said.values() if isinstance(each, Mapping))


def outcome_of(
    targets: Sequence[Any],
    said: Mapping[int, Any],
    loss: Numbers,
    label_names: Sequence[str] = (),
    *,
    queries: Sequence[str] = (),
) -> Outcome:
    """What a store has of an evaluation, as arrays: of which kind, the answers themselves say.

    targets: of each example as the store holds it, a number, JSON or None. said: position → the value of its JSON.
    loss (n,). queries: where answers rank documents, what is equal for those of one query.

    >>> outcome_of([1.0, 2.0], {0: 1.5, 1: 2.0}, np.zeros(2)).measures()[0].values.tolist()
    [0.5, 0.0]
    >>> outcome_of(["[0]", "[]"], {0: {"labels": [0], "p": {"0": 0.9}}}, np.zeros(2), ["joy"]).right().tolist()
    [1.0, 1.0]
    >>> outcome_of(['"Rome"'], {0: {"text": "rome"}}, np.zeros(1)).right().tolist()
    [1.0]
    """
    n = min(len(targets), len(loss))
    targets, loss = targets[:n], np.asarray(loss[:n], dtype=np.float64)
    answers = [said.get(at) for at in range(n)]
    first = next((answer for answer in answers if answer is not None), None)
    if isinstance(first, int | float):
        given = np.array([np.nan if target is None else float(target) for target in targets])
        return Values(given, np.array([np.nan if each is None else float(each) for each in answers]), loss)
    if are_ranked(said):
        query = np.unique(np.asarray(queries[:n]), return_inverse=True)[1].astype(np.int64)
        given = np.array([np.nan if target is None else float(target) for target in targets])
        score, logit = (
            np.array([(each or {}).get(name, np.nan) for each in answers], dtype=np.float64)
            for name in ("score", "logit")
        )
        return Ranked(query, given, score, logit, loss)
    if isinstance(first, Mapping) and "labels" in first:
        return _sets(targets, answers, loss, len(label_names))
    if isinstance(first, Mapping) and "spans" in first:
        spans = [[_spans(json.loads(target or "[]"), label_names) for target in targets]]
        spans.append([_spans((each or {}).get("spans", ()), label_names) for each in answers])
        return Spans(tuple(spans[0]), tuple(spans[1]), tuple(label_names), loss)
    counts = np.array([[_count(answer, name) for name in ("n_tokens", "n_bytes")] for answer in answers])
    likelihoods = Likelihoods(loss, *counts.reshape(n, 2).T)
    if any(isinstance(answer, Mapping) and "text" in answer for answer in answers):
        right = tuple(_text(target) for target in targets)
        return Texts(right, tuple((each or {}).get("text") for each in answers), likelihoods)
    return likelihoods


def _sets(targets: Sequence[Any], answers: Sequence[Any], loss: Numbers, n_labels: int) -> Sets:
    shape = (len(targets), n_labels)
    given, predicted = np.zeros(shape, dtype=np.int8), np.zeros(shape, dtype=np.int8)
    probs = np.zeros(shape, dtype=np.float32)
    for at, (target, answer) in enumerate(zip(targets, answers, strict=True)):
        given[at, json.loads(target or "[]")] = 1
        if answer is not None:
            predicted[at, answer["labels"]] = 1
            for index, p in answer["p"].items():
                probs[at, int(index)] = p
    return Sets(given, predicted, probs, loss)


def _spans(items: Sequence[Sequence[float]], names: Sequence[str]) -> tuple[Span, ...]:
    return tuple(Span(int(start), int(end), names[int(at)]) for start, end, at, *_ in items)


def _text(target: Any) -> str | None:
    found = json.loads(target) if isinstance(target, str) else None
    return found if isinstance(found, str) else None


def _count(answer: Any, name: str) -> float:
    value = answer.get(name) if isinstance(answer, Mapping) else None
    return np.nan if value is None else float(value)
