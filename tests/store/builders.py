"""Small real things to test with: datasets, predictions, another connection that holds the lock."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from store import Dataset, NewRow, Predictions, Store, record_dataset

LABELS = ("no", "yes")


def make_dataset(store: Store, name: str, rows: Sequence[tuple[str, int | None]], split: str = "test") -> Dataset:
    return record_dataset(
        store,
        name,
        [NewRow(split, text, target) for text, target in rows],
        label_names=LABELS,
        source={"kind": "test"},
        fingerprint=f"{name}:{rows}",
    )


def predict(predicted: Sequence[int], loss: Sequence[float] | None = None) -> Predictions:
    n = len(predicted)
    return Predictions(
        np.array(predicted),
        np.linspace(0.1, 0.9, n),
        np.linspace(0.5, 1.0, n),
        np.linspace(-1.0, 1.0, n),
        np.array(loss if loss is not None else np.arange(n), dtype=float),
    )


@contextmanager
def locked(store: Store) -> Iterator[sqlite3.Connection]:
    """Another program holds the write lock."""
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield other
    finally:
        other.execute("ROLLBACK")
        other.close()
