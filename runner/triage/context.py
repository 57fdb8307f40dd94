"""What the steps of one triage share: read, embedded and fitted once, when it is first asked for."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from evals.triage.duplicates import normalise
from evals.triage.folds import assign_folds
from evals.triage.linear import linear_opinion
from evals.triage.members import one_hot, word_opinions
from evals.triage.voices import N_FOLDS
from runner.interrupts import Interrupts
from runner.progress import Progress
from runner.triage.embedding import Encoder, Vectors, embed, embed_relations
from runner.triage.identity import Identity, Options
from runner.triage.judged import LabelSets, Numbers, read_label_sets, read_numbers
from runner.triage.rows import Rows, read_all, unjudged
from runner.triage.sources import Sources
from runner.triage.spans import Sentences, read_sentences
from runner.triage.voices import Heads
from store import Dataset, Store, get_evaluation, read_answers, read_opinion


@dataclass(frozen=True)
class Context:
    """What identifies the triage, who watches it, and everything that is read and made for it."""

    identity: Identity
    progress: Progress
    interrupts: Interrupts

    @property
    def store(self) -> Store:
        return self.identity.store

    @property
    def sources(self) -> Sources:
        return self.identity.sources

    @property
    def options(self) -> Options:
        return self.identity.options

    @property
    def encoder(self) -> Encoder | None:
        return self.identity.encoder

    @property
    def dataset(self) -> Dataset:
        return self.identity.dataset

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
    def kind(self) -> str | None:
        """What training examples have in place of one label each, as `rows.unjudged`."""
        return unjudged(self.store, self.dataset)

    @property
    def _opinion_key(self) -> int | None:
        """The newest cross-validation."""
        return next((each.key for each in self.identity.opinions), None)

    @cached_property
    def sentences(self) -> Sentences | None:
        """Sentences with spans; None where examples have something else. So for the next two."""
        return read_sentences(self.store, self.rows, self.sources.runs, self._opinion_key)

    @cached_property
    def label_sets(self) -> LabelSets | None:
        return read_label_sets(self.store, self.rows, self.sources.runs, self._opinion_key)

    @cached_property
    def numbers(self) -> Numbers | None:
        return read_numbers(self.store, self.rows, self.sources.runs, self._opinion_key)

    @cached_property
    def vectors(self) -> Vectors | None:
        """(n, d) float16, None where there is no encoder."""
        if self.encoder is None:
            return None
        return embed(self.store, self.encoder, self.rows, self.progress.reading)

    @cached_property
    def judging_vectors(self) -> NDArray[np.float32] | None:
        """(n, d) what may say something of labels, as its encoder has seen none: vectors of the texts, or of pairs what
        the two have to do with each other."""
        if self.encoder is None or not self.encoder.is_frozen:
            return None
        if self.rows.parts:
            return embed_relations(self.store, self.encoder, self.rows, self.progress.reading)
        return None if self.vectors is None else self.vectors.astype(np.float32)

    @property
    def blind_vectors(self) -> NDArray[np.float32] | None:
        """Those of the training examples."""
        return None if self.judging_vectors is None else self.judging_vectors[: self.rows.n_train]

    @cached_property
    def copies(self) -> NDArray[np.int64]:
        """(n_train,) a number for each different training text: copies are held out together."""
        numbers: dict[str, int] = {}
        train = self.rows.texts[: self.rows.n_train]
        return np.array([numbers.setdefault(normalise(text), len(numbers)) for text in train], dtype=np.int64)

    @property
    def heads(self) -> Heads:
        vectors = self.blind_vectors
        return Heads(
            self.store,
            self.dataset,
            vectors,
            self.sources.runs,
            self.options.seed,
            self.progress,
            self.interrupts,
        )

    @cached_property
    def crossvals(self) -> Mapping[str, NDArray[np.floating[Any]]]:
        """Opinions of the store by name, log-probabilities (n_train, n_classes)."""
        return {
            f"crossval@{each.id}": read_opinion(self.store, each.key).astype(np.float32)
            for each in self.identity.opinions
        }

    @cached_property
    def log_probs(self) -> NDArray[np.floating[Any]] | None:
        """(n, n_classes): what detectors look at, None where nothing can be judged.

        Of training examples out of fold, by the newest cross-validation, else a linear model on the vectors, else the
        words; of the others by that linear model, fitted on all training examples; nan = not known.
        """
        if not self.has_labels:
            return None
        rows = self.rows
        train = slice(0, rows.n_train)
        folds = np.full(len(rows), N_FOLDS)
        folds[train] = assign_folds(self.given, N_FOLDS, groups=self.copies, seed=self.options.seed)
        given = np.where(np.arange(len(rows)) < rows.n_train, rows.labels, -1)  # the others teach nothing
        found = np.full((len(rows), self.n_classes), np.nan, dtype=np.float32)
        if self.judging_vectors is not None:
            targets = one_hot(given, self.n_classes)
            found = linear_opinion(self.judging_vectors, targets, given, folds, seed=self.options.seed)
        elif not rows.parts:  # what the words of a pair are says little of how its texts go together
            of_words = word_opinions(rows.texts[train], self.given, folds[train], self.n_classes)
            found[train] = of_words["naive_bayes"]
        for opinion in self.crossvals.values():
            found[train] = opinion
            break
        return found

    def predicted(self, split: str) -> NDArray[np.int64] | None:
        """What the newest run that evaluated a split predicted there, (n,), -1 = none."""
        for run in self.sources.runs:
            evaluation = get_evaluation(self.store, run.key, split)
            if evaluation is not None and evaluation.n_examples == self.dataset.n_rows.get(split):
                answers = read_answers(self.store, evaluation)
                if len(answers.predicted) == evaluation.n_examples:
                    return answers.predicted
        return None
