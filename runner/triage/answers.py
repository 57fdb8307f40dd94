"""Examples whose targets are texts: prompts, answers, and what runs said of the answers' tokens. Loads no torch."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from evals.triage.tokens import mean_of_tokens
from runner.triage.rows import Rows, unjudged
from store import Run, Store, TargetTokens, read_target_tokens, read_values

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Answers:
    """Of n examples, as detectors take them. Of the training split the tokens are in sample: the run was trained on
    these answers, so what it still does not expect is telling, and what it expects is not."""

    prompts: list[str]
    answers: list[str | None]
    offsets: NDArray[np.int64]
    """(n + 1,) where the tokens of each answer begin; no tokens where no run spoke of it."""
    log_probs: Floats
    best_other: Floats
    alone: Floats | None
    """(n_tokens,) as log_probs, without the prompt; None where no run measured it."""

    @property
    def loss(self) -> Floats:
        """(n,) mean -ln p of an answer's tokens after its prompt, of those that are known alone too; nan: not known."""
        told = self.log_probs if self.alone is None else np.where(np.isnan(self.alone), np.nan, self.log_probs)
        return -mean_of_tokens(told, self.offsets)

    @property
    def loss_alone(self) -> Floats | None:
        """(n,) the same without the prompt."""
        return None if self.alone is None else -mean_of_tokens(self.alone, self.offsets)


def read_answers_of(store: Store, rows: Rows, runs: Sequence[Run]) -> Answers | None:
    """All examples of a data set in the order of its rows; None where its targets are no texts."""
    if unjudged(store, rows.dataset) != "texts":
        return None
    answers = [
        None if value is None else str(json.loads(value))
        for split in rows.splits
        for value in read_values(store, rows.dataset, split)
    ]
    tokens = [_tokens(store, rows, runs, split) for split in rows.splits]
    lengths = np.concatenate(
        [
            np.zeros(rows.dataset.n_rows[split], dtype=np.int64) if found is None else np.diff(found.offsets)
            for split, found in zip(rows.splits, tokens, strict=True)
        ]
    )
    known = [found for found in tokens if found is not None]
    has_alone = bool(known) and all(found.alone is not None for found in known)
    return Answers(
        rows.texts,
        answers,
        np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        _joined([found.log_probs for found in known]),
        _joined([found.best_other for found in known]),
        _joined([found.alone for found in known if found.alone is not None]) if has_alone else None,
    )


def _tokens(store: Store, rows: Rows, runs: Sequence[Run], split: str) -> TargetTokens | None:
    """What the newest run that spoke of a split said of its tokens."""
    for run in runs:
        found = read_target_tokens(store, run.key, split)
        if found is not None and len(found.offsets) - 1 == rows.dataset.n_rows[split]:
            return found
    return None


def _joined(parts: Sequence[NDArray[np.float16]]) -> Floats:
    return np.concatenate([np.zeros(0), *parts]).astype(np.float64)
