"""What a run's model says of rows: its best checkpoint, checked against the store, over a file or a stored split.

The answers stream: memory holds the model and CHUNK_ROWS rows.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from runner.answer_files import AnswerWriter
from runner.answers import ANSWERS, Answer, Answers, RankAnswers
from runner.base_runs import standing
from runner.classifier import CheckpointInfo, TextModel
from runner.data.problems import Problems
from runner.devices import Device, choose_device
from runner.encoding import EncodedSplit, encode_texts
from runner.errors import ModelError
from runner.files import wrong_files
from runner.inference import Passing
from runner.inputs import InputRow, Texts, choose_checkpoint
from runner.loading import load_model
from runner.progress import Progress
from runner.ranks import Ranks
from runner.recipe import Recipe, recipe_from_resolved
from runner.recipe.language import Generation
from runner.tasks import TASKS
from runner.tasks.task import OutputsBroken
from store import Checkpoint, Run, Store

CHUNK_ROWS = 4096
"""Rows that are read, sorted by length and predicted at a time."""


class Predicted(NamedTuple):
    """What was written."""

    n_rows: int
    n_without_text: int
    """Rows of them that have no text, and so no answer."""
    counts: dict[str, int]
    """Label, or type of span → how often it was predicted."""
    n_truncated: int
    """Rows longer than the model takes."""


@dataclass(frozen=True)
class Predictor:
    """A model ready to answer."""

    model: TextModel
    tokenizer: Any
    info: CheckpointInfo
    answers: Answers
    device: Device
    batch_size: int
    checkpoint: Checkpoint
    title: str
    """How messages name the run."""
    generation: Generation
    """How answers are written, of tasks whose answers are texts."""

    @property
    def labels(self) -> tuple[str, ...]:
        return self.info.labels

    @property
    def max_length(self) -> int:
        return self.info.max_length

    def outputs(self, split: EncodedSplit) -> NDArray[np.float32]:
        """What the model says of a split, as its task has it."""
        passing = Passing(self.tokenizer, self.max_length, self.batch_size, self.device.dtype, self.generation)
        found: NDArray[np.float32] = TASKS[self.info.task].outputs(self.model, split, passing)
        return found

    def predict(self, texts: Sequence[str]) -> tuple[NDArray[np.float64], int]:
        """Of a run with one label a text: probabilities (n, k) that sum to 1, and how many texts were cut."""
        split = encode_texts([(text,) for text in texts], self.tokenizer, self.max_length)
        return torch.from_numpy(self.outputs(split)).double().softmax(1).numpy(), split.n_truncated

    def answer(self, rows: Sequence[InputRow]) -> tuple[list[Answer], int]:
        """Answers to rows in their order, and how many rows were cut. Raises ModelError."""
        known = [row for row in rows if row.inputs is not None]
        if not known:
            return [self.answers.empty for _ in rows], 0
        inputs = [row.inputs for row in known if row.inputs is not None]
        split = self.answers.encode(inputs, self.tokenizer, self.max_length)
        try:
            found = iter(self.answers.read(self.outputs(split), split, known))
        except OutputsBroken as broken:
            raise ModelError(f"the model of {self.title} gives outputs that are no numbers.") from broken
        return [self.answers.empty if row.inputs is None else next(found) for row in rows], split.n_truncated


def load_predictor(
    store: Store,
    run: Run,
    *,
    step: int | None = None,
    device: str | None = None,
    batch_size: int | None = None,
    top_k: int | None = None,
) -> Predictor:
    """The model of a run's best checkpoint (or of `step`), on the device (default: the best there is).

    Raises UserError: no checkpoint is kept, or a file of it is missing or not what the run wrote.
    """
    checkpoint = choose_checkpoint(store, run, step)
    folder = store.files / checkpoint.path
    title = f"run {run.name} ({run.id})"
    if wrong := wrong_files(folder, checkpoint.manifest):
        raise ModelError(
            f"the checkpoint of step {checkpoint.step:,} of {title} is not what the run wrote: "
            f"{'; '.join(wrong[:5])}. Restore its files, or choose another with --checkpoint."
        )
    recipe = _recipe(run)
    chosen = choose_device(recipe.training.model_copy(update={"device": device or "auto", "precision": "auto"}))
    model, tokenizer, info = load_model(folder, standing(recipe.model, store))
    return Predictor(
        model.to(chosen.type),
        tokenizer,
        info,
        ANSWERS[recipe.task](info, top_k),
        chosen,
        batch_size or recipe.evaluation.batch_size,
        checkpoint,
        title,
        recipe.generation,
    )


def write_predictions(predictor: Predictor, texts: Texts, writer: AnswerWriter, progress: Progress) -> Predicted:
    """Answer all rows in their order.

    Raises DataError when a row cannot be read: every such row is named.
    """
    answers = predictor.answers
    ranks = Ranks(writer) if isinstance(answers, RankAnswers) else None
    counts = dict.fromkeys(answers.label_names or (), 0)
    n_rows = n_without_text = n_truncated = 0
    problems = Problems()
    for rows in _chunks(texts.rows(problems)):
        n_rows += len(rows)
        if problems:
            continue  # there will be no answer: read on only to name every row that is wrong
        n_without_text += sum(row.inputs is None for row in rows)
        found, n_cut = predictor.answer(rows)
        n_truncated += n_cut
        for row, answer in zip(rows, found, strict=True):
            if row.inputs is not None:
                for name in answers.counted(answer):
                    counts[name] += 1
            (ranks or writer).write(row, answer)
        progress.reading(f"predicting {texts.title}", n_rows)
    problems.raise_if_any()
    if ranks is not None:
        ranks.finish()
    return Predicted(n_rows, n_without_text, counts, n_truncated)


def _chunks(rows: Iterable[InputRow]) -> Iterator[list[InputRow]]:
    iterator = iter(rows)
    while chunk := list(islice(iterator, CHUNK_ROWS)):
        yield chunk


def _recipe(run: Run) -> Recipe:
    if run.recipe is None:
        raise ModelError(f"run {run.name} ({run.id}) has no recipe, so how to load its model is not known.")
    return recipe_from_resolved(run.recipe)
