"""A merged model as a run of its own: recorded, evaluated on every split but train, with one checkpoint.

It has no steps of its own; what is recorded of it stands at step 1 (step 0 is always an untrained model). Where every
task keeps its own head there is a run for each: the same weights, that head, that task's data.
"""

import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from runner import reasons
from runner.causes import cause_of
from runner.checkpoints import CheckpointFolder, require_room
from runner.classifier import CheckpointInfo, TextModel, count_parameters, save_model
from runner.console import ConsoleCapture
from runner.cost import CostMeter
from runner.devices import Device, choose_device
from runner.inference import Passing
from runner.interrupts import Interrupted, held_interrupts
from runner.merge.combine import Merged, combine, with_head, with_other_body
from runner.merge.parent import Parent
from runner.merge.plan import Merge, merge_hash
from runner.named_metrics import WithNamed, load_named
from runner.progress import Progress
from runner.provenance import collect_provenance
from runner.recipe import Recipe, resolved_form
from runner.tasks import TASKS
from runner.tasks.task import Examination, Examiner
from store import OTHER_PARENT, NewRun, Recorder, Run, ScoreRow, Status, Store, get_run, record_run

STEP = 1
TAG = "merge"


def merge_runs(
    merges: Sequence[Merge], store: Store, progress: Progress, *, command: Sequence[str] | None = None
) -> list[Run]:
    """Combine once, then record and evaluate each; returns the runs, whatever became of them.

    Merges of one plan share their weights. After one that did not finish no further one is begun. Raises ModelError or
    DiskFull before there is a run.
    """
    combined = combine(merges[0], store)
    runs: list[Run] = []
    for merge in merges:
        runs.append(_merge_run(merge, with_head(merge, combined), store, progress, command or sys.argv))
        if runs[-1].status != Status.FINISHED:
            break
    return runs


def _merge_run(merge: Merge, merged: Merged, store: Store, progress: Progress, command: Sequence[str]) -> Run:
    recipe = merged_recipe(merge)
    n_bytes = _bytes(merge, merged)
    require_room(store.path.parent, n_bytes)
    device = choose_device(recipe.training.model_copy(update={"precision": "auto"}))
    with held_interrupts() as interrupts:
        run = record_run(store, _new_run(merge, recipe, command), status=Status.RUNNING)
        recorder = Recorder(store, run)
        status, cause, said = Status.FINISHED, None, ""
        with ConsoleCapture(lambda line: recorder.text(line + "\n")) as console, progress:
            try:
                with interrupts.let_through():
                    said = _record(merge, merged, recipe, device, recorder, progress, n_bytes)
            except (Interrupted, KeyboardInterrupt) as interruption:
                status, cause = Status.KILLED, reasons.take(interruption)
            except BaseException as error:
                status, cause = Status.FAILED, cause_of(error)
                trace = "".join(traceback.format_exception(error)[-8:])
                recorder.event("failed", cause, {"traceback": trace, "last_lines": console.tail(20)})
            progress.finish(f"{run.name} ({run.id}) {status}: {cause or said}")
        recorder.finish(status, cause)
    return get_run(store, run.key)


def _bytes(merge: Merge, merged: Merged) -> int:
    """About what its checkpoint takes: of an adapter only that, and the head."""
    body = merged.model.backbone.named_parameters()
    kept = [p for name, p in body if merge.method == "full" or "lora_" in name]
    kept += [] if merged.model.head is None else list(merged.model.head.parameters())
    return sum(p.numel() * p.element_size() for p in kept)


def merged_recipe(merge: Merge) -> Recipe:
    """The recipe of its first parent, or of the one whose head it has, under the merge's name: how to load the model
    and what it answers.

    The training table says how that parent was trained, not the merged model.
    """
    first = merge.first.recipe
    model = first.model.model_copy(
        update={
            "method": merge.method,
            "max_length": max(parent.recipe.model.max_length for parent in merge.parents),
        }
    )
    tags = tuple(dict.fromkeys((*first.tags, TAG)))
    notes = "made of " + ", ".join(parent.title for parent in merge.parents)
    return first.model_copy(update={"name": merge.name, "model": model, "tags": tags, "notes": notes, "sweep": None})


def _new_run(merge: Merge, recipe: Recipe, command: Sequence[str]) -> NewRun:
    said = merge.as_json()
    provenance: dict[str, Any] = collect_provenance(
        Path.cwd(),
        command=list(command),
        seeds={} if merge.seed is None else {"merge": merge.seed},
        determinism={"threads": torch.get_num_threads()},
    )
    dataset = merge.dataset
    provenance["data"] = {"dataset": str(dataset), "fingerprint": dataset.fingerprint, "rows": dict(dataset.n_rows)}
    provenance["merge"] = said
    return NewRun(
        name=merge.name,
        task=recipe.task,
        method=merge.method,
        base_model=recipe.model.base,
        recipe=resolved_form(recipe),
        recipe_hash=merge_hash(said),
        dataset_key=dataset.key,
        provenance=provenance,
        tags=recipe.tags,
        note=recipe.notes,
        select_metric=recipe.evaluation.select,
    )


def _record(
    merge: Merge, merged: Merged, recipe: Recipe, device: Device, recorder: Recorder, progress: Progress, n_bytes: int
) -> str:
    """Checkpoint, then every split; returns what a person is told."""
    model = merged.model.to(device.type)
    meter = CostMeter(device_type=device.type, trainable_parameters=0, total_parameters=count_parameters(model)[1])
    meter.start()
    try:
        _warn_of_data(merge, recorder, progress)
        judge = TASKS[recipe.task].examiner(
            merged.labels, merge.first.settings, with_predictions=recipe.recording.predictions
        )
        examiner = WithNamed(judge, load_named(recipe))
        with meter.evaluating():
            values = _evaluate(merge, merged, recipe, device, recorder, progress, examiner)
            _save(merge, merged, recipe, recorder, n_bytes, examiner.settings)
            for other in merge.others:
                _ask_other(merge, merged, recipe, device, recorder, progress, other)
        recorder.best(STEP)
    finally:
        meter.stop()
        recorder.cost(meter.result())
    value = values.get(recipe.evaluation.select)
    return f"{recipe.evaluation.select} {'not measured' if value is None else f'{value:.4g}'}"


def _warn_of_data(merge: Merge, recorder: Recorder, progress: Progress) -> None:
    """A split that is held out for one parent may have been trained on by another."""
    if merge.speaker is not None:
        return  # each is evaluated on the data that its head was trained for
    others = sorted({str(p.dataset) for p in merge.parents if p.dataset is None or p.dataset.key != merge.dataset.key})
    if others:
        text = (
            f"evaluated on {merge.dataset}, and parents were trained on {', '.join(others)}: where these share "
            "examples, the scores may be too good. --each evaluates each run's task on that run's data"
        )
        progress.warning(text)
        recorder.event("warning", text)


def _save(
    merge: Merge, merged: Merged, recipe: Recipe, recorder: Recorder, n_bytes: int, settings: Mapping[str, Any]
) -> None:
    """`settings`: what its outputs are to be read by."""
    info = CheckpointInfo(
        run_id=recorder.run.id,
        task=recipe.task,
        method=merge.method,
        base=recipe.model.base,
        labels=merged.labels,
        pooling=merged.backbone.pooling,
        max_length=merged.backbone.max_length,
        step=STEP,
        epoch=None,
        revision=recipe.model.revision,
        quantization=recipe.model.quantization.model_dump() if recipe.model.method == "qlora" else None,
        settings=settings,
    )
    CheckpointFolder(recorder, "all").save(
        STEP,
        None,
        lambda folder: save_model(folder, merged.model, merged.tokenizer, info),
        lambda _: None,  # there is no training to go on with
        expected_bytes=n_bytes,
    )


def _evaluate(
    merge: Merge,
    merged: Merged,
    recipe: Recipe,
    device: Device,
    recorder: Recorder,
    progress: Progress,
    examiner: Examiner,
) -> dict[str, float | None]:
    """Scores and predictions of every split but train; `SPLIT/METRIC` → value."""
    found = dict[str, float | None]()
    for split in _evaluated(merge):
        said, n_examples = _examined(merge, merged, merged.model, split, recipe, device, recorder, progress, examiner)
        scores = [ScoreRow(s.metric, _known(s.value), _known(s.low), _known(s.high), s.n) for s in said.scores]
        recorder.evaluation(
            split,
            STEP,
            epoch=None,
            n_examples=n_examples,
            scores=scores,
            predictions=said.predictions,
            responses=said.responses,
        )
        values = {score.metric: score.value for score in scores}
        progress.evaluation(split, values, step=STEP)
        found |= {f"{split}/{metric}": value for metric, value in values.items()}
    return found


def _evaluated(merge: Merge) -> list[str]:
    return [split for split in ("validation", "test") if merge.dataset.n_rows.get(split)]


def _examined(
    merge: Merge,
    merged: Merged,
    model: TextModel,
    split: str,
    recipe: Recipe,
    device: Device,
    recorder: Recorder,
    progress: Progress,
    examiner: Examiner,
) -> tuple[Examination, int]:
    """What a model says of a split of the merge's data, and how many examples that has."""
    task = TASKS[recipe.task]
    encoded = task.encode(recorder.store, merge.dataset, split, merged.backbone, recipe, progress.reading)
    passing = Passing(
        merged.tokenizer, merged.backbone.max_length, recipe.evaluation.batch_size, device.dtype, recipe.generation
    )
    return examiner.examine(split, task.outputs(model, encoded, passing), encoded), len(encoded)


def _ask_other(
    merge: Merge,
    merged: Merged,
    recipe: Recipe,
    device: Device,
    recorder: Recorder,
    progress: Progress,
    other: Parent,
) -> None:
    """What a parent that was trained for another task says of this one, under this head: an event of the run."""
    progress.message(f"asking {other.run.name} alone, which was not trained for this")
    model = with_other_body(merged, other, recorder.store).to(device.type)
    examiner = TASKS[recipe.task].examiner(merged.labels, merge.first.settings, with_predictions=False)
    split = _evaluated(merge)[-1]
    said, _ = _examined(merge, merged, model, split, recipe, device, recorder, progress, examiner)
    scores = [[s.metric, _known(s.value), _known(s.low), _known(s.high), s.n] for s in said.scores]
    recorder.event(
        OTHER_PARENT,
        f"{other.run.name} alone under this head, on {split}",
        {"id": other.run.id, "name": other.run.name, "split": split, "scores": scores},
    )


def _known(value: float) -> float | None:
    return None if value != value else float(value)
