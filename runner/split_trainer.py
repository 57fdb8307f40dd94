"""A `transformers.Trainer` of several processes that may each have a part of the weights only (`runner.sharding`)."""

import contextlib
from typing import Any

import torch
from torch import nn
from transformers import Trainer

from runner.distributed import Group
from runner.sharding import Shards, half_precision, have_accelerate_split


class SplitTrainer(Trainer):  # type: ignore[misc]  # transformers ships no types that mypy accepts
    """Trains `plain`, or under FSDP the copy of it that accelerate splits; afterwards `plain` has what was learnt.

    Args:
        plain: the model as evaluations and checkpoints have it.
        group: the processes that train it together; None: this one alone.
        shards: of FSDP; None: each process trains the whole model.
    """

    def __init__(self, *, plain: nn.Module, group: Group | None, shards: Shards | None, **settings: Any) -> None:
        self.plain, self.group, self._shards = plain, group, shards
        super().__init__(model=plain if shards is None else shards.trained, **settings)

    def whole(self) -> contextlib.AbstractContextManager[None]:
        """Inside, the plain model has the weights of now. All processes have to come here."""
        return contextlib.nullcontext() if self._shards is None else self._shards.whole()

    def end_split(self) -> None:
        """Training is done: the plain model has the weights of now, and keeps them. All have to come here."""
        if self._shards is not None:
            self._shards.end()

    def note_split(self, own: list[int]) -> None:
        """Told, as training begins, how many of the weights each process has."""

    # what the Trainer calls ----------------------------------------------------------------------------------------

    def train(self, *args: Any, **settings: Any) -> Any:
        ended = super().train(*args, **settings)
        self.end_split()
        return ended

    def create_accelerator_and_postprocess(self) -> None:
        if self._shards is not None:
            have_accelerate_split(self.args.device, self.args.mixed_precision)
        super().create_accelerator_and_postprocess()
        if self._shards is not None:  # else weights, gradients and outputs would be of 16 bits
            self.accelerator.state.fsdp_plugin.mixed_precision_policy = None

    def autocast_smart_context_manager(self, cache_enabled: bool | None = True) -> Any:
        """Around a training forward pass: split models are not wrapped for it by accelerate, as others are."""
        if self._shards is None:
            return super().autocast_smart_context_manager(cache_enabled)
        dtype = torch.bfloat16 if self.args.bf16 else torch.float16 if self.args.fp16 else None
        return half_precision(self.args.device, dtype)

    def _prepare_for_training(self, *args: Any, **settings: Any) -> Any:
        """Where weights are split, the Trainer has them split here."""
        prepared = super()._prepare_for_training(*args, **settings)
        if self._shards is not None and self.group is not None:
            self.note_split(self.group.gather(self._shards.begin()))
        return prepared
