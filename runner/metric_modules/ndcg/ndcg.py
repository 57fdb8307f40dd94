"""nDCG: how far up the relevant candidates of a query stand. Result: ndcg, in [0, 1], the mean over queries.

One entry a query: scores and gains of its candidates, several at least. Equal scores count as the mean over their
orders. Queries without a relevant candidate are left out. k: only the first k places count.
"""

import datasets
import evaluate
from sklearn.metrics import ndcg_score

INPUTS = "predictions: lists of scores; references: lists of gains, 0 = not relevant."
FEATURES = datasets.Features(
    {
        "predictions": datasets.Sequence(datasets.Value("float64")),
        "references": datasets.Sequence(datasets.Value("float64")),
    }
)


class Ndcg(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list, k: int | None = None) -> dict:
        found = [
            ndcg_score([gains], [scores], k=k)
            for scores, gains in zip(predictions, references, strict=True)
            if any(gains)
        ]
        return {"ndcg": float(sum(found) / len(found)) if found else float("nan")}
