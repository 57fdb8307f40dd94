"""A merged model as a run of its own: recorded, evaluated on every split but train, with one checkpoint.

It has no steps of its own; what is recorded of it stands at step 1 (step 0 is always an untrained model).
"""

import hashlib
import json
import sys
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from runner import reasons
from runner.causes import cause_of
from runner.checkpoints import CheckpointFolder, require_room
from runner.classifier import CheckpointInfo, count_parameters, save_model
from runner.console import ConsoleCapture
from runner.cost import CostMeter
from runner.devices import Device, choose_device
from runner.inference import Passing
from runner.interrupts import Interrupted, held_interrupts
from runner.merge.combine import Merged, combine
from runner.merge.plan import Merge
from runner.named_metrics import WithNamed, load_named
from runner.progress import Progress
from runner.provenance import collect_provenance
from runner.recipe import Recipe, resolved_form
from runner.tasks import TASKS
from store import NewRun, Recorder, Run, ScoreRow, Status, Store, get_run, record_run

STEP = 1
TAG = "merge"


def merge_runs(merge: Merge, store: Store, progress: Progress, *, command: Sequence[str] | None = None) -> Run:
    """Combine, record and evaluate. Returns the run, whatever became of it.

    Raises ModelError or DiskFull before there is a run.
    """
    recipe = merged_recipe(merge)
    merged = combine(merge, store)
    parameters = merged.model.backbone.parameters() if merge.method == "full" else merged.model.head.parameters()
    n_bytes = sum(p.numel() * p.element_size() for p in parameters)
    require_room(store.path.parent, n_bytes)
    device = choose_device(recipe.training.model_copy(update={"precision": "auto"}))
    with held_interrupts() as interrupts:
        run = record_run(store, _new_run(merge, recipe, command or sys.argv), status=Status.RUNNING)
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


def merged_recipe(merge: Merge) -> Recipe:
    """The first parent's recipe under the merge's name: how to load the model and what it answers.

    Its training table says how the first parent was trained, not the merged model.
    """
    first = merge.parents[0].recipe
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
        recipe_hash=_hash(said),
        dataset_key=dataset.key,
        provenance=provenance,
        tags=recipe.tags,
        note=recipe.notes,
        select_metric=recipe.evaluation.select,
    )


def _hash(said: Mapping[str, Any]) -> str:
    """Equal for two merges of the same checkpoints in the same way; never that of a recipe that was trained."""
    kept = {**said, "parents": [(each["sha256"], each["weight"]) for each in said["parents"]]}
    return hashlib.blake2b(json.dumps(kept, sort_keys=True).encode(), digest_size=16).hexdigest()


def _record(
    merge: Merge, merged: Merged, recipe: Recipe, device: Device, recorder: Recorder, progress: Progress, n_bytes: int
) -> str:
    """Checkpoint, then every split; returns what a person is told."""
    model = merged.model.to(device.type)
    meter = CostMeter(device_type=device.type, trainable_parameters=0, total_parameters=count_parameters(model)[1])
    meter.start()
    try:
        _warn_of_data(merge, recorder, progress)
        _save(merge, merged, recipe, recorder, n_bytes)
        with meter.evaluating():
            values = _evaluate(merge, merged, recipe, device, recorder, progress)
        recorder.best(STEP)
    finally:
        meter.stop()
        recorder.cost(meter.result())
    value = values.get(recipe.evaluation.select)
    return f"{recipe.evaluation.select} {'not measured' if value is None else f'{value:.4g}'}"


def _warn_of_data(merge: Merge, recorder: Recorder, progress: Progress) -> None:
    """A split that is held out for one parent may have been trained on by another."""
    others = sorted({str(p.dataset) for p in merge.parents if p.dataset is None or p.dataset.key != merge.dataset.key})
    if others:
        text = (
            f"evaluated on {merge.dataset}, and parents were trained on {', '.join(others)}: where these share "
            "examples, the scores may be too good"
        )
        progress.warning(text)
        recorder.event("warning", text)


def _save(merge: Merge, merged: Merged, recipe: Recipe, recorder: Recorder, n_bytes: int) -> None:
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
        settings=_settings(recipe),
    )
    CheckpointFolder(recorder, "all").save(
        STEP,
        None,
        lambda folder: save_model(folder, merged.model, merged.tokenizer, info),
        lambda _: None,  # there is no training to go on with
        expected_bytes=n_bytes,
    )


def _settings(recipe: Recipe) -> dict[str, Any]:
    """What the outputs of the merged model are to be read by."""
    return {"scheme": recipe.model.tag_scheme} if recipe.task == "token-classification" else {}


def _evaluate(
    merge: Merge, merged: Merged, recipe: Recipe, device: Device, recorder: Recorder, progress: Progress
) -> dict[str, float | None]:
    """Scores and predictions of every split but train; `SPLIT/METRIC` → value."""
    task, store, found = TASKS[recipe.task], recorder.store, dict[str, float | None]()
    settings = _settings(recipe)
    judge = task.examiner(merged.labels, settings, with_predictions=recipe.recording.predictions)
    examiner = WithNamed(judge, load_named(recipe))
    for split in ("validation", "test"):
        if not merge.dataset.n_rows.get(split):
            continue
        encoded = task.encode(store, merge.dataset, split, merged.backbone, recipe, progress.reading)
        passing = Passing(merged.tokenizer, merged.backbone.max_length, recipe.evaluation.batch_size, device.dtype)
        outputs = task.outputs(merged.model, encoded, passing)
        said = examiner.examine(split, outputs, encoded)
        scores = [ScoreRow(s.metric, _known(s.value), _known(s.low), _known(s.high), s.n) for s in said.scores]
        recorder.evaluation(
            split,
            STEP,
            epoch=None,
            n_examples=len(encoded),
            scores=scores,
            predictions=said.predictions,
            responses=said.responses,
        )
        values = {score.metric: score.value for score in scores}
        progress.evaluation(split, values, step=STEP)
        found |= {f"{split}/{metric}": value for metric, value in values.items()}
    return found


def _known(value: float) -> float | None:
    return None if value != value else float(value)
