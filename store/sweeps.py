"""Sweeps: making and finding them, who drives them, and what has become of them. Their trials: `store.trials`.

One living process at a time drives a sweep: it holds it (`hold_sweep`), says at each heartbeat that it lives, and reads
there whether somebody asked it to stop. All state of a sweep is in these tables, so that any process can take it up.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import astuple
from functools import partial
from typing import TYPE_CHECKING, Any

from store.connection import Store
from store.errors import SweepHeld, SweepNotFound
from store.frames import read_frame
from store.holders import HOLDER_COLUMNS, cause_of_death, is_same, this_process
from store.ids import new_run_id
from store.job_leases import link_sweep
from store.records import Holder, NewSweep, Objective, Status, Sweep
from store.selectors import chosen
from store.trial_jobs import withdraw_trials

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "key, id, name, status, cause, recipe_text, recipe, written, recipe_path, fingerprint, objectives, n_trials,"
    " is_fresh, dataset_key, wall_seconds, parent_key, request, created_at, ended_at, version"
)
_FREE = ", ".join(f"{column} = NULL" for column in HOLDER_COLUMNS.split(", "))


@contextmanager
def write_sweep(store: Store, sweep_key: int, run_key: int | None = None) -> Iterator[sqlite3.Connection]:
    """`Store.write` about a sweep: its version moves too."""
    with store.write(run_key) as db:
        yield db
        db.execute("UPDATE sweeps SET version = version + 1 WHERE key = ?", (sweep_key,))


def record_sweep(store: Store, new: NewSweep) -> Sweep:
    """Write a new sweep; nobody drives it yet (see `hold_sweep`)."""
    with store.write() as db:
        key = insert_sweep(db, new)
    return get_sweep(store, key)


def insert_sweep(db: sqlite3.Connection, new: NewSweep) -> int:
    """Within a transaction: write a new sweep. Returns its key."""
    (key,) = db.execute(
        "INSERT INTO sweeps (id, name, status, recipe_text, recipe, written, recipe_path, fingerprint, objectives,"
        " n_trials, is_fresh, dataset_key, parent_key, created_at)"
        " VALUES (?, ?, 'queued', ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING key",
        (
            new_run_id(),
            new.name,
            new.recipe_text,
            _json(new.recipe),
            _json(new.written),
            new.recipe_path,
            new.fingerprint,
            _json([objective._asdict() for objective in new.objectives]),
            new.n_trials,
            new.is_fresh,
            new.dataset_key,
            new.parent_key,
            time.time(),
        ),
    ).fetchone()
    return int(key)


def get_sweep(store: Store, selector: str | int) -> Sweep:
    """By key, id, id prefix (4 characters or more), name (the newest), or `@latest`.

    Raises SweepNotFound, naming what there is; of several that a prefix fits, it names the candidates.
    """
    db = store.db
    rows = chosen(partial(_select, db), selector)
    if not rows:
        raise SweepNotFound(f"no sweep {selector!r} in {store.path}. {_known(db)}")
    if len(rows) > 1:
        names = ", ".join(f"{row[1]} ({row[2]})" for row in rows[:5])
        raise SweepNotFound(f"{selector!r} fits {len(rows)} sweeps: {names}. Give more characters of the id.")
    return _sweep(db, rows[0])


def find_sweep(store: Store, name: str, fingerprint: str | None = None) -> Sweep | None:
    """The newest sweep of that name; with a fingerprint, the newest of both. None if there is none."""
    rows = _select(
        store.db,
        "name = ?1 AND (?2 IS NULL OR fingerprint = ?2) ORDER BY created_at DESC, key DESC LIMIT 1",
        (name, fingerprint),
    )
    return _sweep(store.db, rows[0]) if rows else None


def find_same(store: Store, new: NewSweep) -> Sweep | None:
    """The newest sweep that looks for the same under the same name, and can be gone on with instead of a new one.

    Instead of a fresh one that is only a fresh one that has not finished.
    """
    rows = _select(
        store.db,
        "name = ? AND fingerprint = ? AND (NOT ? OR (is_fresh AND status != 'finished'))"
        " ORDER BY created_at DESC, key DESC LIMIT 1",
        (new.name, new.fingerprint, new.is_fresh),
    )
    return _sweep(store.db, rows[0]) if rows else None


def list_sweeps(store: Store) -> pd.DataFrame:
    """One row a sweep, newest first.

    Columns: key, id, name, status, cause, recipe_path, n_trials (configurations wanted), created_at, ended_at,
    heartbeat_at, host, pid (of the driver, while there is one), request, parent_key, dataset, version,
    objective, direction (the first), n_objectives, best_value (of the first objective over finished trials), counts of
    trials by status (n_queued, n_running, n_finished, n_failed, n_killed, n_pruned), n_reused, n_configurations,
    wall_seconds (of its drivers), device_seconds (that its trials held devices, see `Trial.held_seconds`), run_seconds,
    energy_joules (sums over the runs it made itself); missing where nothing was measured.
    """
    counts = ", ".join(f"count(CASE t.status WHEN '{status}' THEN 1 END) AS n_{status}" for status in Status)
    return read_frame(
        store.db,
        "SELECT s.key, s.id, s.name, s.status, s.cause, s.recipe_path, s.n_trials, s.created_at, s.ended_at,"
        " s.heartbeat_at, s.host, s.pid, s.request, s.parent_key, d.name || '@' || d.version AS dataset, s.version,"
        " json_extract(s.objectives, '$[0].metric') AS objective,"
        " json_extract(s.objectives, '$[0].direction') AS direction,"
        " json_array_length(s.objectives) AS n_objectives,"
        " CASE json_extract(s.objectives, '$[0].direction')"
        "  WHEN 'maximize' THEN max(CASE t.status WHEN 'finished' THEN json_extract(t.objective_values, '$[0]') END)"
        "  ELSE min(CASE t.status WHEN 'finished' THEN json_extract(t.objective_values, '$[0]') END)"
        f"  END AS best_value, {counts}, count(CASE t.is_reused WHEN 1 THEN 1 END) AS n_reused,"
        " count(DISTINCT t.number) AS n_configurations, s.wall_seconds,"
        " sum(CASE t.is_reused WHEN 0 THEN c.wall_seconds END) AS run_seconds,"
        " sum(t.held_seconds) AS device_seconds,"
        " sum(CASE t.is_reused WHEN 0 THEN c.energy_joules END) AS energy_joules"
        " FROM sweeps s LEFT JOIN datasets d ON d.key = s.dataset_key LEFT JOIN trials t ON t.sweep_key = s.key"
        " LEFT JOIN run_costs c ON c.run_key = t.run_key"
        " GROUP BY s.key ORDER BY s.created_at DESC, s.key DESC",
    )


def update_sweep(store: Store, sweep_key: int, new: NewSweep) -> Sweep:
    """The same search with another budget, name or notes: what the user wrote last stands."""
    with write_sweep(store, sweep_key) as db:
        db.execute(
            "UPDATE sweeps SET name = ?, recipe_text = ?, recipe = ?, written = ?,"
            " recipe_path = coalesce(?, recipe_path), n_trials = ? WHERE key = ?",
            (
                new.name,
                new.recipe_text,
                _json(new.recipe),
                _json(new.written),
                new.recipe_path,
                new.n_trials,
                sweep_key,
            ),
        )
    return get_sweep(store, sweep_key)


def delete_sweep(store: Store, sweep_key: int) -> None:
    """Forget a sweep and its trials. Their runs stay."""
    with store.write() as db:
        db.execute("DELETE FROM sweeps WHERE key = ?", (sweep_key,))


# its driver --------------------------------------------------------------------------------------------------------


def hold_sweep(store: Store, sweep_key: int) -> None:
    """This process drives the sweep from now on, and it is running; an old request to stop is forgotten.

    Raises SweepHeld where another living process does.
    """
    us = this_process()
    with write_sweep(store, sweep_key) as db:
        require_free(get_sweep(store, sweep_key))
        sets = ", ".join(f"{column} = ?" for column in HOLDER_COLUMNS.split(", "))
        db.execute(
            f"UPDATE sweeps SET {sets}, status = 'running', cause = NULL, ended_at = NULL, request = NULL"
            " WHERE key = ?",
            (*astuple(us), sweep_key),
        )
        link_sweep(db, sweep_key)


def require_free(sweep: Sweep) -> None:
    """Raise SweepHeld where another living process drives the sweep."""
    holder = sweep.holder
    if holder is not None and not is_same(holder, this_process()) and cause_of_death(holder) is None:
        raise SweepHeld(
            f"sweep {sweep.id} ({sweep.name}) is driven by process {holder.pid} on {holder.host}. "
            "Stop that one first (Ctrl-C), or wait for its end."
        )


def beat_sweep(
    store: Store, sweep_key: int, worked_seconds: float, held_seconds: Mapping[int, float] | None = None
) -> str | None:
    """Say that the driver lives, has worked that much longer, and that trials (by key) have held devices that much
    longer; returns what is asked of it (`stop`), or None."""
    with write_sweep(store, sweep_key) as db:
        db.executemany(
            "UPDATE trials SET held_seconds = coalesce(held_seconds, 0) + ? WHERE key = ? AND sweep_key = ?",
            [(seconds, trial, sweep_key) for trial, seconds in (held_seconds or {}).items()],
        )
        (request,) = db.execute(
            "UPDATE sweeps SET heartbeat_at = ?, wall_seconds = wall_seconds + ? WHERE key = ? RETURNING request",
            (time.time(), worked_seconds, sweep_key),
        ).fetchone()
    return None if request is None else str(request)


def release_sweep(store: Store, sweep_key: int, status: Status, cause: str | None = None) -> None:
    """The sweep has come to this end, and its driver lets go of it."""
    with write_sweep(store, sweep_key) as db:
        _end(db, sweep_key, status, cause)


def request_stop(store: Store, sweep_key: int) -> bool:
    """Ask the driver to stop; its trials stop cleanly and can be taken up again. False where nobody drives it."""
    with write_sweep(store, sweep_key) as db:
        cursor = db.execute("UPDATE sweeps SET request = 'stop' WHERE key = ? AND status = 'running'", (sweep_key,))
        return cursor.rowcount == 1


def reconcile_sweeps(store: Store) -> list[Sweep]:
    """Make statuses true: sweeps whose driver is gone become `failed` with a cause, their running trials `killed`.

    Returns those sweeps. The same command again takes them up where they stopped.
    """
    gone = []
    for (key,) in store.db.execute("SELECT key FROM sweeps WHERE status = 'running'").fetchall():
        holder = get_sweep(store, key).holder
        cause = cause_of_death(holder) if holder else "killed: no process drives this sweep"
        if cause is None:
            continue
        with write_sweep(store, key) as db:
            sweep = get_sweep(store, key)
            if sweep.status != Status.RUNNING or sweep.holder != holder:
                continue  # it ended, or somebody took it up, since we looked
            _end(db, key, Status.FAILED, cause)
            db.execute(
                "UPDATE trials SET status = 'killed', cause = ?, ended_at = ?, n_attempts = max(0, n_attempts - 1)"
                " WHERE sweep_key = ? AND status = 'running'",
                (f"the sweep's driver is gone: {cause}", time.time(), key),
            )
        gone.append(get_sweep(store, key))
    return gone


def _end(db: sqlite3.Connection, sweep_key: int, status: Status, cause: str | None) -> None:
    db.execute(
        f"UPDATE sweeps SET status = ?, cause = ?, ended_at = ?, request = NULL, {_FREE} WHERE key = ?",
        (status, cause, time.time(), sweep_key),
    )
    withdraw_trials(db, sweep_key, f"its sweep ended: {cause or status}")


def _select(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT {_COLUMNS}, {HOLDER_COLUMNS} FROM sweeps WHERE {where}", values).fetchall()


def _sweep(db: sqlite3.Connection, row: tuple[Any, ...]) -> Sweep:
    names = _COLUMNS.split(", ")
    values = dict(zip(names, row[: len(names)], strict=True))
    held = row[len(names) :]
    return Sweep(
        **{
            **values,
            "status": Status(values["status"]),
            "is_fresh": bool(values["is_fresh"]),
            "recipe": json.loads(values["recipe"]),
            "written": json.loads(values["written"]),
            "objectives": tuple(Objective(**objective) for objective in json.loads(values["objectives"])),
        },
        holder=None if held[0] is None else Holder(*held),
    )


def _known(db: sqlite3.Connection) -> str:
    newest = db.execute("SELECT name, id FROM sweeps ORDER BY created_at DESC, key DESC LIMIT 3").fetchall()
    if not newest:
        return "There are no sweeps yet: `runner sweep RECIPE` makes one."
    return "The newest are " + ", ".join(f"{name} ({identity})" for name, identity in newest) + "."


def _json(value: Mapping[str, object] | list[Any]) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
