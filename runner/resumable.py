"""A `transformers.Trainer` that leaves off and goes on by our training state, where its own files would be pickled.

It goes on by the Trainer's own path, `train(resume_from_checkpoint=...)`: what was done of the data is skipped;
optimizer, schedule, gradient scaler and random numbers are put where they were. Only what is read there is ours.
"""

from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.trainer_callback import ExportableState

from runner.classifier import load_weights
from runner.sharding import split_state, whole_state
from runner.split_trainer import SplitTrainer
from runner.training_state import FOLDER as TRAINING
from runner.training_state import TrainingState, random_state, set_random_state


class ResumableTrainer(SplitTrainer):
    """The model is a TextClassifier or its head, and a checkpoint what `runner.checkpoints` writes."""

    restored: TrainingState | None = None
    """What it goes on from."""

    def state_parts(self) -> dict[str, Any]:
        """Where optimizer, schedule, gradient scaler, random numbers and the loss since it was last logged stand.

        Of several processes all have to come here: the optimizer's state is that of the whole model, `others` are the
        random numbers of those beside the one that records, and of the loss it is their mean.
        """
        scaler, group = getattr(self.accelerator, "scaler", None), self.group
        optimizer, loss = self.optimizer.state_dict(), self._tr_loss
        if group is not None:
            optimizer = whole_state(optimizer, keeps=group.records)
            loss = group.total(loss.detach().clone()) / group.size
        return {
            "optimizer": optimizer,
            "scheduler": self.lr_scheduler.state_dict(),
            "scaler": None if scaler is None else scaler.state_dict(),
            "random": random_state(),
            "others": [] if group is None else group.gather(random_state())[1:],
            "loss": {"sum": loss, "logged_at": self._globalstep_last_logged},
        }

    def own_state(self) -> dict[str, Any]:
        """The Trainer's counters, and those of its callbacks: the patience of early stopping."""
        watching = [c for c in self.callback_handler.callbacks if isinstance(c, ExportableState)]
        state = replace(
            self.state,
            log_history=[],  # nobody reads it, and it grows
            best_model_checkpoint=None,  # a path, which may be another by then
            stateful_callbacks={type(callback).__name__: callback.state() for callback in watching},
        )
        return asdict(state)

    def train_from(self, folder: Path) -> None:
        """Train from a checkpoint, whose training state is `restored`, to the end."""
        load_weights(folder, self.plain)
        self.train(resume_from_checkpoint=str(folder / TRAINING))

    def restore_logging(self) -> None:
        """Called as training begins, when the Trainer has just set these to nothing."""
        if self.restored is not None:
            loss = self.restored.parts["loss"]
            self._tr_loss: Tensor = loss["sum"].to(self.args.device)
            self._globalstep_last_logged: int = loss["logged_at"]

    # what the Trainer calls ----------------------------------------------------------------------------------------

    def _load_from_checkpoint(self, resume_from_checkpoint: str, model: nn.Module | None = None) -> None:
        """The weights are there: `train_from` has loaded them, before anything was split."""

    def _load_optimizer_and_scheduler(self, checkpoint: str | None) -> None:
        if self.restored is not None:
            whole = self.restored.parts.pop("optimizer")
            self.optimizer.load_state_dict(split_state(whole, self.optimizer))
            self.lr_scheduler.load_state_dict(self.restored.parts.pop("scheduler"))

    def _load_scaler(self, checkpoint: str | None) -> None:
        scaler: torch.amp.GradScaler | None = getattr(self.accelerator, "scaler", None)
        state = None if self.restored is None else self.restored.parts["scaler"]
        if scaler is not None and state is not None:
            scaler.load_state_dict(state)

    def _load_rng_state(self, checkpoint: str | None) -> None:
        if self.restored is not None:
            of_rank = [self.restored.parts["random"], *self.restored.parts.get("others", [])]
            set_random_state(of_rank[0 if self.group is None else self.group.rank])
