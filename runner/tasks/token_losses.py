"""Losses of language models: -ln p of the tokens that count, in nats."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from runner.batches import Batch
from runner.encoding import NO_TARGET
from runner.tasks.task import StepLoss


class TokenLoss:
    """Cross-entropy of all targets of a batch. With `has_dynamics` each example's doubt is kept on the way.

    What is kept are two logits: of what is given, and of something else. They say p(given) = 1 - the mean data-error
    potential of the example's targets (`evals.triage.tokens.token_error_potential`), so that whatever reads the
    dynamics of classes reads those of texts.
    """

    def __init__(self, *, has_dynamics: bool) -> None:
        self._has_dynamics = has_dynamics

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        counted = batch["targets"] != NO_TARGET
        chosen, wanted = model(batch)[counted].float(), batch["targets"][counted]
        total = functional.cross_entropy(chosen, wanted, reduction="sum")
        if not self._has_dynamics:
            return StepLoss(total, None)
        return StepLoss(total, doubts(chosen.detach(), wanted, batch["owners"][counted], len(batch["positions"])))

    def weight(self, batches: Sequence[Batch]) -> Tensor:
        """Targets; one where there are none, so that nothing is divided by 0."""
        return torch.stack([(batch["targets"] != NO_TARGET).sum() for batch in batches]).sum().clamp(min=1)


class GapLoss:
    """Cross-entropy of tokens that are drawn anew each time; share: of the tokens, in (0, 1).

    Of ten that are drawn eight are hidden behind the mask token, one becomes a random token and one stays. Source:
    Devlin et al., BERT (2018), arXiv:1810.04805, section 3.1.
    """

    def __init__(self, mask_token: int, n_tokens: int, share: float) -> None:
        self._mask, self._n_tokens, self._share = mask_token, n_tokens, share

    def loss(self, model: nn.Module, batch: Batch) -> StepLoss:
        ids, candidates = batch["input_ids"], batch["targets"] != NO_TARGET
        drawn = (torch.rand(ids.shape, device=ids.device) < self._share) & candidates
        fate = torch.rand(ids.shape, device=ids.device)
        random = torch.randint(self._n_tokens, ids.shape, device=ids.device)
        shown = torch.where(drawn & (fate < 0.8), self._mask, torch.where(drawn & (fate < 0.9), random, ids))
        logits = model({**batch, "input_ids": shown})[drawn].float()
        return StepLoss(functional.cross_entropy(logits, batch["targets"][drawn], reduction="sum"), None)

    def weight(self, batches: Sequence[Batch]) -> Tensor:
        """How many are drawn on average: which ones, and so how many, is only known in the forward pass."""
        return torch.stack([(batch["targets"] != NO_TARGET).sum() for batch in batches]).sum() * self._share + 1e-6


def doubts(logits: Tensor, wanted: Tensor, owners: Tensor, n: int) -> Tensor:
    """(n, 2): of each example the logits of what is given and of something else; nan where it has no target.

    logits (m, vocabulary) and wanted (m,) of all targets; owners (m,) says whose each is.
    """
    probs = logits.softmax(1)
    given = probs.gather(1, wanted[:, None])[:, 0]
    other = probs.scatter(1, wanted[:, None], 0.0).amax(1)
    count = torch.bincount(owners, minlength=n)
    agreement = torch.zeros(n, device=logits.device).index_add_(0, owners, (given - other + 1) / 2) / count
    return torch.stack([agreement.clamp(min=1e-6).log(), (1 - agreement).clamp(min=1e-6).log()], dim=1)
