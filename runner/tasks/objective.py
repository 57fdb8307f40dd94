"""Losses of a batch as sums, so that the batches of a step add up to the loss of one large batch."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from runner.batches import Batch
from runner.encoding import NO_TARGET
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


class BinaryCrossEntropy:
    """The mean over labels of -ln p of whether an example has the label or not, in nats."""

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        logits = call(model, batch).float()
        each = functional.binary_cross_entropy_with_logits(logits, batch["labels"].float(), reduction="none")
        return StepLoss(each.mean(1).sum(), None)

    def weight(self, batches: Sequence[Batch]) -> int:
        """Examples."""
        return sum(len(batch["labels"]) for batch in batches)


class RelevanceEntropy:
    """-ln p of the share of the highest relevance that a document has, in nats: binary cross-entropy of one score.

    It is smallest where the sigmoid of the score is the expected share, and documents in the order of their expected
    relevance have the best expected DCG (Cossock & Zhang, Subset Ranking using Regression, COLT 2006); of relevance 0
    or 1 it is what cross-encoders are commonly trained with (Nogueira & Cho, arXiv:1901.04085).

    most: the highest relevance (> 0). is_binary: whether all relevance is 0 or 1, so that there are two classes.
    """

    def __init__(self, most: float, *, is_binary: bool) -> None:
        self._most, self._is_binary = most, is_binary

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        scores = call(model, batch).float()
        wanted = batch["labels"].float() / self._most
        total = functional.binary_cross_entropy_with_logits(scores[:, 0], wanted, reduction="sum")
        return StepLoss(total, two_classes(scores) if self._is_binary else None)

    def weight(self, batches: Sequence[Batch]) -> int:
        """Examples."""
        return sum(len(batch["labels"]) for batch in batches)


def two_classes(scores: Tensor) -> Tensor:
    """Logits (n, 2) that say what one score (n, 1) says: its sigmoid is the probability of the second class."""
    return torch.cat([torch.zeros_like(scores), scores], dim=1)


class TokenCrossEntropy:
    """Weighted, smoothed cross-entropy of the tokens with a target, -ln p in nats; the model gives (batch, tokens, k).

    smoothing: share of the target spread evenly over all tags. weights: (k,) of the tags, None = all 1. With
    `has_dynamics` each sentence's least likely target is kept on the way: two logits, of "as given" and of "something
    else", whose probability of the first is that of the target that the model holds for the least likely (the plain
    minimum: `evals.triage.tokens.token_label_errors`).
    """

    def __init__(self, smoothing: float, *, weights: Tensor | None = None, has_dynamics: bool = False) -> None:
        self._smoothing, self._weights, self._has_dynamics = smoothing, weights, has_dynamics

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        logits, targets = call(model, batch).float(), batch["targets"].long()
        total = functional.cross_entropy(
            logits.flatten(0, 1),
            targets.flatten(),
            weight=self._weights,
            ignore_index=NO_TARGET,
            label_smoothing=self._smoothing,
            reduction="sum",
        )
        return StepLoss(total, least_likely(logits.detach(), targets) if self._has_dynamics else None)

    def weight(self, batches: Sequence[Batch]) -> Tensor | int:
        """Tokens with a target, or the sum of their tags' weights; one where there are none."""
        if self._weights is not None:
            given = torch.cat([batch["targets"].flatten() for batch in batches]).long()
            total = self._weights[given[given != NO_TARGET]].sum()
            return torch.where(total > 0, total, torch.ones_like(total))
        return torch.stack([(batch["targets"] != NO_TARGET).sum() for batch in batches]).sum().clamp(min=1)


class SquaredError:
    """Squared error of one number an example, in standard deviations of the training targets.

    centre, scale: mean and standard deviation (> 0) of the training targets.
    """

    def __init__(self, centre: float, scale: float) -> None:
        self._centre, self._scale = centre, scale

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        wanted = (batch["labels"].float() - self._centre) / self._scale
        return StepLoss(functional.mse_loss(call(model, batch).float()[:, 0], wanted, reduction="sum"), None)

    def weight(self, batches: Sequence[Batch]) -> int:
        """Examples."""
        return sum(len(batch["labels"]) for batch in batches)


def least_likely(logits: Tensor, targets: Tensor) -> Tensor:
    """(batch, 2): of each sentence the logits of "as given" and "something else" at its least likely target.

    logits (batch, tokens, k); targets (batch, tokens), NO_TARGET = none; nan for a sentence without any.
    """
    log_probs = logits.log_softmax(2).gather(2, targets.clamp(min=0)[:, :, None])[:, :, 0]
    least = log_probs.masked_fill(targets == NO_TARGET, torch.inf).amin(1)
    p = least.clamp(max=0).exp()
    told = torch.stack([p.clamp(min=1e-6).log(), (1 - p).clamp(min=1e-6).log()], dim=1)
    return told.masked_fill((least == torch.inf)[:, None], torch.nan)
