"""Small real things to test with: datasets, predictions, another connection that holds the lock."""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest

from store import (
    Dataset,
    NewRow,
    NewRun,
    Predictions,
    Recorder,
    Run,
    Status,
    Store,
    list_metrics,
    record_dataset,
    record_run,
)

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


def start(store: Store, name: str = "run") -> Recorder:
    """A recorder with a run of its own."""
    return Recorder(store, record_run(store, NewRun(name)))


def abandoned_run(store: Store, name: str) -> Run:
    """A run that is called running, and that no process holds."""
    run = record_run(store, NewRun(name), status=Status.RUNNING)
    with store.write() as db:
        db.execute("DELETE FROM leases WHERE run_key = ?", (run.key,))
    return run


def curve(store: Store, recorder: Recorder, name: str) -> dict[int, float]:
    """One metric of its run: step → value."""
    frame = list_metrics(store, [recorder.run.key], [name])
    return dict(zip(frame["step"].tolist(), frame["value"].tolist(), strict=True))


def forbid_spool(store: Store, patch: pytest.MonkeyPatch) -> None:
    """No folder takes a spool file."""
    store.files.write_text("a file where a folder should be")
    patch.setenv("ASSAY_SPOOL", str(store.files / "nor here"))


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
