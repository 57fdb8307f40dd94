"""Going on with a model's own training, on raw text: foretelling the next token, or filling gaps."""

import json
from collections.abc import Hashable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.language import score_language
from runner.backbone import Backbone
from runner.classifier import TextModel
from runner.encoding import EncodedSplit
from runner.errors import ModelError
from runner.inference import Passing
from runner.language.apart import keeps_apart, looks_ahead
from runner.language.collators import RowCollator
from runner.language.documents import encode_documents, tokens_around
from runner.language.gaps import mask_token, with_fixed_gaps
from runner.language.likelihood import Likelihood, token_likelihood
from runner.language.model import LanguageModel, build_language_model
from runner.language.packing import each_alone, pack
from runner.language.pieces import SHOWN_EXAMPLES, counts_of, told_of
from runner.language.windows import windows_of
from runner.tasks.scores import no_classes
from runner.tasks.task import Examination, Reading
from runner.tasks.token_losses import GapLoss, TokenLoss
from store import Dataset, Store, iter_inputs

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from runner.experiment import Experiment
    from runner.recipe import Model, Recipe


class Documents:
    """What both have in common: texts without targets, of any length, cut into stretches that a model can read."""

    def n_logits(self, dataset: Dataset) -> None:
        return None

    def encoding(self, recipe: "Recipe") -> Hashable:
        return None

    def build(self, backbone: Backbone, dataset: Dataset, spec: "Model") -> LanguageModel:
        return build_language_model(backbone, spec)

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        return {}

    def _texts(self, store: Store, dataset: Dataset, split: str, progress: Reading | None) -> Iterator[Sequence[str]]:
        n_done = 0
        for inputs in iter_inputs(store, dataset, split):
            n_done += len(inputs)
            if progress:
                progress(f"tokenising {split}", n_done)
            yield [each["text"] for each in inputs]


class CausalLm(Documents):
    """Each token from those before it."""

    name = "causal-lm"
    auto_class = "AutoModelForCausalLM"

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        texts = self._texts(store, dataset, split, progress)
        return encode_documents(
            texts, backbone.tokenizer, foretells=True, ends=split == "train", n_pieces=shown_examples(split)
        )

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> RowCollator:
        wanted = experiment.loaded.recipe.training.packing
        return training_rows(experiment, split, packs=wanted is None or wanted)

    def objective(self, experiment: "Experiment") -> TokenLoss:
        return TokenLoss(has_dynamics=False)

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Likelihood:
        rows = rows_of(split, passing.tokenizer, passing.max_length, packs=False)
        return token_likelihood(model, rows, split.n_tokens, passing.batch_size, passing.dtype)

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "TextExaminer":
        return TextExaminer(with_predictions, counts_bytes=True)


class MaskedLm(Documents):
    """Tokens from those around them: some are hidden, and found again."""

    name = "masked-lm"
    auto_class = "AutoModelForMaskedLM"

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        texts = self._texts(store, dataset, split, progress)
        return encode_documents(texts, backbone.tokenizer, foretells=False, ends=False, n_pieces=shown_examples(split))

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> RowCollator:
        return lines_of(split, experiment.backbone.tokenizer, experiment.backbone.max_length)

    def objective(self, experiment: "Experiment") -> GapLoss:
        tokenizer, share = experiment.backbone.tokenizer, experiment.loaded.recipe.masked_lm.share
        return GapLoss(mask_token(tokenizer), len(tokenizer), share)

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> Likelihood:
        hidden = with_fixed_gaps(split, passing.tokenizer)
        return token_likelihood(
            model,
            lines_of(hidden, passing.tokenizer, passing.max_length),
            split.n_tokens,
            passing.batch_size,
            passing.dtype,
        )

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "TextExaminer":
        return TextExaminer(with_predictions, counts_bytes=False)


def training_rows(experiment: "Experiment", split: EncodedSplit, *, packs: bool) -> RowCollator:
    """As `rows_of`; texts share rows only where the model keeps them apart.

    Raises ModelError where the recipe says that they shall, and it does not, and for a model that reads both ways.
    """
    tokenizer, room, model = experiment.backbone.tokenizer, experiment.backbone.max_length, experiment.model
    assert isinstance(model, LanguageModel)
    spec = experiment.loaded.recipe.model
    # What 8 bits round a token to depends a little on the others.
    if not (spec.method == "qlora" and spec.quantization.bits == 8) and looks_ahead(model):
        raise ModelError(
            f"model.base = {spec.base!r}: this model ({model.library_model.config.model_type}) sees the tokens that it "
            f"is to foretell, so it would only copy them. Take a decoder, such as gpt2 (for raw text this one can be "
            'trained with task = "masked-lm"), or set is_decoder = true in its config.json where it was trained so.'
        )
    if model.n_learnt_tokens:
        fault = "learnt tokens stand before a row, not before each of several texts in it"
    else:
        fault = f"models of type {model.library_model.config.model_type} do not keep texts apart that share a row"
    if not packs or (not model.n_learnt_tokens and keeps_apart(model)):
        return rows_of(split, tokenizer, room, packs=packs)
    if experiment.loaded.recipe.training.packing:
        raise ModelError(f"training.packing = true: {fault}. Leave it out, or set it to false.")
    rows = rows_of(split, tokenizer, room, packs=False)
    rows.notes = (f"each text has a row of its own (training.packing): {fault}",)
    return rows


def rows_of(split: EncodedSplit, tokenizer: "PreTrainedTokenizerBase", room: int, *, packs: bool) -> RowCollator:
    """Stretches of texts to be foretold, several in a row or each alone."""
    windows = windows_of(split.offsets, room, overlap=1)
    rows = pack(windows.lengths, room) if packs else each_alone(len(windows.lengths))
    return RowCollator(split, windows, rows, tokenizer.pad_token_id, is_packed=packs)


def lines_of(split: EncodedSplit, tokenizer: "PreTrainedTokenizerBase", room: int) -> RowCollator:
    """Stretches of texts with gaps, each alone between the tokens that the model expects around a text."""
    before, after = tokens_around(tokenizer)
    windows = windows_of(split.offsets, room - len(before) - len(after))
    rows = each_alone(len(windows.lengths))
    return RowCollator(
        split, windows, rows, tokenizer.pad_token_id, is_packed=False, around=(before, after), foretells=False
    )


class TextExaminer:
    """Scores of foretold text, and each example's loss: nats a token."""

    settings: Mapping[str, Any] = {}

    def __init__(self, with_predictions: bool, *, counts_bytes: bool) -> None:
        self._with_predictions, self._counts_bytes = with_predictions, counts_bytes

    def examine(self, name: str, outputs: Likelihood, split: EncodedSplit) -> Examination:
        nats, n_tokens = nats_of(outputs, split.offsets)
        scores = score_language(nats, n_tokens, split.labels if self._counts_bytes else None)
        if not self._with_predictions:
            return Examination(scores, None)
        with np.errstate(invalid="ignore"):
            losses = (nats / n_tokens).astype(np.float32)
        said = [self._response(row, outputs, split, int(n_tokens[row])) for row in range(len(split))]
        return Examination(scores, no_classes(losses), said)

    def _response(self, row: int, outputs: Likelihood, split: EncodedSplit, n_tokens: int) -> str:
        """What an example's likelihood was measured on, of the first ones token by token."""
        told = told_of(split.pieces[row], outputs, split.offsets, row) if row < len(split.pieces) else None
        n_bytes = int(split.labels[row]) if self._counts_bytes else None
        return json.dumps(counts_of(n_tokens, n_bytes, told), ensure_ascii=False)


def shown_examples(split: str) -> int:
    """How many examples of a split are recorded token by token; what is trained on is not evaluated."""
    return 0 if split == "train" else SHOWN_EXAMPLES


def nats_of(outputs: Likelihood, offsets: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """(n,) each: -ln p of an example's targets together, and how many these are. offsets (n + 1,) of its tokens."""
    counted = ~np.isnan(outputs.log_probs)
    n = len(offsets) - 1
    owners = np.repeat(np.arange(n), np.diff(offsets))[counted]
    nats = np.bincount(owners, weights=-outputs.log_probs[counted].astype(np.float64), minlength=n)
    return nats.astype(np.float64), np.bincount(owners, minlength=n).astype(np.int64)
