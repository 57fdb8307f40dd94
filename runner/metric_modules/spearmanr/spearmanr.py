"""Spearman's correlation of ranks, equal values sharing a rank. Result: spearmanr, in [-1, 1]."""

import datasets
import evaluate
from scipy.stats import spearmanr

INPUTS = "predictions, references: numbers."
FEATURES = datasets.Features({"predictions": datasets.Value("float64"), "references": datasets.Value("float64")})


class Spearman(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        return {"spearmanr": float(spearmanr(references, predictions).statistic)}
