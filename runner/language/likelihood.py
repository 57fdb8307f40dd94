"""How likely the tokens of a split are to a model."""

from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from runner.batches import Batch, Collator, batches_by_length, to_device
from runner.encoding import NO_TARGET
from runner.inference import OutputsBroken, evaluating

Floats = NDArray[np.float32]


class Likelihood(NamedTuple):
    """(t,) each, for the tokens of a split as they stand end to end; nan for those that nothing is said of."""

    log_probs: Floats
    """Natural logarithm of the probability of what is to be said."""
    best_other: Floats
    """Of the likeliest token that is something else."""


def token_likelihood(
    model: nn.Module, collate: Collator, n_tokens: int, batch_size: int, dtype: torch.dtype | None
) -> Likelihood:
    """One pass over all rows of a collator; `n_tokens` (t) are those of its split. Raises OutputsBroken."""
    found = np.full((2, n_tokens), np.nan, dtype=np.float32)
    with evaluating(model, dtype) as device:
        for rows in batches_by_length(collate.lengths, batch_size):
            batch = collate(rows.tolist())
            counted = batch["targets"] != NO_TARGET
            here = to_device(batch, device)
            both = torch.stack(said_of(model(here), here))
            if not both.isfinite().all():
                raise OutputsBroken
            found[:, batch["places"][counted].numpy()] = both.cpu().numpy()
    collate.sizes.clear()
    return Likelihood(*found)


def said_of(logits: Tensor, batch: Batch) -> tuple[Tensor, Tensor]:
    """Log probabilities of the counted targets of a batch (m,), row by row, and of the likeliest other token there.

    logits (rows, tokens, vocabulary).
    """
    counted = batch["targets"] != NO_TARGET
    chosen, wanted = logits[counted].float(), batch["targets"][counted][:, None]
    total = chosen.logsumexp(1)
    given = chosen.gather(1, wanted)[:, 0]
    other = chosen.scatter(1, wanted, -torch.inf).amax(1) if chosen.shape[1] > 1 else torch.full_like(given, -torch.inf)
    return given - total, other - total
