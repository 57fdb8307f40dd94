"""Text classification: one text in, one of k labels out."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evals.classification import METRICS, Metric, prediction_columns, score_classification
from runner.backbone import Backbone
from runner.classifier import TextClassifier, build_classifier
from runner.data.problems import DataError
from runner.encoding import EncodedSplit, encode_split
from runner.tasks.objective import CrossEntropy
from runner.tasks.task import Examination, OutputsBroken, Reading
from store import Dataset, Predictions, Store

if TYPE_CHECKING:
    from runner.experiment import Experiment
    from runner.recipe import Model


class TextClassification:
    """One label of each text."""

    name = "text-classification"
    metrics: Mapping[str, Metric] = METRICS

    def n_logits(self, dataset: Dataset) -> int | None:
        return len(dataset.label_names or ())

    def encode(
        self, store: Store, dataset: Dataset, split: str, backbone: Backbone, progress: Reading | None
    ) -> EncodedSplit:
        return encode_split(store, dataset, split, backbone.tokenizer, backbone.max_length, progress)

    def build(self, backbone: Backbone, dataset: Dataset, spec: "Model") -> TextClassifier:
        return build_classifier(backbone, len(dataset.label_names or ()), spec)

    def objective(self, experiment: "Experiment") -> CrossEntropy:
        weights = class_weights(experiment)
        smoothing = experiment.loaded.recipe.training.label_smoothing
        return CrossEntropy(None if weights is None else weights.to(experiment.device.type), smoothing)

    def examine(self, outputs: NDArray[np.float32], split: EncodedSplit, *, with_predictions: bool) -> Examination:
        logits = torch.from_numpy(outputs)
        if not logits.isfinite().all():
            raise OutputsBroken
        log_probs = functional.log_softmax(logits, dim=1).numpy()
        columns = prediction_columns(split.labels, log_probs) if with_predictions else None
        return Examination(score_classification(split.labels, log_probs), Predictions(*columns) if columns else None)


def class_weights(experiment: "Experiment") -> Tensor | None:
    """Weights (k,) of the labels in the loss; balanced is n / (k × count), as scikit-learn has it."""
    spec, names = experiment.loaded.recipe.training.class_weights, experiment.label_names
    if spec == "none":
        return None
    if spec == "balanced":
        counts = np.bincount(experiment.splits["train"].labels, minlength=len(names)).clip(min=1)
        return torch.tensor(counts.sum() / (len(names) * counts), dtype=torch.float32)
    if unknown := sorted(set(spec) - set(names)):
        raise DataError([f"training.class_weights names {unknown[0]!r}; the labels are {', '.join(names[:20])}."])
    return torch.tensor([float(spec.get(name, 1.0)) for name in names])
