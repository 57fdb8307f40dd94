"""Accuracy: the share of predictions that are right. Result: accuracy, in [0, 1]."""

import datasets
import evaluate
from sklearn.metrics import accuracy_score

INPUTS = "predictions, references: class numbers, one an example."
FEATURES = datasets.Features({"predictions": datasets.Value("int32"), "references": datasets.Value("int32")})


class Accuracy(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        return {"accuracy": float(accuracy_score(references, predictions))}
