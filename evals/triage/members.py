"""Cheap voices for the consensus: what the words alone say of a label, out of fold, in seconds and without a model.

Complement naive Bayes (Rennie, Shih, Teevan & Karger, ICML 2003) and logistic regression, one class against the rest
by stochastic gradient descent, on tf-idf of words and pairs of words. Where labels come from rules or a distant source
such a voice can beat a fine-tuned one that learns the mistakes too. How sure they sound means little; the weights of
`evals.triage.consensus` settle that.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse
from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
from sklearn.linear_model import SGDClassifier
from sklearn.naive_bayes import ComplementNB

from evals.intervals import Ints
from evals.triage.rows import blocks

Singles = npt.NDArray[np.float32]

_BINS = 2**18  # words and pairs are hashed: a million texts need no dictionary
_MOST_TERMS = 100_000  # the most frequent ones, for logistic regression: its memory grows with terms x classes
_MOST_STEPS = 4_000_000  # examples x classes that a logistic regression is fitted on, an epoch
_RIDGE, _EPOCHS = 0.1, 10
_FLOOR = -20.0


def word_opinions(
    texts: Sequence[str], given: Ints, folds: Ints, n_classes: int, *, seed: int = 0
) -> dict[str, Singles]:
    """Log-probabilities (n, n_classes) by member, `naive_bayes` and `words`: texts and given (n,), -1 = none.

    folds (n,), as from `folds.assign_folds`, say who is held out together. A row is nan where no example outside its
    fold has its label: nothing could be learned of it. With one class outside, that class is certain.

    >>> texts = ["good film", "bad film", "good plot", "bad plot", "a good one", "a bad one"] * 4
    >>> opinions = word_opinions(texts, np.arange(24) % 2, np.arange(24) // 2 % 3, 2)
    >>> (opinions["naive_bayes"].argmax(axis=1) == np.arange(24) % 2).all()
    np.True_
    """
    n = len(texts)
    if given.shape != (n,) or folds.shape != (n,):
        raise ValueError(f"texts has {n}, given {given.shape}, folds {folds.shape}; needed: one label and fold a text")
    if n and not -1 <= given.min() <= given.max() < n_classes:
        raise ValueError(f"given holds {given.min()} to {given.max()}; allowed: -1 (no label) to {n_classes - 1}")
    opinions = {name: np.full((n, n_classes), np.nan, dtype=np.float32) for name in ("naive_bayes", "words")}
    if not n:
        return opinions
    terms = _terms(texts)
    frequent = _most_frequent(terms)
    rng = np.random.default_rng(seed)
    for fold in np.unique(folds):
        held_out = np.flatnonzero(folds == fold)
        fitted = np.flatnonzero((folds != fold) & (given >= 0))
        if not len(fitted):
            continue
        _fill(opinions["naive_bayes"], ComplementNB(), terms, given, fitted, held_out)
        most = max(1000, _MOST_STEPS // n_classes)
        if len(fitted) > most:
            fitted = np.sort(rng.choice(fitted, most, replace=False))
        linear = SGDClassifier(
            loss="log_loss", alpha=_RIDGE / len(fitted), max_iter=_EPOCHS, tol=None, random_state=seed
        )
        _fill(opinions["words"], linear, frequent, given, fitted, held_out)
    return opinions


def _terms(texts: Sequence[str]) -> sparse.csr_matrix:
    """tf-idf of words and pairs, (n, terms in use), rows of length 1, or 0 for a text without words.

    The weights of terms are those of all texts: no label goes into them.
    """
    hashing = HashingVectorizer(
        n_features=_BINS, ngram_range=(1, 2), token_pattern=r"(?u)\b\w+\b", alternate_sign=False, norm=None
    )
    counts = hashing.transform(texts)
    used: sparse.csr_matrix = counts[:, np.flatnonzero(np.bincount(counts.indices, minlength=_BINS))]
    if used.shape[1]:
        used = TfidfTransformer(sublinear_tf=True).fit_transform(used)
    return used


def _most_frequent(terms: sparse.csr_matrix) -> sparse.csr_matrix:
    frequency = np.bincount(terms.indices, minlength=terms.shape[1])
    if len(frequency) <= _MOST_TERMS:
        return terms
    return terms[:, np.sort(np.argpartition(frequency, len(frequency) - _MOST_TERMS)[-_MOST_TERMS:])]


def _fill(
    opinion: Singles,
    model: ComplementNB | SGDClassifier,
    terms: sparse.csr_matrix,
    given: Ints,
    fitted: npt.NDArray[np.int64],
    held_out: npt.NDArray[np.int64],
) -> None:
    """Fit on some rows and write what the model says of others."""
    classes = np.unique(given[fitted])
    if len(classes) > 1 and terms.shape[1]:
        model.fit(terms[fitted], given[fitted])
    for part in blocks(len(held_out), opinion.shape[1]):
        rows = held_out[part]
        said = np.full((len(rows), opinion.shape[1]), _FLOOR, dtype=np.float32)
        if len(classes) > 1 and terms.shape[1]:
            said[:, classes] = np.log(np.maximum(model.predict_proba(terms[rows]), np.exp(_FLOOR)))
        else:
            said[:, classes] = -np.log(len(classes))
        said[(given[rows] >= 0) & ~np.isin(given[rows], classes)] = np.nan
        opinion[rows] = said
