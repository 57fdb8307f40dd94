"""What triage costs: scoring what runs said in their epochs, duplicates and neighbours, the audit of labels.

Each measurement has a process of its own, so that its memory is its own.
"""

import multiprocessing
import resource
import sys
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from benchmarks.measure import Figure, Stopwatch, Timing, seconds
from evals.dynamics import decode, encode
from evals.triage.audit import label_audit
from evals.triage.duplicates import find_duplicates
from evals.triage.dynamics import risks, summarise
from evals.triage.neighbours import nearest

N_EPOCHS, N_RUNS, N_CLASSES, N_DIMENSIONS, N_NEIGHBOURS = 10, 4, 10, 384, 15


class Size(NamedTuple):
    """Examples that are scored; for duplicates and neighbours; for the audit."""

    scoring: tuple[int, ...]
    copies: tuple[int, ...]
    audit: tuple[int, ...]


FULL = Size((10_000, 100_000, 1_000_000), (10_000, 100_000), (10_000, 100_000))
SMALL = Size((2_000,), (500,), (500,))

_GOALS: Mapping[tuple[str, int], float] = {("scoring", 1_000_000): 60, ("copies", 100_000): 60}
_MOST_GIGABYTES = 4.0


def cost_figures(size: Size) -> list[Figure]:
    """Seconds and memory of each part at each size; how they grow stands in the notes."""
    figures = []
    for part, (work, title) in _PARTS.items():
        per_example: list[float] = []
        for n in getattr(size, part):
            timing, gigabytes = _alone(work, n)
            per_example.append(timing.cpu / n * 1e6)
            name = f"{title.format(n=n)}"
            note = f"{per_example[-1]:.1f} µs of processor time an example"
            if len(per_example) > 1:
                note += f", {per_example[-1] / per_example[0]:.2f} times that of the smallest"
            figures.append(seconds(name, [timing], at_most=_GOALS.get((part, n)), note=note))
            goal = _MOST_GIGABYTES if (part, n) in _GOALS else None
            figures.append(Figure(f"{name}: memory", [gigabytes], "GB", at_most=goal))
    return figures


def score_runs(n: int) -> Timing:
    """All scores of N_RUNS runs from what the store holds of their epochs."""
    rng = np.random.default_rng(0)
    given = rng.integers(N_CLASSES, size=n)
    logits = rng.normal(size=(n, N_CLASSES)).astype(np.float32)
    blocks = [encode(logits * np.float32(1 + epoch / 4), given) for epoch in range(N_EPOCHS)]
    del logits
    with Stopwatch() as watch:
        for _ in range(N_RUNS):
            risks(summarise(decode(block, N_CLASSES, given) for block in blocks))
    return watch.timing


def find_copies(n: int) -> Timing:
    """Duplicates among n texts, and the nearest neighbours of n embeddings."""
    texts, embeddings, _ = _examples(n)
    with Stopwatch() as watch:
        find_duplicates(texts)
        nearest(embeddings, N_NEIGHBOURS)
    return watch.timing


def audit_labels(n: int) -> Timing:
    """The whole audit of n labels, from texts and embeddings."""
    texts, embeddings, given = _examples(n)
    with Stopwatch() as watch:
        label_audit(given, N_CLASSES, texts=texts, embeddings=embeddings)
    return watch.timing


def _examples(n: int) -> tuple[list[str], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Texts of a dozen words, a tenth of them copies with another last word; embeddings in clusters; labels."""
    rng = np.random.default_rng(0)
    given = rng.integers(N_CLASSES, size=n)
    words = rng.zipf(1.3, size=(n, 12)) % 20_000
    words[: n // 10, :-1] = words[n // 2 : n // 2 + n // 10, :-1]
    texts = [" ".join(f"word{word}" for word in row) for row in words]
    centres = rng.normal(size=(N_CLASSES * 20, N_DIMENSIONS)).astype(np.float32)
    cluster = given * 20 + rng.integers(20, size=n)
    embeddings = centres[cluster]
    for first in range(0, n, 10_000):
        part = embeddings[first : first + 10_000]
        part += rng.standard_normal(part.shape, dtype=np.float32)
    wrong = rng.random(n) < 0.1
    return texts, embeddings, np.where(wrong, rng.integers(N_CLASSES, size=n), given)


_PARTS: Mapping[str, tuple[Callable[[int], Timing], str]] = {
    "scoring": (score_runs, f"scoring {{n:,}} examples × {N_EPOCHS} epochs × {N_RUNS} runs"),
    "copies": (find_copies, "duplicates and neighbours over {n:,} examples"),
    "audit": (audit_labels, "audit of {n:,} labels"),
}


def _alone(work: Callable[[int], Timing], n: int) -> tuple[Timing, float]:
    """The work in a process of its own: its timing, and the most memory it held, in GB."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_measured, (work, n))


def _measured(work: Callable[[int], Timing], n: int) -> tuple[Timing, float]:
    timing = work(n)
    unit = 1 if sys.platform == "darwin" else 1024
    return timing, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9
