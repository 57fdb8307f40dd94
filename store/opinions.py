"""Opinions: what a model that had not seen the label thinks of each training example of a dataset version.

Natural log probabilities in blocks of float16; nan: not known yet. They come in parts, one for each fold, so that a
crossval that was killed goes on with the next one. One living process at a time makes an opinion (`store.holders`).

An opinion has a row for each training example. Of sentences with spans it has one for each word, of all training
sentences end to end: who writes and who reads it says how many (`n_rows`).
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from store.connection import Store
from store.errors import OpinionHeld, OpinionNotFound
from store.frames import read_frame
from store.holders import HOLDER_COLUMNS, cause_of_death, is_same, this_process
from store.ids import new_run_id
from store.plain import to_json, to_numbers
from store.records import Dataset, Holder, Status

if TYPE_CHECKING:
    import pandas as pd

BLOCK_EXAMPLES = 4096

_COLUMNS = (
    "key, id, dataset_key, fingerprint, kind, name, status, cause, n_classes, recipe_hash, n_folds, seed, sources,"
    " created_at, ended_at, version"
)
_FREE = ", ".join(f"{column} = NULL" for column in HOLDER_COLUMNS.split(", "))


@dataclass(frozen=True)
class Opinion:
    """Who thinks what of the training examples; the numbers: `read_opinion`."""

    key: int
    id: str
    dataset_key: int
    fingerprint: str
    """Of how it is made."""
    kind: str
    """Such as crossval."""
    name: str
    status: Status
    """running, finished, failed or killed."""
    cause: str | None
    n_classes: int
    recipe_hash: str | None
    n_folds: int | None
    """Parts that make it complete; None: one."""
    seed: int | None
    sources: Sequence[Mapping[str, Any]]
    """The runs that it comes from: {"kind": "run", "id": ..., "name": ...}; one may have been removed since."""
    created_at: float
    ended_at: float | None
    version: int
    n_parts: int
    """That are there."""
    holder: Holder | None
    """The process that makes it, while there is one."""

    @property
    def is_complete(self) -> bool:
        """Whether all parts are there."""
        return self.n_parts >= (self.n_folds or 1)


@contextmanager
def _write(store: Store, opinion_key: int) -> Iterator[sqlite3.Connection]:
    with store.write() as db:
        yield db
        db.execute("UPDATE opinions SET version = version + 1 WHERE key = ?", (opinion_key,))


def begin_opinion(
    store: Store,
    dataset: Dataset,
    *,
    kind: str,
    name: str,
    fingerprint: str,
    n_classes: int,
    recipe_hash: str | None = None,
    n_folds: int | None = None,
    seed: int | None = None,
    run_keys: Sequence[int] = (),
) -> Opinion:
    """The opinion of this fingerprint about the dataset, made if it is not there, with nothing known yet.

    ValueError where it is there and of another number of classes.
    """
    with store.write() as db:
        row = db.execute(
            "SELECT key, n_classes FROM opinions WHERE dataset_key = ? AND fingerprint = ?", (dataset.key, fingerprint)
        ).fetchone()
        if row is None:
            row = db.execute(
                "INSERT INTO opinions (id, dataset_key, fingerprint, kind, name, status, n_classes, recipe_hash,"
                " n_folds, seed, created_at) VALUES (?, ?, ?, ?, ?, 'queued', ?, ?, ?, ?, ?) RETURNING key, n_classes",
                (
                    new_run_id(),
                    dataset.key,
                    fingerprint,
                    kind,
                    name,
                    n_classes,
                    recipe_hash,
                    n_folds,
                    seed,
                    time.time(),
                ),
            ).fetchone()
        key, known_classes = row
        if known_classes != n_classes:
            raise ValueError(f"opinion {name} is of {known_classes} classes, not {n_classes}.")
        _add_sources(db, key, run_keys)
    return get_opinion(store, int(key))


def hold_opinion(store: Store, opinion_key: int) -> None:
    """This process makes the opinion from now on. Raises OpinionHeld where another living process does."""
    us = this_process()
    with _write(store, opinion_key) as db:
        opinion = get_opinion(store, opinion_key)
        holder = opinion.holder
        if holder is not None and not is_same(holder, us) and cause_of_death(holder) is None:
            raise OpinionHeld(
                f"{opinion.kind} {opinion.name} is computed by process {holder.pid} on {holder.host}. "
                "Wait for its end, or stop that one first (Ctrl-C)."
            )
        sets = ", ".join(f"{column} = ?" for column in HOLDER_COLUMNS.split(", "))
        db.execute(
            f"UPDATE opinions SET {sets}, status = 'running', cause = NULL, ended_at = NULL WHERE key = ?",
            (*astuple(us), opinion_key),
        )


def beat_opinion(store: Store, opinion_key: int) -> None:
    """Say that the process lives, in a part that takes minutes: where others look from another host they need it."""
    with store.write() as db:
        db.execute("UPDATE opinions SET heartbeat_at = ? WHERE key = ?", (time.time(), opinion_key))


def release_opinion(store: Store, opinion_key: int, status: Status, cause: str | None = None) -> None:
    """It has come to this end (finished, failed, killed), and the process lets go of it."""
    with _write(store, opinion_key) as db:
        _end(db, opinion_key, status, cause)


def record_opinion_part(
    store: Store,
    opinion_key: int,
    positions: npt.ArrayLike,
    log_probs: npt.NDArray[np.floating[Any]],
    *,
    part: int = 0,
    cost: Mapping[str, float | None] | None = None,
    run_keys: Sequence[int] = (),
    n_rows: int | None = None,
) -> None:
    """Write what is thought of these training positions: log_probs `(len(positions), n_classes)`, nan = not known.

    part: which fold it is, done again or for the first time; cost: what it took, by name. n_rows: of the whole opinion,
    the same in every part; None: the training examples. ValueError for arrays that do not fit.
    """
    rows = np.asarray(positions, dtype=np.int64)
    values = np.asarray(log_probs)
    with _write(store, opinion_key) as db:
        n_classes, n_examples = _shape(db, opinion_key)
        n_rows = n_examples if n_rows is None else n_rows
        if values.shape != (len(rows), n_classes):
            raise ValueError(f"log_probs has shape {values.shape}; needed is ({len(rows)}, {n_classes}).")
        if rows.size and not 0 <= rows.min() <= rows.max() < n_rows:
            raise ValueError(f"positions are {rows.min()} to {rows.max()}; there are 0 to {n_rows - 1}.")
        firsts = rows // BLOCK_EXAMPLES * BLOCK_EXAMPLES
        for first in np.unique(firsts).tolist():
            here = firsts == first
            _write_block(db, opinion_key, (n_rows, n_classes), first, rows[here] - first, values[here])
        db.execute(
            "INSERT OR REPLACE INTO opinion_parts (opinion_key, part, n_examples, cost, at) VALUES (?, ?, ?, ?, ?)",
            (opinion_key, part, len(rows), json.dumps(to_numbers(cost or {})), time.time()),
        )
        _add_sources(db, opinion_key, run_keys)
        db.execute(
            "UPDATE opinions SET heartbeat_at = ? WHERE key = ? AND heartbeat_at IS NOT NULL",
            (time.time(), opinion_key),
        )


def record_opinion(
    store: Store,
    dataset: Dataset,
    *,
    kind: str,
    name: str,
    fingerprint: str,
    log_probs: npt.NDArray[np.floating[Any]],
    recipe_hash: str | None = None,
    seed: int | None = None,
    run_keys: Sequence[int] = (),
    cost: Mapping[str, float | None] | None = None,
) -> Opinion:
    """Write a whole opinion at once: log_probs `(n_train, n_classes)`, rows of nan = not known."""
    opinion = begin_opinion(
        store, dataset, kind=kind, name=name, fingerprint=fingerprint, n_classes=log_probs.shape[1],
        recipe_hash=recipe_hash, seed=seed, run_keys=run_keys,
    )  # fmt: skip
    record_opinion_part(store, opinion.key, np.arange(len(log_probs)), log_probs, cost=cost)
    release_opinion(store, opinion.key, Status.FINISHED)
    return get_opinion(store, opinion.key)


def finished_parts(store: Store, opinion_key: int) -> dict[int, dict[str, Any]]:
    """The parts that are there: number → what it cost, and n, its examples."""
    rows = store.db.execute(
        "SELECT part, n_examples, cost FROM opinion_parts WHERE opinion_key = ? ORDER BY part", (opinion_key,)
    )
    return {part: {**json.loads(cost), "n": n} for part, n, cost in rows}


def get_opinion(store: Store, opinion_key: int) -> Opinion:
    """By key. Raises OpinionNotFound."""
    row = store.db.execute(
        f"SELECT {_COLUMNS}, (SELECT count(*) FROM opinion_parts WHERE opinion_key = key), {HOLDER_COLUMNS}"
        " FROM opinions WHERE key = ?",
        (opinion_key,),
    ).fetchone()
    if row is None:
        raise OpinionNotFound(f"there is no opinion {opinion_key} in {store.path}.")
    names = [*_COLUMNS.split(", "), "n_parts"]
    values = dict(zip(names, row[: len(names)], strict=True))
    held = row[len(names) :]
    return Opinion(
        **{**values, "status": Status(values["status"]), "sources": json.loads(values["sources"])},
        holder=None if held[0] is None else Holder(*held),
    )


def list_opinions(store: Store, dataset: Dataset) -> pd.DataFrame:
    """Newest first. Columns key, id, kind, name, status, cause, fingerprint, n_classes, recipe_hash, n_folds, n_parts,
    is_complete, seed, sources (a list of {"kind", "id", "name"}), n_known (its rows in which nothing is unknown),
    created_at, ended_at."""
    frame = read_frame(
        store.db,
        "SELECT key, id, kind, name, status, cause, fingerprint, n_classes, recipe_hash, n_folds,"
        " (SELECT count(*) FROM opinion_parts WHERE opinion_key = o.key) AS n_parts, seed, sources,"
        " (SELECT coalesce(sum(n_known), 0) FROM opinion_blocks WHERE opinion_key = o.key) AS n_known,"
        " created_at, ended_at FROM opinions o WHERE dataset_key = ? ORDER BY created_at DESC, key DESC",
        (dataset.key,),
    )
    frame.insert(11, "is_complete", frame["n_parts"] >= frame["n_folds"].fillna(1))
    frame["sources"] = [json.loads(sources) for sources in frame["sources"]]
    return frame


def read_opinion(store: Store, opinion_key: int, *, n_rows: int | None = None) -> npt.NDArray[np.float16]:
    """`(n_rows, n_classes)` float16 natural log probabilities, nan where nothing is known.

    n_rows: as it was written with; None: the training examples. ValueError where it has more.
    """
    n_classes, n_examples = _shape(store.db, opinion_key)
    n_rows = n_examples if n_rows is None else n_rows
    found = np.full((n_rows, n_classes), np.nan, dtype=np.float16)
    for first, n, block in store.db.execute(
        "SELECT first_position, n_examples, block FROM opinion_blocks WHERE opinion_key = ?", (opinion_key,)
    ):
        if first + n > n_rows:
            raise ValueError(f"opinion {opinion_key} has {first + n} rows or more; {n_rows} were asked for.")
        found[first : first + n] = np.frombuffer(block, dtype="<f2").reshape(n, n_classes)
    return found


def delete_opinion(store: Store, opinion_key: int) -> None:
    """Forget an opinion."""
    with store.write() as db:
        db.execute("DELETE FROM opinions WHERE key = ?", (opinion_key,))


def reconcile_opinions(store: Store) -> list[Opinion]:
    """Make statuses true: opinions whose process is gone become `killed` with a cause. Returns those."""
    gone = []
    for (key,) in store.db.execute("SELECT key FROM opinions WHERE status = 'running'").fetchall():
        holder = get_opinion(store, key).holder
        cause = cause_of_death(holder) if holder else "killed: no process makes this opinion"
        if cause is None:
            continue
        with _write(store, key) as db:
            opinion = get_opinion(store, key)
            if opinion.status != Status.RUNNING or opinion.holder != holder:
                continue  # it ended, or somebody took it up, since we looked
            _end(db, key, Status.KILLED, cause)
        gone.append(get_opinion(store, key))
    return gone


def _end(db: sqlite3.Connection, opinion_key: int, status: Status, cause: str | None) -> None:
    db.execute(
        f"UPDATE opinions SET status = ?, cause = ?, ended_at = ?, {_FREE} WHERE key = ?",
        (status, cause, time.time(), opinion_key),
    )


def _write_block(
    db: sqlite3.Connection,
    opinion_key: int,
    shape: tuple[int, int],
    first: int,
    places: npt.NDArray[np.int64],
    values: npt.NDArray[np.floating[Any]],
) -> None:
    """Put values at these places of the block that begins at position `first`; the rest of it stays."""
    size, n_classes = min(BLOCK_EXAMPLES, shape[0] - first), shape[1]
    row = db.execute(
        "SELECT block FROM opinion_blocks WHERE opinion_key = ? AND first_position = ?", (opinion_key, first)
    ).fetchone()
    block = np.full((size, n_classes), np.nan, dtype="<f2")
    if row is not None:
        block = np.frombuffer(row[0], dtype="<f2").reshape(size, n_classes).copy()
    block[places] = np.maximum(values, np.finfo(np.float16).min)  # the logarithm of 0 stays finite
    n_known = int((~np.isnan(block).any(axis=1)).sum())
    db.execute(
        "INSERT OR REPLACE INTO opinion_blocks (opinion_key, first_position, n_examples, n_known, block)"
        " VALUES (?, ?, ?, ?, ?)",
        (opinion_key, first, size, n_known, block.tobytes()),
    )


def _shape(db: sqlite3.Connection, opinion_key: int) -> tuple[int, int]:
    """Classes, and training examples."""
    row = db.execute(
        "SELECT o.n_classes, coalesce(json_extract(d.n_rows, '$.train'), 0) FROM opinions o"
        " JOIN datasets d ON d.key = o.dataset_key WHERE o.key = ?",
        (opinion_key,),
    ).fetchone()
    if row is None:
        raise OpinionNotFound(f"there is no opinion {opinion_key} in the store.")
    return int(row[0]), int(row[1])


def _add_sources(db: sqlite3.Connection, opinion_key: int, run_keys: Sequence[int]) -> None:
    if not run_keys:
        return
    (text,) = db.execute("SELECT sources FROM opinions WHERE key = ?", (opinion_key,)).fetchone()
    sources: list[Mapping[str, object]] = json.loads(text)
    known = {source["id"] for source in sources}
    for identity, name in db.execute(
        "SELECT id, name FROM runs WHERE key IN (SELECT value FROM json_each(?)) ORDER BY key",
        (json.dumps([int(key) for key in run_keys]),),
    ):
        if identity not in known:
            sources.append({"kind": "run", "id": identity, "name": name})
    db.execute("UPDATE opinions SET sources = ? WHERE key = ?", (to_json(sources), opinion_key))
