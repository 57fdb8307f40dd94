"""Cheap voices for the consensus: what the words and the letters of a text say of its label, out of fold.

Complement naive Bayes (Rennie, Shih, Teevan & Karger, Tackling the Poor Assumptions of Naive Bayes Text Classifiers,
ICML 2003) on counts of words, and on tf-idf of pieces of words, two to five letters long, which also knows misspelt
words, hashtags and languages that an encoder never read. Where labels come from rules or a distant source such a voice
can beat a fine-tuned one that learns the mistakes too. How sure they sound means little; the weights of
`evals.triage.consensus` settle that. Neither knows how common a class is.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer

from evals.intervals import Floats, Ints
from evals.triage.rows import blocks

Singles = npt.NDArray[np.float32]

_BINS = 2**18  # words and letters are hashed: a million texts need no dictionary
_MOST_WEIGHTS = 40_000_000  # terms x classes; above, the rarest terms are left out
_MOST_LETTERS = 100_000_000  # of all texts together; above, long texts are cut for the pieces of words
_SMOOTHING = {"naive_bayes": 1.0, "letters": 0.3}
_ABSENT = 0.5  # a class with fewer examples than this outside a fold is not known there
_FLOOR = -20.0


class Words:
    """Texts as counts of words and weights of letters: made once, asked about any labels."""

    def __init__(self, texts: Sequence[str]) -> None:
        self.n = len(texts)
        self._terms = {"naive_bayes": _words(texts), "letters": _letters(texts)} if texts else {}

    def opinions(self, targets: Floats, given: Ints, folds: Ints) -> dict[str, Singles]:
        """Log-probabilities (n, n_classes) by member, `naive_bayes` and `letters`.

        targets (n, n_classes): what to learn from, a row the probabilities of its label, or zeros for none. given (n,),
        -1 = none. folds (n,), as from `folds.assign_folds`, say who is held out together. A row is nan where no example
        outside its fold has its given label: nothing could be learned of it.
        """
        n, n_classes = targets.shape
        if self.n != n or given.shape != (n,) or folds.shape != (n,):
            shapes = f"texts has {self.n}, targets {targets.shape}, given {given.shape}, folds {folds.shape}"
            raise ValueError(f"{shapes}; needed: one row, label and fold a text")
        unknown = unlearned(given, folds, n_classes)
        found = {}
        for name in _SMOOTHING:
            opinion = np.full((n, n_classes), np.nan, dtype=np.float32)
            if n:
                _complement_bayes(opinion, self._terms[name], targets.astype(np.float32), folds, _SMOOTHING[name])
            opinion[unknown] = np.nan
            found[name] = opinion
        return found


def word_opinions(texts: Sequence[str], given: Ints, folds: Ints, n_classes: int) -> dict[str, Singles]:
    """`Words.opinions` of texts (n,) about labels given (n,), -1 = none.

    >>> texts = ["good film", "bad film", "good plot", "bad plot", "a good one", "a bad one"] * 4
    >>> opinions = word_opinions(texts, np.arange(24) % 2, np.arange(24) // 2 % 3, 2)
    >>> (opinions["naive_bayes"].argmax(axis=1) == np.arange(24) % 2).all()
    np.True_
    """
    return Words(texts).opinions(one_hot(given, n_classes), given, folds)


def one_hot(given: Ints, n_classes: int) -> Singles:
    """Labels (n,) as targets (n, n_classes): 1 at the label, zeros for -1.

    >>> one_hot(np.array([1, -1]), 2).tolist()
    [[0.0, 1.0], [0.0, 0.0]]
    """
    if len(given) and not -1 <= given.min() <= given.max() < n_classes:
        raise ValueError(f"given holds {given.min()} to {given.max()}; allowed: -1 (no label) to {n_classes - 1}")
    targets = np.zeros((len(given), n_classes), dtype=np.float32)
    labelled = np.flatnonzero(given >= 0)
    targets[labelled, given[labelled]] = 1
    return targets


def unlearned(given: Ints, folds: Ints, n_classes: int) -> npt.NDArray[np.bool_]:
    """Whose label no example outside its fold has, (n,); where nobody outside has any label, everyone of the fold.

    >>> unlearned(np.array([0, 0, 1]), np.array([0, 1, 1]), 2).tolist()
    [False, False, True]
    """
    unknown = np.zeros(len(given), dtype=bool)
    for fold in np.unique(folds):
        inside = folds == fold
        seen = np.bincount(given[~inside & (given >= 0)], minlength=n_classes) > 0
        unknown |= inside & ((given >= 0) & ~seen[given] if seen.any() else True)
    return unknown


def _complement_bayes(
    opinion: Singles, terms: sparse.csr_matrix, targets: Singles, folds: Ints, smoothing: float
) -> None:
    """Fill opinion (n, n_classes) fold by fold. A class's weights are those of all that is not of the class."""
    total, mass = np.asarray((terms.T @ targets).T), targets.sum(axis=0)
    for fold in np.unique(folds):
        held_out = np.flatnonzero(folds == fold)
        own, of_fold = terms[held_out], targets[held_out]
        counts = np.maximum(total - np.asarray((own.T @ of_fold).T), 0)
        rest = np.maximum(counts.sum(axis=0) - counts, 0) + smoothing
        weights = (-np.log(rest / rest.sum(axis=1, keepdims=True))).T.astype(np.float32)
        absent = mass - of_fold.sum(axis=0) < _ABSENT
        for part in blocks(len(held_out), targets.shape[1]):
            said = np.asarray(own[part] @ weights)
            said -= said.max(axis=1, keepdims=True)
            said[:, absent] = _FLOOR
            said -= np.log(np.exp(said).sum(axis=1, keepdims=True))
            opinion[held_out[part]] = np.maximum(said, _FLOOR)


def _words(texts: Sequence[str]) -> sparse.csr_matrix:
    """How often each text holds each word, (n, words in use)."""
    counts = HashingVectorizer(
        n_features=_BINS, token_pattern=r"(?u)\b\w+\b", alternate_sign=False, norm=None, dtype=np.float32
    ).transform(texts)
    return _used(counts)


def _letters(texts: Sequence[str]) -> sparse.csr_matrix:
    """tf-idf of pieces of words, (n, pieces in use), rows of length 1. No label goes into these weights."""
    most = max(200, _MOST_LETTERS // max(1, len(texts)))
    hashing = HashingVectorizer(
        n_features=_BINS, analyzer="char_wb", ngram_range=(2, 5), alternate_sign=False, norm=None, dtype=np.float32
    )
    used = _used(hashing.transform(text[:most] for text in texts))
    return TfidfTransformer(sublinear_tf=True).fit_transform(used) if used.shape[1] else used


def _used(counts: sparse.csr_matrix) -> sparse.csr_matrix:
    return counts[:, np.flatnonzero(np.bincount(counts.indices, minlength=counts.shape[1]))]
