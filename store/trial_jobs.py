"""Trials of a sweep as jobs: what its driver and the process that carries one out say to each other through the store.

The driver queues a job a trial (`store.jobs.queue_job`, kind `trial`). A worker leases it like any other; the process
that it starts answers to the driver by messages, which are rows. Whoever has ended a trial's job has said how: the end
of the job and the message about it are one transaction. Who drives the sweep is in its row, so a trial hears that its
driver is gone wherever it runs.
"""

from __future__ import annotations

import contextlib
import sqlite3
import time
from collections.abc import Collection
from typing import NamedTuple

from store.connection import Store
from store.errors import JobNotFound, JobRefused
from store.holders import HOLDER_COLUMNS, cause_of_death, this_process
from store.job_leases import Worker, finish_in, first_queued, hold_job, list_living_workers
from store.jobs import TRIAL, WAITING, Job, JobStatus, get_job, remove_job
from store.records import Holder

Process = tuple[str, int, float]
"""Host, pid and start time: what tells a process from all others."""


class Message(NamedTuple):
    """Something that was said about a trial's job."""

    key: int
    text: str


class JobState(NamedTuple):
    """Where a trial's job stands."""

    id: str
    """Keys of jobs that were removed come again, ids never."""
    status: JobStatus
    cause: str | None
    host: str | None
    """Of the process that has it in hand."""
    device: str | None
    """Where it runs, or ran last."""


# what both say -------------------------------------------------------------------------------------------------------


def send_message(store: Store, job_key: int, text: str, *, is_from_driver: bool) -> int | None:
    """Say it to the other side. Returns its key; None where the job is not there any more, so that nobody listens."""
    with store.write() as db:
        return _insert(db, job_key, text, is_from_driver=is_from_driver)


def read_messages(store: Store, job_key: int, *, is_from_driver: bool, after: int = 0) -> list[Message]:
    """What that side has said about a job since the message `after`, the oldest first.

    Keys grow with each message about a job; those of jobs that were removed come again.
    """
    rows = store.db.execute(
        "SELECT key, message FROM trial_messages WHERE job_key = ? AND is_from_driver = ? AND key > ? ORDER BY key",
        (job_key, is_from_driver, after),
    )
    return [Message(*row) for row in rows]


def _insert(db: sqlite3.Connection, job_key: int, text: str, *, is_from_driver: bool) -> int | None:
    row = db.execute(
        "INSERT INTO trial_messages (job_key, is_from_driver, message, at)"
        " SELECT key, ?, ?, ? FROM jobs WHERE key = ? RETURNING key",
        (is_from_driver, text, time.time(), job_key),
    ).fetchone()
    return None if row is None else int(row[0])


# the driver's side ---------------------------------------------------------------------------------------------------


def read_states(store: Store, job_keys: Collection[int]) -> dict[int, JobState]:
    """Where these jobs stand, by key; one that was removed is missing."""
    marks = ", ".join("?" * len(job_keys))
    rows = store.db.execute(
        f"SELECT key, id, status, cause, host, worker_device FROM jobs WHERE key IN ({marks})", tuple(job_keys)
    )
    return {key: JobState(identity, JobStatus(status), *rest) for key, identity, status, *rest in rows}


def withdraw_trial(store: Store, job_key: int, cause: str) -> bool:
    """Take a trial's job out of the queue. False where it does not wait any more."""
    with store.write() as db:
        return bool(_withdraw(db, "key = ?", job_key, cause))


def withdraw_trials(db: sqlite3.Connection, sweep_key: int, cause: str) -> None:
    """Within a transaction: take all waiting trials of a sweep out of the queue; nobody waits for them any more."""
    _withdraw(db, "sweep_key = ?", sweep_key, cause)


def _withdraw(db: sqlite3.Connection, where: str, key: int, cause: str) -> int:
    """What nobody has begun leaves no trace; what was paused on its way has printed something, and says why."""
    these = f"kind = '{TRIAL}' AND {where} AND {WAITING}"
    ended = db.execute(
        f"UPDATE jobs SET status = 'killed', cause = ?, ended_at = ? WHERE {these} AND n_attempts > 0",
        (cause, time.time(), key),
    ).rowcount
    return ended + db.execute(f"DELETE FROM jobs WHERE {these}", (key,)).rowcount


def forget_trial(store: Store, job_key: int) -> None:
    """Remove the job of a trial that has come to a good end: what there is to know of it is its run's."""
    with contextlib.suppress(JobNotFound, JobRefused):  # somebody was faster
        remove_job(store, job_key)


def list_finished_trials(store: Store, sweep_key: int) -> list[int]:
    """Keys of the jobs that finished, and that an earlier driver could not forget any more."""
    rows = store.db.execute(
        f"SELECT key FROM jobs WHERE kind = '{TRIAL}' AND sweep_key = ? AND status = 'finished'", (sweep_key,)
    )
    return [int(key) for (key,) in rows]


def is_in_hand(store: Store, trial_key: int) -> bool:
    """Whether some process is at a job of that trial, for whichever driver."""
    row = store.db.execute(
        "SELECT 1 FROM jobs WHERE trial_key IS NOT NULL AND trial_key = ? AND status = 'running'", (trial_key,)
    ).fetchone()
    return row is not None


def workers_for(store: Store, device: str | None) -> list[Worker]:
    """The living workers that may take a job for that device (None: any), and go on taking jobs."""
    return [
        worker
        for worker in list_living_workers(store)
        if not worker.is_leaving
        and (device is None or worker.device.split(":")[0] == device or worker.device == device)
    ]


# the trial's side ----------------------------------------------------------------------------------------------------


def is_driven_by(store: Store, sweep_key: int, driver: Process) -> bool:
    """Whether that process drives the sweep, and may be alive."""
    row = store.db.execute(f"SELECT {HOLDER_COLUMNS} FROM sweeps WHERE key = ?", (sweep_key,)).fetchone()
    if row is None or row[0] is None:
        return False
    holder = Holder(*row)
    return (holder.host, holder.pid, holder.process_started_at) == driver and cause_of_death(holder) is None


def end_trial_job(store: Store, job: Job, status: JobStatus, cause: str | None, message: str | None) -> bool:
    """Give a trial's job its status, let go of it, and tell the driver (None: it is not to hear of it).

    False when this process has it no longer: then nothing is written.
    """
    with store.write() as db:
        is_ours = finish_in(db, job, status, cause)
        if is_ours and message is not None:
            _insert(db, job.key, message, is_from_driver=False)
        return is_ours


def take_next_trial(
    store: Store, before: Job, leased_by: tuple[int, float], kinds: Collection[str] | None = None
) -> Job | None:
    """This process, which has ended the trial `before`, carries out the next job, if that is a trial of the same sweep
    for the same device.

    `leased_by` is the worker's pid and start time: where it is gone or leaving, nothing is taken. `kinds` as in
    `lease_job`. None: nothing now.
    """
    us, device = this_process(), before.worker_device or "cpu"
    if _next(store.db, before, leased_by, us.host, kinds) is None:
        return None  # without a transaction: looking must not move the store's version
    with store.write() as db:
        key = _next(db, before, leased_by, us.host, kinds)
        if key is None:
            return None
        hold_job(db, key, us, device)
        db.execute(
            "UPDATE jobs SET n_attempts = n_attempts + 1, cause = NULL, started_at = ?, ended_at = NULL WHERE key = ?",
            (us.heartbeat_at, key),
        )
        db.execute(
            "UPDATE workers SET job_key = ? WHERE host = ? AND pid = ? AND process_started_at = ?",
            (key, us.host, *leased_by),
        )
    return get_job(store, key)


def may_follow(store: Store, before: Job, leased_by: tuple[int, float], kinds: Collection[str] | None = None) -> bool:
    """Whether there is reason to wait for one: the worker stays, and no other job is next in the queue."""
    if not _has_worker(store.db, this_process().host, leased_by):
        return False
    first = first_queued(store.db, before.worker_device or "cpu", kinds)
    return first is None or _fits(store.db, first, before)


def _next(
    db: sqlite3.Connection, before: Job, leased_by: tuple[int, float], host: str, kinds: Collection[str] | None
) -> int | None:
    has_worker = _has_worker(db, host, leased_by)
    first = first_queued(db, before.worker_device or "cpu", kinds) if has_worker else None
    return first if first is not None and _fits(db, first, before) else None


def is_leaving(store: Store, worker: tuple[int, float]) -> bool:
    """Whether that worker of this host lives, and ends with the job that it is at."""
    row = store.db.execute(
        "SELECT 1 FROM workers WHERE host = ? AND pid = ? AND process_started_at = ? AND is_leaving",
        (this_process().host, *worker),
    ).fetchone()
    return row is not None


def count_running(store: Store, host: str) -> int:
    """How many jobs processes of that host have in hand."""
    (n,) = store.db.execute("SELECT count(*) FROM jobs WHERE status = 'running' AND host = ?", (host,)).fetchone()
    return int(n)


def _has_worker(db: sqlite3.Connection, host: str, worker: tuple[int, float]) -> bool:
    """Whether that worker is there, and stays."""
    row = db.execute(
        f"SELECT {HOLDER_COLUMNS} FROM workers"
        " WHERE host = ? AND pid = ? AND process_started_at = ? AND NOT is_leaving",
        (host, *worker),
    ).fetchone()
    return row is not None and cause_of_death(Holder(*row)) is None


def _fits(db: sqlite3.Connection, key: int, before: Job) -> bool:
    """Whether that job can be done by the process that did `before`: a device is chosen once in a process's life."""
    row = db.execute(
        "SELECT 1 FROM jobs WHERE key = ? AND kind = ? AND sweep_key = ?"
        " AND json_extract(arguments, '$.recipe_device') IS ?",
        (key, TRIAL, before.sweep_key, before.arguments.get("recipe_device")),
    ).fetchone()
    return row is not None
