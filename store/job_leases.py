"""Jobs in hand: which process takes one, carries it out, and what became of those whose process is gone.

A worker leases a job and starts a process for it; that process takes the job over (`take_job`), says that it lives,
obeys what is asked, and ends the job. So a worker may die and its job go on. Every change of a running job names the
process that holds it: who no longer does changes nothing. People's side: `store.jobs`.
"""

import sqlite3
import time
from collections.abc import Collection
from dataclasses import astuple, dataclass

from store.connection import Store
from store.errors import WorkerExists
from store.holders import HOLDER_COLUMNS, cause_of_death, this_process
from store.jobs import TRIAL, Job, JobStatus, get_job
from store.records import Holder

_FREE = ", ".join(f"{column} = NULL" for column in HOLDER_COLUMNS.split(", "))
_HOLD = ", ".join(f"{column} = ?" for column in HOLDER_COLUMNS.split(", "))
_IS_HELD = "status = 'running' AND host = ? AND pid = ? AND process_started_at = ?"
_FITS = "(device IS NULL OR device = :device OR :device LIKE device || ':%')"
# Kinds of job that are done when their run is, whatever became of their process.
_ONE_RUN = ("train", "resume", TRIAL)


@dataclass(frozen=True)
class Worker:
    """A process that takes jobs for one device."""

    key: int
    device: str
    holder: Holder
    is_leaving: bool = False
    """It ends with its job, and takes no other."""


# jobs --------------------------------------------------------------------------------------------------------------


def lease_job(store: Store, device: str, *, kinds: Collection[str] | None = None) -> Job | None:
    """This process takes the first queued job that fits the device (cpu, mps, cuda:0, …); None when there is none.

    Atomic: of any number of processes one gets it. Kinds of job that are not among `kinds` stay in the queue.
    """
    if first_queued(store.db, device, kinds) is None:
        return None  # without a transaction: looking must not move the store's version
    with store.write() as db:
        key = first_queued(db, device, kinds)
        if key is None:
            return None
        hold_job(db, key, this_process(), device)
    return get_job(store, key)


def first_queued(db: sqlite3.Connection, device: str, kinds: Collection[str] | None = None) -> int | None:
    """The key of the job that is next for a device, of these kinds."""
    known = "1" if kinds is None else f"kind IN ({', '.join(f':kind{i}' for i in range(len(kinds)))})"
    values = {"device": device, **{f"kind{i}": kind for i, kind in enumerate(kinds or ())}}
    row = db.execute(
        f"SELECT key FROM jobs WHERE status = 'queued' AND {_FITS} AND {known}"
        " ORDER BY priority DESC, place, key LIMIT 1",
        values,
    ).fetchone()
    return None if row is None else int(row[0])


def hold_job(db: sqlite3.Connection, job_key: int, holder: Holder, device: str) -> None:
    """Within a transaction: that process has the job in hand, on that device."""
    db.execute(
        f"UPDATE jobs SET status = 'running', request = NULL, worker_device = ?, {_HOLD} WHERE key = ?",
        (device, *astuple(holder), job_key),
    )


def take_job(store: Store, job_key: int, leased_by: tuple[int, float]) -> Job | None:
    """This process carries the job out from now on: one more attempt. None when it is not for us any more.

    `leased_by` is the worker's pid and start time. Where it died and the job was given to another, that one has it.
    """
    us = this_process()
    with store.write() as db:
        taken = db.execute(
            "UPDATE jobs SET n_attempts = n_attempts + 1, cause = NULL, started_at = ?, ended_at = NULL,"
            f" {_HOLD} WHERE key = ? AND {_IS_HELD}",
            (us.heartbeat_at, *astuple(us), job_key, us.host, *leased_by),
        ).rowcount
    return get_job(store, job_key) if taken else None


def beat_job(store: Store, job_key: int) -> str | None:
    """This process still carries the job out; returns what is asked of it (`cancel` or `pause`)."""
    with store.write() as db:
        db.execute(
            f"UPDATE jobs SET heartbeat_at = ? WHERE key = ? AND {_IS_HELD}",
            (time.time(), job_key, *_identity(this_process())),
        )
    return read_request(store, job_key)


def read_request(store: Store, job_key: int) -> str | None:
    """What is asked of a job: `cancel`, `pause` or None. Reads only; microseconds."""
    row = store.db.execute("SELECT request FROM jobs WHERE key = ?", (job_key,)).fetchone()
    return str(row[0]) if row and row[0] else None


def finish_job(store: Store, job: Job, status: JobStatus, cause: str | None = None) -> bool:
    """Give a running job its status and let go of it; `job` must say who holds it. False when that one no longer does.

    `queued` and `paused` are for a job that is to be taken up again.
    """
    if job.holder is None:
        return False
    with store.write() as db:
        return finish_in(db, job, status, cause)


def finish_in(db: sqlite3.Connection, job: Job, status: JobStatus, cause: str | None = None) -> bool:
    """`finish_job` within a transaction of the caller's."""
    has_ended = status not in (JobStatus.QUEUED, JobStatus.PAUSED)
    return bool(
        db.execute(
            f"UPDATE jobs SET status = ?, cause = ?, ended_at = ?, request = NULL, {_FREE}"
            f" WHERE key = ? AND {_IS_HELD}",
            (status, cause, time.time() if has_ended else None, *_held_by(job)),
        ).rowcount
    )


def link_run(db: sqlite3.Connection, run_key: int) -> None:
    """The job that this process carries out, if there is one, is at that run. Inside a transaction of the caller's."""
    db.execute(f"UPDATE jobs SET run_key = ? WHERE {_IS_HELD}", (run_key, *_identity(this_process())))


def link_sweep(db: sqlite3.Connection, sweep_key: int) -> None:
    """The job that this process carries out, if there is one, is that sweep. Inside a transaction of the caller's."""
    db.execute(f"UPDATE jobs SET sweep_key = ? WHERE {_IS_HELD}", (sweep_key, *_identity(this_process())))


def job_on(store: Store, device: str, host: str) -> Job | None:
    """The running job that has the device of that host, if there is one."""
    row = store.db.execute(
        "SELECT key FROM jobs WHERE status = 'running' AND host = ? AND worker_device = ?", (host, device)
    ).fetchone()
    return get_job(store, int(row[0])) if row else None


def count_queued(store: Store) -> dict[tuple[str, str | None], int]:
    """How many jobs are queued of each (kind, device)."""
    sql = "SELECT kind, device, count(*) FROM jobs WHERE status = 'queued' GROUP BY kind, device ORDER BY kind"
    return {(kind, device): n for kind, device, n in store.db.execute(sql)}


def abandon_job(store: Store, job: Job, cause: str) -> None:
    """Give back a leased job whose process ended before it took it over: one attempt is gone."""
    with store.write() as db:
        db.execute(f"UPDATE jobs SET n_attempts = n_attempts + 1 WHERE key = ? AND {_IS_HELD}", _held_by(job))
        finish_in(db, job, *_fate(store, get_job(store, job.key), cause))


def reconcile_jobs(store: Store) -> list[Job]:
    """Make statuses true: jobs whose process is gone are queued again while attempts are left, else failed with the
    cause; what was asked of them (cancel, pause) is then done. Workers that are gone are forgotten. Returns those jobs.

    Call it after `store.reconcile`, so that the runs say what is true.
    """
    gone = []
    for (key,) in store.db.execute("SELECT key FROM jobs WHERE status = 'running'").fetchall():
        job = get_job(store, int(key))
        cause = cause_of_death(job.holder) if job.holder else None
        # Whoever is at it may end it, or somebody else reconcile it, at any moment: only what we saw is changed.
        if cause is not None and finish_job(store, job, *_fate(store, job, cause)):
            gone.append(get_job(store, int(key)))
    dead = [worker for worker in _workers(store.db) if cause_of_death(worker.holder) is not None]
    if dead:
        with store.write() as db:
            for worker in dead:
                _forget(db, worker)
    return gone


def _fate(store: Store, job: Job, cause: str) -> tuple[JobStatus, str | None]:
    """What becomes of a job whose process is gone."""
    if job.kind in _ONE_RUN and job.run_key is not None:
        row = store.db.execute("SELECT status, ended_at FROM runs WHERE key = ?", (job.run_key,)).fetchone()
        if row and row[0] == "finished" and job.started_at is not None and row[1] >= job.started_at:
            return JobStatus.FINISHED, None
    if job.request == "cancel":
        return JobStatus.KILLED, f"cancelled; {cause}"
    if job.request == "pause":
        return JobStatus.PAUSED, f"paused; {cause}"
    if job.n_attempts < job.max_attempts:
        return JobStatus.QUEUED, f"attempt {job.n_attempts} of {job.max_attempts} ended, queued again: {cause}"
    attempts = f" (attempt {job.n_attempts} of {job.max_attempts})" if job.max_attempts > 1 else ""
    return JobStatus.FAILED, cause + attempts


# workers -----------------------------------------------------------------------------------------------------------


def register_worker(store: Store, device: str) -> Worker:
    """This process takes jobs for the device from now on. Raises WorkerExists where another living one does."""
    us = this_process()
    with store.write() as db:
        for worker in _workers(db, device=device, host=us.host):
            if cause_of_death(worker.holder) is None:
                raise WorkerExists(
                    f"a worker for {device} is already at work on {us.host} (process {worker.holder.pid}). There is one"
                    f" a device: stop that one (`kill -INT {worker.holder.pid}`), or name another device with --device."
                )
            _forget(db, worker)
        (key,) = db.execute(
            f"INSERT INTO workers (device, started_at, {HOLDER_COLUMNS}) VALUES (?, ?, ?, ?, ?, ?, ?, ?) RETURNING key",
            (device, us.heartbeat_at, *astuple(us)),
        ).fetchone()
    return Worker(int(key), device, us)


def beat_worker(store: Store, worker: Worker, job_key: int | None) -> None:
    """The worker lives, and is at that job."""
    with store.write() as db:
        db.execute(
            "UPDATE workers SET heartbeat_at = ?, job_key = (SELECT key FROM jobs WHERE key = ?)"  # one may be removed
            " WHERE key = ? AND pid = ?",
            (time.time(), job_key, worker.key, worker.holder.pid),
        )


def leave_worker(store: Store, worker: Worker) -> None:
    """The worker takes no further job: it ends with the one that it is at."""
    with store.write() as db:
        db.execute("UPDATE workers SET is_leaving = 1 WHERE key = ? AND pid = ?", (worker.key, worker.holder.pid))


def list_living_workers(store: Store) -> list[Worker]:
    """The workers that may be alive."""
    return [worker for worker in _workers(store.db) if cause_of_death(worker.holder) is None]


def remove_worker(store: Store, worker: Worker) -> None:
    """The worker takes no more jobs."""
    with store.write() as db:
        _forget(db, worker)


def _workers(db: sqlite3.Connection, *, device: str | None = None, host: str | None = None) -> list[Worker]:
    rows = db.execute(
        f"SELECT key, device, is_leaving, {HOLDER_COLUMNS} FROM workers"
        " WHERE (?1 IS NULL OR device = ?1) AND (?2 IS NULL OR host = ?2)",
        (device, host),
    )
    return [Worker(row[0], row[1], Holder(*row[3:]), bool(row[2])) for row in rows.fetchall()]


def _forget(db: sqlite3.Connection, worker: Worker) -> None:
    db.execute("DELETE FROM workers WHERE key = ? AND pid = ?", (worker.key, worker.holder.pid))


def _held_by(job: Job) -> tuple[int, str, int, float]:
    assert job.holder is not None
    return job.key, *_identity(job.holder)


def _identity(holder: Holder) -> tuple[str, int, float]:
    return holder.host, holder.pid, holder.process_started_at
