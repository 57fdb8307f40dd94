"""A `transformers.Trainer` that records: dynamics from its forward passes, an evaluation of every split, checkpoints.

Nothing of the training itself is changed: loss, optimizer and schedule are the Trainer's.
"""

import contextlib
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from transformers import TrainerControl, TrainingArguments

from evals.dynamics import NAN_WORD
from evals.metrics import get_metric
from runner import pauses
from runner.batches import Batch, Collator, IndexDataset
from runner.checkpoints import CheckpointFolder, DiskFull, Intact
from runner.classifier import TextModel, load_weights
from runner.control import Control, Report, rung_steps
from runner.cost import CostMeter
from runner.distributed import Group, ShareLoader, Shares, merged_words, step_size, stretches
from runner.dynamics import DynamicsCatcher
from runner.encoding import EncodedSplit
from runner.errors import TrainingDiverged
from runner.interrupts import Interrupted, Pruned
from runner.micro_batches import MicroBatches
from runner.monitor import Monitor
from runner.order import TrainingOrder
from runner.parameters import parameter_groups
from runner.resumable import ResumableTrainer
from runner.sharding import Shards
from runner.tasks.task import Examination, Objective, OutputsBroken
from runner.training_state import Counters, write_training_state
from runner.unsaved import Unsaved
from store import Recorder, RowsLost, RunCost, ScoreRow

if TYPE_CHECKING:
    from transformers import TrainerCallback

Examine = Callable[[str], Examination]  # of a split, by name
Save = Callable[[Path, int, float | None], None]  # (folder, step, epoch)

_FLUSH_SECONDS = 10.0  # so long a rung waits for the store before it is decided about


class RecordingTrainer(ResumableTrainer):
    """Trains a TextClassifier on tokens, or its head on cached features, and records what happens."""

    def __init__(
        self,
        *,
        model: nn.Module,
        args: TrainingArguments,
        collator: Collator,
        evaluated: Mapping[str, EncodedSplit],
        objective: Objective,
        examine: Examine,
        recorder: Recorder,
        meter: CostMeter,
        monitor: Monitor,
        select: str,
        catcher: DynamicsCatcher | None,
        checkpoints: CheckpointFolder | None,
        unsaved: Unsaved,
        save: Save,
        expected_bytes: int,
        head_learning_rate: float,
        group_by_length: bool,
        callbacks: Sequence["TrainerCallback"],
        on_evaluation: Callable[[str, int, Mapping[str, float | None]], None],
        cost: Callable[[], RunCost],
        warn: Callable[[str], None],
        base_mark: str | None = None,
        control: Control | None = None,
        group: Group | None = None,
        shards: Shards | None = None,
    ) -> None:
        super().__init__(
            plain=model,
            group=group,
            shards=shards,
            args=args,
            train_dataset=IndexDataset(len(collator.lengths)),
            eval_dataset=IndexDataset(1),  # `evaluate` below looks at `evaluated` instead
            data_collator=collator,
            callbacks=list(callbacks),
        )
        if group is not None and not group.records:
            torch.manual_seed(args.seed + group.rank)  # dropout of its own
        self.model_accepts_loss_kwargs = False
        self.loss_is_scaled_for_ga = True  # `compute_loss` divides by what all batches of the step hold
        self.collator, self.monitor = collator, monitor
        self.n_examples = 0
        """Training examples that went through the model, each epoch counted again."""
        self.best_step: int | None = None
        self.best_value: float | None = None
        self.untrained_value: float | None = None
        """The selecting metric at `best_step`, and before training."""
        self._best_saved: tuple[int | None, float | None] = None, None
        """Step and value of the best that is in a checkpoint."""
        self._lengths, self._evaluated = collator.lengths, evaluated
        self._objective, self._examine = objective, examine
        self._recorder, self._meter, self._catcher = recorder, meter, catcher
        self._select = select
        self._checkpoints, self._unsaved = checkpoints, unsaved
        self._save_to, self._expected_bytes = save, expected_bytes
        self._head_learning_rate, self._group_by_length = head_learning_rate, group_by_length
        self._on_evaluation, self._cost, self._base_mark = on_evaluation, cost, base_mark
        self._warn = warn
        self._step_weight: Tensor | float = 1
        self._epoch = 1
        self._micro_batches = MicroBatches(
            args.train_batch_size, args.gradient_accumulation_steps, self._note_memory, may_shrink=group is None
        )
        self._steering = control
        self._rungs = rung_steps(control.rungs, self.n_steps) if control else {}
        self._validation: dict[str, float | None] = {}
        self._evaluated_at = self._saved_at = self._asked_at = -1  # steps

    @property
    def _n_processes(self) -> int:
        return 1 if self.group is None else self.group.size

    @property
    def steps_per_epoch(self) -> int:
        """Optimizer steps of a whole pass over the training data."""
        n, batch = len(self._lengths), self.args.train_batch_size * self._n_processes
        batches = -(-n // batch) if self.group is None else len(stretches(n, batch, self._n_processes))
        return int(-(-batches // self.args.gradient_accumulation_steps))

    @property
    def n_steps(self) -> int:
        """Optimizer steps of the whole training."""
        args = self.args
        return int(args.max_steps if args.max_steps > 0 else self.steps_per_epoch * args.num_train_epochs)

    # the training forward pass -------------------------------------------------------------------------------------

    def compute_loss(
        self,
        model: nn.Module,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Any:
        """A batch's part of the step's loss; its logits are kept as dynamics on the way.

        The parts add up to the loss of one batch as large as all that the step accumulates, whatever their sizes.
        """
        total, logits = self._objective.loss(model, inputs)
        if self._catcher is not None and logits is not None and model.training:
            self._catcher.catch(inputs["positions"], logits, inputs["labels"])
        loss = total / self._step_weight
        if model.training:
            self.monitor.add_loss(loss)
        return (loss, logits) if return_outputs else loss

    def training_step(self, model: nn.Module, inputs: Batch, num_items_in_batch: Tensor | int | None = None) -> Tensor:
        """A batch of the step; in smaller pieces once memory has run out."""

        def forget() -> None:
            model.zero_grad()
            self.monitor.again()

        return self._micro_batches.train(
            inputs,
            self.state.global_step + 1,
            lambda piece: cast(Tensor, super(RecordingTrainer, self).training_step(model, piece, num_items_in_batch)),
            forget,
        )

    def note_split(self, own: list[int]) -> None:
        text = f"the weights are split among {len(own)} processes (FSDP): {', '.join(f'{n:,}' for n in own)}"
        self._recorder.event("sharding", text, {"own": own})

    def _note_memory(self, text: str, numbers: Mapping[str, int]) -> None:
        self._recorder.event("memory", text, dict(numbers))
        self._warn(text)

    def get_batch_samples(self, epoch_iterator: Any, num_batches: int, device: torch.device) -> Any:
        """The batches of one step, as the Trainer's; the time it takes is time waiting for data."""
        began = time.perf_counter()
        with self.monitor.waiting():
            samples, n_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        self._micro_batches.begin()
        self._meter.add_wait(time.perf_counter() - began)
        # The loader reads one batch ahead, so the collator's sizes are taken for these batches only.
        sizes = [self.collator.sizes.popleft() for _ in samples]
        n_examples, n_tokens = sum(s.n_examples for s in sizes), sum(s.n_tokens for s in sizes)
        if sizes:
            self.monitor.begin(self.state.global_step + 1, np.concatenate([s.positions for s in sizes]))
        self._step_weight = self._objective.weight(samples)
        if self.group is not None:
            whole = step_size(self.group, n_examples, n_tokens, self._step_weight, self.args.device)
            n_examples, n_tokens, self._step_weight = whole
        self._meter.add_batch(n_examples=n_examples, n_tokens=n_tokens or None)
        self.n_examples += n_examples
        self.state.num_input_tokens_seen += n_tokens
        return samples, n_items

    def get_train_dataloader(self) -> Any:
        """The Trainer's; of several processes, each with its share of every batch."""
        if self.group is None:
            return super().get_train_dataloader()
        shares = Shares(self._get_train_sampler(), self.args.train_batch_size, self.group.rank, self.group.size)
        return ShareLoader(
            self.train_dataset,
            batch_sampler=shares,
            collate_fn=self.collator,
            pin_memory=self.args.dataloader_pin_memory,
        )

    def _get_train_sampler(self, train_dataset: Any = None) -> TrainingOrder:
        args = self.args
        return TrainingOrder(
            len(self._lengths),
            args.seed,
            lengths=self._lengths if self._group_by_length else None,
            batch_size=args.train_batch_size * args.gradient_accumulation_steps * self._n_processes,
        )

    def create_optimizer(self, model: Any = None) -> torch.optim.Optimizer:
        """The Trainer's optimizer class, with a learning rate of its own for the fresh head."""
        optimizer_class, settings = self.get_optimizer_cls_and_kwargs(self.args, self.model)
        groups = parameter_groups(
            self.model,
            set(self.get_decay_parameter_names(self.model)),
            is_head=lambda name: not isinstance(self.model, TextModel) or name.startswith("head."),
            learning_rates=(self.args.learning_rate, self._head_learning_rate),
            weight_decay=self.args.weight_decay,
        )
        self.optimizer = optimizer_class(groups, **settings)
        return cast(torch.optim.Optimizer, self.optimizer)

    @property
    def advice(self) -> str:
        """What helps against a training that diverges."""
        return (
            f"try a lower training.learning_rate (it is {self.args.learning_rate:g}), a lower "
            f"training.head_learning_rate (it is {self._head_learning_rate:g}) or training.max_grad_norm"
        )

    def take_dynamics(self, *, is_broken_off: bool = False) -> None:
        """Record the epoch that has just ended, whole or in part."""
        if self._catcher is not None and self._catcher.has_seen:
            if self.group is not None:
                if is_broken_off:
                    return  # the others may not come to say what they saw
                self._catcher.merge(partial(merged_words, group=self.group))
            self._recorder.dynamics(
                self._epoch, self.state.global_step, n_classes=self._catcher.n_classes, words=self._catcher.take()
            )
            self._epoch += 1

    # evaluation ----------------------------------------------------------------------------------------------------

    def evaluate(self, *_: Any, **__: Any) -> dict[str, float]:
        """Score and record every evaluated split; returns `eval_SPLIT/METRIC` as the Trainer wants it."""
        step = self.state.global_step
        found: dict[str, float] = {}
        with self.whole():
            values_of = {split: self._evaluate_split(split) for split in self._evaluated}
        for split, values in values_of.items():
            found |= {f"eval_{split}/{name}": value for name, value in values.items() if value is not None}
        self._evaluated_at = step
        self._note_best(found.get(f"eval_{self._select}"), step)
        self._recorder.cost(self._cost())
        self.control: TrainerControl = self.callback_handler.on_evaluate(self.args, self.state, self.control, found)
        return found

    def _evaluate_split(self, split: str) -> dict[str, float | None]:
        """Score and record one split; metric → value."""
        step, encoded = self.state.global_step, self._evaluated[split]
        with self._meter.evaluating(), self.monitor.resting():
            try:
                found = self._examine(split)
            except OutputsBroken as broken:
                message = f"the model's outputs are no numbers any more at step {step}; {self.advice}"
                raise TrainingDiverged(message) from broken
            scores = [ScoreRow(s.metric, _known(s.value), _known(s.low), _known(s.high), s.n) for s in found.scores]
            self._recorder.evaluation(
                split,
                step,
                epoch=float(self.state.epoch or 0.0),
                n_examples=len(encoded),
                scores=scores,
                predictions=found.predictions,
                responses=found.responses,
            )
            values = {score.metric: score.value for score in scores}
            self._on_evaluation(split, step, values)
        if split == "validation":
            self._validation = values
            self.monitor.evaluated(step, values.get("loss"))
        return values

    def _note_best(self, value: float | None, step: int) -> None:
        """Untrained models are never best: step 0 is there to be compared with."""
        if step == 0:
            self.untrained_value = value
        if value is None or step == 0:
            return
        is_higher_better = get_metric(self._select).higher_is_better
        if self.best_value is None or (value > self.best_value if is_higher_better else value < self.best_value):
            self.best_value, self.best_step = value, step
            self._recorder.best(step)

    # rungs and pauses ----------------------------------------------------------------------------------------------

    def _maybe_log_save_evaluate(self, loss: Tensor, gradient_norm: Any, *args: Any, **settings: Any) -> None:
        """The Trainer's, called after each step and each epoch. At a rung, what steers the run is asked then."""
        self.monitor.end(self.state.global_step, gradient_norm, settings.get("learning_rate"))
        super()._maybe_log_save_evaluate(loss, gradient_norm, *args, **settings)
        step = self.state.global_step
        is_evaluated_later = self.args.eval_strategy == "epoch" and step % self.steps_per_epoch == 0
        if self.control.should_training_stop or (is_evaluated_later and self._evaluated_at != step):
            return
        if step in self._rungs and self._asked_at != step:
            self._ask_at_rung(step)
        if pauses.is_asked():
            if self._saved_at != step:
                self._save_checkpoint(self.model, None)
            raise Interrupted("paused")

    def _ask_at_rung(self, step: int) -> None:
        self._asked_at = step
        values = self._validation if self._evaluated_at == step else self._evaluate_split("validation")
        if self._saved_at != step:
            self._save_checkpoint(self.model, None)
        self.ask(values)

    def ask(self, values: Mapping[str, float | None]) -> None:
        """Ask about the rung at this step. `values` are of the validation split, by metric. Raises Pruned."""
        step, epoch = self.state.global_step, float(self.state.epoch or 0.0)
        if self._steering is None or step not in self._rungs:
            return
        with contextlib.suppress(RowsLost):  # they wait elsewhere; the report has the values
            self._recorder.flush(_FLUSH_SECONDS)
        report = Report(
            self._rungs[step], step, epoch, {f"validation/{metric}": value for metric, value in values.items()}
        )
        if self._steering.report(report):
            if self.best_step is None:
                self._recorder.best(step)  # no evaluation of its own was due yet
            raise Pruned(f"stopped at rung {report.rung + 1}, step {step:,} of {self.n_steps:,}")

    # checkpoints ---------------------------------------------------------------------------------------------------

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        if self._checkpoints is None:
            return
        step, epoch = self.state.global_step, self.state.epoch
        if step % self.steps_per_epoch == 0:
            self.take_dynamics()  # the epoch has ended, though the Trainer says so only after this
        weights, is_gathered = contextlib.ExitStack(), False

        def write_training(folder: Path) -> None:
            nonlocal is_gathered
            weights.close()  # those are written: not to be held beside the optimizer's state
            is_gathered = True
            self._write_training_state(folder, self._training_parts())

        try:
            with self.monitor.resting(), weights:
                weights.enter_context(self.whole())
                try:
                    self._checkpoints.save(
                        step,
                        epoch,
                        lambda folder: self._save_to(folder, step, epoch),
                        write_training,
                        expected_bytes=self._expected_bytes,
                    )
                finally:
                    if self.group is not None and not is_gathered:
                        weights.close()
                        self._training_parts()  # the others wait for this one's part, or it is one of them
        except DiskFull as full:
            self._go_without(self._checkpoints, full)
            return
        self._saved_at = step
        self._unsaved.save(step)
        self._recorder.cost(self._cost())
        if step == self.best_step:
            self._recorder.best(step)
        self._best_saved = self.best_step, self.best_value
        self._point_to_best()
        self._checkpoints.prune(self.best_step)

    def _go_without(self, checkpoints: CheckpointFolder, full: DiskFull) -> None:
        """The disk is full: earlier checkpoints stay, the next evaluation tries again, and the best is one of those
        that are saved. Raises DiskFull where the run cannot do without this one.
        """
        step, is_best = self.state.global_step, self.state.global_step == self.best_step
        if pauses.is_asked():
            raise DiskFull(f"{full} Without it the run cannot be paused.") from full
        if step in self._rungs:
            raise DiskFull(f"{full} Without it the run cannot be stopped at this rung.") from full
        if self._is_complete and (is_best or checkpoints.keep != "best" or not checkpoints.steps):
            raise DiskFull(f"{full} Training is done, but this last checkpoint is one of those to keep.") from full
        self._unsaved.miss(step, full, max(checkpoints.steps, default=None))
        if is_best:
            self._unsaved.lose_best((step, self.best_value), self._best_saved)
            self.best_step, self.best_value = self._best_saved
            if self.best_step is not None:
                self._recorder.best(self.best_step, segment=checkpoints.segment(self.best_step))

    def _point_to_best(self) -> None:
        """Tell the Trainer which weights to end with."""
        if self._checkpoints is not None and self.best_step in self._checkpoints.steps:
            self.state.best_model_checkpoint = str(self._checkpoints.path(self.best_step))

    def _load_best_model(self, otherwise: Path | None = None) -> None:
        path = self.state.best_model_checkpoint or otherwise
        if self.group is not None:
            path = self.group.tell(path)  # and it is written by then
        self.end_split()
        assert path is not None, "the Trainer calls this where there is a best, and `train_on` names one"
        load_weights(Path(path), self.plain)

    @property
    def _is_complete(self) -> bool:
        """Nothing is left to train: the last step is done, or early stopping has spoken."""
        return bool(self.control.should_training_stop or self.state.global_step >= self.state.max_steps)

    def _training_parts(self) -> dict[str, Any]:
        """What training goes on from, beside counters. Of several processes all have to come here."""
        dynamics = self._catcher.words if self._catcher is not None else None
        if dynamics is not None and self.group is not None:
            dynamics = merged_words(dynamics, self.group)
        return self.state_parts() | {
            "dynamics": dynamics,
            "base": self._base_mark,
            "pieces": self._micro_batches.pieces,
        }

    def _write_training_state(self, folder: Path, parts: Mapping[str, Any]) -> None:
        state = self.state
        counters = Counters(
            step=state.global_step,
            n_epochs=self._epoch - 1,
            n_examples=self.n_examples,
            best_step=self.best_step,
            best_value=self.best_value,
            untrained_value=self.untrained_value,
            seconds=self._recorder.seconds,
            is_complete=self._is_complete,
        )
        write_training_state(folder, self._recorder.run.id, counters, parts, self.own_state())

    # going on from a checkpoint ------------------------------------------------------------------------------------

    def go_on(self, intact: Intact) -> None:
        """Be where the checkpoint was saved: what remains to be done is `train_on`."""
        counters = intact.state.counters
        self.restored = intact.state
        self.n_examples, self._epoch = counters.n_examples, counters.n_epochs + 1
        self.best_step, self.best_value = counters.best_step, counters.best_value
        self._best_saved = self.best_step, self.best_value
        self.untrained_value = counters.untrained_value
        self._micro_batches.pieces = intact.state.parts.get("pieces", 1)  # states of before have none
        self.state.global_step, self.state.epoch = counters.step, intact.checkpoint.epoch
        if self._catcher is not None:
            words = intact.state.parts["dynamics"]
            if words is not None and self.group is not None and not self.group.records:
                words = torch.full_like(words, NAN_WORD)  # who records has what all have seen
            self._catcher.put_back(words)
        if self._checkpoints is not None:
            self._checkpoints.prune(self.best_step)  # so that it knows which was the best here

    def train_on(self, intact: Intact) -> None:
        """Train from the checkpoint to the end, and take the best weights."""
        if not intact.state.counters.is_complete:
            self.train_from(intact.folder)
            return
        self.take_dynamics()
        self._point_to_best()
        self._load_best_model(intact.folder)

    def restore_logging(self) -> None:
        super().restore_logging()
        if self.restored is not None:
            self._point_to_best()


def _known(value: float | None) -> float | None:
    return None if value is None or np.isnan(value) else float(value)
