"""Rows in blocks, so that a million examples take a few megabytes at a time; and what the arrays must look like."""

from collections.abc import Iterator

import numpy as np

from evals.intervals import Floats, Ints

_NUMBERS_AT_ONCE = 4_000_000


def blocks(n: int, width: int) -> Iterator[slice]:
    """Slices that cover n rows of `width` numbers, a few million numbers at a time.

    >>> [(part.start, part.stop) for part in blocks(5, 2_000_000)]
    [(0, 2), (2, 4), (4, 5)]
    """
    step = max(1, _NUMBERS_AT_ONCE // max(1, width))
    for first in range(0, n, step):
        yield slice(first, min(n, first + step))


def check(log_probs: Floats, given: Ints) -> None:
    """ValueError, naming everything that is wrong, unless log_probs is (n, n_classes), given (n,) in -1..n_classes - 1.

    >>> check(np.log([[0.5, 0.5]]), np.array([1]))
    """
    problems = []
    is_matrix = log_probs.ndim == 2 and log_probs.shape[1] >= 1
    if not is_matrix:
        problems.append(f"log_probs has shape {log_probs.shape}; needed: (n, n_classes), n_classes >= 1")
    if given.ndim != 1 or (is_matrix and len(given) != len(log_probs)):
        problems.append(f"given has shape {given.shape}, log_probs {log_probs.shape}; needed: a label a row")
    if not np.issubdtype(given.dtype, np.integer):
        problems.append(f"given has type {given.dtype}; needed: integers (class index, -1 = no label)")
    elif is_matrix and len(given) and not -1 <= given.min() <= given.max() < log_probs.shape[1]:
        allowed = f"-1 (no label) to {log_probs.shape[1] - 1}"
        problems.append(f"given holds {given.min()} to {given.max()}; allowed: {allowed}")
    if is_matrix and log_probs.size and np.nanmax(log_probs[:1000], initial=-np.inf) > 1e-3:
        problems.append("log_probs holds numbers above 0; needed: natural logarithms of probabilities")
    if problems:
        raise ValueError("; ".join(problems))
