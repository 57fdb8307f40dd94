"""Pearson's correlation of predicted and given numbers. Result: pearsonr, in [-1, 1]."""

import datasets
import evaluate
from scipy.stats import pearsonr

INPUTS = "predictions, references: numbers."
FEATURES = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})


class Pearson(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        return {"pearsonr": float(pearsonr(references, predictions).statistic)}
