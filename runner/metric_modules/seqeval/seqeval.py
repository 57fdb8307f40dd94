"""Entities found in tagged sentences, by the package seqeval.

Result: overall_precision, overall_recall, overall_f1, overall_accuracy, and for each type precision, recall, f1 and
number (how often it was given). Options: scheme (IOB1, IOB2, IOE1, IOE2, IOBES, BILOU), mode ("strict", or nothing).
"""

import datasets
import evaluate
import seqeval.scheme
from seqeval.metrics import accuracy_score, classification_report

INPUTS = "predictions, references: a list of tags for each sentence."
FEATURES = datasets.Features(
    {
        "predictions": datasets.Sequence(datasets.Value("string")),
        "references": datasets.Sequence(datasets.Value("string")),
    }
)


class SeqEval(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list, scheme: str | None = None, mode: str | None = None) -> dict:
        report = classification_report(
            references,
            predictions,
            output_dict=True,
            mode=mode,
            scheme=getattr(seqeval.scheme, scheme) if scheme else None,
            zero_division=0,
        )
        overall = report.pop("micro avg")
        types = {name: row for name, row in report.items() if name not in ("macro avg", "weighted avg")}
        return {
            **{
                name: {
                    "precision": float(row["precision"]),
                    "recall": float(row["recall"]),
                    "f1": float(row["f1-score"]),
                    "number": int(row["support"]),
                }
                for name, row in types.items()
            },
            "overall_precision": float(overall["precision"]),
            "overall_recall": float(overall["recall"]),
            "overall_f1": float(overall["f1-score"]),
            "overall_accuracy": float(accuracy_score(references, predictions)),
        }
