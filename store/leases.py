"""Leases: which process holds a running run, and what became of runs whose process is gone.

Invariant: a run that is not held by a living process is never `running`. Whoever starts a command line or a dashboard
calls `reconcile` first.
"""

import sqlite3
import time
from dataclasses import astuple

from store.connection import Store, explained
from store.datasets import delete_stale_drafts
from store.errors import RunHeld
from store.flights import find_rings, remove_rings, take_rings
from store.holders import HOLDER_COLUMNS, cause_of_death, is_same, this_process
from store.job_leases import link_run
from store.records import Lease, Run, Status
from store.runs import end_run, get_run, record_event
from store.spools import fold_spools, spool_status
from store.sweeps import reconcile_sweeps

_WAIT_SECONDS = 5.0  # for a locked store, in which statuses are to be made true before anything else is done


def take_lease(store: Store, run: Run) -> None:
    """This process holds the run from now on, and it is running. Raises RunHeld where another living process does."""
    with store.write(run.key) as db:
        hold_run(db, store, run)


def hold_run(db: sqlite3.Connection, store: Store, run: Run) -> None:
    """As `take_lease`, inside a transaction of the caller's."""
    us = this_process()
    holder = get_lease(store, run.key)
    if holder is not None and not is_same(holder, us) and cause_of_death(holder) is None:
        raise RunHeld(f"run {run.id} ({run.name}) is being recorded by process {holder.pid} on {holder.host}.")
    db.execute(
        f"INSERT OR REPLACE INTO leases (run_key, {HOLDER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run.key, *astuple(us)),
    )
    db.execute(
        "UPDATE runs SET status = 'running', cause = NULL, ended_at = NULL,"
        " started_at = coalesce(started_at, ?) WHERE key = ?",
        (us.heartbeat_at, run.key),
    )
    link_run(db, run.key)


def beat(db: sqlite3.Connection, run_key: int, rows_pending: int, rows_lost: int) -> None:
    """Say that the run is alive, inside a transaction of the caller's."""
    db.execute(
        "UPDATE leases SET heartbeat_at = ?, rows_pending = ?, rows_lost = ? WHERE run_key = ?",
        (time.time(), rows_pending, rows_lost, run_key),
    )


def get_lease(store: Store, run_key: int) -> Lease | None:
    """Who holds the run, if anyone does."""
    row = store.db.execute(
        f"SELECT {HOLDER_COLUMNS}, rows_pending, rows_lost FROM leases WHERE run_key = ?",
        (run_key,),
    ).fetchone()
    return Lease(*row) if row else None


def reconcile(store: Store) -> list[Run]:
    """Make statuses true: runs whose process is gone become `failed` with a cause, sweeps too. Returns those runs.

    What dead processes left in spool files is folded in first: it may say that a run has finished. Raises
    StoreUnreadable where the store cannot be written now; then some statuses are not true yet.
    """
    with explained(store.path):
        return _reconcile(store)


def _reconcile(store: Store) -> list[Run]:
    fold_spools(store)
    waiting = {file.run_id for file in spool_status(store).files if file.problem is None}
    gone = []
    for (key,) in store.db.execute("SELECT key FROM runs WHERE status = 'running'").fetchall():
        lease = get_lease(store, key)
        cause = cause_of_death(lease) if lease else "killed: no process holds this run"
        if cause is None:
            continue
        run = get_run(store, key)
        if run.id in waiting:
            continue  # another process is folding it, or the store is locked: the next start will know
        rings = find_rings(store, run)
        with store.write(key, wait_seconds=_WAIT_SECONDS) as db:
            still = db.execute("SELECT status FROM runs WHERE key = ?", (key,)).fetchone()
            if still != ("running",):
                continue  # it ended, or somebody else reconciled it, since we looked
            record_event(db, key, "failed", cause)
            take_rings(db, run, rings, cause)
            end_run(db, key, Status.FAILED, cause)
        remove_rings(rings)
        gone.append(get_run(store, key))
    reconcile_sweeps(store)
    delete_stale_drafts(store)
    return gone
