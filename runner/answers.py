"""What a model's outputs say of rows, by task: as JSON, as cells of a table, and as targets of a new dataset."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from evals.multilabel import predicted_labels
from evals.tags import Scheme, scheme_tags
from runner.classifier import CheckpointInfo
from runner.encoding import EncodedSplit, encode_texts, pieces_of
from runner.inputs import InputRow
from runner.language.dialogues import dialogue_of, encode_prompts
from runner.language.documents import encode_documents
from runner.language.pairs import encode_pairs
from runner.recipe.language import Instruction, Seq2Seq
from runner.recipe.shapes import SHAPES
from runner.tasks.language import nats_of
from runner.tasks.task import OutputsBroken
from runner.tasks.token_classification import read_tags, spans_with_p
from runner.word_encoding import encode_words

Answer = Mapping[str, Any]
"""By the names of `Answers.empty`."""

DIGITS = 6


class Answers(Protocol):
    """How a task answers."""

    @property
    def empty(self) -> Answer:
        """The answer to a row without anything: every field, None."""

    @property
    def label_names(self) -> tuple[str, ...] | None:
        """Of a dataset whose targets are answers."""

    @property
    def columns(self) -> Sequence[str]:
        """Of a table."""

    @property
    def inputs(self) -> Sequence[str]:
        """What it reads at least."""

    def encode(self, inputs: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int) -> EncodedSplit:
        """Rows as tokens."""

    def read(self, outputs: Any, split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        """An answer for each row. Raises OutputsBroken where the outputs are no numbers."""

    def cells(self, answer: Answer) -> list[Any]:
        """An answer as values of `columns`."""

    def counted(self, answer: Answer) -> Iterator[str]:
        """What a summary counts: labels, or types of spans."""

    def target(self, answer: Answer) -> int | float | str:
        """An answer as the store has targets."""


class _OfTexts:
    """What those have in common that make one vector of a text, or of a pair."""

    def __init__(self, info: CheckpointInfo, top_k: int | None) -> None:
        self.labels, self._settings, self.inputs = info.labels, info.settings, inputs_of(info.task)
        self._top = min(top_k or len(self.labels), len(self.labels))
        self._is_cut = top_k is not None

    def encode(self, inputs: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int) -> EncodedSplit:
        return encode_texts([pieces_of(each) for each in inputs], tokenizer, max_length)

    @property
    def label_names(self) -> tuple[str, ...] | None:
        return self.labels

    def shown(self, probs: NDArray[np.float64]) -> dict[str, float]:
        """Probabilities by label: of all, or the likeliest first."""
        order = np.argsort(-probs, kind="stable")[: self._top] if self._is_cut else range(len(probs))
        return {self.labels[at]: round(float(probs[at]), DIGITS) for at in order}

    def shown_columns(self) -> list[str]:
        """Of `shown`."""
        if self._is_cut:
            return [name for k in range(1, self._top + 1) for name in (f"label {k}", f"p {k}")]
        return [f"p:{label}" for label in self.labels]

    def shown_cells(self, probs: Mapping[str, float] | None) -> list[Any]:
        if probs is None:
            return [None] * len(self.shown_columns())
        return [cell for pair in probs.items() for cell in pair] if self._is_cut else list(probs.values())


class ClassAnswers(_OfTexts):
    """label, probability, probabilities by label."""

    empty: Mapping[str, Any] = {"label": None, "probability": None, "probabilities": None}

    @property
    def columns(self) -> Sequence[str]:
        return ["label", "probability", *self.shown_columns()]

    def read(self, outputs: NDArray[np.float32], split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        probs = torch.from_numpy(_finite(outputs)).double().softmax(1).numpy()
        return [
            {
                "label": self.labels[int(row.argmax())],
                "probability": round(float(row.max()), DIGITS),
                "probabilities": self.shown(row),
            }
            for row in probs
        ]

    def cells(self, answer: Answer) -> list[Any]:
        return [answer["label"], answer["probability"], *self.shown_cells(answer["probabilities"])]

    def counted(self, answer: Answer) -> Iterator[str]:
        yield answer["label"]

    def target(self, answer: Answer) -> int:
        return self.labels.index(answer["label"])


class LabelSetAnswers(_OfTexts):
    """labels (from the threshold of each), probabilities by label."""

    empty: Mapping[str, Any] = {"labels": None, "probabilities": None}

    @property
    def columns(self) -> Sequence[str]:
        return ["labels", *self.shown_columns()]

    def read(self, outputs: NDArray[np.float32], split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        probs = torch.from_numpy(_finite(outputs)).double().sigmoid().numpy()
        said = predicted_labels(probs, np.array(self._settings.get("thresholds", 0.5))) == 1
        return [
            {"labels": [self.labels[at] for at in np.flatnonzero(has)], "probabilities": self.shown(row)}
            for row, has in zip(probs, said, strict=True)
        ]

    def cells(self, answer: Answer) -> list[Any]:
        labels = None if answer["labels"] is None else " | ".join(answer["labels"])
        return [labels, *self.shown_cells(answer["probabilities"])]

    def counted(self, answer: Answer) -> Iterator[str]:
        yield from answer["labels"]

    def target(self, answer: Answer) -> str:
        return json.dumps(sorted(self.labels.index(label) for label in answer["labels"]))


class NumberAnswers(_OfTexts):
    """score."""

    empty: Mapping[str, Any] = {"score": None}
    columns = ("score",)

    @property
    def label_names(self) -> None:
        return None

    def read(self, outputs: NDArray[np.float32], split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        scale, centre = self._settings["scale"], self._settings["centre"]
        return [
            {"score": float(f"{value:.6g}")} for value in _finite(outputs)[:, 0].astype(np.float64) * scale + centre
        ]

    def cells(self, answer: Answer) -> list[Any]:
        return [answer["score"]]

    def counted(self, answer: Answer) -> Iterator[str]:
        return iter(())

    def target(self, answer: Answer) -> float:
        return float(answer["score"])


class RankAnswers(_OfTexts):
    """score: relevance; logit, by which documents are put in order; rank: its place among the documents of its query,
    1 = first (set when all of them are known)."""

    empty: Mapping[str, Any] = {"score": None, "logit": None, "rank": None}
    columns = ("score", "logit", "rank")

    @property
    def label_names(self) -> None:
        return None

    def read(self, outputs: NDArray[np.float32], split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        logits = _finite(outputs)[:, 0]
        said = torch.from_numpy(logits).double().sigmoid().numpy() * self._settings["most"]
        return [
            {"score": float(f"{score:.6g}"), "logit": float(f"{logit:.6g}"), "rank": None}
            for score, logit in zip(said.tolist(), logits.tolist(), strict=True)
        ]

    def cells(self, answer: Answer) -> list[Any]:
        return [answer["score"], answer["logit"], answer["rank"]]

    def counted(self, answer: Answer) -> Iterator[str]:
        return iter(())

    def target(self, answer: Answer) -> float:
        return float(answer["score"])


class SpanAnswers:
    """spans: start and end (first word, word after the last), type, text, probability."""

    empty: Mapping[str, Any] = {"spans": None}
    columns = ("spans",)

    def __init__(self, info: CheckpointInfo, top_k: int | None) -> None:
        self.label_names: tuple[str, ...] | None = info.labels
        self.inputs = inputs_of(info.task)
        self._types = {name: at for at, name in enumerate(info.labels)}
        self._names = info.labels
        self._tags = np.array(scheme_tags(info.labels, Scheme(info.settings.get("scheme", "BIO"))))

    def encode(self, inputs: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int) -> EncodedSplit:
        return encode_words([each["tokens"] for each in inputs], tokenizer, max_length)

    def read(self, outputs: NDArray[np.float32], split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        words = split.words
        assert words is not None, "sentences are encoded word by word"
        said = read_tags(outputs, words)
        found = list[Answer]()
        for row, start, end in zip(rows, words.offsets[:-1], words.offsets[1:], strict=True):
            assert row.inputs is not None, "rows without words are not asked about"
            tokens = row.inputs["tokens"]
            spans = spans_with_p(self._tags[said.tags[start:end]].tolist(), said.p[start:end], self._types)
            found.append({"spans": [self._span(tokens, *span) for span in spans]})
        return found

    def _span(self, tokens: Sequence[str], start: float, end: float, at: float, p: float) -> dict[str, Any]:
        first, last = int(start), int(end)
        words = " ".join(tokens[first:last])
        return {"start": first, "end": last, "type": self._names[int(at)], "text": words, "probability": p}

    def cells(self, answer: Answer) -> list[Any]:
        return [None if answer["spans"] is None else json.dumps(answer["spans"], ensure_ascii=False)]

    def counted(self, answer: Answer) -> Iterator[str]:
        yield from (span["type"] for span in answer["spans"])

    def target(self, answer: Answer) -> str:
        return json.dumps([[span["start"], span["end"], self._types[span["type"]]] for span in answer["spans"]])


class WrittenAnswers:
    """answer: what the model writes."""

    empty: Mapping[str, Any] = {"answer": None}
    columns = ("answer",)
    label_names: tuple[str, ...] | None = None

    def __init__(self, info: CheckpointInfo, top_k: int | None) -> None:
        self._info, self.inputs = info, inputs_of(info.task)

    def encode(self, inputs: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int) -> EncodedSplit:
        if self._info.task == "seq2seq":
            texts = [each["text"] for each in inputs]
            nothing = [""] * len(texts)
            return encode_pairs([(texts, nothing)], tokenizer, Seq2Seq(**self._info.settings), max_length, len(texts))
        dialogues = [dialogue_of(each, "") for each in inputs]
        return encode_prompts(dialogues, tokenizer, Instruction(**self._info.settings), max_length)

    def read(self, outputs: Any, split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        return [{"answer": text} for text in outputs.answers]

    def cells(self, answer: Answer) -> list[Any]:
        return [answer["answer"]]

    def counted(self, answer: Answer) -> Iterator[str]:
        return iter(())

    def target(self, answer: Answer) -> str:
        return json.dumps(answer["answer"], ensure_ascii=False)


class LikelihoodAnswers:
    """loss: nats a token; perplexity; tokens: how many were judged."""

    empty: Mapping[str, Any] = {"loss": None, "perplexity": None, "tokens": None}
    columns = ("loss", "perplexity", "tokens")
    label_names: tuple[str, ...] | None = None

    def __init__(self, info: CheckpointInfo, top_k: int | None) -> None:
        self._foretells, self.inputs = info.task == "causal-lm", inputs_of(info.task)

    def encode(self, inputs: Sequence[Mapping[str, Any]], tokenizer: Any, max_length: int) -> EncodedSplit:
        return encode_documents([[each["text"] for each in inputs]], tokenizer, foretells=self._foretells, ends=False)

    def read(self, outputs: Any, split: EncodedSplit, rows: Sequence[InputRow]) -> list[Answer]:
        nats, counts = nats_of(outputs, split.offsets)
        return [self._answer(*each) for each in zip(nats.tolist(), counts.tolist(), strict=True)]

    def _answer(self, nats: float, n_tokens: int) -> Answer:
        if not n_tokens:
            return {**self.empty, "tokens": 0}
        loss = nats / n_tokens
        return {"loss": float(f"{loss:.6g}"), "perplexity": float(f"{np.exp(loss):.6g}"), "tokens": n_tokens}

    def cells(self, answer: Answer) -> list[Any]:
        return list(answer.values())

    def counted(self, answer: Answer) -> Iterator[str]:
        return iter(())

    def target(self, answer: Answer) -> float:
        return float("nan") if answer["loss"] is None else float(answer["loss"])


ANSWERS: Mapping[str, Callable[[CheckpointInfo, int | None], Answers]] = {
    "text-classification": ClassAnswers,
    "pair-classification": ClassAnswers,
    "multi-label-classification": LabelSetAnswers,
    "regression": NumberAnswers,
    "rerank": RankAnswers,
    "token-classification": SpanAnswers,
    "causal-lm": LikelihoodAnswers,
    "masked-lm": LikelihoodAnswers,
    "instruction": WrittenAnswers,
    "seq2seq": WrittenAnswers,
}
"""Task → how it answers."""


def inputs_of(task: str) -> tuple[str, ...]:
    """The fields that a task cannot do without."""
    shape = SHAPES[task]
    return tuple(name for name in shape.inputs if name not in shape.optional)


def _finite(outputs: NDArray[np.float32]) -> NDArray[np.float32]:
    if not np.isfinite(outputs).all():
        raise OutputsBroken
    return outputs
