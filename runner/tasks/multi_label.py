"""Any number of k labels for each text, each by itself."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from evals.multilabel import choose_thresholds, predicted_labels, score_multilabel
from runner.encoding import EncodedSplit
from runner.tasks.objective import BinaryCrossEntropy
from runner.tasks.pooled import Pooled
from runner.tasks.scores import no_classes, with_loss
from runner.tasks.task import Examination, OutputsBroken, Said
from store import Dataset, Store, read_values

if TYPE_CHECKING:
    from runner.experiment import Experiment

SHOWN_FROM = 0.05
"""Probabilities below are not recorded, unless the label is predicted or given."""


class MultiLabelClassification(Pooled):
    """Which of the labels a text has. A label is predicted from the threshold that is best on the validation split."""

    name = "multi-label-classification"

    def n_logits(self, dataset: Dataset) -> int | None:
        return None

    def targets(self, store: Store, dataset: Dataset, split: str) -> NDArray[np.int8]:
        """(n, k): 1 where the example has the label, else 0."""
        values = read_values(store, dataset, split)
        has = np.zeros((len(values), self.n_outputs(dataset)), dtype=np.int8)
        for row, value in enumerate(values):
            has[row, json.loads(value)] = 1
        return has

    def objective(self, experiment: "Experiment") -> BinaryCrossEntropy:
        return BinaryCrossEntropy()

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "LabelSetExaminer":
        return LabelSetExaminer(settings, with_predictions)


class LabelSetExaminer:
    """Scores and predicted sets of labels, by thresholds that every evaluation of the validation split chooses anew."""

    def __init__(self, settings: Mapping[str, Any], with_predictions: bool) -> None:
        self._with_predictions = with_predictions
        self.settings = settings
        """`thresholds`: of each label, in (0, 1]; 0.5 until a validation split was seen."""

    def examine(self, name: str, outputs: NDArray[np.float32], split: EncodedSplit) -> Examination:
        logits = torch.from_numpy(outputs)
        if not logits.isfinite().all():
            raise OutputsBroken
        wanted = torch.from_numpy(split.labels).float()
        losses = functional.binary_cross_entropy_with_logits(logits, wanted, reduction="none").mean(1).numpy()
        probs = logits.sigmoid().numpy()
        if name == "validation":
            chosen = choose_thresholds(split.labels, probs).values
            self.settings = {"thresholds": [round(float(value), 6) for value in chosen]}
        thresholds = np.array(self.settings.get("thresholds", 0.5))
        scores = with_loss(score_multilabel(split.labels, probs, thresholds), losses)
        said = predicted_labels(probs, thresholds) == 1
        found = Examination(scores, None, said=lambda: Said(said.astype(int).tolist(), split.labels.tolist()))
        if not self._with_predictions:
            return found
        return found._replace(predictions=no_classes(losses), responses=_responses(probs, said, split.labels == 1))


def _responses(probs: NDArray[np.float32], said: NDArray[np.bool_], given: NDArray[np.bool_]) -> list[str]:
    """JSON of each example: `labels`, indices of those predicted; `p`, probabilities by index where they say much."""
    shown = said | given | (probs >= SHOWN_FROM)
    return [
        json.dumps(
            {
                "labels": np.flatnonzero(row_said).tolist(),
                "p": {int(at): round(float(row[at]), 4) for at in np.flatnonzero(row_shown)},
            }
        )
        for row, row_said, row_shown in zip(probs, said, shown, strict=True)
    ]
