"""An experiment: all that a run needs, made and checked before there is a run."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import set_seed

from runner.backbone import Backbone, load_backbone
from runner.checkpoints import require_room
from runner.classifier import CheckpointInfo, TextClassifier, build_classifier
from runner.data import PreparedData, prepare_data
from runner.data.problems import DataError
from runner.devices import Device, choose_device
from runner.encoding import EncodedSplit, encode_split
from runner.progress import Progress
from runner.provenance import collect_provenance
from runner.recipe import LoadedRecipe
from store import NewRun, Run, Store


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, made and checked before the run exists, so that bad input leaves nothing behind."""

    loaded: LoadedRecipe
    data: PreparedData
    device: Device
    backbone: Backbone
    model: TextClassifier
    splits: Mapping[str, EncodedSplit]

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.data.dataset.label_names or ()

    @property
    def trains_features(self) -> bool:
        return self.loaded.recipe.model.method == "head"


def prepare(loaded: LoadedRecipe, store: Store, progress: Progress) -> Experiment:
    """Data, device, model and tokens of a recipe; raises before anything but the dataset was written."""
    recipe = loaded.recipe
    device = choose_device(recipe.training)
    set_seed(recipe.training.seed)
    torch.use_deterministic_algorithms(recipe.training.deterministic)  # also off again after another run
    if recipe.training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else CUDA refuses to multiply
    backbone = load_backbone(recipe.model)
    data = prepare_data(store, recipe, progress=progress.reading)
    for text in data.warnings:
        progress.warning(text)
    _require_splits(data)
    names = data.dataset.label_names or ()
    model = build_classifier(backbone, len(names), recipe.model)
    if recipe.checkpoints.keep != "none":
        require_room(store.path.parent, checkpoint_bytes(model, recipe.model.method))
    if recipe.training.gradient_checkpointing and recipe.model.method != "head":
        _checkpoint_gradients(model)
    splits = {
        split: encode_split(store, data.dataset, split, backbone.tokenizer, backbone.max_length, progress.reading)
        for split in ("train", "validation", "test")
        if data.dataset.n_rows.get(split)
    }
    experiment = Experiment(loaded, data, device, backbone, model.to(device.type), splits)
    class_weights(experiment)  # a weight for a label that is not there is bad input too
    return experiment


def _require_splits(data: PreparedData) -> None:
    """A stored dataset may be of any splits; training needs two."""
    missing = [name for name in ("train", "validation") if not data.dataset.n_rows.get(name)]
    if missing:
        raise DataError([f"dataset {data.dataset} has no {missing[0]} split; train on one that has it."])


def checkpoint_bytes(model: TextClassifier, method: str) -> int:
    """About what a checkpoint of this method takes on disk, without the tokenizer."""
    saved = {"head": model.head.parameters(), "lora": (p for p in model.parameters() if p.requires_grad)}
    return sum(p.numel() * p.element_size() for p in saved.get(method, model.parameters()))


def class_weights(experiment: Experiment) -> Tensor | None:
    """Weights (k,) of the labels in the loss; balanced is n / (k × count), as scikit-learn has it."""
    spec, names = experiment.loaded.recipe.training.class_weights, experiment.label_names
    if spec == "none":
        return None
    if spec == "balanced":
        counts = np.bincount(experiment.splits["train"].labels, minlength=len(names)).clip(min=1)
        return torch.tensor(counts.sum() / (len(names) * counts), dtype=torch.float32)
    if unknown := sorted(set(spec) - set(names)):
        raise DataError([f"training.class_weights names {unknown[0]!r}; the labels are {', '.join(names[:20])}."])
    return torch.tensor([float(spec.get(name, 1.0)) for name in names])


def checkpoint_info(experiment: Experiment, run: Run, step: int, epoch: float | None) -> CheckpointInfo:
    recipe = experiment.loaded.recipe
    return CheckpointInfo(
        run_id=run.id,
        task=recipe.task,
        method=recipe.model.method,
        base=recipe.model.base,
        labels=experiment.label_names,
        pooling=experiment.backbone.pooling,
        max_length=experiment.backbone.max_length,
        step=step,
        epoch=epoch,
        revision=recipe.model.revision,
    )


def new_run(experiment: Experiment, command: Sequence[str]) -> NewRun:
    loaded, dataset = experiment.loaded, experiment.data.dataset
    recipe = loaded.recipe
    provenance = collect_provenance(
        Path.cwd(),
        command=list(command),
        seeds={"training": recipe.training.seed, "split": recipe.data.split.seed},
        determinism={
            "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
            "cudnn_benchmark": torch.backends.cudnn.benchmark,
            "precision": experiment.device.precision,
            "threads": torch.get_num_threads(),
        },
    )
    provenance["data"] = {"dataset": str(dataset), "fingerprint": dataset.fingerprint, "rows": dict(dataset.n_rows)}
    provenance["overrides"] = list(loaded.overrides)
    return NewRun(
        name=recipe.name,
        task=recipe.task,
        method=recipe.model.method,
        base_model=recipe.model.base,
        recipe_text=loaded.text,
        recipe=loaded.resolved,
        recipe_hash=loaded.hash,
        dataset_key=dataset.key,
        provenance=provenance,
        tags=recipe.tags,
        note=recipe.notes,
        select_metric=recipe.evaluation.select,
    )


def _checkpoint_gradients(model: TextClassifier) -> None:
    body: Any = model.backbone
    body.gradient_checkpointing_enable()
    if hasattr(body, "enable_input_require_grads"):
        body.enable_input_require_grads()
