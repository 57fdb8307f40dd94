"""One fold of a cross-validation: trained on the others, it says what it thinks of the examples that it held out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from evals.tags import Scheme, scheme_tags
from runner.crossval.aside import recipe_aside, trained_aside
from runner.crossval.plan import Plan
from runner.crossval.said import Said, of_classes, of_numbers, of_sets, of_words
from runner.encoding import take_rows
from runner.experiment import Experiment, prepare
from runner.inference import Passing, Vectors, predict_features
from runner.interrupts import Interrupts
from runner.progress import Progress
from runner.recipe import LoadedRecipe
from runner.shared import Shared
from runner.train import frozen_features
from store import Dataset, RunCost, Store


@dataclass(frozen=True)
class Bench:
    """What the folds of one cross-validation have in common; models, tokens and features are loaded once."""

    loaded: LoadedRecipe
    store: Store
    dataset: Dataset
    plan: Plan
    progress: Progress
    shared: Shared


class FoldResult(NamedTuple):
    """What a fold says."""

    n_examples: int
    """That it held out."""
    said: Said
    """Of these; nan where nothing that it was trained on has the label."""
    cost: RunCost
    outcome: str
    """A sentence about the training."""


def train_fold(bench: Bench, fold: int, interrupts: Interrupts) -> FoldResult:
    """Train on all folds but one and predict that one. Raises what keeps it from its end, Interrupted too."""
    plan = bench.plan
    held_out, kept = plan.held_out(fold), plan.trained_on(fold)
    loaded = recipe_aside(bench.loaded, f"{bench.loaded.recipe.name}, fold {fold + 1} of {plan.n_folds}")
    with interrupts.let_through():
        whole = prepare(loaded, bench.store, bench.progress, dataset=bench.dataset, shared=bench.shared)
        features, _ = frozen_features(whole, bench.store, bench.progress, bench.shared)
    # The validation split selects the best epoch, as for any run; the test split is nobody's business here.
    splits = {
        "train": take_rows(whole.splits["train"], kept),
        "validation": replace(whole.splits["validation"], n_truncated=0),
    }
    part = {
        split: Vectors(*(each[torch.from_numpy(kept)] for each in both)) if split == "train" else both
        for split, both in features.items()
    }
    folder = bench.store.files / "cache" / "folds" / f"{plan.fingerprint}-{fold}"
    experiment = replace(whole, splits=splits)
    with trained_aside(experiment, part, folder, bench.progress, interrupts) as trained:
        pass
    with interrupts.let_through():
        outputs = _outputs(whole, features, held_out)
    said = _said(plan, fold, whole, outputs, experiment.task.settings(experiment))
    return FoldResult(len(held_out), said, trained.cost, trained.outcome)


def _outputs(whole: Experiment, features: Mapping[str, Vectors], rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """What the weights that the training ended with say of some training examples, as the task's examiner reads it."""
    if features:
        return predict_features(whole.head, features["train"].pooled[torch.from_numpy(rows)])
    passing = Passing(
        whole.backbone.tokenizer,
        whole.backbone.max_length,
        whole.loaded.recipe.evaluation.batch_size,
        whole.device.dtype,
    )
    found: NDArray[np.float32] = whole.task.outputs(whole.model, take_rows(whole.splits["train"], rows), passing)
    return found


def _said(plan: Plan, fold: int, whole: Experiment, outputs: NDArray[np.float32], settings: Mapping[str, Any]) -> Said:
    """Outputs as rows of the opinion; settings: of the task, for what the fold was trained on."""
    train, positions, unlearnt = whole.splits["train"], plan.held_out(fold), plan.unlearnt(fold)
    kind = plan.targets.kind
    if kind == "spans":
        types = whole.label_names
        tags = scheme_tags(types, Scheme(whole.loaded.recipe.model.tag_scheme))
        return of_words(outputs, positions, train, tags, {types[at] for at in unlearnt})
    if kind == "numbers":
        return of_numbers(outputs, positions, train.labels, settings)
    if kind == "sets of labels":
        return of_sets(outputs, positions, len(train), unlearnt)
    return of_classes(outputs, positions, train.labels, unlearnt)
