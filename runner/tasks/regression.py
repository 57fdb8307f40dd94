"""A number for each text, or pair of texts."""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from evals.regression import score_regression
from runner.encoding import EncodedSplit
from runner.tasks.objective import SquaredError
from runner.tasks.pooled import Pooled
from runner.tasks.scores import no_classes, with_loss
from runner.tasks.task import Examination, OutputsBroken, Said
from store import Dataset, Store, read_values

if TYPE_CHECKING:
    from runner.experiment import Experiment


class Regression(Pooled):
    """One number. The model learns it in standard deviations of the training targets around their mean."""

    name = "regression"
    has_bias = True

    def n_outputs(self, dataset: Dataset) -> int:
        return 1

    def n_logits(self, dataset: Dataset) -> int | None:
        return None

    def targets(self, store: Store, dataset: Dataset, split: str) -> NDArray[np.float32]:
        """(n,)."""
        return np.array(read_values(store, dataset, split), dtype=np.float32)

    def objective(self, experiment: "Experiment") -> SquaredError:
        return SquaredError(**self.settings(experiment))

    def settings(self, experiment: "Experiment") -> Mapping[str, Any]:
        """`centre`, `scale`: mean and standard deviation of the training targets, 1 where they are all the same."""
        targets = experiment.splits["train"].labels
        return {"centre": float(targets.mean()), "scale": float(targets.std()) or 1.0}

    def examiner(
        self, label_names: tuple[str, ...], settings: Mapping[str, Any], *, with_predictions: bool
    ) -> "NumberExaminer":
        return NumberExaminer(settings, with_predictions)


class NumberExaminer:
    """Scores and predicted numbers, in the units of the targets. The loss is in squared standard deviations."""

    def __init__(self, settings: Mapping[str, Any], with_predictions: bool) -> None:
        self.settings, self._with_predictions = settings, with_predictions
        """`centre`, `scale`: what an output of 0 and of 1 above it stand for."""

    def examine(self, name: str, outputs: NDArray[np.float32], split: EncodedSplit) -> Examination:
        if not np.isfinite(outputs).all():
            raise OutputsBroken
        scale = self.settings["scale"]
        said = outputs[:, 0].astype(np.float64) * scale + self.settings["centre"]
        losses = ((said - split.labels) / scale) ** 2
        scores = with_loss(score_regression(split.labels.astype(np.float64), said), losses)
        found = Examination(scores, None, said=lambda: Said(said.tolist(), split.labels.tolist()))
        if not self._with_predictions:
            return found
        responses = [json.dumps(float(f"{value:.6g}")) for value in said]
        return found._replace(predictions=no_classes(losses), responses=responses)
