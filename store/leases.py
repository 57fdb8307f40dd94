"""Leases: which process holds a running run, and what became of runs whose process is gone.

Invariant: a run that is not held by a living process is never `running`. Whoever starts a command line or a dashboard
calls `reconcile` first.
"""

import platform
import sqlite3
import time
from pathlib import Path

import psutil

from store.connection import Store
from store.datasets import delete_stale_drafts
from store.errors import RunHeld
from store.oom import oom_kill_count
from store.records import Lease, Run, Status
from store.runs import end_run, get_run, record_event

# A run on another host cannot be looked at; after this long without a heartbeat it is taken for gone.
SILENT_SECONDS = 300.0
_CLOCK_SLACK_SECONDS = 2.0


def take_lease(store: Store, run: Run) -> None:
    """This process holds the run from now on, and it is running. Raises RunHeld where another living process does."""
    process = psutil.Process()
    started_at = process.create_time()
    with store.write(run.key) as db:
        holder = get_lease(store, run.key)
        us = (platform.node(), process.pid, started_at)
        is_other = holder is not None and (holder.host, holder.pid, holder.process_started_at) != us
        if holder is not None and is_other and _cause_of_death(holder) is None:
            raise RunHeld(f"run {run.id} ({run.name}) is being recorded by process {holder.pid} on {holder.host}.")
        now = time.time()
        db.execute(
            "INSERT OR REPLACE INTO leases (run_key, host, boot_id, pid, process_started_at, heartbeat_at, oom_kills)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (run.key, platform.node(), _boot_id(), process.pid, started_at, now, oom_kill_count()),
        )
        db.execute(
            "UPDATE runs SET status = 'running', cause = NULL, ended_at = NULL,"
            " started_at = coalesce(started_at, ?) WHERE key = ?",
            (now, run.key),
        )


def beat(db: sqlite3.Connection, run_key: int, rows_pending: int, rows_lost: int) -> None:
    """Say that the run is alive, inside a transaction of the caller's."""
    db.execute(
        "UPDATE leases SET heartbeat_at = ?, rows_pending = ?, rows_lost = ? WHERE run_key = ?",
        (time.time(), rows_pending, rows_lost, run_key),
    )


def get_lease(store: Store, run_key: int) -> Lease | None:
    """Who holds the run, if anyone does."""
    row = store.db.execute(
        "SELECT host, boot_id, pid, process_started_at, heartbeat_at, oom_kills, rows_pending, rows_lost"
        " FROM leases WHERE run_key = ?",
        (run_key,),
    ).fetchone()
    return Lease(*row) if row else None


def reconcile(store: Store) -> list[Run]:
    """Make statuses true: runs whose process is gone become `failed` with a cause. Returns those runs."""
    gone = []
    for (key,) in store.db.execute("SELECT key FROM runs WHERE status = 'running'").fetchall():
        cause = _cause_of_death(get_lease(store, key))
        if cause is None:
            continue
        with store.write(key) as db:
            still = db.execute("SELECT status FROM runs WHERE key = ?", (key,)).fetchone()
            if still != ("running",):
                continue  # it ended, or somebody else reconciled it, since we looked
            record_event(db, key, "failed", cause)
            end_run(db, key, Status.FAILED, cause)
        gone.append(get_run(store, key))
    delete_stale_drafts(store)
    return gone


def _cause_of_death(lease: Lease | None) -> str | None:
    """Why the holder of a lease is gone, or None while it may be alive."""
    if lease is None:
        return "killed: no process holds this run"
    age = time.time() - lease.heartbeat_at
    if lease.host != platform.node():
        if age < SILENT_SECONDS:
            return None
        return f"lost: no sign of life from {lease.host} (process {lease.pid}) for {age:.0f} seconds"
    seen = f"its last sign of life was {age:.0f} seconds before it was noticed"
    if lease.boot_id != _boot_id():
        return f"killed: {lease.host} was restarted while process {lease.pid} was at work; {seen}"
    if _is_alive(lease):
        return None
    kills = oom_kill_count()
    if kills is not None and lease.oom_kills is not None and kills > lease.oom_kills:
        return f"out of memory: the kernel killed process {lease.pid} for memory, by its count; {seen}"
    return f"killed: process {lease.pid} ended without a word (kill -9, a crash or a lost container); {seen}"


def _is_alive(lease: Lease) -> bool:
    try:
        process = psutil.Process(lease.pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return False
        return abs(process.create_time() - lease.process_started_at) < _CLOCK_SLACK_SECONDS
    except psutil.NoSuchProcess:
        return False
    except psutil.AccessDenied:
        return True  # it exists and belongs to someone else


def _boot_id() -> str | None:
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except OSError:
        return None
