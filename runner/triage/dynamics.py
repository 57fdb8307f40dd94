"""What runs said of their training examples epoch by epoch, as risks. Loads no torch."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from evals.dynamics import Dynamics, decode
from evals.triage.dynamics import risks, summarise
from store import Run, Store, iter_dynamics, list_dynamics

LISTENED_TO = ("area_under_margin", "error_potential", "confidence", "correctness", "forgetting", "last_loss")
"""Scores of a run that may become the one to sort by; `variability` is kept beside them: it ranks worse than chance."""


def run_risks(store: Store, run_key: int, given: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
    """Every score of a run by name, (n_train,) in [0, 1], nan = never seen; nothing where it recorded no dynamics.

    given (n_train,) are the labels to judge by. Epochs are read one at a time.
    """
    if not list_dynamics(store, run_key):
        return {}
    table = risks(summarise(_epochs(store, run_key, given)))
    return {str(name): table[name].to_numpy(dtype=np.float32) for name in table}


def has_dynamics(store: Store, run: Run, n_train: int, n_classes: int) -> bool:
    """Whether the run recorded dynamics, of as many examples and classes."""
    first = next(iter(iter_dynamics(store, run.key)), None)
    return first is not None and len(first.words) == n_train and first.n_classes == n_classes


def _epochs(store: Store, run_key: int, given: NDArray[np.int64]) -> Iterator[Dynamics]:
    for epoch in iter_dynamics(store, run_key):
        yield decode(epoch.words, epoch.n_classes, given)
