"""What the steps of one triage share: read, embedded and fitted once, when it is first asked for."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.triage.duplicates import normalise
from evals.triage.findings import DETECTORS
from evals.triage.folds import assign_folds
from evals.triage.members import word_opinions
from runner.interrupts import Interrupts
from runner.progress import Progress
from runner.triage.embedding import Encoder, Vectors, embed, find_encoder
from runner.triage.rows import Rows, read_all
from runner.triage.sources import Sources
from runner.triage.voices import N_FOLDS, Heads
from store import Dataset, Store, get_evaluation, list_opinions, read_answers, read_opinion

VERSION = 1
"""Of the scores and of what the steps hand to detectors: goes up when the same data may give other numbers."""


@dataclass(frozen=True)
class Options:
    """How to look. model: an encoder instead of the one that is found."""

    with_canaries: bool = True
    model: str | None = None
    seed: int = 0


@dataclass(frozen=True)
class Heard:
    """An opinion in the store that is listened to."""

    key: int
    id: str
    name: str
    fingerprint: str


@dataclass(frozen=True)
class Context:
    """One dataset version under one way of looking at it."""

    store: Store
    sources: Sources
    options: Options
    progress: Progress
    interrupts: Interrupts

    @property
    def dataset(self) -> Dataset:
        return self.sources.dataset

    @property
    def n_classes(self) -> int:
        return len(self.dataset.label_names or ())

    @cached_property
    def rows(self) -> Rows:
        return read_all(self.store, self.dataset)

    @property
    def given(self) -> NDArray[np.int64]:
        """(n_train,) labels of the training examples, -1 = none."""
        return self.rows.labels[: self.rows.n_train]

    @cached_property
    def has_labels(self) -> bool:
        """Whether there is anything to judge: two classes among the training labels."""
        return len(np.unique(self.given[self.given >= 0])) > 1

    @cached_property
    def encoder(self) -> Encoder | None:
        return find_encoder(self.store, self.sources, self.rows, self.options.model)

    @cached_property
    def vectors(self) -> Vectors | None:
        """(n, d) float16, None where there is no encoder."""
        if self.encoder is None:
            return None
        return embed(self.store, self.encoder, self.rows, self.progress.reading)

    @property
    def blind_vectors(self) -> Vectors | None:
        """`vectors` of the training examples, where their encoder has seen no label."""
        if self.encoder is None or not self.encoder.is_frozen or self.vectors is None:
            return None
        return self.vectors[: self.rows.n_train]

    @cached_property
    def opinions(self) -> tuple[Heard, ...]:
        """Cross-validations of which no fold is missing, the newest first."""
        known = list_opinions(self.store, self.dataset)
        wanted = known[(known["n_classes"] == self.n_classes) & known["is_complete"] & (known["n_known"] > 0)]
        return tuple(
            Heard(int(row["key"]), row["id"], row["name"], row["fingerprint"]) for row in wanted.to_dict("records")
        )

    @cached_property
    def heads(self) -> Heads:
        numbers: dict[str, int] = {}
        train = self.rows.texts[: self.rows.n_train]
        groups = np.array([numbers.setdefault(normalise(text), len(numbers)) for text in train], dtype=np.int64)
        vectors = self.blind_vectors
        return Heads(
            self.store,
            self.dataset,
            None if vectors is None else vectors.astype(np.float32),
            groups,
            self.sources.runs,
            self.options.seed,
            self.progress,
            self.interrupts,
        )

    @cached_property
    def opinions_made(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """All opinions that the audit does not make itself, by name: those of the store, and of heads."""
        stored = {
            f"crossval@{each.id}": read_opinion(self.store, each.key).astype(np.float32) for each in self.opinions
        }
        return {**stored, **self.heads.opinions(self.given)}

    @cached_property
    def out_of_fold(self) -> NDArray[np.floating[Any]] | None:
        """(n_train, n_classes) log-probabilities that detectors look at: the first of `opinions_made`, else words."""
        if not self.has_labels:
            return None
        for opinion in self.opinions_made.values():
            return opinion
        folds = assign_folds(self.given, N_FOLDS, groups=self.heads.groups, seed=self.options.seed)
        texts = self.rows.texts[: self.rows.n_train]
        return word_opinions(texts, self.given, folds, self.n_classes, seed=self.options.seed)["words"]

    def predicted(self, split: str) -> NDArray[np.int64] | None:
        """What the newest run that evaluated a split predicted there, (n,), -1 = none."""
        for run in self.sources.runs:
            evaluation = get_evaluation(self.store, run.key, split)
            if evaluation is not None and evaluation.n_examples == self.dataset.n_rows.get(split):
                answers = read_answers(self.store, evaluation)
                if len(answers.predicted) == evaluation.n_examples:
                    return answers.predicted
        return None

    # what identifies it --------------------------------------------------------------------------------------------

    @property
    def versions(self) -> dict[str, int]:
        return {"triage": VERSION, **{detector.kind: detector.version for detector in DETECTORS}}

    @property
    def source_list(self) -> list[dict[str, object]]:
        """What it looks at, as the store keeps it."""
        runs: list[dict[str, object]] = [
            {"kind": "run", "id": run.id, "name": run.name, "method": run.method, "in_sample": True}
            for run in self.sources.runs
        ]
        opinions = [{"kind": "opinion", "id": each.id, "name": each.name, "in_sample": False} for each in self.opinions]
        encoder = self.encoder
        vectors = (
            [] if encoder is None else [{"kind": "encoder", "name": encoder.name, "in_sample": not encoder.is_frozen}]
        )
        return [*runs, *opinions, *vectors]

    @property
    def fingerprint(self) -> str:
        """Equal for two triages that would say the same."""
        identity = {
            "versions": self.versions,
            "dataset": self.dataset.key,
            "runs": [run.id for run in self.sources.runs],
            "opinions": [each.fingerprint for each in self.opinions],
            "encoder": None if self.encoder is None else self.encoder.identity,
            "with_canaries": self.options.with_canaries,
            "seed": self.options.seed,
        }
        text = json.dumps(identity, sort_keys=True, ensure_ascii=False)
        return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).hexdigest()
