"""One of k labels: of each text, or of each pair of texts."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evals.classification import prediction_columns, score_classification
from runner.data.problems import DataError
from runner.encoding import EncodedSplit
from runner.tasks.objective import CrossEntropy
from runner.tasks.pooled import Pooled
from runner.tasks.task import Examination, OutputsBroken, Said
from store import Dataset, Predictions

if TYPE_CHECKING:
    from runner.experiment import Experiment


class TextClassification(Pooled):
    """One label of each text."""

    name = "text-classification"

    def n_logits(self, dataset: Dataset) -> int | None:
        return self.n_outputs(dataset)

    def objective(self, experiment: "Experiment") -> CrossEntropy:
        weights = class_weights(experiment)
        smoothing = experiment.loaded.recipe.training.label_smoothing
        return CrossEntropy(None if weights is None else weights.to(experiment.device.type), smoothing)

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "ClassExaminer":
        return ClassExaminer(with_predictions)


class PairClassification(TextClassification):
    """One label of each pair of texts, which the model reads together (a cross-encoder)."""

    name = "pair-classification"


class ClassExaminer:
    """Scores and predicted classes."""

    settings: Mapping[str, Any] = {}

    def __init__(self, with_predictions: bool) -> None:
        self._with_predictions = with_predictions

    def examine(self, name: str, outputs: NDArray[np.float32], split: EncodedSplit) -> Examination:
        logits = torch.from_numpy(outputs)
        if not logits.isfinite().all():
            raise OutputsBroken
        log_probs = functional.log_softmax(logits, dim=1).numpy()
        columns = prediction_columns(split.labels, log_probs) if self._with_predictions else None
        return Examination(
            score_classification(split.labels, log_probs),
            Predictions(*columns) if columns else None,
            said=lambda: Said(log_probs.argmax(axis=1).tolist(), split.labels.tolist()),
        )


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
