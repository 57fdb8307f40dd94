"""Texts that a model wrote against reference texts: ROUGE, BLEU and chrF.

ROUGE-1 and -2: F1 of single words and of pairs in common; ROUGE-L: F1 by the longest common subsequence of words. The
value of a split is the mean over its examples, each against the reference that fits best. Source: Lin, ROUGE (2004).
Words are runs of letters and digits, lower-cased, not stemmed: for English what the package rouge-score takes; its own
rule drops every letter that is not a to z, and with it all of Greek, Hindi or Chinese.

BLEU: the geometric mean of the precisions of one to four words, times a penalty for being too short; chrF: F2 of runs
of one to six characters. Both are of the whole split, of counts summed over its examples, and computed by sacrebleu
with its defaults (13a tokens, exponential smoothing). Sources: Papineni et al., BLEU (2002); Popović, chrF (2015);
Post, A Call for Clarity in Reporting BLEU Scores (2018). Resamples draw examples and add up their counts.
"""

import itertools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from evals.answers import mean_scores
from evals.metrics import Score
from evals.resampling import resampled_sums

Numbers = npt.NDArray[np.float64]

ROUGE = ("rouge1", "rouge2", "rougeL")
_WORD = re.compile(r"[^\W_]+")


def generated_columns(texts: Sequence[str | None], references: Sequence[Sequence[str]]) -> dict[str, Numbers]:
    """What each text scores, (n,): rouge1, rouge2, rougeL in [0, 1] and chrf in [0, 100].

    BLEU is not among them: of a single sentence it is mostly its smoothing. None, no text, counts as an empty one. An
    example without a reference is nan.

    >>> columns = generated_columns(["the cat sat"], [["the cat sat down", "a dog"]])
    >>> {name: column.round(2).tolist() for name, column in columns.items()}
    {'rouge1': [0.86], 'rouge2': [0.8], 'rougeL': [0.86], 'chrf': [66.02]}
    """
    _check(texts, references)
    columns = {**rouge_columns(texts, references), "chrf": np.full(len(texts), np.nan)}
    rows = _measured(references)
    chrf = _chrf()
    for row, counts in zip(rows, _counts(chrf, texts, references, rows), strict=True):
        columns["chrf"][row] = _score_of(chrf, counts)
    return columns


def rouge_columns(texts: Sequence[str | None], references: Sequence[Sequence[str]]) -> dict[str, Numbers]:
    """What each text scores by ROUGE, (n,) in [0, 1]: rouge1, rouge2, rougeL; see `generated_columns`.

    >>> rouge_columns(["γάτα και σκύλος"], [["μια γάτα"]])["rouge1"].tolist()
    [0.4]
    """
    _check(texts, references)
    columns = {name: np.full(len(texts), np.nan) for name in ROUGE}
    for row in _measured(references):
        said = _words(texts[row])
        found = [_rouge(said, _words(reference)) for reference in references[row]]
        for name, values in zip(ROUGE, zip(*found, strict=True), strict=True):
            columns[name][row] = max(values)
    return columns


def score_generated(
    texts: Sequence[str | None], references: Sequence[Sequence[str]], *, n_boot: int = 1000, seed: int = 0
) -> tuple[Score, ...]:
    """ROUGE-1, -2, -L, BLEU and chrF with bootstrap intervals over the examples that have a reference.

    >>> scores = score_generated(["a cat sat on the mat", "so it is"], [["a cat sat on a mat"], ["so it is"]], n_boot=0)
    >>> [(score.metric, round(score.value, 2)) for score in scores]
    [('rouge1', 0.92), ('rouge2', 0.8), ('rougeL', 0.92), ('bleu', 59.69), ('chrf', 73.13)]
    """
    scores = list(mean_scores(rouge_columns(texts, references), n_boot=n_boot, seed=seed))
    rows = _measured(references)
    for name, (counts, statistic) in corpus_parts(texts, references).items():
        sums = resampled_sums(counts, n_boot=n_boot, seed=seed)
        scores.append(Score(name, *sums.estimate(statistic), len(rows)))
    return tuple(scores)


def corpus_parts(
    texts: Sequence[str | None], references: Sequence[Sequence[str]]
) -> dict[str, tuple[Numbers, Callable[[Numbers], Numbers]]]:
    """Of BLEU and chrF what each example with a reference adds to their sums, (n, d), and the score as a function of
    these sums, (..., d) -> (...).

    >>> parts = corpus_parts(["a cat sat there"], [["a cat sat there"]])
    >>> {name: round(float(statistic(counts.sum(axis=0)))) for name, (counts, statistic) in parts.items()}
    {'bleu': 100, 'chrf': 100}
    """
    _check(texts, references)
    rows, found = _measured(references), {}
    for name, metric in (("bleu", _bleu()), ("chrf", _chrf())):
        found[name] = (_counts(metric, texts, references, rows), _corpus_statistic(metric))
    return found


def _words(text: str | None) -> list[str]:
    return _WORD.findall((text or "").lower())


def _rouge(said: Sequence[str], reference: Sequence[str]) -> tuple[float, float, float]:
    """ROUGE-1, -2 and -L of two lists of words."""
    n_words = len(said) + len(reference)
    n_pairs = max(len(said) - 1, 0) + max(len(reference) - 1, 0)
    singles = (Counter(said) & Counter(reference)).total()
    pairs = (Counter(itertools.pairwise(said)) & Counter(itertools.pairwise(reference))).total()
    common = _longest_common(said, reference)
    return 2 * singles / max(n_words, 1), 2 * pairs / max(n_pairs, 1), 2 * common / max(n_words, 1)


def _longest_common(first: Sequence[str], second: Sequence[str]) -> int:
    """Length of the longest common subsequence, a row of the usual table at a time, as the bits of one number.

    Source: Hyyrö, Bit-Parallel LCS-length Computation Revisited (2004).
    """
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    every = (1 << len(first)) - 1
    row = every
    for word in second:
        matched = row & places.get(word, 0)
        row = ((row + matched) | (row - matched)) & every
    return len(first) - row.bit_count()


def _bleu() -> Any:
    from sacrebleu.metrics.bleu import BLEU

    return BLEU(force=True)  # texts that end in " ." are no reason for a warning here


def _chrf() -> Any:
    from sacrebleu.metrics.chrf import CHRF

    return CHRF()


def _counts(
    metric: Any, texts: Sequence[str | None], references: Sequence[Sequence[str]], rows: Sequence[int]
) -> Numbers:
    """What sacrebleu counts in each example, (n, d): their sums are all that its score of a split needs.

    These are its methods for kinds of metrics rather than for callers, and what its own significance tests build on; a
    test holds that the scores are those of `corpus_score`.
    """
    found = []
    for row in rows:
        known = metric._extract_reference_info([metric._preprocess_segment(each) for each in references[row]])
        found.append(metric._compute_segment_statistics(metric._preprocess_segment(texts[row] or ""), known))
    return np.array(found, dtype=np.float64).reshape(len(found), len(found[0]) if found else 0)


def _score_of(metric: Any, counts: Numbers) -> float:
    return float(metric._compute_score_from_stats([int(count) for count in counts]).score)


def _corpus_statistic(metric: Any) -> Callable[[Numbers], Numbers]:
    def statistic(total: Numbers) -> Numbers:
        if total.shape[-1] == 0:  # no example was measured
            return np.full(total.shape[:-1], np.nan)
        rows = total.reshape(-1, total.shape[-1])
        return np.array([_score_of(metric, row) for row in rows]).reshape(total.shape[:-1])

    return statistic


def _measured(references: Sequence[Sequence[str]]) -> list[int]:
    return [row for row, each in enumerate(references) if each]


def _check(texts: Sequence[str | None], references: Sequence[Sequence[str]]) -> None:
    if len(texts) != len(references):
        raise ValueError(f"{len(texts)} texts for {len(references)} examples")
    as_text = [row for row, each in enumerate(references) if isinstance(each, str)]
    if as_text:
        raise ValueError(f"references of example {as_text[0]} are a text; needed: a list of texts, if only of one")
