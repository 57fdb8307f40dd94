"""Answers to prompts, and texts made of texts: what is learnt is how an answer goes, token by token."""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from evals.answers import score_answers
from evals.generated import score_generated
from evals.language import score_language
from runner.backbone import Backbone
from runner.classifier import TextModel
from runner.encoding import EncodedSplit
from runner.inference import Passing
from runner.language.collators import RowCollator
from runner.language.dialogues import dialogue_of, encode_dialogues
from runner.language.documents import start_token
from runner.language.generation import write_answers
from runner.language.likelihood import Likelihood, token_likelihood
from runner.language.model import LanguageModel, build_language_model
from runner.language.pairs import PairCollator, encode_pairs
from runner.language.pieces import counts_of, told_of
from runner.language.targets import compact, target_tokens, without_prompts
from runner.tasks.language import nats_of, rows_of, shown_examples, training_rows
from runner.tasks.scores import no_classes
from runner.tasks.task import Examination, Reading, Said
from runner.tasks.token_losses import TokenLoss
from store import Dataset, Store, TargetTokens, iter_inputs, read_values

if TYPE_CHECKING:
    from runner.experiment import Experiment
    from runner.recipe import Model, Recipe


class Outputs(NamedTuple):
    """What a model says of a split whose targets are texts."""

    likelihood: Likelihood
    answers: list[str]
    """Its own, to the first examples."""


class Answers:
    """What both have in common: targets that are texts, judged by how likely they are and what is written instead."""

    def n_logits(self, dataset: Dataset) -> int:
        return 2  # what is given, and something else: see TokenLoss

    def build(self, backbone: Backbone, dataset: Dataset, spec: "Model") -> LanguageModel:
        return build_language_model(backbone, spec)

    def objective(self, experiment: "Experiment") -> TokenLoss:
        return TokenLoss(has_dynamics=experiment.loaded.recipe.recording.dynamics)

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        """How prompts are put to the model: the table of the recipe that says it."""
        recipe = experiment.loaded.recipe
        table = recipe.instruction if recipe.task == "instruction" else recipe.seq2seq
        return table.model_dump()

    def target_tokens(self, model: TextModel, split: EncodedSplit, passing: Passing) -> TargetTokens:
        """What the model says of each target token of a split."""
        raise NotImplementedError

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "AnswerExaminer":
        return AnswerExaminer(settings, with_predictions)


class Instruction(Answers):
    """The answer to a prompt, or the assistant's turns of a chat."""

    name = "instruction"
    auto_class = "AutoModelForCausalLM"

    def encoding(self, recipe: "Recipe") -> Hashable:
        return recipe.instruction.model_dump_json(), recipe.generation.examples

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        return encode_dialogues(
            (
                [dialogue_of(inputs, answer) for inputs, answer in batch]
                for batch in _examples(store, dataset, split, progress)
            ),
            backbone.tokenizer,
            recipe.instruction,
            backbone.max_length,
            split=split,
            is_all=backbone.max_length < recipe.model.max_length,
            n_references=recipe.generation.examples,
            n_pieces=shown_examples(split),
        )

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> RowCollator:
        return training_rows(experiment, split, packs=bool(experiment.loaded.recipe.training.packing))

    def target_tokens(self, model: TextModel, split: EncodedSplit, passing: Passing) -> TargetTokens:
        alone, stands = without_prompts(split, start_token(passing.tokenizer))
        found = self._likelihood(model, alone, passing)
        put_back = [np.full(split.n_tokens, np.nan, dtype=np.float32) for _ in found]
        for whole, part in zip(put_back, found, strict=True):
            whole[stands[stands >= 0]] = part[stands >= 0]
        return target_tokens(split, self._likelihood(model, split, passing), Likelihood(*put_back))

    def _likelihood(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Likelihood:
        rows = rows_of(split, passing.tokenizer, passing.max_length, packs=False)
        return token_likelihood(model, rows, split.n_tokens, passing.batch_size, passing.dtype)

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Outputs:
        likelihood = self._likelihood(model, split, passing)
        assert split.n_before is not None
        ends = split.offsets[:-1] + split.n_before
        prompts = [split.ids[split.offsets[row] : ends[row]].tolist() for row in range(len(split.references))]
        return Outputs(likelihood, _written(model, prompts, passing))


class Seq2Seq(Answers):
    """A text made of a text: a summary, a translation, an answer."""

    name = "seq2seq"
    auto_class = "AutoModelForSeq2SeqLM"

    def encoding(self, recipe: "Recipe") -> Hashable:
        return recipe.seq2seq.model_dump_json(), recipe.generation.examples

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        return encode_pairs(
            (
                ([inputs["text"] for inputs, _ in batch], [answer for _, answer in batch])
                for batch in _examples(store, dataset, split, progress)
            ),
            backbone.tokenizer,
            recipe.seq2seq,
            backbone.max_length,
            recipe.generation.examples,
            shown_examples(split),
        )

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> PairCollator:
        return PairCollator(split, int(experiment.backbone.tokenizer.pad_token_id))

    def target_tokens(self, model: TextModel, split: EncodedSplit, passing: Passing) -> TargetTokens:
        found = self._likelihood(model, split, passing)
        assert split.answers is not None
        return compact(split.answers.offsets, np.ones(len(split.answers.ids), dtype=np.bool_), found, None)

    def _likelihood(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Likelihood:
        assert split.answers is not None
        pairs = PairCollator(split, passing.pad_token_id)
        return token_likelihood(model, pairs, len(split.answers.ids), passing.batch_size, passing.dtype)

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Outputs:
        likelihood = self._likelihood(model, split, passing)
        spans = zip(split.offsets, split.offsets[1:], split.references, strict=False)
        return Outputs(likelihood, _written(model, [split.ids[a:b].tolist() for a, b, _ in spans], passing))


def _examples(
    store: Store, dataset: Dataset, split: str, progress: Reading | None
) -> Iterator[list[tuple[Mapping[str, Any], str]]]:
    """Inputs and answers of a split, batch by batch."""
    answers, n_done = [json.loads(value) for value in read_values(store, dataset, split)], 0
    for inputs in iter_inputs(store, dataset, split):
        yield list(zip(inputs, answers[n_done : n_done + len(inputs)], strict=True))
        n_done += len(inputs)
        if progress:
            progress(f"tokenising {split}", n_done)


def _written(model: TextModel, prompts: Sequence[Sequence[int]], passing: Passing) -> list[str]:
    assert isinstance(model, LanguageModel)
    if passing.generation is None or not prompts:
        return []
    return write_answers(model, prompts, passing.tokenizer, passing.generation, passing.dtype)


class AnswerExaminer:
    """How likely the right answers are, and how like them what the model wrote is."""

    def __init__(self, settings: Mapping[str, Any], with_predictions: bool) -> None:
        self.settings, self._with_predictions = settings, with_predictions

    def examine(self, name: str, outputs: Outputs, split: EncodedSplit) -> Examination:
        answers = split.answers
        nats, n_tokens = nats_of(outputs.likelihood, split.offsets if answers is None else answers.offsets)
        scores = list(score_language(nats, n_tokens, split.labels))
        right = [[reference] for reference in split.references[: len(outputs.answers)]]
        if right:
            scores += [*score_answers(outputs.answers, right), *score_generated(outputs.answers, right)]
        found = Examination(scores, None, said=lambda: Said(outputs.answers, [first for (first,) in right]))
        if not self._with_predictions:
            return found
        with np.errstate(invalid="ignore"):
            losses = (nats / n_tokens).astype(np.float32)
        responses = [self._response(row, outputs, split, int(n_tokens[row])) for row in range(len(split))]
        return found._replace(predictions=no_classes(losses), responses=responses)

    def _response(self, row: int, outputs: Outputs, split: EncodedSplit, n_tokens: int) -> str:
        """What was written, if anything, and what the right answer's likelihood was measured on."""
        written = {"text": outputs.answers[row]} if row < len(outputs.answers) else {}
        told = None
        if row < len(split.pieces):
            offsets = split.offsets if split.answers is None else split.answers.offsets
            first = 0 if split.n_before is None else int(split.n_before[row])
            told = told_of(split.pieces[row], outputs.likelihood, offsets, row, first)
        found = {**written, **counts_of(n_tokens, int(split.labels[row]), told)}
        if split.n_before is not None:
            begin = int(split.offsets[row] + split.n_before[row])
            found |= _of_answer(outputs.likelihood.log_probs[begin : int(split.offsets[row + 1])], n_tokens)
        return json.dumps(found, ensure_ascii=False)


def _of_answer(log_probs: NDArray[np.float32], n_tokens: int) -> dict[str, Any]:
    """`answer`: tokens and loss of the last answer alone, where more is learnt of the example, n_tokens, than that."""
    known = log_probs[~np.isnan(log_probs)].astype(np.float64)
    if len(known) == n_tokens:
        return {}
    return {"answer": {"n_tokens": len(known), "loss": round(-float(known.mean()), 4) if len(known) else None}}
