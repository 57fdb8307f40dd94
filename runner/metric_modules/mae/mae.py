"""Mean absolute error. Result: mae, 0 or above."""

import datasets
import evaluate
from sklearn.metrics import mean_absolute_error

INPUTS = "predictions, references: numbers."
FEATURES = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})


class MeanAbsoluteError(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        return {"mae": float(mean_absolute_error(references, predictions))}
