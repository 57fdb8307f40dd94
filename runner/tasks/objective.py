"""Losses of a batch as sums, so that the batches of a step add up to the loss of one large batch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from runner.encoding import Batch
from runner.tasks.task import StepLoss, call


class CrossEntropy:
    """Weighted, smoothed cross-entropy against one label an example, -ln p in nats.

    weights: (k,) of the labels, None = all 1. smoothing: share of the target spread evenly over all labels.
    """

    def __init__(self, weights: Tensor | None, smoothing: float) -> None:
        self._weights, self._smoothing = weights, smoothing

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        logits = call(model, batch)
        total = functional.cross_entropy(
            logits.float(),
            batch["labels"],
            weight=self._weights,
            label_smoothing=self._smoothing,
            reduction="sum",
        )
        return StepLoss(total, logits)

    def weight(self, batches: Sequence[Batch]) -> Tensor | int:
        """Examples, or the sum of their labels' weights."""
        if self._weights is None:
            return sum(len(batch["labels"]) for batch in batches)
        return torch.stack([self._weights[batch["labels"]].sum() for batch in batches]).sum()
