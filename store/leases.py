"""Leases: which process holds a running run, and that it lives. What became of the others: `store.statuses`."""

import sqlite3
import time
from dataclasses import astuple

from store.connection import Store
from store.errors import RunHeld
from store.holders import HOLDER_COLUMNS, cause_of_death, is_same, this_process
from store.job_leases import link_run
from store.records import Lease, Run

QUIET_SECONDS = 30.0
"""A holder that lives and has not said so for this long cannot write."""


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


def what_waits(lease: Lease, now: float) -> str | None:
    """What the holder of a run cannot write now, in a sentence; None where nothing waits that is known of.

    A holder says every few seconds that it lives, in the store itself. One that lives and does not say so cannot write
    there, and how much it has in memory nobody else can know. For holders that live (`cause_of_death` is None).
    """
    silent = now - lease.heartbeat_at
    if silent > QUIET_SECONDS:
        return (
            f"process {lease.pid} on {lease.host} lives, but has written nothing for {silent:.0f} seconds: the store is"
            " locked, a disk is full, or it hangs. What it records waits in its memory or in a spool file; its own"
            " output says how many rows"
        )
    if lease.rows_pending:
        return f"{lease.rows_pending:,} rows waited in the memory of process {lease.pid} {silent:.0f} seconds ago"
    return None
