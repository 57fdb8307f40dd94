"""BLEU of all texts together, by the package sacrebleu with its defaults.

Result: score, in [0, 100]; counts, totals and precisions of one to four words; bp, the penalty for short texts; sys_len
and ref_len in words.
"""

import datasets
import evaluate
from sacrebleu.metrics.bleu import BLEU

INPUTS = "predictions: texts; references: a list of texts for each, or one text."
TEXT = datasets.Value("string")
FEATURES = [
    datasets.Features({"predictions": TEXT, "references": references}) for references in (datasets.Sequence(TEXT), TEXT)
]


class SacreBleu(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list, lowercase: bool = False) -> dict:
        references = [[each] if isinstance(each, str) else each for each in references]
        most = max(len(each) for each in references)
        columns: list = [[each[at] if at < len(each) else None for each in references] for at in range(most)]
        found = BLEU(lowercase=lowercase, force=True).corpus_score(predictions, columns)
        names = ("score", "counts", "totals", "precisions", "bp", "sys_len", "ref_len")
        return {name: getattr(found, name) for name in names}
