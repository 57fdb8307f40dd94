"""Exact match and F1 of answers, as SQuAD has them. Result: exact_match and f1, in [0, 100].

Case, ASCII punctuation and the words a, an and the do not count; of several right answers the best fit does.
"""

import string
from collections import Counter

import datasets
import evaluate

INPUTS = "predictions: answers; references: a list of right answers for each."
FEATURES = datasets.Features(
    {"predictions": datasets.Value("string"), "references": datasets.Sequence(datasets.Value("string"))}
)


def words(text: str) -> list[str]:
    kept = text.lower().translate(str.maketrans("", "", string.punctuation)).split()
    return [word for word in kept if word not in ("a", "an", "the")]


def overlap(said: list[str], given: list[str]) -> float:
    if not said or not given:
        return float(said == given)
    n_common = sum((Counter(said) & Counter(given)).values())
    return 2 * n_common / (len(said) + len(given))


class Squad(evaluate.Metric):
    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(description=__doc__, citation="", inputs_description=INPUTS, features=FEATURES)

    def _compute(self, predictions: list, references: list) -> dict:
        pairs = list(zip(predictions, references, strict=True))
        matches = [any(words(answer) == words(each) for each in right) for answer, right in pairs]
        overlaps = [max(overlap(words(answer), words(each)) for each in right) for answer, right in pairs]
        return {"exact_match": 100 * sum(matches) / len(pairs), "f1": 100 * sum(overlaps) / len(pairs)}
