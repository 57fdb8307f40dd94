"""Exact match: the share of texts that equal their reference, letter by letter. Result: exact_match, in [0, 1].

ignore_case, ignore_punctuation: what is taken out of both first. For answers to questions take `squad`.
"""

import string

import datasets
import evaluate

INPUTS = "predictions, references: texts."
FEATURES = datasets.Features({"predictions": datasets.Value("string"), "references": datasets.Value("string")})


class ExactMatch(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(
        self, predictions: list, references: list, ignore_case: bool = False, ignore_punctuation: bool = False
    ) -> dict:
        outside = str.maketrans("", "", string.punctuation if ignore_punctuation else "")
        pairs = [
            tuple((text.lower() if ignore_case else text).translate(outside) for text in pair)
            for pair in zip(predictions, references, strict=True)
        ]
        return {"exact_match": sum(said == given for said, given in pairs) / len(pairs)}
