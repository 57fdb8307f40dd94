"""What a run's best weights say of each token that its examples are to teach: packed, for a million of them."""

import sqlite3
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.blocks import BLOCK_EXAMPLES
from store.connection import Store

Halves = NDArray[np.float16]


class TargetTokens(NamedTuple):
    """Tokens stand end to end; those of example i are offsets[i] to offsets[i + 1] of (t,) values."""

    offsets: NDArray[np.int64]
    """(n + 1,)"""
    log_probs: Halves
    """Natural logarithm of the probability of the token that is to be said."""
    best_other: Halves
    """Of the likeliest token that is another one."""
    alone: Halves | None
    """As `log_probs`, where the answer stands without its prompt; None where that was not measured."""


def write_target_tokens(db: sqlite3.Connection, run_key: int, split: str, tokens: TargetTokens) -> None:
    """Keep them for a split, in place of what there was."""
    db.execute("DELETE FROM target_tokens WHERE run_key = ? AND split = ?", (run_key, split))
    for first in range(0, len(tokens.offsets) - 1, BLOCK_EXAMPLES):
        offsets = tokens.offsets[first : first + BLOCK_EXAMPLES + 1]
        own = slice(int(offsets[0]), int(offsets[-1]))
        db.execute(
            "INSERT INTO target_tokens"
            " (run_key, split, first_position, n_examples, lengths, log_probs, best_other, alone)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                run_key,
                split,
                first,
                len(offsets) - 1,
                np.diff(offsets).astype("<i4").tobytes(),
                tokens.log_probs[own].astype("<f2").tobytes(),
                tokens.best_other[own].astype("<f2").tobytes(),
                None if tokens.alone is None else tokens.alone[own].astype("<f2").tobytes(),
            ),
        )


def read_target_tokens(store: Store, run_key: int, split: str) -> TargetTokens | None:
    """Of all examples of a split in position order; None where the run kept none."""
    return _joined(
        store.db.execute(
            "SELECT lengths, log_probs, best_other, alone FROM target_tokens WHERE run_key = ? AND split = ?"
            " ORDER BY first_position",
            (run_key, split),
        ).fetchall()
    )


def read_example_tokens(store: Store, run_key: int, split: str, position: int) -> TargetTokens | None:
    """Of one example; None where the run kept none."""
    first = position // BLOCK_EXAMPLES * BLOCK_EXAMPLES
    block = _joined(
        store.db.execute(
            "SELECT lengths, log_probs, best_other, alone FROM target_tokens"
            " WHERE run_key = ? AND split = ? AND first_position = ?",
            (run_key, split, first),
        ).fetchall()
    )
    if block is None or position - first >= len(block.offsets) - 1:
        return None
    own = slice(int(block.offsets[position - first]), int(block.offsets[position - first + 1]))
    alone = None if block.alone is None else block.alone[own]
    return TargetTokens(
        np.array([0, own.stop - own.start], dtype=np.int64), block.log_probs[own], block.best_other[own], alone
    )


def _joined(rows: list[tuple[bytes, bytes, bytes, bytes | None]]) -> TargetTokens | None:
    if not rows:
        return None
    lengths, *columns = zip(*rows, strict=True)
    counts = np.concatenate([np.frombuffer(data, dtype="<i4") for data in lengths])
    log_probs, best_other, alone = (
        None if any(data is None for data in column) else np.concatenate([_halves(data) for data in column])
        for column in columns
    )
    assert log_probs is not None
    assert best_other is not None
    return TargetTokens(np.concatenate([[0], np.cumsum(counts, dtype=np.int64)]), log_probs, best_other, alone)


def _halves(data: bytes) -> Halves:
    return np.frombuffer(data, dtype="<f2")
