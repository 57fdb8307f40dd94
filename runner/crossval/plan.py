"""Which fold of a cross-validation holds out which training examples. Loads no torch."""

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.triage.duplicates import normalise
from evals.triage.folds import assign_folds
from runner.crossval.targets import TASKS, Targets, read_judged
from runner.data.problems import DataError, listed, quoted
from store import Dataset, Store, iter_texts, read_queries

VERSION = 1
"""Goes up when the same recipe, data, folds and seed may give another opinion."""


@dataclass(frozen=True)
class Plan:
    """A cross-validation of one recipe over the training split of a dataset."""

    n_folds: int
    seed: int
    fold_of: NDArray[np.int64]
    """(n_train,) the fold that holds each training example out, from 0."""
    targets: Targets
    fingerprint: str
    """Equal for two cross-validations that would come to the same opinion."""
    warnings: tuple[str, ...]

    def held_out(self, fold: int) -> NDArray[np.int64]:
        """Positions that the fold predicts."""
        return np.flatnonzero(self.fold_of == fold)

    def trained_on(self, fold: int) -> NDArray[np.int64]:
        """Positions that the fold is trained on: those with a target that it does not hold out."""
        return np.flatnonzero((self.fold_of != fold) & self.targets.is_known)

    def unlearnt(self, fold: int) -> NDArray[np.int64]:
        """Labels that nothing has that the fold is trained on."""
        targets = self.targets
        learnt = targets.label[np.isin(targets.owner, self.trained_on(fold))]
        return np.setdiff1d(targets.label, learnt)


def plan_folds(store: Store, dataset: Dataset, recipe_hash: str, *, task: str, n_folds: int, seed: int) -> Plan:
    """Folds stratified by label and shuffled by `seed`; copies of a text (but for case and white space) stay together,
    and all documents of a query.

    Raises DataError, with all that is wrong, for data that cannot be folded so.
    """
    n = dataset.n_rows.get("train", 0)
    targets = read_judged(store, dataset)
    copies = _copies(store, dataset, task)
    n_texts = int(copies.max(initial=-1)) + 1
    problems = []
    if not n:
        problems.append(f"dataset {dataset} has no train split: there is nothing to hold out.")
    if task not in TASKS:
        problems.append(
            f'task "{task}": a cross-validation judges targets that a model gives a probability or a number; it takes '
            f"{', '.join(TASKS)}."
        )
    elif n and (targets.kind != TASKS[task] or not targets.is_known.any()):
        problems.append(f"dataset {dataset} has no {TASKS[task] or 'label classes'} for its training examples.")
    if n_folds < 2:
        problems.append(f"--folds {n_folds}: needed are 2 or more, so that there is something to train on.")
    elif n and n_folds > n_texts:
        texts = "queries" if task == "rerank" else "different training texts"
        problems.append(f"--folds {n_folds}: {dataset} has {n_texts:,} {texts}; take no more folds.")
    if problems:
        raise DataError(problems)
    fold_of = assign_folds(targets.strata, n_folds, groups=copies, seed=seed)
    identity = [VERSION, recipe_hash, dataset.fingerprint, n_folds, seed]
    fingerprint = hashlib.blake2b(json.dumps(identity).encode(), digest_size=16).hexdigest()
    warnings = _warnings(dataset.label_names or (), targets, copies, n_folds)
    return Plan(n_folds, seed, fold_of, targets, fingerprint, warnings)


def _copies(store: Store, dataset: Dataset, task: str) -> NDArray[np.int64]:
    """A number for each different training text, or query, (n_train,)."""
    numbers: dict[bytes, int] = {}
    copies = np.empty(dataset.n_rows.get("train", 0), dtype=np.int64)
    row = 0
    queries = [read_queries(store, dataset, "train")] if task == "rerank" else []
    for texts in queries or iter_texts(store, dataset, "train"):
        for text in texts:
            digest = hashlib.blake2b(normalise(text).encode("utf-8", "surrogatepass"), digest_size=16).digest()
            copies[row] = numbers.setdefault(digest, len(numbers))
            row += 1
    return copies


def _warnings(names: tuple[str, ...], targets: Targets, copies: NDArray[np.int64], n_folds: int) -> tuple[str, ...]:
    """What a person should know of the rare labels."""
    pairs = np.unique(np.stack([targets.label, copies[targets.owner]]), axis=1)
    n_texts = np.bincount(pairs[0], minlength=len(names))
    single = np.flatnonzero(n_texts == 1).tolist()
    few = np.flatnonzero((n_texts > 1) & (n_texts < n_folds)).tolist()
    found = []
    if single:
        shown = listed([quoted([names[label]]) for label in single[:5]], len(single))
        found.append(f"Labels with one training text, which no fold can learn and predict: {shown}. They stay unknown.")
    if few:
        shown = listed([f"{quoted([names[label]])} ({n_texts[label]})" for label in few[:5]], len(few))
        found.append(
            f"Labels with fewer training texts than the {n_folds} folds: {shown}. Not every fold holds them out."
        )
    return tuple(found)
