"""What the tasks have in common that make one vector of each text, or pair of texts, and a linear layer above it."""

from collections.abc import Hashable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runner.backbone import Backbone
from runner.batches import Collator, TokenCollator
from runner.classifier import TextClassifier, TextModel, build_classifier
from runner.encoding import EncodedSplit, encode_split
from runner.inference import Passing, predict_logits
from runner.tasks.task import Reading
from store import Dataset, Store

if TYPE_CHECKING:
    from runner.experiment import Experiment
    from runner.recipe import Model, Recipe


class Pooled:
    """Encodes and builds; a task says how many numbers come out and what the targets are."""

    auto_class = "AutoModel"
    has_bias = False
    """Whether it needs a bias also where classifiers of the backbone's kind have none."""

    def n_outputs(self, dataset: Dataset) -> int:
        """Numbers that the model gives for an example: one for each label."""
        return len(dataset.label_names or ())

    def targets(self, store: Store, dataset: Dataset, split: str) -> NDArray[Any] | None:
        """(n, ...); None: label indices as the store has them."""
        return None

    def encoding(self, recipe: "Recipe") -> Hashable:
        return None

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, recipe: "Recipe", progress: Reading | None
    ) -> EncodedSplit:
        labels = self.targets(store, dataset, split)
        return encode_split(store, dataset, split, backbone.tokenizer, backbone.max_length, progress, labels=labels)

    def collator(self, experiment: "Experiment", split: EncodedSplit) -> Collator:
        return TokenCollator(split, experiment.backbone.tokenizer.pad_token_id)

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        return {}

    def build(self, backbone: Backbone, dataset: Dataset, spec: "Model") -> TextClassifier:
        return build_classifier(backbone, self.n_outputs(dataset), spec, has_bias=self.has_bias)

    def outputs(self, model: TextModel, split: EncodedSplit, passing: Passing) -> NDArray[np.float32]:
        """(n, k) logits."""
        return predict_logits(model, split, passing.pad_token_id, passing.batch_size, passing.dtype)
