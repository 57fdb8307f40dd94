"""Mean squared error. Result: mse, 0 or above; with squared=False its root."""

import datasets
import evaluate
from sklearn.metrics import mean_squared_error

INPUTS = "predictions, references: numbers."
FEATURES = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})


class MeanSquaredError(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list, squared: bool = True) -> dict:
        found = float(mean_squared_error(references, predictions))
        return {"mse": found if squared else found**0.5}
