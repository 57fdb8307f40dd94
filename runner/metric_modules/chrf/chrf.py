"""chrF of all texts together, by the package sacrebleu. Result: score, in [0, 100], and the options it was made with.

char_order: longest run of characters; word_order: of words, 0 is chrF and 2 is chrF++; beta: weight of recall.
"""

import datasets
import evaluate
from sacrebleu.metrics.chrf import CHRF

INPUTS = "predictions: texts; references: a list of texts for each, or one text."
TEXT = datasets.Value("string")
FEATURES = [
    datasets.Features({"predictions": TEXT, "references": references}) for references in (datasets.Sequence(TEXT), TEXT)
]


class ChrF(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(
        self, predictions: list, references: list, char_order: int = 6, word_order: int = 0, beta: int = 2
    ) -> dict:
        references = [[each] if isinstance(each, str) else each for each in references]
        most = max(len(each) for each in references)
        columns: list = [[each[at] if at < len(each) else None for each in references] for at in range(most)]
        found = CHRF(char_order=char_order, word_order=word_order, beta=beta).corpus_score(predictions, columns)
        return {name: getattr(found, name) for name in ("score", "char_order", "word_order", "beta")}
