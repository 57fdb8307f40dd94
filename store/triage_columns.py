"""Packed columns of a triage: numbers of every example of a split, in position order, in blocks."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from store.connection import Store
from store.frames import read_frame

if TYPE_CHECKING:
    import pandas as pd

BLOCK_EXAMPLES = 4096
ALLOWED = ("float16", "float32", "int16", "int32", "uint8")


def column_problem(name: str, array: npt.NDArray[Any], n_rows: int) -> str | None:
    """Why an array cannot be a column of a split of n_rows examples; None where it can.

    >>> column_problem("risk", np.zeros(3, dtype=np.float64), 3)
    'column risk is of float64; allowed are float16, float32, int16, int32, uint8.'
    """
    if array.dtype.name not in ALLOWED:
        return f"column {name} is of {array.dtype.name}; allowed are {', '.join(ALLOWED)}."
    if array.ndim not in (1, 2) or len(array) != n_rows:
        return f"column {name} has shape {array.shape}; needed is ({n_rows},) or ({n_rows}, width)."
    return None


def write_column(db: sqlite3.Connection, triage_key: int, split: str, name: str, array: npt.NDArray[Any]) -> None:
    """Within a transaction: write a column, in place of one of that name."""
    db.execute(
        "DELETE FROM triage_columns WHERE triage_key = ? AND split = ? AND name = ?",
        (triage_key, split, name),
    )
    dtype = array.dtype.newbyteorder("<")
    width = array.shape[1] if array.ndim == 2 else 0

    def blocks() -> Iterator[tuple[object, ...]]:
        for first in range(0, max(len(array), 1), BLOCK_EXAMPLES):
            block = np.ascontiguousarray(array[first : first + BLOCK_EXAMPLES]).astype(dtype, copy=False)
            yield triage_key, split, name, first, dtype.str, width, len(block), block.tobytes()

    db.executemany(
        "INSERT INTO triage_columns (triage_key, split, name, first_position, dtype, width, n_examples, block)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        blocks(),
    )


def read_column(store: Store, triage_key: int, split: str, name: str) -> npt.NDArray[Any] | None:
    """`(n,)` or `(n, width)` in position order; None where there is no such column."""
    rows = store.db.execute(
        "SELECT dtype, width, n_examples, block FROM triage_columns"
        " WHERE triage_key = ? AND split = ? AND name = ? ORDER BY first_position",
        (triage_key, split, name),
    ).fetchall()
    return np.concatenate([_array(*row) for row in rows]) if rows else None


def read_column_at(
    store: Store, triage_key: int, split: str, name: str, positions: npt.ArrayLike
) -> npt.NDArray[Any] | None:
    """The rows of a column at these positions, in their order; only the blocks that hold them are read.

    None where there is no such column; IndexError for a position that it does not have.
    """
    wanted = np.asarray(positions, dtype=np.int64)
    if not wanted.size:
        return _empty(store, triage_key, split, name)
    firsts = wanted // BLOCK_EXAMPLES * BLOCK_EXAMPLES
    found: npt.NDArray[Any] | None = None
    for first in np.unique(firsts).tolist():
        row = store.db.execute(
            "SELECT dtype, width, n_examples, block FROM triage_columns"
            " WHERE triage_key = ? AND split = ? AND name = ? AND first_position = ?",
            (triage_key, split, name, first),
        ).fetchone()
        if row is None:
            if _empty(store, triage_key, split, name) is None:
                return None
            raise IndexError(f"column {name} of {split} has no position {int(wanted[firsts == first][0])}.")
        block = _array(*row)
        if found is None:
            found = np.empty((len(wanted), *block.shape[1:]), dtype=block.dtype)
        found[firsts == first] = block[wanted[firsts == first] - first]
    return found


def list_columns(store: Store, triage_key: int) -> pd.DataFrame:
    """One row a column: split, name, dtype (as numpy names it), width (0: one number an example), n."""
    frame = read_frame(
        store.db,
        "SELECT split, name, dtype, width, sum(n_examples) AS n FROM triage_columns WHERE triage_key = ?"
        " GROUP BY split, name ORDER BY name, split",
        (triage_key,),
    )
    frame["dtype"] = [np.dtype(dtype).name for dtype in frame["dtype"]]
    return frame


def _empty(store: Store, triage_key: int, split: str, name: str) -> npt.NDArray[Any] | None:
    row = store.db.execute(
        "SELECT dtype, width FROM triage_columns WHERE triage_key = ? AND split = ? AND name = ? LIMIT 1",
        (triage_key, split, name),
    ).fetchone()
    return None if row is None else _array(row[0], row[1], 0, b"")


def _array(dtype: str, width: int, n: int, block: bytes) -> npt.NDArray[Any]:
    array = np.frombuffer(block, dtype=dtype)
    return array.reshape(n, width) if width else array
