"""Answers against the answers that are right: exact match and token F1, after the normalisation of SQuAD.

Text is lower-cased, ASCII punctuation and the words a, an and the are taken out, and white space is one blank. Exact
match: equal then to one of the right answers. Token F1: of words, counted as often as they occur, in common with the
right answer that fits best; where either has no word left, 1 if both have none and 0 otherwise. Sources: Rajpurkar et
al., SQuAD (2016), arXiv:1606.05250; Rajpurkar, Jia & Liang, Know What You Don't Know (2018), arXiv:1806.03822, for
answers without words. Texts that do not put blanks between words are one word each to it.
"""

import string
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from evals.intervals import wilson
from evals.metrics import Score
from evals.resampling import resampled_sums

Numbers = npt.NDArray[np.float64]

_WITHOUT_PUNCTUATION = str.maketrans("", "", string.punctuation)
_RATES = ("exact_match",)
"""Shares of examples: of few, or of all or none, only Wilson's interval is honest."""
_ARTICLES = frozenset(("a", "an", "the"))


def normalise_answer(text: str) -> str:
    """What is compared of an answer.

    >>> normalise_answer("The  Eiffel-Tower, in Paris!")
    'eiffeltower in paris'
    """
    words = text.lower().translate(_WITHOUT_PUNCTUATION).split()
    return " ".join(word for word in words if word not in _ARTICLES)


def exact_match(answer: str, right: Sequence[str]) -> bool:
    """Whether an answer is one of the right ones.

    >>> exact_match("The cat.", ["a dog", "cat"])
    True
    """
    return normalise_answer(answer) in {normalise_answer(each) for each in right}


def token_f1(answer: str, right: Sequence[str]) -> float:
    """F1 in words with the right answer that fits best, in [0, 1]; nan without a right answer.

    >>> token_f1("in the old town", ["old town hall", "the bridge"])
    0.6666666666666666
    """
    said = normalise_answer(answer).split()
    return max((_f1(said, normalise_answer(each).split()) for each in right), default=np.nan)


def answer_columns(answers: Sequence[str | None], right: Sequence[Sequence[str]]) -> dict[str, Numbers]:
    """What each answer scores, (n,): exact_match (0 or 1) and token_f1.

    None, no answer, is wrong: 0. An example without a right answer is nan. ValueError where the lengths differ.

    >>> answer_columns(["cat", None, "dog"], [["the cat", "cats"], ["dog"], []])
    {'exact_match': array([ 1.,  0., nan]), 'token_f1': array([ 1.,  0., nan])}
    """
    if len(answers) != len(right):
        raise ValueError(f"{len(answers)} answers for {len(right)} examples")
    n = len(answers)
    matches, overlaps = np.zeros(n), np.zeros(n)
    for row, (answer, expected) in enumerate(zip(answers, right, strict=True)):
        if not expected:
            matches[row] = overlaps[row] = np.nan
        elif answer is not None:
            matches[row], overlaps[row] = exact_match(answer, expected), token_f1(answer, expected)
    return {"exact_match": matches, "token_f1": overlaps}


def score_answers(
    answers: Sequence[str | None], right: Sequence[Sequence[str]], *, n_boot: int = 1000, seed: int = 0
) -> tuple[Score, ...]:
    """Exact match and token F1, each the mean over the examples with a right answer, with its interval.

    >>> scores = score_answers(["cat", "a dog"], [["the cat"], ["dog house"]], n_boot=0)
    >>> [(score.metric, round(score.value, 3), score.n) for score in scores]
    [('exact_match', 0.5, 2), ('token_f1', 0.833, 2)]
    """
    return mean_scores(answer_columns(answers, right), n_boot=n_boot, seed=seed)


def mean_scores(columns: dict[str, Numbers], *, n_boot: int = 1000, seed: int = 0) -> tuple[Score, ...]:
    """The mean of each column (n,) with its interval, of exact_match Wilson's of a rate, else by bootstrap; nan values
    are left out of their column.

    >>> found = mean_scores({"exact_match": np.array([1.0, 0.0, np.nan]), "token_f1": np.array([1.0, 0.5, 0.0])})
    >>> [(score.metric, score.value, round(score.low, 2), score.n) for score in found]
    [('exact_match', 0.5, 0.09, 2), ('token_f1', 0.5, 0.0, 3)]
    """
    scores = []
    for name, values in columns.items():
        known = values[~np.isnan(values)]
        n = len(known)
        if name in _RATES:
            hits = float(known.sum())
            scores.append(Score(name, hits / n if n else np.nan, *wilson(hits, n), n))
            continue
        sums = resampled_sums(np.stack([known, np.ones(n)], axis=1), n_boot=n_boot, seed=seed)
        scores.append(Score(name, *sums.estimate(lambda total: total[..., 0] / total[..., 1]), n))
    return tuple(scores)


def _f1(said: Sequence[str], expected: Sequence[str]) -> float:
    if not said or not expected:
        return float(not said and not expected)
    n_common = (Counter(said) & Counter(expected)).total()
    return 2 * n_common / (len(said) + len(expected))
