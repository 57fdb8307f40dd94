"""Dynamics and embeddings: packed 16-bit blocks of a few thousand examples, so a million examples stay cheap.

The store moves the words; `evals.dynamics` knows what they mean.
"""

import sqlite3
from collections.abc import Iterator, Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.connection import Store

BLOCK_EXAMPLES = 4096


class DynamicsRow(NamedTuple):
    """One epoch of training dynamics: `words` is `(n_train, width)` uint16 in position order."""

    epoch: int
    step: int
    n_classes: int
    words: NDArray[np.uint16]


def _blocks(array: NDArray[np.generic]) -> Iterator[tuple[int, int, bytes]]:
    for first in range(0, len(array), BLOCK_EXAMPLES):
        block = np.ascontiguousarray(array[first : first + BLOCK_EXAMPLES])
        yield first, len(block), block.astype(block.dtype.newbyteorder("<"), copy=False).tobytes()


def write_dynamics(
    db: sqlite3.Connection,
    run_key: int,
    segment: int,
    *,
    epoch: int,
    step: int,
    n_classes: int,
    words: NDArray[np.uint16],
) -> None:
    """Write one epoch; words `(n_train, width)` uint16 as `evals.dynamics.encode` makes them."""
    db.executemany(
        "INSERT OR REPLACE INTO dynamics"
        " (run_key, segment, epoch, step, first_position, n_examples, n_classes, block)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        ((run_key, segment, epoch, step, first, n, n_classes, data) for first, n, data in _blocks(words)),
    )


_VISIBLE = (
    " FROM dynamics d JOIN segments s ON s.run_key = d.run_key AND s.number = d.segment"
    " WHERE d.run_key = ? AND (s.visible_until IS NULL OR d.step <= s.visible_until)"
)


def list_dynamics(store: Store, run_key: int) -> list[tuple[int, int]]:
    """The (epoch, step) of each recorded epoch."""
    rows = store.db.execute(f"SELECT DISTINCT d.epoch, d.step{_VISIBLE} ORDER BY d.epoch", (run_key,))
    return [(epoch, step) for epoch, step in rows]


def iter_dynamics(store: Store, run_key: int) -> Iterator[DynamicsRow]:
    """Epoch by epoch, so a caller that reduces as it goes holds one epoch at a time."""
    for epoch, step in list_dynamics(store, run_key):
        rows = store.db.execute(
            f"SELECT d.n_examples, d.n_classes, d.block{_VISIBLE} AND d.epoch = ? ORDER BY d.first_position",
            (run_key, epoch),
        ).fetchall()
        n_classes = rows[0][1]
        words = np.concatenate([np.frombuffer(data, dtype="<u2").reshape(n, -1) for n, _, data in rows])
        yield DynamicsRow(epoch, step, n_classes, words)


def read_example_dynamics(store: Store, run_key: int, position: int) -> list[DynamicsRow]:
    """What each epoch said of one training example: rows with words `(1, width)`."""
    first = position // BLOCK_EXAMPLES * BLOCK_EXAMPLES
    rows = store.db.execute(
        f"SELECT d.epoch, d.step, d.n_classes, d.n_examples, d.block{_VISIBLE} AND d.first_position = ?"
        " ORDER BY d.epoch",
        (run_key, first),
    )
    return [
        DynamicsRow(
            epoch,
            step,
            k,
            np.frombuffer(data, dtype="<u2").reshape(n, -1)[position - first : position - first + 1],
        )
        for epoch, step, k, n, data in rows
        if position - first < n
    ]


def write_embeddings(
    db: sqlite3.Connection,
    run_key: int,
    *,
    dataset_key: int,
    fingerprint: str,
    pooling: str,
    splits: Mapping[str, NDArray[np.float16]],
) -> None:
    """Keep the embeddings `(n, d)` float16 of each split; runs with the same fingerprint share one set."""
    row = db.execute("SELECT key FROM embedding_sets WHERE fingerprint = ?", (fingerprint,)).fetchone()
    if row is None:
        n_dimensions = next(iter(splits.values())).shape[1]
        row = db.execute(
            "INSERT INTO embedding_sets (fingerprint, dataset_key, n_dimensions, pooling)"
            " VALUES (?, ?, ?, ?) RETURNING key",
            (fingerprint, dataset_key, n_dimensions, pooling),
        ).fetchone()
        for split, array in splits.items():
            db.executemany(
                "INSERT INTO embeddings (set_key, split, first_position, n_examples, block) VALUES (?, ?, ?, ?, ?)",
                ((row[0], split, first, n, data) for first, n, data in _blocks(array.astype(np.float16))),
            )
    db.execute("INSERT OR REPLACE INTO run_embeddings (run_key, set_key) VALUES (?, ?)", (run_key, row[0]))


def count_embeddings(store: Store, run_key: int) -> dict[str, int]:
    """How many examples of each split the run kept an embedding of; {} where it kept none."""
    rows = store.db.execute(
        "SELECT e.split, sum(e.n_examples) FROM run_embeddings r JOIN embeddings e ON e.set_key = r.set_key"
        " WHERE r.run_key = ? GROUP BY e.split",
        (run_key,),
    )
    return dict(rows.fetchall())


def read_embeddings(store: Store, run_key: int, split: str) -> NDArray[np.float16] | None:
    """`(n, d)` float16 in position order, or None where the run kept none."""
    rows = store.db.execute(
        "SELECT e.n_examples, e.block FROM run_embeddings r JOIN embeddings e ON e.set_key = r.set_key"
        " WHERE r.run_key = ? AND e.split = ? ORDER BY e.first_position",
        (run_key, split),
    ).fetchall()
    if not rows:
        return None
    return np.concatenate([np.frombuffer(data, dtype="<f2").reshape(n, -1) for n, data in rows])
