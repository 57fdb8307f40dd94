"""ROUGE-1, -2, -L and -Lsum by the package rouge-score. Result: rouge1, rouge2, rougeL, rougeLsum, in [0, 1].

The mean over the examples of F1 with the reference that fits best. use_stemmer: English words by their stems. The
package knows the letters a to z and digits only: texts in other scripts have no words to it.
"""

import datasets
import evaluate
from rouge_score.rouge_scorer import RougeScorer

INPUTS = "predictions: texts; references: a list of texts for each, or one text."
TEXT = datasets.Value("string")
FEATURES = [
    datasets.Features({"predictions": TEXT, "references": references}) for references in (datasets.Sequence(TEXT), TEXT)
]


class Rouge(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list, use_stemmer: bool = False) -> dict:
        references = [[each] if isinstance(each, str) else each for each in references]
        names = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
        scorer = RougeScorer(names, use_stemmer=use_stemmer)
        found = [scorer.score_multi(each, text) for text, each in zip(predictions, references, strict=True)]
        return {name: float(sum(scores[name].fmeasure for scores in found) / len(found)) for name in names}
