"""One fold of a cross-validation: trained on the others, it says what it thinks of the examples that it held out."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from runner.crossval.aside import recipe_aside, trained_aside
from runner.crossval.plan import Plan
from runner.encoding import EncodedSplit, take_rows
from runner.errors import TrainingDiverged
from runner.experiment import Experiment, prepare
from runner.inference import Vectors, predict_features, predict_logits
from runner.interrupts import Interrupts
from runner.progress import Progress
from runner.recipe import LoadedRecipe
from runner.shared import Shared
from runner.tasks.objective import two_classes
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

    positions: NDArray[np.int64]
    """(m,) of the examples that it held out."""
    log_probs: NDArray[np.float32]
    """(m, n_classes); nan where nothing that it was trained on has the label."""
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
    with trained_aside(replace(whole, splits=splits), part, folder, bench.progress, interrupts) as trained:
        pass
    with interrupts.let_through():
        log_probs = _predict(whole, features, whole.splits["train"], held_out)
    given = plan.targets[held_out]
    log_probs[(given >= 0) & ~np.isin(given, plan.targets[kept])] = np.nan
    return FoldResult(held_out, log_probs, trained.cost, trained.outcome)


def _predict(
    experiment: Experiment, features: Mapping[str, Vectors], train: EncodedSplit, rows: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Log-probabilities (m, n_classes) of some training examples by the weights that the training ended with."""
    if features:
        logits = predict_features(experiment.head, features["train"].pooled[torch.from_numpy(rows)])
    else:
        logits = predict_logits(
            experiment.model,
            take_rows(train, rows),
            experiment.backbone.tokenizer.pad_token_id,
            experiment.loaded.recipe.evaluation.batch_size,
            experiment.device.dtype,
        )
    found = torch.from_numpy(logits)
    if not found.isfinite().all():
        raise TrainingDiverged("the model's outputs for the examples that it had not seen are no numbers")
    if found.shape[1] == 1:  # a score of relevance
        found = two_classes(found)
    return np.asarray(functional.log_softmax(found, dim=1).numpy())
