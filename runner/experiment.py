"""An experiment: all that a run needs, made and checked before there is a run."""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import set_seed

from evals.dynamics import row_bytes
from runner.adapters import takes_from_base
from runner.backbone import Backbone, load_backbone
from runner.base_runs import parent_of, pinned, standing
from runner.checkpoints import require_room
from runner.classifier import CheckpointInfo, ClassifierHead, TextModel
from runner.compiling import compile_model
from runner.data import PreparedData, prepare_data
from runner.data.problems import DataError
from runner.devices import Device, choose_device
from runner.encoding import EncodedSplit
from runner.errors import ModelError
from runner.footprint import footprint
from runner.named_metrics import Loaded, load_named
from runner.progress import Progress
from runner.provenance import collect_provenance
from runner.quantization import set_compute
from runner.recipe import LoadedRecipe
from runner.sharding import layer_names
from runner.shared import Shared, tokenizer_key
from runner.tasks import TASKS, Task
from runner.training_state import weights_mark
from store import Dataset, NewRun, Run, Store

if TYPE_CHECKING:
    from runner.distributed import Group

SPLITS = ("train", "validation", "test")

# What an optimizer remembers of each trained parameter.
_OPTIMIZER_BYTES = {
    "adamw_torch": 8, "adamw_torch_fused": 8, "adamw_8bit": 2, "paged_adamw_8bit": 2, "adafactor": 1, "sgd": 0
}  # fmt: skip


@dataclass(frozen=True)
class Experiment:
    """Everything a run needs, made and checked before the run exists, so that bad input leaves nothing behind."""

    loaded: LoadedRecipe
    data: PreparedData
    device: Device
    backbone: Backbone
    model: TextModel
    splits: Mapping[str, EncodedSplit]
    parent: Mapping[str, Any] | None = None
    """The run whose model is the base: id, name, task, step, sha256."""
    named_metrics: "tuple[Loaded, ...]" = ()
    """Metrics that the recipe names beside those of its task."""
    group: "Group | None" = None
    """The processes that train it together; None: this one alone."""

    @property
    def task(self) -> Task:
        return TASKS[self.loaded.recipe.task]

    @property
    def label_names(self) -> tuple[str, ...]:
        return self.data.dataset.label_names or ()

    @property
    def head(self) -> ClassifierHead:
        """What method head trains."""
        assert self.model.head is not None
        return self.model.head

    @property
    def is_split(self) -> bool:
        """Whether each of several processes trains a part of the weights (FSDP)."""
        return self.group is not None and self.group.shards

    @property
    def trains_features(self) -> bool:
        return self.loaded.recipe.model.method == "head"


def prepare(
    loaded: LoadedRecipe,
    store: Store,
    progress: Progress,
    *,
    dataset: Dataset | None = None,
    shared: Shared | None = None,
    group: "Group | None" = None,
) -> Experiment:
    """Data, device, model and tokens of a recipe; raises before anything but the dataset was written.

    `dataset` is used instead of reading `data.source`; what `shared` has is not made again. `group`: the processes
    that will train it together.
    """
    loaded = pinned(loaded, store)
    recipe, spec = loaded.recipe, standing(loaded.recipe.model, store)
    device = choose_device(recipe.training)
    seed = recipe.training.seed
    set_seed(seed)
    torch.use_deterministic_algorithms(recipe.training.deterministic)  # also off again after another run
    if recipe.training.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # else CUDA refuses to multiply
    task, named = TASKS[recipe.task], load_named(recipe)
    auto = task.auto_class
    backbone = shared.backbone(spec, seed, auto, device.type) if shared else load_backbone(spec, auto, device.type)
    data = PreparedData(dataset, (), reused=True) if dataset else prepare_data(store, recipe, progress=progress.reading)
    for text in data.warnings:
        progress.warning(text)
    _require_splits(data)
    set_seed(seed)  # what is fresh does not depend on whether the base was loaded just now
    model = task.build(backbone, data.dataset, spec)
    if recipe.model.method == "qlora":
        set_compute(model, recipe.model.quantization.compute, device.dtype)
    if recipe.training.gradient_checkpointing and recipe.model.method != "head":
        _checkpoint_gradients(model)

    def encoded(split: str) -> EncodedSplit:
        return task.encode(store, data.dataset, split, backbone, recipe, progress.reading)

    def shared_or_encoded(split: str) -> EncodedSplit:
        tokens = (task.name, task.encoding(recipe), tokenizer_key(spec), backbone.max_length)
        key = (*tokens, store.path, data.dataset.key, split)
        return shared.split(key, lambda: encoded(split)) if shared else encoded(split)

    splits = _encoded(shared_or_encoded, [name for name in SPLITS if data.dataset.n_rows.get(name)])
    _require_vectors(backbone, splits)
    # A tokenizer keeps the limit that it was last called with, and is saved with it: this run's, whoever used it.
    backbone.tokenizer("", truncation=True, max_length=backbone.max_length)
    parent = parent_of(recipe.model, store)
    experiment = Experiment(loaded, data, device, backbone, model.to(device.type), splits, parent, named, group)
    if recipe.checkpoints.keep != "none":
        require_room(store.path.parent, checkpoint_bytes(experiment))
    if experiment.is_split:
        layer_names(experiment.model)  # a layer that there is not is bad input too
    if recipe.training.compile:
        compile_model(experiment.model.backbone, device)
    task.objective(experiment)  # a weight for a label that is not there is bad input too
    if not experiment.trains_features:
        task.collator(experiment, splits["train"])
    _note_memory(experiment, progress)
    return experiment


def _encoded(encode: Callable[[str], EncodedSplit], names: Sequence[str]) -> dict[str, EncodedSplit]:
    """All splits as tokens. Raises DataError with what is wrong in any of them."""
    found, problems = {}, list[str]()
    for name in names:
        try:
            found[name] = encode(name)
        except DataError as error:
            problems += error.problems
    if problems:
        raise DataError(problems)
    return found


def _require_vectors(backbone: Backbone, splits: Mapping[str, EncodedSplit]) -> None:
    """Raises ModelError where the data have tokens that the model has no vector for."""
    try:
        n_known = getattr(backbone.model.get_input_embeddings(), "num_embeddings", None)
    except NotImplementedError:  # a model that reads something else, such as hashes of characters
        return
    ids = [split.ids for split in splits.values()] + [split.answers.ids for split in splits.values() if split.answers]
    highest = max(backbone.tokenizer.pad_token_id, *(int(each.max(initial=0)) for each in ids))
    if n_known is not None and highest >= n_known:
        token = backbone.tokenizer.convert_ids_to_tokens(highest)
        raise ModelError(
            f"the tokenizer has the token {token!r} with the number {highest:,}, and the model has vectors for "
            f"{n_known:,} tokens only: they do not belong together. Name the model's own tokenizer in model.tokenizer, "
            "or save the model again after `model.resize_token_embeddings(len(tokenizer))`."
        )


def _note_memory(experiment: Experiment, progress: Progress) -> None:
    """Say what training will take before it takes it. Raises ModelError where the recipe wants it refused."""
    recipe, train = experiment.loaded.recipe, experiment.splits["train"]
    loaded: Any = experiment.model.backbone
    n_outputs = experiment.task.n_logits(experiment.data.dataset)
    n_parts = experiment.group.size if experiment.group is not None and experiment.is_split else 1
    found = footprint(recipe, int(train.lengths.max()), n_outputs=n_outputs, loaded=loaded, n_parts=n_parts)
    if not found.is_short:
        progress.message(found.sentence)
        return
    advice = (
        f"try a smaller training.batch_size (it is {recipe.training.batch_size}), training.gradient_checkpointing = "
        "true, a shorter model.max_length, or another method"
    )
    if recipe.training.memory == "refuse":
        raise ModelError(f'{found.sentence}, and training.memory = "refuse"; {advice}.')
    progress.warning(f"{found.sentence}; {advice}")


def _require_splits(data: PreparedData) -> None:
    """A stored dataset may be of any splits; training needs two."""
    missing = [name for name in ("train", "validation") if not data.dataset.n_rows.get(name)]
    if missing:
        raise DataError([f"dataset {data.dataset} has no {missing[0]} split; train on one that has it."])


def checkpoint_bytes(experiment: Experiment) -> int:
    """About what a checkpoint takes on disk with its training state, without the tokenizer."""
    model, recipe = experiment.model, experiment.loaded.recipe
    trained = [p for p in model.parameters() if p.requires_grad]
    holds_base = recipe.model.method in ("full", "top-layers")
    saved = list(model.parameters()) if holds_base else trained
    optimizer = _OPTIMIZER_BYTES[recipe.training.optimizer] * sum(p.numel() for p in trained)
    n_logits = experiment.task.n_logits(experiment.data.dataset) if recipe.recording.dynamics else None
    dynamics = 0 if n_logits is None else len(experiment.splits["train"]) * row_bytes(n_logits)
    return sum(p.numel() * p.element_size() for p in saved) + optimizer + dynamics


def base_mark(experiment: Experiment) -> str | None:
    """A mark of the base model's weights where no checkpoint holds them (head, adapters); None where each does."""
    spec = experiment.loaded.recipe.model
    if spec.method in ("full", "top-layers"):
        return None
    frozen = [(name, p) for name, p in experiment.model.backbone.named_parameters() if not p.requires_grad]
    if takes_from_base(spec):  # by another processor's arithmetic, a little otherwise: `runner.adapters` sees to those
        frozen = [(name, p) for name, p in frozen if not name.endswith("base_layer.weight")]
    return weights_mark(p for _, p in frozen)


def checkpoint_info(
    experiment: Experiment, run: Run, step: int, epoch: float | None, settings: Mapping[str, Any]
) -> CheckpointInfo:
    """What a checkpoint says of itself; `settings` are what its examiner has learnt."""
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
        settings=settings,
        quantization=recipe.model.quantization.model_dump() if recipe.model.method == "qlora" else None,
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
    if experiment.parent is not None:
        provenance["base_run"] = dict(experiment.parent)
    if experiment.group is not None:
        provenance["processes"] = experiment.group.size
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


def _checkpoint_gradients(model: TextModel) -> None:
    body: Any = model.backbone
    body.gradient_checkpointing_enable()
    if hasattr(body, "enable_input_require_grads"):
        body.enable_input_require_grads()
