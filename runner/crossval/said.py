"""What a model says of examples that it has not seen, as the store keeps it: log-probabilities, or a number."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from evals.tags import split_tag
from runner.encoding import EncodedSplit
from runner.errors import TrainingDiverged
from runner.tasks.objective import two_classes

Singles = NDArray[np.float32]


class Said(NamedTuple):
    """Rows of an opinion."""

    rows: NDArray[np.int64]
    """(m,) which: training examples, or words of them."""
    log_probs: Singles
    """(m, width); nan where nothing is known."""
    n_rows: int
    """Of the whole opinion."""


def of_classes(logits: Singles, positions: NDArray[np.int64], given: NDArray[Any], unlearnt: NDArray[np.int64]) -> Said:
    """One label each: logits (m, k), or of two classes one score (m, 1). Of an example whose given label nothing else
    has, nothing is known."""
    told = _finite(logits)
    found = np.asarray(functional.log_softmax(two_classes(told) if told.shape[1] == 1 else told, dim=1).numpy())
    found[np.isin(given[positions], unlearnt)] = np.nan
    return Said(positions, found, len(given))


def of_sets(logits: Singles, positions: NDArray[np.int64], n: int, unlearnt: NDArray[np.int64]) -> Said:
    """Sets of labels: of each label by itself how likely it is, nan of those that nothing else has."""
    found = np.asarray(functional.logsigmoid(_finite(logits)).numpy())
    found[:, unlearnt] = np.nan
    return Said(positions, found, n)


def of_numbers(
    outputs: Singles, positions: NDArray[np.int64], given: NDArray[Any], settings: Mapping[str, float]
) -> Said:
    """Numbers: in standard deviations of all training targets around their mean (`standardised`), (m, 1).

    settings: `centre`, `scale`: what the outputs are in.
    """
    said = _finite(outputs)[:, :1].numpy().astype(np.float64) * settings["scale"] + settings["centre"]
    centre, scale = standardised(given)
    return Said(positions, ((said - centre) / scale).astype(np.float32), len(given))


def of_words(
    logits: Singles, positions: NDArray[np.int64], train: EncodedSplit, tags: tuple[str, ...], unlearnt: set[str]
) -> Said:
    """Words of sentences: logits (n_words, k) of those held out, nan where no token answers for one.

    unlearnt: types that no other sentence has: of words that are given such a type nothing is known.
    """
    words = train.words
    assert words is not None, "the task encodes words"
    rows, _ = words.of(positions)
    is_told = words.are_answered[rows]
    _finite(logits[is_told])
    found = np.asarray(functional.log_softmax(torch.from_numpy(logits), dim=1).numpy())
    lost = np.array([split_tag(tag)[1] in unlearnt for tag in tags])
    found[~is_told | lost[words.tags[rows]]] = np.nan
    return Said(rows, found, len(words))


def standardised(given: NDArray[Any]) -> tuple[float, float]:
    """Mean and standard deviation (1 where they are all the same) of training targets; nan: none.

    >>> standardised(np.array([1.0, 3.0])), standardised(np.array([2.0, np.nan]))
    ((2.0, 1.0), (2.0, 1.0))
    """
    return float(np.nanmean(given)), float(np.nanstd(given)) or 1.0


def _finite(outputs: Singles) -> torch.Tensor:
    found = torch.from_numpy(outputs)
    if not found.isfinite().all():
        raise TrainingDiverged("the model's outputs for the examples that it had not seen are no numbers")
    return found
