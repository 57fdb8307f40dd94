"""Mean average precision over labels. Result: average_precision, in [0, 1].

Predictions are a probability for each label, references 0 or 1 for each; labels that no example has are left out.
"""

import datasets
import evaluate
import numpy
from sklearn.metrics import average_precision_score

INPUTS = "predictions: lists of probabilities; references: lists of 0 and 1."
FEATURES = datasets.Features(
    {
        "predictions": datasets.Sequence(datasets.Value("float64")),
        "references": datasets.Sequence(datasets.Value("int8")),
    }
)


class AveragePrecision(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        given, probs = numpy.array(references), numpy.array(predictions)
        occurs = given.any(axis=0)
        return {
            "average_precision": float(average_precision_score(given[:, occurs], probs[:, occurs], average="macro"))
        }
