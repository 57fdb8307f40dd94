"""What a run's model says of texts: its best checkpoint, checked against the store, over a file or a stored split.

The answers stream: memory holds the model and CHUNK_ROWS texts. A file is written beside its place and moved there
whole.
"""

import csv
import json
import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray

from runner.classifier import TextClassifier, load_classifier
from runner.data.problems import Problems
from runner.devices import Device, choose_device
from runner.encoding import encode_texts
from runner.errors import ModelError
from runner.files import wrong_files
from runner.inference import predict_logits
from runner.inputs import TextRow, Texts, choose_checkpoint
from runner.progress import Progress
from runner.quantization import set_compute
from runner.recipe import Recipe, recipe_from_resolved
from store import Checkpoint, Run, Store

CHUNK_ROWS = 4096
"""Texts that are read, sorted by length and predicted at a time."""


class Predicted(NamedTuple):
    """What was written."""

    n_rows: int
    n_without_text: int
    """Rows of them that have no text, and so no answer."""
    counts: dict[str, int]
    """Label → how often it was predicted."""
    n_truncated: int
    """Texts longer than the model takes."""


@dataclass(frozen=True)
class Predictor:
    """A classifier ready to answer."""

    model: TextClassifier
    tokenizer: Any
    labels: tuple[str, ...]
    max_length: int
    device: Device
    batch_size: int
    checkpoint: Checkpoint

    def predict(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], int]:
        """Probabilities (n, k) that sum to 1, and how many texts were cut."""
        split = encode_texts([(text,) for text in texts], self.tokenizer, self.max_length)
        logits = predict_logits(self.model, split, self.tokenizer.pad_token_id, self.batch_size, self.device.dtype)
        return torch.from_numpy(logits).double().softmax(1).numpy(), split.n_truncated


def load_predictor(
    store: Store, run: Run, *, step: int | None = None, device: str | None = None, batch_size: int | None = None
) -> Predictor:
    """The model of a run's best checkpoint (or of `step`), on the device (default: the best there is).

    Raises UserError: no checkpoint is kept, or a file of it is missing or not what the run wrote.
    """
    checkpoint = choose_checkpoint(store, run, step)
    folder = store.files / checkpoint.path
    if wrong := wrong_files(folder, checkpoint.manifest):
        raise ModelError(
            f"the checkpoint of step {checkpoint.step:,} of run {run.name} ({run.id}) is not what the run wrote: "
            f"{'; '.join(wrong[:5])}. Restore its files, or choose another with --checkpoint."
        )
    recipe = _recipe(run)
    if recipe.task != "text-classification":
        raise ModelError(
            f"run {run.name} ({run.id}) is of task {recipe.task}, and `runner predict` answers with the labels of "
            "text-classification; what the run said of its own splits is in the store (`store.read_responses`)."
        )
    chosen = choose_device(recipe.training.model_copy(update={"device": device or "auto", "precision": "auto"}))
    model, tokenizer, info = load_classifier(folder, recipe.model)
    if info.quantization is not None:
        set_compute(model, recipe.model.quantization.compute, chosen.dtype)
    return Predictor(
        model.to(chosen.type),
        tokenizer,
        info.labels,
        info.max_length,
        chosen,
        batch_size or recipe.evaluation.batch_size,
        checkpoint,
    )


def write_predictions(predictor: Predictor, texts: Texts, out: Path | None, progress: Progress) -> Predicted:
    """Predict all texts in their order; to `out` (.jsonl or .csv), or as JSON lines to stdout.

    Raises DataError when a row cannot be read: every such row is named, and no file is written.
    """
    with _opened(out) as file:
        writer = _writer(file, out, predictor.labels, is_labelled=texts.is_labelled)
        counts = dict.fromkeys(predictor.labels, 0)
        n_rows = n_without_text = n_truncated = 0
        problems = Problems()
        for rows in _chunks(texts.rows(problems)):
            n_rows += len(rows)
            if problems:
                continue  # there will be no answer: read on only to name every row that is wrong
            known = [row for row in rows if row.text is not None]
            n_without_text += len(rows) - len(known)
            probs, n_cut = predictor.predict([str(row.text) for row in known]) if known else (np.empty((0, 0)), 0)
            n_truncated += n_cut
            answers = iter(probs)
            for row in rows:
                answer = None if row.text is None else next(answers)
                if answer is not None:
                    counts[predictor.labels[int(answer.argmax())]] += 1
                writer.write(row, answer)
            progress.reading(f"predicting {texts.title}", n_rows)
        problems.raise_if_any()
    return Predicted(n_rows, n_without_text, counts, n_truncated)


def _chunks(rows: Iterable[TextRow]) -> Iterator[list[TextRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK_ROWS)):
        yield chunk


def _recipe(run: Run) -> Recipe:
    if run.recipe is None:
        raise ModelError(f"run {run.name} ({run.id}) has no recipe, so how to load its model is not known.")
    return recipe_from_resolved(run.recipe)


# the file ----------------------------------------------------------------------------------------------------------


@contextmanager
def _opened(out: Path | None) -> Iterator[IO[str]]:
    """The file, in its place only when all of it is written."""
    if out is None:
        yield sys.stdout
        return
    out = out.expanduser().absolute()
    partial = out.with_name(f".{out.name}.{os.getpid()}.partial")
    try:
        with partial.open("w", encoding="utf-8", newline="") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)


class _Writer(Protocol):
    def write(self, row: TextRow, probs: NDArray[np.float64] | None) -> None: ...


def _writer(file: IO[str], out: Path | None, labels: Sequence[str], *, is_labelled: bool) -> _Writer:
    kind = _CsvWriter if out is not None and out.suffix.lower() == ".csv" else _JsonWriter
    return kind(file, labels, is_labelled)


class _JsonWriter:
    """One object a line: row, text, given (stored splits), label, probability, probabilities by label."""

    def __init__(self, file: IO[str], labels: Sequence[str], is_labelled: bool) -> None:
        self._file, self._labels, self._is_labelled = file, labels, is_labelled

    def write(self, row: TextRow, probs: NDArray[np.float64] | None) -> None:
        values: dict[str, Any] = {"row": row.number, "text": row.text}
        if self._is_labelled:
            values["given"] = row.given
        best = None if probs is None else int(probs.argmax())
        values["label"] = None if best is None else self._labels[best]
        values["probability"] = None if best is None or probs is None else round(float(probs[best]), 6)
        values["probabilities"] = (
            None if probs is None else dict(zip(self._labels, np.round(probs, 6).tolist(), strict=True))
        )
        self._file.write(json.dumps(values, ensure_ascii=False) + "\n")


class _CsvWriter:
    """Columns row, text, given (stored splits), label, probability, and p:LABEL for every label."""

    def __init__(self, file: IO[str], labels: Sequence[str], is_labelled: bool) -> None:
        self._csv, self._labels, self._is_labelled = csv.writer(file), labels, is_labelled
        given = ["given"] if is_labelled else []
        self._csv.writerow(["row", "text", *given, "label", "probability", *(f"p:{label}" for label in labels)])

    def write(self, row: TextRow, probs: NDArray[np.float64] | None) -> None:
        given = [row.given] if self._is_labelled else []
        if probs is None:
            self._csv.writerow([row.number, row.text, *given, None, None, *[None] * len(self._labels)])
            return
        best = int(probs.argmax())
        rounded = np.round(probs, 6).tolist()
        self._csv.writerow([row.number, row.text, *given, self._labels[best], rounded[best], *rounded])
