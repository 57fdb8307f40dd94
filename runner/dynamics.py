"""Catching training dynamics in the training forward pass: logits that are there anyway, kept by example.

The words written are those of `evals.dynamics.encode`, packed on the device so that a step costs no transfer.
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from evals.dynamics import DENSE_CLASSES, NAN_WORD, TOP, row_bytes

_FLOAT16_MAX = 65504.0


def pack(logits: Tensor, given: Tensor) -> Tensor:
    """Logits (batch, k) and labels (batch,), -1 = none → words (batch, width) int16, as `evals.dynamics.encode`."""
    logits = logits.detach().float()
    highest = logits.amax(1, keepdim=True)
    exact = logits - highest
    centred = exact.clamp(min=-_FLOAT16_MAX)
    if logits.shape[1] <= DENSE_CLASSES:
        words = centred.half().view(torch.int16)
    else:
        top, classes = centred.topk(TOP, dim=1)
        given_logit = torch.where(given >= 0, centred.gather(1, given.clamp(min=0)[:, None])[:, 0], torch.nan)
        floats = torch.cat([top, given_logit[:, None], torch.logsumexp(centred, 1, keepdim=True)], dim=1)
        signed = torch.where(classes >= 1 << 15, classes - (1 << 16), classes)
        words = torch.cat([floats.half().view(torch.int16), signed.to(torch.int16)], dim=1)
    return torch.where(highest.isfinite(), words, NAN_WORD)


class DynamicsCatcher:
    """The words of one epoch, by position; what an epoch has not seen (yet) stays unseen."""

    def __init__(self, n_examples: int, n_classes: int, device: torch.device) -> None:
        self.n_classes = n_classes
        self._words = torch.empty((n_examples, row_bytes(n_classes) // 2), dtype=torch.int16, device=device)
        self._forget()

    def _forget(self) -> None:
        self._words.fill_(NAN_WORD)
        self.has_seen = False

    def catch(self, positions: Tensor, logits: Tensor, given: Tensor) -> None:
        """Keep what a training batch said; nan: it said nothing of that example."""
        words = pack(logits, given)
        self._words[positions] = torch.where(logits.isnan().all(1, keepdim=True), self._words[positions], words)
        self.has_seen = True

    @property
    def words(self) -> Tensor | None:
        """The words of the epoch so far (n_examples, width) int16; None where it has not begun."""
        return self._words if self.has_seen else None

    def merge(self, merged: Callable[[Tensor], Tensor]) -> None:
        """Take what several processes saw of the epoch: `merged` makes it of what this one saw."""
        self._words.copy_(merged(self._words))

    def put_back(self, words: Tensor | None) -> None:
        """Go on in an epoch that `words` saw part of."""
        self._forget()
        if words is not None:
            self._words.copy_(words)
            self.has_seen = True

    def take(self) -> NDArray[np.uint16]:
        """The epoch's words (n_examples, width), and start the next epoch."""
        words = self._words.cpu().numpy().view(np.uint16).copy()
        self._forget()
        return words
