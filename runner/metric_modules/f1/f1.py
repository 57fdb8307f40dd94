"""F1: the harmonic mean of precision and recall. Result: f1, in [0, 1].

`average` as in scikit-learn: "binary" (default), "micro", "macro", "weighted", or None for one value a class.
"macro" averages over the classes of `labels`, without it over those that occur in predictions or references.

The configuration "multilabel" takes lists of 0 and 1, one an example.
"""

import datasets
import evaluate
from sklearn.metrics import f1_score

INPUTS = 'predictions, references: class numbers; lists of 0 and 1 with config_name="multilabel".'


class F1(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        number = datasets.Value("int32")
        column = datasets.Sequence(number) if self.config_name == "multilabel" else number
        features = datasets.Features({"predictions": column, "references": column})
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=features)

    def _compute(
        self,
        predictions: list,
        references: list,
        average: str | None = "binary",
        labels: list | None = None,
        pos_label: int = 1,
    ) -> dict:
        found = f1_score(references, predictions, average=average, labels=labels, pos_label=pos_label, zero_division=0)
        return {"f1": float(found) if average is not None else found.tolist()}
