"""What detectors may look at: everything known of the examples of one data set, and what follows from it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from evals.intervals import Floats, Ints
from evals.tags import Span
from evals.triage.coverage import train_neighbours
from evals.triage.duplicates import Duplicates, find_duplicates
from evals.triage.neighbours import Neighbours
from evals.triage.regions import find_regions, region_names
from evals.triage.slices import Slicing, length_slicing, metadata_slicings

PER_TOKEN = ("target_log_probs", "best_other_log_probs", "token_p_given", "token_offsets")
NOT_PER_EXAMPLE = ("n", "parts", "label_names", "max_length", "settings", "found_neighbours", *PER_TOKEN)


@dataclass(frozen=True)
class Inputs:
    """Everything known of n examples, of all splits together in file order; None = not known.

    Each field but `label_names`, `max_length` and those of tokens holds a value, row or list an example. What a model
    said must come from one that has not seen the example's label (out of fold, or of a split it was not trained on);
    where there is none: nan, and -1 in `predicted`.
    """

    n: int
    texts: Sequence[str | None] | None = None
    parts: Sequence[Sequence[str | None]] = ()
    """Where each text is made of several, all first ones, all second ones, ...: (n,) each."""
    labels: Ints | None = None
    """(n,) class index, -1 = none."""
    label_names: Sequence[str] | None = None
    splits: npt.NDArray[Any] | None = None
    """(n,) names; the training split is "train". None: all examples are training examples."""
    metadata: pd.DataFrame | None = None
    embeddings: Floats | None = None
    """(n, d)."""
    log_probs: Floats | None = None
    """(n, n_classes)."""
    predicted: Ints | None = None
    """(n,) class index, -1 = not known; where it is not given the likeliest by log_probs."""
    label_risk: Floats | None = None
    """(n,) how likely the label is wrong, by the scores that were chosen."""
    suggested: Ints | None = None
    """(n,) the likeliest label, -1 = none."""
    suggested_probability: Floats | None = None
    n_doubting: Ints | None = None
    """(n,) how many of `n_voices` (n,) hold another label for likelier."""
    n_voices: Ints | None = None
    n_tokens: Ints | None = None
    """(n,) before truncation."""
    max_length: int | None = None
    prompts: Sequence[str | None] | None = None
    answers: Sequence[str | None] | None = None
    """Of instruction or text-to-text data, beside `texts`."""
    answer_loss: Floats | None = None
    """(n,) mean negative log-probability of the answer's tokens after the prompt."""
    answer_loss_alone: Floats | None = None
    """(n,) the same without the prompt."""
    token_offsets: Ints | None = None
    """(n + 1,) where the tokens of each example begin in the three that follow, (n_tokens,) each."""
    target_log_probs: Floats | None = None
    best_other_log_probs: Floats | None = None
    token_p_given: Floats | None = None
    given_spans: Sequence[Sequence[Span]] | None = None
    predicted_spans: Sequence[Sequence[Span] | None] | None = None
    label_sets: Ints | None = None
    """(n, n_classes) 1 = has the class, 0 = has it not, -1 = not known."""
    label_set_probs: Floats | None = None
    """(n, n_classes) probability of each class by itself."""
    numbers: Floats | None = None
    """(n,) that are given, nan = none."""
    predicted_numbers: Floats | None = None
    found_neighbours: Neighbours | None = None
    """As `coverage.train_neighbours` finds them; None: they are looked for when they are needed."""
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Keyword arguments for single detectors, by kind."""

    def __post_init__(self) -> None:
        """Raise ValueError naming every field whose length is not n."""
        problems = []
        for each in fields(self):
            value = getattr(self, each.name)
            if each.name not in NOT_PER_EXAMPLE and value is not None and len(value) != self.n:
                problems.append(f"{each.name} has {len(value)} rows; needed: one an example, {self.n}")
        if problems:
            raise ValueError("; ".join(problems))
        if self.predicted is None and self.log_probs is not None:
            known = ~np.isnan(self.log_probs).any(axis=1)
            likeliest = np.nan_to_num(self.log_probs, nan=-np.inf).argmax(axis=1)
            object.__setattr__(self, "predicted", np.where(known, likeliest, -1))  # how a frozen class completes itself

    @cached_property
    def is_train(self) -> npt.NDArray[np.bool_]:
        """(n,) which are training examples."""
        return np.ones(self.n, dtype=bool) if self.splits is None else np.asarray(self.splits) == "train"

    @cached_property
    def duplicates(self) -> Duplicates | None:
        """Copies and near copies among the texts; of several parts, those that are alike in each."""
        return None if self.texts is None else find_duplicates(self.texts, self.parts)

    @cached_property
    def prompt_duplicates(self) -> Duplicates | None:
        """Copies and near copies among the prompts."""
        return None if self.prompts is None else find_duplicates(self.prompts)

    @cached_property
    def neighbours(self) -> Neighbours | None:
        """The nearest training examples of each example."""
        if self.found_neighbours is not None:
            return self.found_neighbours
        return None if self.embeddings is None else train_neighbours(self.embeddings, self.is_train)

    @cached_property
    def errors(self) -> Floats | None:
        """(n,) 1 where the model said another label than given, 0 where the same, nan where either is not known."""
        if self.predicted is None or self.labels is None:
            return None
        known = (self.predicted >= 0) & (self.labels >= 0)
        return np.where(known, (self.predicted != self.labels).astype(np.float64), np.nan)

    @cached_property
    def slicings(self) -> list[Slicing]:
        """The ways to part the examples: metadata, length, region of embedding space."""
        found = metadata_slicings(self.metadata) if self.metadata is not None else []
        if self.texts is not None:
            found.append(length_slicing(np.array([np.nan if text is None else len(text) for text in self.texts])))
        if self.embeddings is not None:
            regions = find_regions(self.embeddings)
            names = region_names(self.texts if self.texts is not None else [None] * self.n, regions)
            found.append(Slicing("region", regions.region, tuple(names)))
        return found
