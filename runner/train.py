"""One fine-tune from top to bottom: data, model, run, epoch 0, training, the best checkpoint, embeddings, the end."""

import contextlib
import sys
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import nn
from transformers import EarlyStoppingCallback, PrinterCallback, TrainerCallback

from runner import reasons
from runner.arguments import training_arguments
from runner.batches import FeatureCollator
from runner.callback import AssayCallback, is_broken
from runner.causes import cause_of
from runner.checkpoints import CheckpointFolder, FollowedCheckpoints, Intact, tidy_finished
from runner.classifier import count_parameters, save_model
from runner.console import ConsoleCapture
from runner.control import Control
from runner.cost import CostMeter, SystemSampler, add_costs, cuda_devices
from runner.devices import Device
from runner.distributed import share_outputs
from runner.dynamics import DynamicsCatcher
from runner.encoding import cut_words, first_tokens
from runner.errors import TrainingDiverged
from runner.experiment import (
    Experiment,
    base_mark,
    checkpoint_bytes,
    checkpoint_info,
    new_run,
    prepare,
)
from runner.inference import Passing, Vectors, cached_features, embed_split, predict_features
from runner.interrupts import Interrupted, Interrupts, Pruned, held_interrupts
from runner.launcher import n_launched
from runner.monitor import Monitor
from runner.named_metrics import WithNamed
from runner.pauses import heeding
from runner.progress import Progress
from runner.recipe import LoadedRecipe
from runner.sharding import Shards
from runner.shared import Shared
from runner.tasks.generation import Answers
from runner.tasks.task import Examination
from runner.trainer import RecordingTrainer
from runner.unsaved import Unsaved
from store import Dataset, Recorder, Run, RunCost, Status, Store, get_run, list_scores, record_run
from store.runs import run_files

SHARED_EVALUATION = (
    "text-classification", "pair-classification", "multi-label-classification", "regression", "rerank",
    "token-classification",
)  # fmt: skip
"""Tasks whose evaluations several processes share; of the others each evaluates all, and one records it."""


def train(
    loaded: LoadedRecipe,
    store: Store,
    progress: Progress,
    *,
    command: Sequence[str] | None = None,
    dataset: Dataset | None = None,
    control: Control | None = None,
    shared: Shared | None = None,
) -> Run:
    """Fine-tune what the recipe says and record it. Returns the run, whatever became of it.

    Args:
        dataset: the version to train on, instead of reading `data.source`.
        control: steers the run at rungs (`runner.control`).
        shared: what earlier runs of this process made already (`runner.shared`).

    Raises the error of bad input (RecipeError, DataError, ModelError, DeviceError, HubUnreachable, DiskFull) before
    there is a run; from then on what goes wrong is the run's status and cause.
    """
    if n_launched() > 1:
        from runner.together import train_together

        return train_together(loaded, store, progress, command or sys.argv)
    tidy_finished(store)
    experiment = prepare(loaded, store, progress, dataset=dataset, shared=shared)
    with held_interrupts() as interrupts:
        run = record_run(store, new_run(experiment, command or sys.argv), status=Status.RUNNING)
        return carry_out(experiment, Recorder(store, run), progress, interrupts, Start(), control, shared)


@dataclass(frozen=True)
class Start:
    """Where a run begins or goes on."""

    intact: Intact | None = None
    """The checkpoint to go on from; None: from the untrained model."""
    was_pruned: bool = False
    """What steers the run has been asked about the rung at the checkpoint, if there is one."""
    spent: RunCost = field(default_factory=RunCost)
    """What earlier segments took."""


def carry_out(
    experiment: Experiment,
    recorder: Recorder,
    progress: Progress,
    interrupts: Interrupts,
    start: Start,
    control: Control | None,
    shared: Shared | None,
) -> Run:
    """A recorded run from here to its end, whatever becomes of it."""
    run, store = recorder.run, recorder.store
    status, cause, end = Status.FINISHED, None, None
    with ConsoleCapture(lambda line: recorder.text(line + "\n")) as console, progress:
        try:
            with _sampler(recorder, experiment.device, experiment.loaded.recipe.recording.system_seconds):
                end = train_recorded(experiment, recorder, progress, interrupts, start, control, shared)
        except Pruned as pruned:
            status, cause = Status.PRUNED, str(pruned)
        except (Interrupted, KeyboardInterrupt) as interruption:
            status, cause = Status.KILLED, reasons.take(interruption)
        except BaseException as error:
            status, cause = Status.FAILED, cause_of(error)
            trace = "".join(traceback.format_exception(error)[-8:])
            recorder.event("failed", cause, {"traceback": trace, "last_lines": console.tail(20)})
        hint = f"; `runner resume {run.id}` goes on with it" if status == Status.KILLED else ""
        progress.finish(f"{run.name} ({run.id}) {status}: {cause or (end.text if end else '')}{hint}")
    recorder.finish(status, cause)
    if end is not None and end.checkpoints is not None:
        end.checkpoints.finish(end.best_step)
    return get_run(store, run.key)


class End(NamedTuple):
    """How a training ended that was carried through."""

    text: str
    checkpoints: CheckpointFolder | None
    best_step: int | None


def train_recorded(
    experiment: Experiment,
    recorder: Recorder,
    progress: Progress,
    interrupts: Interrupts,
    start: Start,
    control: Control | None,
    shared: Shared | None,
) -> End:
    """Everything from the first to the last record of a run; raises what breaks it off."""
    recipe = experiment.loaded.recipe
    trainable, total = count_parameters(experiment.model)
    if experiment.trains_features:
        trainable = count_parameters(experiment.head)[0]
    meter = CostMeter(device_type=experiment.device.type, trainable_parameters=trainable, total_parameters=total)
    folder = FollowedCheckpoints if recorder.is_silent else CheckpointFolder
    checkpoints = folder(recorder, recipe.checkpoints.keep) if recipe.checkpoints.keep != "none" else None
    trainer: RecordingTrainer | None = None
    meter.start()
    try:
        with interrupts.let_through():
            if recorder.segment == 1:
                _note_start(experiment, recorder, progress)
            with meter.preparing() if experiment.trains_features else contextlib.nullcontext():
                features, feature_key = frozen_features(experiment, recorder.store, progress, shared)
            if features:
                experiment.head.fit_scaling(features["train"].pooled.to(experiment.device.type))
            trainer = _trainer(experiment, features, recorder, meter, checkpoints, progress, start, control)
            if start.intact is not None:
                trainer.monitor.restore(start.intact.checkpoint.step)
            with trainer.monitor:
                _fit(trainer, recorder, meter, progress, start)
            if recorder.is_silent:
                return End(_outcome(trainer, recipe.evaluation.select), checkpoints, trainer.best_step)
            if recipe.recording.target_tokens and isinstance(experiment.task, Answers):
                progress.message("looking at every token of the training answers")
                tokens = experiment.task.target_tokens(
                    experiment.model, experiment.splits["train"], _passing(experiment)
                )
                recorder.target_tokens("train", tokens)
            if recipe.recording.embeddings:
                _record_embeddings(experiment, features, feature_key, recorder, progress)
        return End(_outcome(trainer, recipe.evaluation.select), checkpoints, trainer.best_step)
    except BaseException:
        if trainer is not None:
            with contextlib.suppress(Exception):  # a device that has failed gives nothing back
                trainer.take_dynamics(is_broken_off=True)
        raise
    finally:
        meter.stop()
        recorder.cost(add_costs(start.spent, meter.result()))


def _fit(trainer: RecordingTrainer, recorder: Recorder, meter: CostMeter, progress: Progress, start: Start) -> None:
    """From the untrained model, or from a checkpoint, to the best weights."""
    intact = start.intact
    if intact is None:
        progress.start(trainer.n_steps, recorder.run.name)
        trainer.evaluate()  # epoch 0: what the untrained model says
        with meter.training(), heeding():
            trainer.train()
        return
    progress.start(trainer.n_steps, recorder.run.name, first_step=intact.checkpoint.step)
    trainer.go_on(intact)
    if not start.was_pruned and not intact.state.counters.is_complete:
        trainer.ask(_validation_scores(recorder, intact.checkpoint.step))  # it may have been killed before the question
    with meter.training(), heeding():
        trainer.train_on(intact)


def _validation_scores(recorder: Recorder, step: int) -> dict[str, float | None]:
    """What an earlier segment found on the validation split after a step: metric → value."""
    scores = list_scores(recorder.store, [recorder.run.key])
    found = scores[(scores["split"] == "validation") & (scores["step"] == step)]
    return {
        name: None if value != value else value for name, value in zip(found["metric"], found["value"], strict=True)
    }


# the parts ---------------------------------------------------------------------------------------------------------


def _outcome(trainer: RecordingTrainer, select: str) -> str:
    best, before = trainer.best_value, trainer.untrained_value
    text = "not measured" if best is None else f"{best:.4g} at step {trainer.best_step:,}"
    return f"{select} {text}" + ("" if before is None else f", {before:.4g} before training")


def frozen_features(
    experiment: Experiment, store: Store, progress: Progress, shared: Shared | None
) -> tuple[dict[str, Vectors], str]:
    """For method head: the frozen backbone's features of every split, and their fingerprint. Else nothing."""
    if not experiment.trains_features:
        return {}, ""
    backbone, dataset = experiment.backbone, experiment.data.dataset

    def make() -> tuple[dict[str, Vectors], str]:
        return cached_features(
            store.files / "cache" / "features",
            backbone,
            experiment.model,
            dict(experiment.splits),
            experiment.loaded.recipe.evaluation.batch_size,
            report=progress.reading,
        )

    if shared is None:
        return make()
    of = (shared.identity(backbone), backbone.pooling, backbone.max_length, store.path, dataset.key)
    return shared.features(of, make)


def _trainer(
    experiment: Experiment,
    features: Mapping[str, Vectors],
    recorder: Recorder,
    meter: CostMeter,
    checkpoints: CheckpointFolder | None,
    progress: Progress,
    start: Start,
    control: Control | None,
) -> RecordingTrainer:
    recipe, splits, task = experiment.loaded.recipe, experiment.splits, experiment.task
    tokenizer, model = experiment.backbone.tokenizer, experiment.model
    passing = _passing(experiment)
    trained: nn.Module = experiment.head if experiment.trains_features else model

    judge = task.examiner(
        experiment.label_names, task.settings(experiment), with_predictions=recipe.recording.predictions
    )
    examiner = WithNamed(judge, experiment.named_metrics)

    def examine(split: str) -> Examination:
        if features:
            outputs = predict_features(trained, features[split].pooled)
        else:
            shares = experiment.group if task.name in SHARED_EVALUATION else None
            outputs = share_outputs(splits[split], lambda part: task.outputs(model, part, passing), shares)
        return examiner.examine(split, outputs, splits[split])

    def save(folder: Path, step: int, epoch: float | None) -> None:
        info = checkpoint_info(experiment, recorder.run, step, epoch, examiner.settings)
        save_model(folder, trained, tokenizer, info)

    collator = (
        FeatureCollator(features["train"].pooled, splits["train"])
        if features
        else task.collator(experiment, splits["train"])
    )
    for note in collator.notes:
        progress.warning(note)
        recorder.event("warning", note)
    n_logits = task.n_logits(experiment.data.dataset)
    catcher = (
        DynamicsCatcher(len(splits["train"]), n_logits, torch.device(experiment.device.type))
        if recipe.recording.dynamics and n_logits is not None
        else None
    )
    watcher = _Watcher(progress)
    callbacks: list[TrainerCallback] = [AssayCallback(recorder=recorder), watcher]
    if recipe.training.early_stopping:
        callbacks.append(EarlyStoppingCallback(early_stopping_patience=recipe.training.early_stopping))
    trainer = RecordingTrainer(
        model=trained,
        args=training_arguments(
            recipe,
            experiment.device,
            run_files(recorder.store, recorder.run),
            saves=checkpoints is not None,
            shards=experiment.is_split,
        ),
        collator=collator,
        evaluated={name: split for name, split in splits.items() if name != "train"},
        objective=task.objective(experiment),
        examine=examine,
        recorder=recorder,
        meter=meter,
        monitor=Monitor(
            recorder,
            warn=progress.warning,
            n_positions=recipe.training.batch_size * recipe.training.gradient_accumulation * collator.most_examples,
            group=1 if experiment.device.type == "cpu" else recipe.recording.log_every,
            checkpoint_bytes=checkpoint_bytes(experiment) if checkpoints is not None else 0,
        ),
        select=recipe.evaluation.select,
        catcher=catcher,
        checkpoints=checkpoints,
        unsaved=Unsaved(recorder, recipe.evaluation.select, progress.warning),
        save=save,
        expected_bytes=checkpoint_bytes(experiment),
        head_learning_rate=_head_learning_rate(experiment),
        group_by_length=recipe.training.length_grouping and not features,
        callbacks=callbacks,
        on_evaluation=lambda split, step, values: progress.evaluation(split, values, step=step),
        cost=lambda: add_costs(start.spent, meter.result()),
        warn=progress.warning,
        base_mark=base_mark(experiment),
        control=control,
        group=experiment.group,
        shards=Shards(model) if experiment.is_split else None,
    )
    trainer.remove_callback(PrinterCallback)  # it prints what Progress shows
    watcher.trainer = trainer
    return trainer


class _Watcher(TrainerCallback):  # type: ignore[misc]  # transformers ships no types that mypy accepts
    """Shows progress, records epochs' dynamics as they end, and stops a training whose loss is no number."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self.trainer: RecordingTrainer | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer is not None:
            self.trainer.restore_logging()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        seen = self.trainer.n_examples if self.trainer else None
        self._progress.step(state.global_step, float(state.epoch or 0.0), examples_seen=seen)

    def on_epoch_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        if self.trainer is not None:
            self.trainer.take_dynamics()

    def on_log(self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, **kwargs: Any) -> None:
        loss = (logs or {}).get("loss")
        if loss is None:
            return
        shown = {"loss": float(loss), "lr": (logs or {}).get("learning_rate")}
        self._progress.step(state.global_step, float(state.epoch or 0.0), shown)
        if is_broken(loss) and self.trainer is not None:
            word = "NaN" if np.isnan(loss) else "infinite"
            raise TrainingDiverged(f"loss became {word} by step {state.global_step}; {self.trainer.advice}")


def _note_start(experiment: Experiment, recorder: Recorder, progress: Progress) -> None:
    """What a person should know of before it begins."""
    for text in experiment.data.warnings:
        recorder.event("warning", text)
    for name, split in experiment.splits.items():
        if split.n_truncated:
            text = cut_words(name, split, experiment.backbone.max_length)
            progress.warning(text)
            recorder.event("warning", text)
    if experiment.loaded.recipe.sweep is not None:
        progress.message("this recipe has a [sweep]; train runs its own values and leaves the sweep alone")


def _passing(experiment: Experiment) -> Passing:
    """How an evaluation lets a split go through the model."""
    recipe, backbone = experiment.loaded.recipe, experiment.backbone
    writes = recipe.generation if recipe.generation.examples else None
    return Passing(
        backbone.tokenizer, backbone.max_length, recipe.evaluation.batch_size, experiment.device.dtype, writes
    )


def _record_embeddings(
    experiment: Experiment, features: Mapping[str, Vectors], key: str, recorder: Recorder, progress: Progress
) -> None:
    dataset, device = experiment.data.dataset, experiment.device
    vectors = features or {
        name: embed_split(
            experiment.model,
            first_tokens(split, experiment.backbone.max_length),
            experiment.backbone.tokenizer.pad_token_id,
            experiment.loaded.recipe.evaluation.batch_size,
            device.dtype,
            report=progress.reading,
        )
        for name, split in experiment.splits.items()
    }
    recorder.embeddings(
        {name: both.mean.numpy().astype(np.float16) for name, both in vectors.items()},
        dataset_key=dataset.key,
        fingerprint=f"{key or f'{recorder.run.id}-{recorder.segment}'}-{dataset.key}",
        pooling="mean",
    )


def _head_learning_rate(experiment: Experiment) -> float:
    return experiment.loaded.recipe.training.head_learning_rate or 0.0  # resolved recipes always have one


def _sampler(recorder: Recorder, device: Device, seconds: float) -> SystemSampler:
    """Looks at the machine while the run lasts."""
    cuda = cuda_devices(1) if device.type == "cuda" else ()
    return SystemSampler(recorder.sample, seconds=seconds, cuda_devices=cuda)
