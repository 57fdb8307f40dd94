"""What heads say of the labels that they are trained on: the labels as they are, or a copy with canaries in it."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from evals.triage.audit import Voices
from evals.triage.dynamics import risks
from runner.crossval.aside import recipe_aside, trained_aside
from runner.errors import UserError
from runner.experiment import prepare
from runner.interrupts import Interrupts
from runner.progress import Progress
from runner.resume import read_recorded
from runner.shared import Shared
from runner.train import frozen_features
from runner.triage.dynamics import LISTENED_TO, run_risks
from runner.triage.heads import head_dynamics
from store import Dataset, Run, Store

HEAD = "head"
"""The name of the voice of a head on vectors of a frozen encoder."""
MOST_RETRAINED = 2
"""Runs of method head that are trained again on a copy: the newest. The scores of the others are not measured."""

Risks = dict[str, NDArray[np.float32]]


@dataclass(frozen=True)
class Heads:
    """Trains what takes seconds.

    vectors (n_train, d): of an encoder that saw no label, or None. runs: those listened to.
    """

    store: Store
    dataset: Dataset
    vectors: NDArray[np.floating] | None
    runs: tuple[Run, ...]
    seed: int
    progress: Progress
    interrupts: Interrupts

    def in_sample(self, given: NDArray[np.int64]) -> Risks:
        """What one head trained on all these labels says of them, by name; {} without vectors."""
        if self.vectors is None:
            return {}
        table = risks(head_dynamics(self.vectors, given, self._n_classes, seed=self.seed))
        return named({str(name): table[name].to_numpy(dtype=np.float32) for name in table}, HEAD)

    def on_copy(self, labels: NDArray[np.int64]) -> Voices:
        """The same of a copy of the labels, with the runs of method head trained again on it."""
        in_sample = self.in_sample(labels)
        heads = [run for run in self.runs if run.method == "head" and run.recipe is not None]
        for run in heads[:MOST_RETRAINED]:
            try:
                in_sample |= named(self._train_again(run, labels), run.id)
            except UserError as problem:  # its model is gone, say: then its scores are not measured
                self.progress.warning(f"{run.name} ({run.id}) cannot be trained on the copy with canaries: {problem}")
        return Voices(in_sample=listened_to(in_sample))

    @property
    def _n_classes(self) -> int:
        return len(self.dataset.label_names or ())

    def _train_again(self, run: Run, labels: NDArray[np.int64]) -> Risks:
        """The scores of a run as they come out on other labels."""
        loaded = recipe_aside(read_recorded(self.store, run).loaded, f"{run.name} on the copy", dynamics=True)
        shared = Shared()
        unseen = Progress(io.StringIO())  # what this training says is of no interest
        experiment = prepare(loaded, self.store, unseen, dataset=self.dataset, shared=shared)
        features, _ = frozen_features(experiment, self.store, unseen, shared)
        splits = {**experiment.splits, "train": replace(experiment.splits["train"], labels=labels, n_truncated=0)}
        splits.pop("test", None)
        folder = self.store.files / "cache" / "folds" / f"copy-{run.id}"
        copy = replace(experiment, splits=splits)
        with trained_aside(copy, features, folder, unseen, self.interrupts) as aside:
            return run_risks(aside.store, aside.run.key, labels)


def named(scores: Mapping[str, NDArray[np.float32]], voice: str) -> Risks:
    """Scores under the names that the audit and the store know them by: `area_under_margin@VOICE`."""
    return {f"{score}@{voice}": risk for score, risk in scores.items()}


def listened_to(scores: Mapping[str, NDArray[np.float32]]) -> Risks:
    """Without those that only describe."""
    return {name: risk for name, risk in scores.items() if name.partition("@")[0] in LISTENED_TO}
