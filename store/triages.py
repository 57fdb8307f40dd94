"""Triages: one computation of everything about one dataset version. Who is at it, what became of it, what it says.

A triage is held by one living process at a time (`store.holders`) and is done in steps (`store.triage_steps`): one
that was killed is taken up where it stopped. It never changes once it has finished.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import astuple, dataclass
from typing import TYPE_CHECKING, Any

from store.connection import Store
from store.errors import TriageHeld, TriageNotFound
from store.facets import index_metadata
from store.frames import read_frame
from store.holders import HOLDER_COLUMNS, cause_of_death, is_same, this_process
from store.ids import new_run_id
from store.plain import to_json, to_numbers
from store.records import Dataset, Holder, Status

if TYPE_CHECKING:
    import pandas as pd

KEPT_WITH_ROWS = 2
"""Of one dataset version so many finished triages keep their queue, findings and columns; older ones their summary."""

_COLUMNS = (
    "key, id, dataset_key, status, cause, fingerprint, versions, sources, summary, has_rows, created_at, ended_at,"
    " version"
)
_FREE = ", ".join(f"{column} = NULL" for column in HOLDER_COLUMNS.split(", "))
_ROWS = ("triage_queue", "findings", "finding_groups", "triage_columns", "triage_steps")


@dataclass(frozen=True)
class Triage:
    """What was found out about one dataset version."""

    key: int
    id: str
    dataset_key: int
    status: Status
    """running, finished, failed or killed."""
    cause: str | None
    fingerprint: str
    """Of what it looks at and how: two triages of one fingerprint say the same."""
    versions: Mapping[str, int]
    """Of scores and kinds of findings."""
    sources: Sequence[Mapping[str, Any]]
    """What it looked at: {"kind": "run", "id": ..., "name": ...}; a run may have been removed since."""
    summary: Mapping[str, Any]
    """What its steps say so far; all of it once it has finished."""
    has_rows: bool
    """False where later triages of this dataset took its place: then only the summary is left."""
    created_at: float
    ended_at: float | None
    version: int
    holder: Holder | None
    """The process that is at it, while there is one."""


@contextmanager
def write_triage(store: Store, triage_key: int) -> Iterator[sqlite3.Connection]:
    """`Store.write` about a triage: its version moves too."""
    with store.write() as db:
        yield db
        db.execute("UPDATE triages SET version = version + 1 WHERE key = ?", (triage_key,))


def begin_triage(
    store: Store,
    dataset: Dataset,
    *,
    fingerprint: str,
    versions: Mapping[str, int],
    sources: Sequence[Mapping[str, object]],
    fresh: bool = False,
) -> Triage:
    """This process is at a triage of the dataset from now on: an unfinished one of this fingerprint, or a new one.

    `fresh`: always a new one. Raises TriageHeld where another living process is at the unfinished one.
    """
    index_metadata(store, dataset)
    holder = this_process()
    with store.write() as db:
        unfinished = _select(
            db,
            "dataset_key = ? AND fingerprint = ? AND status <> 'finished' AND has_rows ORDER BY key DESC LIMIT 1",
            (dataset.key, fingerprint),
        )
        if unfinished and not fresh:
            triage = _triage(unfinished[0])
            _require_free(triage)
            key = triage.key
        else:
            (key,) = db.execute(
                "INSERT INTO triages (id, dataset_key, status, fingerprint, versions, sources, created_at)"
                " VALUES (?, ?, 'running', ?, ?, ?, ?) RETURNING key",
                (new_run_id(), dataset.key, fingerprint, to_json(versions), to_json(list(sources)), time.time()),
            ).fetchone()
        sets = ", ".join(f"{column} = ?" for column in HOLDER_COLUMNS.split(", "))
        db.execute(
            f"UPDATE triages SET {sets}, status = 'running', cause = NULL, ended_at = NULL, versions = ?, sources = ?,"
            " version = version + 1 WHERE key = ?",
            (*astuple(holder), to_json(versions), to_json(list(sources)), key),
        )
    return get_triage(store, key)


def _require_free(triage: Triage) -> None:
    holder = triage.holder
    if holder is not None and not is_same(holder, this_process()) and cause_of_death(holder) is None:
        raise TriageHeld(
            f"triage {triage.id} is computed by process {holder.pid} on {holder.host}. "
            "Wait for its end, or stop that one first (Ctrl-C)."
        )


def beat_triage(store: Store, triage_key: int) -> None:
    """Say that the process lives, in a step that takes minutes: where others look from another host they need it."""
    with store.write() as db:
        db.execute("UPDATE triages SET heartbeat_at = ? WHERE key = ?", (time.time(), triage_key))


def finish_triage(store: Store, triage_key: int, summary: Mapping[str, object]) -> Triage:
    """It is done. The queue gets a row for every example with a finding that has none yet, with no risk, at its end.

    The keys of summary are added to what the steps wrote; numbers that are not finite become null. Older triages of the
    dataset lose all but their summary, except the newest of them (`KEPT_WITH_ROWS`), and so do unfinished ones that
    nobody is at.
    """
    with write_triage(store, triage_key) as db:
        _complete_queue(db, triage_key)
        merge_summary(db, triage_key, summary)
        db.execute(
            f"UPDATE triages SET status = 'finished', cause = NULL, ended_at = ?, {_FREE} WHERE key = ?",
            (time.time(), triage_key),
        )
        _drop_superseded(db, triage_key)
    return get_triage(store, triage_key)


def merge_summary(db: sqlite3.Connection, triage_key: int, summary: Mapping[str, object]) -> None:
    """Within a transaction: these keys of the summary say this from now on."""
    (text,) = db.execute("SELECT summary FROM triages WHERE key = ?", (triage_key,)).fetchone()
    merged = {**json.loads(text), **to_numbers(summary)}
    db.execute(
        "UPDATE triages SET summary = ? WHERE key = ?",
        (json.dumps(merged, ensure_ascii=False, allow_nan=False), triage_key),
    )


def fail_triage(store: Store, triage_key: int, status: Status, cause: str) -> Triage:
    """It has come to this end, `failed` or `killed`, and can be taken up again."""
    with write_triage(store, triage_key) as db:
        _end(db, triage_key, status, cause)
    return get_triage(store, triage_key)


def get_triage(store: Store, selector: str | int) -> Triage:
    """By key, id, or the beginning of an id (4 characters or more). Raises TriageNotFound, naming what there is."""
    db = store.db
    if isinstance(selector, int):
        rows = _select(db, "key = ?", (selector,))
    else:
        wanted = selector.upper()
        rows = _select(db, "id = ?", (wanted,))
        if not rows and len(selector) >= 4 and selector.isalnum():
            rows = _select(db, "id >= ? AND id < ? ORDER BY id", (wanted, wanted + "~"))
    if not rows:
        newest = [identity for (identity,) in db.execute("SELECT id FROM triages ORDER BY key DESC LIMIT 3")]
        known = f"The newest are {', '.join(newest)}." if newest else "There are none yet: `runner triage` makes one."
        raise TriageNotFound(f"no triage {selector!r} in {store.path}. {known}")
    if len(rows) > 1:
        names = ", ".join(str(row[1]) for row in rows[:5])
        raise TriageNotFound(f"{selector!r} fits {len(rows)} triages: {names}. Give more characters of the id.")
    return _triage(rows[0])


def latest_triage(store: Store, dataset_key: int, *, finished: bool = True) -> Triage | None:
    """The newest triage of a dataset version, None if there is none; with `finished=False` of any status."""
    where = "dataset_key = ?" + (" AND status = 'finished'" if finished else "")
    rows = _select(store.db, f"{where} ORDER BY created_at DESC, key DESC LIMIT 1", (dataset_key,))
    return _triage(rows[0]) if rows else None


def find_triage(store: Store, dataset_key: int, fingerprint: str) -> Triage | None:
    """The newest finished triage of this fingerprint that still has its rows: it need not be computed again."""
    rows = _select(
        store.db,
        "dataset_key = ? AND fingerprint = ? AND status = 'finished' AND has_rows"
        " ORDER BY created_at DESC, key DESC LIMIT 1",
        (dataset_key, fingerprint),
    )
    return _triage(rows[0]) if rows else None


def list_triages(store: Store, dataset_key: int | None = None) -> pd.DataFrame:
    """One row a triage, newest first.

    Columns key, id, dataset_key, dataset, status, cause, has_rows, n_steps, seconds (of its steps), created_at,
    ended_at, heartbeat_at, host, pid, version.
    """
    return read_frame(
        store.db,
        "SELECT t.key, t.id, t.dataset_key, d.name || '@' || d.version AS dataset, t.status, t.cause, t.has_rows,"
        " count(s.name) AS n_steps, sum(s.seconds) AS seconds, t.created_at, t.ended_at, t.heartbeat_at, t.host, t.pid,"
        " t.version FROM triages t JOIN datasets d ON d.key = t.dataset_key"
        " LEFT JOIN triage_steps s ON s.triage_key = t.key WHERE ?1 IS NULL OR t.dataset_key = ?1"
        " GROUP BY t.key ORDER BY t.created_at DESC, t.key DESC",
        (dataset_key,),
    )


def delete_triage(store: Store, triage_key: int) -> None:
    """Forget a triage. The decisions that it led to stay."""
    with store.write() as db:
        db.execute("DELETE FROM triages WHERE key = ?", (triage_key,))


def reconcile_triages(store: Store) -> list[Triage]:
    """Make statuses true: triages whose process is gone become `killed` with a cause. Returns those."""
    gone = []
    for (key,) in store.db.execute("SELECT key FROM triages WHERE status = 'running'").fetchall():
        holder = get_triage(store, key).holder
        cause = cause_of_death(holder) if holder else "killed: no process is at this triage"
        if cause is None:
            continue
        with write_triage(store, key) as db:
            triage = get_triage(store, key)
            if triage.status != Status.RUNNING or triage.holder != holder:
                continue  # it ended, or somebody took it up, since we looked
            _end(db, key, Status.KILLED, cause)
        gone.append(get_triage(store, key))
    return gone


def _end(db: sqlite3.Connection, triage_key: int, status: Status, cause: str) -> None:
    db.execute(
        f"UPDATE triages SET status = ?, cause = ?, ended_at = ?, {_FREE} WHERE key = ?",
        (status, cause, time.time(), triage_key),
    )


def _complete_queue(db: sqlite3.Connection, triage_key: int) -> None:
    """Examples with findings that the queue has no row of come last, by split and position."""
    (place,) = db.execute(
        "SELECT coalesce(max(place), -1) FROM triage_queue WHERE triage_key = ?", (triage_key,)
    ).fetchone()
    db.execute(
        "INSERT INTO triage_queue (triage_key, place, split, position, example_key, given)"
        " SELECT :triage, :place + row_number() OVER (ORDER BY w.split, w.position), w.split, w.position,"
        "  w.example_key, iif(typeof(w.target) = 'integer', w.target, NULL)"
        " FROM (SELECT DISTINCT split, position FROM findings WHERE triage_key = :triage) f"
        " JOIN triages t ON t.key = :triage"
        " JOIN dataset_rows w ON w.dataset_key = t.dataset_key AND w.split = f.split AND w.position = f.position"
        " WHERE NOT EXISTS (SELECT 1 FROM triage_queue q WHERE q.triage_key = :triage AND q.split = f.split"
        "  AND q.position = f.position)",
        {"triage": triage_key, "place": place},
    )


def _drop_superseded(db: sqlite3.Connection, triage_key: int) -> None:
    old = [
        key
        for (key,) in db.execute(
            "SELECT o.key FROM triages t JOIN triages o ON o.dataset_key = t.dataset_key AND o.has_rows"
            " WHERE t.key = ? AND o.status = 'finished' ORDER BY o.ended_at DESC, o.key DESC LIMIT -1 OFFSET ?",
            (triage_key, KEPT_WITH_ROWS),
        )
    ]
    old += [
        key
        for (key,) in db.execute(
            "SELECT o.key FROM triages t JOIN triages o ON o.dataset_key = t.dataset_key AND o.has_rows"
            " WHERE t.key = ? AND o.status IN ('failed', 'killed')",
            (triage_key,),
        )
    ]
    for key in old:
        for table in _ROWS:
            db.execute(f"DELETE FROM {table} WHERE triage_key = ?", (key,))
        db.execute("UPDATE triages SET has_rows = 0, version = version + 1 WHERE key = ?", (key,))


def _select(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT {_COLUMNS}, {HOLDER_COLUMNS} FROM triages WHERE {where}", values).fetchall()


def _triage(row: tuple[Any, ...]) -> Triage:
    names = _COLUMNS.split(", ")
    values = dict(zip(names, row[: len(names)], strict=True))
    held = row[len(names) :]
    return Triage(
        **{
            **values,
            "status": Status(values["status"]),
            "versions": json.loads(values["versions"]),
            "sources": json.loads(values["sources"]),
            "summary": json.loads(values["summary"]),
            "has_rows": bool(values["has_rows"]),
        },
        holder=None if held[0] is None else Holder(*held),
    )
