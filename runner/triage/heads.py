"""A linear head trained on vectors of a frozen encoder, in seconds: what its epochs say of the labels."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from evals.dynamics import Dynamics
from evals.triage.dynamics import TrainingScores, from_logits, summarise

_EPOCHS, _LEARNING_RATE, _LEAST_BATCH, _MOST_BATCHES = 15, 1e-3, 32, 2000


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
    if len(rows):
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
                functional.cross_entropy(said, labels[places]).backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
                optimizer.step()
                logits[rows[places.numpy()]] = said.detach().numpy()
            yield from_logits(logits, given)

    with torch.enable_grad():
        return (
            summarise(epochs())
            if len(rows)
            else summarise([from_logits(np.full((len(given), n_classes), np.nan), given)])
        )
