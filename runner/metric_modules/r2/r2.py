"""R², the share of the variance that is explained. Result: r2, 1 at best."""

import datasets
import evaluate
from sklearn.metrics import r2_score

INPUTS = "predictions, references: numbers."
FEATURES = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})


class RSquared(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        return {"r2": float(r2_score(references, predictions))}
