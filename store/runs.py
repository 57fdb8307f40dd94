"""Runs: making them, finding them, what happened to them, and removing them."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.connection import Store, explained
from store.errors import RunAmbiguous, RunNotFound, StoreUnreadable
from store.frames import read_frame
from store.ids import new_run_id
from store.leases import hold_run
from store.plain import to_json
from store.records import Checkpoint, NewRun, Run, RunCost, RunId, Status
from store.selectors import chosen

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "key, id, name, task, method, base_model, status, cause, recipe_text, recipe, recipe_hash, dataset_key,"
    " provenance, tags, note, created_at, started_at, ended_at, select_metric, version"
)


def record_run(store: Store, new: NewRun, *, status: Status = Status.QUEUED) -> Run:
    """Write a new run and its first segment. A running one is held by this process from its first moment on."""
    now = time.time()
    with store.write() as db:
        (key,) = db.execute(
            "INSERT INTO runs (id, name, task, method, base_model, status, recipe_text, recipe, recipe_hash,"
            " dataset_key, provenance, tags, note, created_at, started_at, select_metric)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) RETURNING key",
            (
                new_run_id(),
                new.name,
                new.task,
                new.method,
                new.base_model,
                status,
                new.recipe_text,
                _json(new.recipe),
                new.recipe_hash,
                new.dataset_key,
                _json(new.provenance),
                _json(list(new.tags)),
                new.note,
                now,
                now if status == Status.RUNNING else None,
                new.select_metric,
            ),
        ).fetchone()
        db.execute("INSERT INTO segments (run_key, number, start_step, started_at) VALUES (?, 1, 0, ?)", (key, now))
        run = get_run(store, key)
        if status == Status.RUNNING:
            hold_run(db, store, run)
    return get_run(store, key)


def get_run(store: Store, selector: str | int) -> Run:
    """By key, id, unique id prefix (4 characters or more), name (the newest), or `@latest`.

    Raises RunNotFound, or RunAmbiguous naming the candidates of a prefix.
    """
    db = store.db
    rows = chosen(partial(_select, db), selector)
    if not rows:
        raise RunNotFound(f"no run {selector!r} in {store.path}. {_known_runs(db)}")
    if len(rows) > 1:
        names = ", ".join(f"{row[1]} ({row[2]})" for row in rows[:5])
        raise RunAmbiguous(f"{selector!r} fits {len(rows)} runs: {names}. Give more characters of the id.")
    return _run(rows[0])


def _known_runs(db: sqlite3.Connection) -> str:
    newest = db.execute("SELECT name, id FROM runs ORDER BY created_at DESC, key DESC LIMIT 3").fetchall()
    if not newest:
        return "There are no runs yet: `runner train RECIPE` makes one."
    return "The newest are " + ", ".join(f"{name} ({identity})" for name, identity in newest) + "; see `runner ls`."


def finish_run(store: Store, run_key: int, status: Status, cause: str | None = None) -> None:
    """Give a run its final status and let go of its lease."""
    with store.write(run_key) as db:
        end_run(db, run_key, status, cause)


def end_run(
    db: sqlite3.Connection, run_key: int, status: Status, cause: str | None, *, at: float | None = None
) -> None:
    """As `finish_run`, inside a transaction of the caller's; `at` (unix seconds) is when it ended, if not now."""
    db.execute(
        "UPDATE runs SET status = ?, cause = ?, ended_at = ? WHERE key = ?",
        (status, cause, time.time() if at is None else at, run_key),
    )
    db.execute("DELETE FROM leases WHERE run_key = ?", (run_key,))


def set_dataset(store: Store, run_key: int, dataset_key: int) -> None:
    with store.write(run_key) as db:
        db.execute("UPDATE runs SET dataset_key = ? WHERE key = ?", (dataset_key, run_key))


_SORTABLE = {
    "created_at": "r.created_at",
    "name": "r.name COLLATE NOCASE",
    "status": "r.status",
    "method": "r.method",
    "value": "s.value",
    "wall_seconds": "c.wall_seconds",
    "examples_per_second": "c.examples_per_second",
    "peak_host_bytes": "c.peak_host_bytes",
}


def find_runs(store: Store, recipe_hash: str, dataset_key: int, *, status: Status | str) -> list[Run]:
    """Runs of one experiment: the same recipe (by its hash) on the same dataset version, newest first."""
    rows = store.db.execute(
        "SELECT key FROM runs WHERE recipe_hash = ? AND dataset_key = ? AND status = ?"
        " ORDER BY created_at DESC, key DESC",
        (recipe_hash, int(dataset_key), str(status)),
    ).fetchall()
    return [get_run(store, int(key)) for (key,) in rows]


def list_runs(
    store: Store,
    *,
    search: str | None = None,
    status: Sequence[str] = (),
    task: Sequence[str] = (),
    method: Sequence[str] = (),
    dataset: str | None = None,
    tag: str | None = None,
    best_of_sweeps: bool = False,
    sort: str = "created_at",
    descending: bool = True,
    limit: int | None = None,
    offset: int = 0,
) -> pd.DataFrame:
    """One row a run, newest first.

    Columns: key, id, name, task, method, base_model, dataset, status, cause, created_at, started_at, ended_at,
    heartbeat_at, rows_pending, rows_lost, select_metric, value, low, high, n, step, epoch (the select metric at the
    best checkpoint, with its 95 % interval), base_value (the same metric before training), all of RunCost, n_alerts,
    tags, note, version. `search` is looked for in name, note, base model, tags, dataset and recipe text;
    `best_of_sweeps` leaves out all runs of a sweep but its best. Raises ValueError for an unknown `sort`.
    """
    if sort not in _SORTABLE:
        raise ValueError(f"cannot sort by {sort!r}; choose one of {', '.join(_SORTABLE)}.")
    where, values = _matching(search, status, task, method, dataset, tag, best_of_sweeps)
    costs = ", ".join(f"c.{field.name}" for field in fields(RunCost))
    direction = "DESC" if descending else "ASC"
    return read_frame(
        store.db,
        "SELECT r.key, r.id, r.name, r.task, r.method, r.base_model, d.name || '@' || d.version AS dataset, r.status,"
        " r.cause, r.created_at, r.started_at, r.ended_at, l.heartbeat_at, l.rows_pending, l.rows_lost,"
        " r.select_metric, s.value, s.low, s.high, s.n, e.step, e.epoch, s0.value AS base_value,"
        f" {costs}, (SELECT count(*) FROM run_events v WHERE v.run_key = r.key AND v.kind = 'alert') AS n_alerts,"
        " r.tags, r.note, r.version"
        " FROM runs r LEFT JOIN datasets d ON d.key = r.dataset_key LEFT JOIN leases l ON l.run_key = r.key"
        " LEFT JOIN run_costs c ON c.run_key = r.key"
        " LEFT JOIN metric_keys k ON k.name = substr(r.select_metric, instr(r.select_metric, '/') + 1)"
        " LEFT JOIN visible_evaluations e ON e.run_key = r.key AND e.is_best"
        "  AND e.split = substr(r.select_metric, 1, instr(r.select_metric, '/') - 1)"
        " LEFT JOIN scores s ON s.evaluation_key = e.key AND s.metric_key = k.key"
        " LEFT JOIN scores s0 ON s0.metric_key = k.key AND s0.evaluation_key = (SELECT max(e0.key)"
        "  FROM visible_evaluations e0 WHERE e0.run_key = r.key AND e0.step = 0 AND e0.split = e.split)"
        f" WHERE {where}"
        f" ORDER BY {_SORTABLE[sort]} IS NULL, {_SORTABLE[sort]} {direction}, r.key DESC LIMIT ? OFFSET ?",
        (*values, -1 if limit is None else limit, offset),
    )


def count_matching_runs(
    store: Store,
    *,
    search: str | None = None,
    status: Sequence[str] = (),
    task: Sequence[str] = (),
    method: Sequence[str] = (),
    dataset: str | None = None,
    tag: str | None = None,
    best_of_sweeps: bool = False,
) -> int:
    """How many runs `list_runs` finds with the same filters and no limit."""
    where, values = _matching(search, status, task, method, dataset, tag, best_of_sweeps)
    sql = f"SELECT count(*) FROM runs r LEFT JOIN datasets d ON d.key = r.dataset_key WHERE {where}"
    return int(store.db.execute(sql, values).fetchone()[0])


def list_run_facets(store: Store) -> dict[str, list[str]]:
    """The values that occur among runs, sorted: status, task, method, dataset (`name@version`)."""
    columns = {"status": "r.status", "task": "r.task", "method": "r.method", "dataset": "d.name || '@' || d.version"}
    return {
        name: [
            value
            for (value,) in store.db.execute(
                f"SELECT DISTINCT {column} AS value FROM runs r LEFT JOIN datasets d ON d.key = r.dataset_key"
                " WHERE value IS NOT NULL ORDER BY value"
            )
        ]
        for name, column in columns.items()
    }


def _matching(
    search: str | None,
    status: Sequence[str],
    task: Sequence[str],
    method: Sequence[str],
    dataset: str | None,
    tag: str | None,
    best_of_sweeps: bool,
) -> tuple[str, list[object]]:
    """The condition and its values for the filters of `list_runs`; needs runs as r and datasets as d."""
    where, values = ["1"], list[object]()
    if search:
        where.append(
            "(instr(lower(r.name || ' ' || r.note || ' ' || coalesce(r.base_model, '') || ' ' || r.tags || ' ' ||"
            " coalesce(d.name, '') || ' ' || coalesce(r.recipe_text, '') || ' ' || r.id), lower(?)) > 0)"
        )
        values.append(search)
    for column, wanted in (("status", status), ("task", task), ("method", method)):
        if wanted:
            where.append(f"r.{column} IN (SELECT value FROM json_each(?))")
            values.append(json.dumps([str(w) for w in wanted]))
    if dataset:
        where.append("(d.name = ? OR d.name || '@' || d.version = ?)")
        values += [dataset, dataset]
    if tag:
        where.append("EXISTS (SELECT 1 FROM json_each(r.tags) WHERE value = ?)")
        values.append(tag)
    if best_of_sweeps:
        where.append(f"(r.key NOT IN (SELECT run_key FROM trials WHERE run_key IS NOT NULL) OR r.key IN ({_BEST}))")
    return " AND ".join(where), values


# The run of the finished trial of each sweep that is the best by its first objective.
_BEST = (
    "SELECT run_key FROM (SELECT t.run_key, row_number() OVER (PARTITION BY t.sweep_key ORDER BY"
    " json_extract(t.objective_values, '$[0]')"
    " * CASE json_extract(s.objectives, '$[0].direction') WHEN 'maximize' THEN -1 ELSE 1 END, t.number, t.seed)"
    " AS place FROM trials t JOIN sweeps s ON s.key = t.sweep_key WHERE t.status = 'finished' AND t.run_key IS NOT NULL"
    " AND json_extract(t.objective_values, '$[0]') IS NOT NULL) WHERE place = 1"
)


def count_runs(store: Store) -> dict[str, int]:
    """How many runs there are of each status that occurs."""
    return dict(store.db.execute("SELECT status, count(*) FROM runs GROUP BY status ORDER BY status").fetchall())


def record_event(
    db: sqlite3.Connection,
    run_key: int,
    kind: str,
    message: str,
    data: Mapping[str, object] | None = None,
    *,
    at: float | None = None,
) -> None:
    """Note that something happened to a run, now or `at` (unix seconds), inside a transaction of the caller's."""
    db.execute(
        "INSERT INTO run_events (run_key, at, kind, message, data) VALUES (?, ?, ?, ?, ?)",
        (run_key, time.time() if at is None else at, kind, message, _json(data)),
    )


def list_events(store: Store, run_key: int) -> pd.DataFrame:
    """Columns at, kind, message, data; in the order they happened."""
    return read_frame(
        store.db, "SELECT at, kind, message, data FROM run_events WHERE run_key = ? ORDER BY key", (run_key,)
    )


def read_log(store: Store, run_key: int, *, last: int | None = None) -> str:
    """The console log kept with the run; with `last`, only that many characters from its end."""
    (text,) = store.db.execute(
        "SELECT coalesce(group_concat(text, ''), '') FROM"
        " (SELECT text FROM run_logs WHERE run_key = ? ORDER BY number)",
        (run_key,),
    ).fetchone()
    return str(text) if last is None else str(text)[-last:]


def get_cost(store: Store, run_key: int) -> RunCost:
    """What the run took; everything is None while it is not measured."""
    names = [field.name for field in fields(RunCost)]
    row = store.db.execute(f"SELECT {', '.join(names)} FROM run_costs WHERE run_key = ?", (run_key,)).fetchone()
    return RunCost(**dict(zip(names, row, strict=True))) if row else RunCost()


def write_cost(db: sqlite3.Connection, run_key: int, cost: RunCost) -> None:
    names = [field.name for field in fields(RunCost)]
    db.execute(
        f"INSERT OR REPLACE INTO run_costs (run_key, {', '.join(names)}) VALUES (?{', ?' * len(names)})",
        (run_key, *(getattr(cost, name) for name in names)),
    )


def write_checkpoint(
    db: sqlite3.Connection,
    run_key: int,
    segment: int,
    *,
    step: int,
    epoch: float | None,
    path: str,
    size_bytes: int,
    sha256: str,
    manifest: Mapping[str, str],
    created_at: float,
) -> None:
    """Note a saved checkpoint; one of the same step is replaced."""
    db.execute(
        "INSERT OR REPLACE INTO checkpoints"
        " (run_key, segment, step, epoch, path, size_bytes, sha256, manifest, created_at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (run_key, segment, step, epoch, path, size_bytes, sha256, _json(manifest), created_at),
    )


def list_samples(store: Store, run_key: int) -> pd.DataFrame:
    """Columns at, cpu_percent, host_bytes, device_utilisation, device_bytes, power_watts; in time order."""
    return read_frame(
        store.db,
        "SELECT at, cpu_percent, host_bytes, device_utilisation, device_bytes, power_watts"
        " FROM system_samples WHERE run_key = ? ORDER BY at",
        (run_key,),
    )


def list_checkpoints(store: Store, run_key: int, *, existing: bool = False) -> list[Checkpoint]:
    """The run's checkpoints by step; `existing` leaves out those whose files were removed."""
    rows = store.db.execute(
        "SELECT key, run_key, segment, step, epoch, path, size_bytes, sha256, manifest, is_best, created_at, deleted_at"
        " FROM checkpoints WHERE run_key = ? AND (deleted_at IS NULL OR NOT ?) ORDER BY step, segment",
        (run_key, existing),
    )
    return [Checkpoint(*(*row[:8], json.loads(row[8]), bool(row[9]), *row[10:])) for row in rows]


def delete_checkpoints(store: Store, run_key: int, steps: Sequence[int]) -> None:
    """Note that the files of these steps' checkpoints are removed. Raises StoreUnreadable where that cannot be."""
    if not steps:
        return
    with explained(store.path), store.write(run_key) as db:
        db.executemany(
            "UPDATE checkpoints SET deleted_at = ? WHERE run_key = ? AND step = ? AND deleted_at IS NULL",
            [(time.time(), run_key, step) for step in steps],
        )


def run_files(store: Store, run: Run) -> Path:
    """The folder of everything the run keeps outside the store. Built from the run's id alone."""
    if not (run.id.isascii() and run.id.isalnum()):  # a file that somebody else made may say anything
        raise StoreUnreadable(f"the run {run.name!r} in {store.path} has an id that Assay never gives: {run.id!r}.")
    return store.files / "runs" / run.id


def _select(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[tuple[Any, ...]]:
    return db.execute(f"SELECT {_COLUMNS} FROM runs WHERE {where}", values).fetchall()


def _run(row: tuple[Any, ...]) -> Run:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    for name in ("recipe", "provenance"):
        values[name] = None if values[name] is None else json.loads(values[name])
    return Run(
        **{
            **values,
            "id": RunId(values["id"]),
            "status": Status(values["status"]),
            "tags": tuple(json.loads(values["tags"])),
        }
    )


def _json(value: object) -> str | None:
    return None if value is None else to_json(value)
