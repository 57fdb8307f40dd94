"""Linear heads on embeddings, fitted in seconds: what they think of examples that they were not fitted on, fold by
fold, and what happens while one is trained on all.

Multinomial logistic regression on standardised embeddings, by L-BFGS over all rows at once. How strong the ridge is,
the first fold decides by what makes the labels that it holds out likeliest. It is what `runner crossval` of a head
comes to, without epochs to wait for.
"""

from collections.abc import Callable, Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from evals.dynamics import Dynamics
from evals.triage.dynamics import TrainingScores, from_logits, summarise
from evals.triage.rows import blocks

_MOST_NUMBERS = 12_000_000
"""Examples x classes that one fold is fitted on: more say nothing new of so few weights."""
_RIDGES = (0.3, 0.1, 0.03, 0.01, 0.003)
"""The strongest first, so that each fit starts from the one before."""
_STEPS = 60
_EPOCHS, _LEARNING_RATE, _LEAST_BATCH, _MOST_BATCHES = 15, 1e-3, 32, 2000


def head_opinion(
    embeddings: NDArray[np.floating],
    given: NDArray[np.int64],
    folds: NDArray[np.int64],
    n_classes: int,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> NDArray[np.float32]:
    """Log-probabilities (n, n_classes) out of fold: embeddings (n, d) of a model that saw no label; given (n,) with -1.

    A row is nan where its embedding is not known, or where no example outside its fold has its label.
    progress(fold, n_folds) is called after each fold.
    """
    n = len(given)
    opinion = np.full((n, n_classes), np.nan, dtype=np.float32)
    is_known = np.isfinite(embeddings).all(axis=1)
    rng = np.random.default_rng(seed)
    ridge: float | None = None
    names = np.unique(folds)
    for number, fold in enumerate(names.tolist()):
        held_out = np.flatnonzero((folds == fold) & is_known)
        fitted = np.flatnonzero((folds != fold) & is_known & (given >= 0))
        most = max(5_000, _MOST_NUMBERS // n_classes)
        if len(fitted) > most:
            fitted = np.sort(rng.choice(fitted, most, replace=False))
        if len(fitted) and len(held_out):
            head = _Head(embeddings, given, fitted, n_classes)
            if ridge is None:
                ridge = _choose_ridge(head, embeddings, given, held_out)
            opinion[held_out] = head.fit(ridge).say(embeddings, held_out)
            seen = np.unique(given[fitted])
            opinion[held_out[(given[held_out] >= 0) & ~np.isin(given[held_out], seen)]] = np.nan
        if progress:
            progress(number + 1, len(names))
    return opinion


def head_predictions(
    embeddings: NDArray[np.floating],
    given: NDArray[np.int64],
    asked: NDArray[np.floating],
    n_classes: int,
    *,
    seed: int = 0,
) -> NDArray[np.float32]:
    """Log-probabilities (m, n_classes) of further examples (m, d) by a head fitted on all labels given (n,), -1 = none;
    nan where the embedding is not known, or nothing could be fitted."""
    said = np.full((len(asked), n_classes), np.nan, dtype=np.float32)
    rng = np.random.default_rng(seed)
    rows = rng.permutation(np.flatnonzero(np.isfinite(embeddings).all(axis=1) & (given >= 0)))
    rows = rows[: max(5_000, _MOST_NUMBERS // n_classes)]
    known = np.flatnonzero(np.isfinite(asked).all(axis=1))
    if len(rows) < 2 or not len(known):
        return said
    tried, kept = np.sort(rows[: max(1, len(rows) // 5)]), np.sort(rows[max(1, len(rows) // 5) :])
    ridge = _choose_ridge(_Head(embeddings, given, kept, n_classes), embeddings, given, tried)
    said[known] = _Head(embeddings, given, np.sort(rows), n_classes).fit(ridge).say(asked, known)
    return said


def head_dynamics(
    embeddings: NDArray[np.floating], given: NDArray[np.int64], n_classes: int, *, seed: int = 0
) -> TrainingScores:
    """What the epochs of one head trained on all labels say of each, in-sample: embeddings (n, d), given (n,) with -1.

    By AdamW in small batches on standardised embeddings. n_seen = 0 for rows without label or embedding.
    """
    rows = np.flatnonzero(np.isfinite(embeddings).all(axis=1) & (given >= 0))
    batch = max(_LEAST_BATCH, len(rows) // _MOST_BATCHES)
    generator = torch.Generator().manual_seed(seed)
    vectors = torch.from_numpy(np.asarray(embeddings[rows], dtype=np.float32))
    vectors = (vectors - vectors.mean(0)) / vectors.std(0, correction=0).clamp(min=1e-6)
    labels = torch.from_numpy(given[rows])
    weights = torch.zeros((vectors.shape[1] + 1, n_classes), requires_grad=True)
    optimizer = torch.optim.AdamW([weights], lr=_LEARNING_RATE, fused=True)

    def epochs() -> Iterator[Dynamics]:
        logits = np.full((len(given), n_classes), np.nan, dtype=np.float32)
        for _ in range(_EPOCHS if len(rows) else 0):
            order = torch.randperm(len(rows), generator=generator)
            for places in torch.split(order, batch):
                said = torch.addmm(weights[-1], vectors[places], weights[:-1])
                optimizer.zero_grad()
                functional.cross_entropy(said, labels[places]).backward()  # type: ignore[no-untyped-call]  # as above
                optimizer.step()
                logits[rows[places.numpy()]] = said.detach().numpy()
            yield from_logits(logits, given)

    with torch.enable_grad():
        return (
            summarise(epochs())
            if len(rows)
            else summarise([from_logits(np.full((len(given), n_classes), np.nan), given)])
        )


def _choose_ridge(
    head: "_Head", embeddings: NDArray[np.floating], given: NDArray[np.int64], held_out: NDArray[np.int64]
) -> float:
    """The ridge under which the labels held out are likeliest; it stops where they become less likely."""
    labelled = held_out[given[held_out] >= 0]
    best, best_likelihood = _RIDGES[0], -np.inf
    for ridge in _RIDGES if len(labelled) else ():
        said = head.fit(ridge).say(embeddings, labelled)
        likelihood = float(said[np.arange(len(labelled)), given[labelled]].mean())
        if likelihood < best_likelihood:
            break
        best, best_likelihood = ridge, likelihood
    return best


class _Head:
    """A head on some rows of embeddings; each fit starts from the one before."""

    def __init__(
        self, embeddings: NDArray[np.floating], given: NDArray[np.int64], fitted: NDArray[np.int64], n_classes: int
    ) -> None:
        rows = torch.from_numpy(np.asarray(embeddings[fitted], dtype=np.float32))
        self._mean, self._deviation = rows.mean(0), rows.std(0, correction=0).clamp(min=1e-6)
        self._rows, self._labels = (rows - self._mean) / self._deviation, torch.from_numpy(given[fitted])
        self._weights = torch.zeros((rows.shape[1] + 1, n_classes))  # the last row is the bias

    def fit(self, ridge: float) -> "_Head":
        """Least mean cross-entropy and ridge."""
        weights = self._weights.clone().requires_grad_()
        optimizer = torch.optim.LBFGS([weights], max_iter=_STEPS, line_search_fn="strong_wolfe", tolerance_grad=1e-4)

        def loss() -> Tensor:
            optimizer.zero_grad()
            logits = torch.addmm(weights[-1], self._rows, weights[:-1])
            value = functional.cross_entropy(logits, self._labels) + ridge * weights[:-1].square().sum() / 2
            value.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            return value

        with torch.enable_grad():
            optimizer.step(loss)  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._weights = weights.detach()
        return self

    def say(self, embeddings: NDArray[np.floating], asked: NDArray[np.int64]) -> NDArray[np.float32]:
        """Log-probabilities (m, n_classes) of rows (m,) of the embeddings."""
        said = np.empty((len(asked), self._weights.shape[1]), dtype=np.float32)
        for part in blocks(len(asked), embeddings.shape[1]):
            here = torch.from_numpy(np.asarray(embeddings[asked[part]], dtype=np.float32))
            logits = torch.addmm(self._weights[-1], (here - self._mean) / self._deviation, self._weights[:-1])
            said[part] = functional.log_softmax(logits, dim=1).numpy()
        return said
