"""Spans of words with a type, such as names of people and diseases: a tag for each word of a sentence."""

import json
from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evals.entities import score_entities
from evals.language import score_loss
from evals.tags import Scheme, scheme_tags, spans_of, split_tag
from runner.backbone import Backbone
from runner.batches import Collator, TokenCollator
from runner.classifier import TextClassifier, TextModel, TokenClassifier, build_classifier
from runner.data.problems import DataError
from runner.encoding import EncodedSplit, Words
from runner.inference import Passing, predict_words
from runner.tasks.objective import TokenCrossEntropy
from runner.tasks.scores import no_classes
from runner.tasks.task import Examination, OutputsBroken, Reading, Said
from runner.word_encoding import Tagging, encode_sentences
from store import Dataset, Store

if TYPE_CHECKING:
    from runner.experiment import Experiment
    from runner.recipe import Model, Recipe


class TokenClassification:
    """Tags of words. The data have spans; the recipe says in which scheme the model writes them."""

    name = "token-classification"
    auto_class = "AutoModel"

    def n_logits(self, dataset: Dataset) -> int:
        """Of a sentence: as given, or something else (`TokenCrossEntropy`)."""
        return 2

    def encoding(self, recipe: "Recipe") -> Hashable:
        return _tagging(recipe)

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        return encode_sentences(
            store, dataset, split, backbone.tokenizer, backbone.max_length, _tagging(recipe), progress
        )

    def build(self, backbone: Backbone, dataset: Dataset, spec: "Model") -> TextClassifier:
        tags = scheme_tags(dataset.label_names or (), Scheme(spec.tag_scheme))
        return build_classifier(backbone, len(tags), spec, TokenClassifier, has_bias=True)

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> Collator:
        return TokenCollator(split, int(experiment.backbone.tokenizer.pad_token_id))

    def objective(self, experiment: "Experiment") -> TokenCrossEntropy:
        recipe = experiment.loaded.recipe
        weights = tag_weights(experiment)
        return TokenCrossEntropy(
            recipe.training.label_smoothing,
            weights=None if weights is None else weights.to(experiment.device.type),
            has_dynamics=recipe.recording.dynamics,
        )

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        """`scheme`: which tags the outputs are of, with the types in the order of the labels."""
        return {"scheme": experiment.loaded.recipe.model.tag_scheme}

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> NDArray[np.float32]:
        """(n_words, k) logits; nan for words that no token answers for."""
        return predict_words(model, split, passing.pad_token_id, passing.batch_size, passing.dtype)

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "SpanExaminer":
        return SpanExaminer(label_names, settings, with_predictions)


class SpanExaminer:
    """Scores and predicted spans. A word that no token answers for is taken for O."""

    def __init__(self, types: Sequence[str], settings: Mapping[str, Any], with_predictions: bool) -> None:
        self.settings, self._with_predictions = settings, with_predictions
        self._types = {name: at for at, name in enumerate(types)}
        self._tags = np.array(scheme_tags(types, Scheme(settings.get("scheme", "BIO"))))

    def examine(self, name: str, outputs: NDArray[np.float32], split: EncodedSplit) -> Examination:
        words = split.words
        assert words is not None, "the task encodes words"
        said = read_tags(outputs, words)
        given_log_p = np.where(said.is_known, said.log_probs[np.arange(len(words)), words.tags], np.nan)
        given, predicted = (self._by_sentence(tags, words) for tags in (words.tags, said.tags))
        nats, counts = _by_sentence(-given_log_p, words), _by_sentence(said.is_known.astype(np.float64), words)
        scores = (*score_entities(given, predicted), score_loss(nats, counts))
        found = Examination(scores, None, said=lambda: Said(predicted, given))
        if not self._with_predictions:
            return found
        with np.errstate(invalid="ignore"):
            losses = nats / counts
        responses = [
            self._response(tags, said.p[a:b], np.exp(given_log_p[a:b]))
            for tags, a, b in zip(predicted, words.offsets[:-1], words.offsets[1:], strict=True)
        ]
        return found._replace(predictions=no_classes(losses), responses=responses)

    def _by_sentence(self, tags: NDArray[np.integer[Any]], words: Words) -> list[list[str]]:
        names = self._tags[tags].tolist()
        return [names[a:b] for a, b in zip(words.offsets[:-1].tolist(), words.offsets[1:].tolist(), strict=True)]

    def _response(self, tags: Sequence[str], p: NDArray[np.float64], p_given: NDArray[np.float64]) -> str:
        """JSON: `spans`, each [first word, word after the last, type, the smallest probability of its tags]; `least`,
        the word whose given tag is the least likely, and how likely it is."""
        found: dict[str, Any] = {"spans": spans_with_p(tags, p, self._types)}
        if not np.isnan(p_given).all():
            word = int(np.nanargmin(p_given))
            found["least"] = [word, round(float(p_given[word]), 4)]
        return json.dumps(found)


class SaidTags:
    """What a model says of words, n of them."""

    def __init__(self, log_probs: NDArray[np.float64], is_known: NDArray[np.bool_]) -> None:
        self.log_probs, self.is_known = log_probs, is_known
        self.tags = np.where(is_known, np.nan_to_num(log_probs, nan=-np.inf).argmax(1), 0)
        """(n,): the likeliest, O where nothing is known."""
        self.p = np.where(is_known, np.exp(log_probs[np.arange(len(log_probs)), self.tags]), np.nan)
        """(n,): how likely that is."""


def read_tags(outputs: NDArray[np.float32], words: Words) -> SaidTags:
    """Tags of words from logits (n_words, k). Raises OutputsBroken."""
    is_known = words.are_answered
    if not np.isfinite(outputs[is_known]).all():
        raise OutputsBroken
    log_probs = functional.log_softmax(torch.from_numpy(outputs).double(), dim=1).numpy()
    return SaidTags(log_probs, is_known)


def spans_with_p(tags: Sequence[str], p: NDArray[np.float64], types: Mapping[str, int]) -> list[list[float]]:
    """Spans as they are recorded: first word, word after the last, type, the smallest probability of its tags."""
    return [
        [span.start, span.end, types[span.tag], round(float(p[span.start : span.end].min()), 4)]
        for span in spans_of(tags)
    ]


def _by_sentence(values: NDArray[np.float64], words: Words) -> NDArray[np.float64]:
    """Sums over the words of each sentence, (n,); nan counts 0."""
    total = np.concatenate([[0.0], np.cumsum(np.nan_to_num(values))])
    return np.asarray(total[words.offsets[1:]] - total[words.offsets[:-1]], dtype=np.float64)


def tag_weights(experiment: "Experiment") -> Tensor | None:
    """Weights (k,) of the tags in the loss; None: all 1.

    balanced: n / (k × count) of each tag among the words that are learnt, as scikit-learn has it. A table names types
    of spans, whose tags all get the weight, and "O". Raises DataError for a type that the data lack.
    """
    spec, types = experiment.loaded.recipe.training.class_weights, experiment.label_names
    if spec == "none":
        return None
    tags = scheme_tags(types, Scheme(experiment.loaded.recipe.model.tag_scheme))
    if spec == "balanced":
        words = experiment.splits["train"].words
        assert words is not None, "the task encodes words"
        counts = np.bincount(words.tags[words.first >= 0], minlength=len(tags)).clip(min=1)
        return torch.tensor(counts.sum() / (len(tags) * counts), dtype=torch.float32)
    if unknown := sorted(set(spec) - {*types, "O"}):
        known = ", ".join((*types[:20], "O"))
        raise DataError([f"training.class_weights names {unknown[0]!r}; the types of spans are {known}."])
    return torch.tensor([float(spec.get(split_tag(tag)[1] or "O", 1.0)) for tag in tags])


def _tagging(recipe: "Recipe") -> Tagging:
    return Tagging(Scheme(recipe.model.tag_scheme), recipe.training.label_pieces == "all")
