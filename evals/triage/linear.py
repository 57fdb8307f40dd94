"""A linear voice: what a classifier on embeddings thinks of each example, out of fold.

Softmax regression by Adam (Kingma & Ba, ICLR 2015) in small batches over a few epochs. It speaks by the mean of the
weights that it had at the ends of the epochs: early ones have not learned the wrong labels yet, late ones tell the
classes apart best. How much to regularise need not be chosen then. Classes count the same, however common they are.
"""

import numpy as np
import numpy.typing as npt

from evals.intervals import Floats, Ints
from evals.triage.members import unlearned
from evals.triage.rows import blocks

Singles = npt.NDArray[np.float32]

_EPOCHS, _LEAST_EPOCHS, _BATCH = 10, 2, 64
_RATE = 0.4  # over the dimensions: a logit moves as fast in few as in many
_LEAST_STEPS, _MOST_STEPS = 250, 20_000  # a fold: with many examples fewer epochs do, with few it takes more
_MOST_NUMBERS = 8_000_000  # examples x classes that a fold is fitted on, of all there are
_FLOOR = -20.0


def linear_opinion(
    embeddings: Floats, targets: Floats, given: Ints, folds: Ints, *, seed: int = 0
) -> npt.NDArray[np.float32]:
    """Log-probabilities (n, n_classes): embeddings (n, d) of a model that saw no label.

    targets (n, n_classes): what to learn from, a row the probabilities of its label, or zeros for none; given (n,), -1
    = none; folds (n,) say who is held out together. A row is nan where the embedding is not known, or where no example
    outside its fold has its given label.

    >>> embeddings, given = np.repeat([[1.0, 0.0], [0.0, 1.0]], 60, axis=0), np.repeat([0, 1], 60)
    >>> given[0] = 1
    >>> said = linear_opinion(embeddings, np.eye(2)[given], given, np.arange(120) % 3)
    >>> said.argmax(axis=1)[[0, 1, 119]].tolist()
    [0, 0, 1]
    """
    n, n_classes = targets.shape
    if embeddings.shape[:1] != (n,) or given.shape != (n,) or folds.shape != (n,):
        shapes = f"embeddings {embeddings.shape}, targets {targets.shape}, given {given.shape}, folds {folds.shape}"
        raise ValueError(f"{shapes}; needed: one row, label and fold an example")
    opinion = np.full((n, n_classes), np.nan, dtype=np.float32)
    is_known = np.isfinite(embeddings).all(axis=1)
    if not is_known.any():
        return opinion
    centre = embeddings[is_known].mean(axis=0, dtype=np.float64).astype(np.float32)
    scale = np.maximum(embeddings[is_known].std(axis=0, dtype=np.float64), 1e-6).astype(np.float32)
    rng = np.random.default_rng(seed)
    has_target = targets.sum(axis=1) > 0
    for fold in np.unique(folds):
        fitted = np.flatnonzero((folds != fold) & is_known & has_target)
        held_out = np.flatnonzero((folds == fold) & is_known)
        most = max(5_000, _MOST_NUMBERS // n_classes)
        if len(fitted) > most:
            fitted = np.sort(rng.choice(fitted, most, replace=False))
        if not len(fitted):
            continue
        slope, offset = _fit(embeddings, targets, fitted, centre, scale, rng)
        for part in blocks(len(held_out), embeddings.shape[1] + n_classes):
            rows = held_out[part]
            said = ((embeddings[rows] - centre) / scale) @ slope + offset
            said -= said.max(axis=1, keepdims=True)
            opinion[rows] = np.maximum(said - np.log(np.exp(said).sum(axis=1, keepdims=True)), _FLOOR)
    opinion[unlearned(given, folds, n_classes)] = np.nan
    return opinion


def _fit(
    embeddings: Floats,
    targets: Floats,
    fitted: npt.NDArray[np.int64],
    centre: Singles,
    scale: Singles,
    rng: np.random.Generator,
) -> tuple[Singles, Singles]:
    """Slope (d, n_classes) and offset (n_classes,), the mean over the epochs."""
    n, n_classes = len(fitted), targets.shape[1]
    mass = targets[fitted].sum(axis=0, dtype=np.float64)
    counts = (n / (n_classes * np.maximum(mass, 1))).astype(np.float32)  # what an example of each class counts
    steps = -(-n // _BATCH)
    n_epochs = max(-(-_LEAST_STEPS // steps), min(_EPOCHS, max(_LEAST_EPOCHS, _MOST_STEPS // steps)))
    weights = np.zeros((embeddings.shape[1] + 1, n_classes), dtype=np.float32)
    first, second, mean = np.zeros_like(weights), np.zeros_like(weights), np.zeros_like(weights)
    step = 0
    for _ in range(n_epochs):
        order = fitted[rng.permutation(n)]
        for start in range(0, n, _BATCH):
            rows = order[start : start + _BATCH]
            x, target = (embeddings[rows] - centre) / scale, targets[rows].astype(np.float32)
            logits = x @ weights[:-1] + weights[-1]
            probs = np.exp(logits - logits.max(axis=1, keepdims=True))
            probs /= probs.sum(axis=1, keepdims=True)
            pull = (probs - target) * ((target @ counts) / len(rows))[:, None]
            slope = np.vstack([x.T @ pull, pull.sum(axis=0)])
            step += 1
            first += 0.1 * (slope - first)
            second += 0.001 * (slope * slope - second)
            rate = _RATE / embeddings.shape[1] * (1 - step / (n_epochs * steps))
            weights -= rate / (1 - 0.9**step) * first / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        mean += weights / n_epochs
    return mean[:-1], mean[-1]
