"""Jobs: queued work for `runner worker`, as people handle it: queue, list, cancel, pause, resume, retry, remove.

A waiting job is `queued` or `paused`; their order: `store.job_order`. What is asked of a running job stands in
`request` until the process that holds it has obeyed. The other side, the processes that take jobs and carry them out:
`store.job_leases`.
"""

from __future__ import annotations

import json
import math
import re
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from store.connection import Store
from store.errors import JobNotFound, JobRefused, StoreUnreadable
from store.frames import read_frame
from store.holders import HOLDER_COLUMNS, cause_of_death
from store.ids import new_run_id
from store.plain import to_json
from store.records import Holder
from store.selectors import chosen

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "key, id, kind, name, arguments, status, cause, request, priority, place, device, n_attempts, max_attempts,"
    " run_key, sweep_key, trial_key, created_at, started_at, ended_at, worker_device"
)
WAITING = "status IN ('queued', 'paused')"
TRIAL = "trial"
"""The kind of job that a sweep's driver queues; see `store.trial_jobs`."""
_DEVICE = re.compile(r"cpu|mps|cuda(:\d+)?")


class JobStatus(StrEnum):
    QUEUED = "queued"
    PAUSED = "paused"
    RUNNING = "running"
    FINISHED = "finished"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True)
class Job:
    """A piece of work, as the store knows it."""

    key: int
    id: str
    kind: str
    name: str
    arguments: Mapping[str, Any]
    """What that kind of job needs; complete in itself, so that no file changed later changes the job."""
    status: JobStatus
    cause: str | None
    request: str | None
    """`cancel` or `pause`, asked of a running job."""
    priority: int
    place: float
    device: str | None
    """Where it has to run: cpu, mps, cuda, cuda:0, …; None: anywhere."""
    n_attempts: int
    """How often a process began it."""
    max_attempts: int
    run_key: int | None
    sweep_key: int | None
    trial_key: int | None
    """Of the trial that it carries out for the driver of its sweep."""
    created_at: float
    started_at: float | None
    """Of the newest attempt."""
    ended_at: float | None
    worker_device: str | None
    """Where it runs, or ran last."""
    holder: Holder | None
    """The process that has it in hand: first the worker, then the job's own."""

    @property
    def title(self) -> str:
        """What errors call it."""
        return f"job {self.name} ({self.id})"


def job_device(recipe_device: str) -> str | None:
    """The device that a job of a recipe with that `training.device` has to be queued for; None: any worker will do.

    >>> [job_device(name) for name in ("auto", "cpu", "cuda", "cuda:1")]
    [None, None, 'cuda', 'cuda:1']
    """
    return None if recipe_device in ("auto", "cpu") else recipe_device


def queue_job(
    store: Store,
    kind: str,
    name: str,
    arguments: Mapping[str, Any],
    priority: int = 0,
    device: str | None = None,
    max_attempts: int = 1,
    run_key: int | None = None,
    sweep_key: int | None = None,
    trial_key: int | None = None,
) -> Job:
    """Put a job at the end of its priority. `run_key`: the run it is about, where there is one already; a sweep and a
    trial of it likewise.

    What the kinds need as `arguments` (JSON), complete in itself:
        train, sweep        {"recipe_text": TOML}; what else there may be: `runner.queue.recipes`
        sweep               {"recipe": id of a sweep in the store}
        resume, reproduce   {"run": id}
        predict             {"run": id, "file": absolute path, "options": {"out": absolute path}}
        trial               queued by a sweep's driver alone, see `runner.sweep.queued`
    After a death (kill -9, out of memory, a reboot) it is queued again until `max_attempts` were begun; an error of its
    own ends it at once. Raises JobRefused for a device that no worker can have.
    """
    if device is not None and not _DEVICE.fullmatch(device):
        raise JobRefused(f"device = {device!r}: a job runs on cpu, mps, cuda, cuda:0, cuda:1, … or (None) on any.")
    with store.write() as db:
        (key,) = db.execute(
            "INSERT INTO jobs (id, kind, name, arguments, status, priority, place, device, max_attempts, run_key,"
            " sweep_key, trial_key, created_at)"
            " VALUES (?, ?, ?, ?, 'queued', ?, (SELECT coalesce(max(place), 0) + 1 FROM jobs), ?, ?, ?, ?, ?, ?)"
            " RETURNING key",
            (
                new_run_id(),
                kind,
                name,
                to_json(arguments),
                priority,
                device,
                max(1, max_attempts),
                run_key,
                sweep_key,
                trial_key,
                time.time(),
            ),
        ).fetchone()
    return get_job(store, int(key))


def get_job(store: Store, selector: str | int) -> Job:
    """By key, id, id prefix (4 characters or more), name (the newest), or `@latest`.

    Raises JobNotFound, naming what there is; of several that a prefix fits, it names the candidates.
    """
    db = store.db
    rows = chosen(partial(_select, db), selector)
    if not rows:
        raise JobNotFound(f"no job {selector!r} in {store.path}. {_known(db)}")
    if len(rows) > 1:
        shown = ", ".join(f"{job.name} ({job.id})" for job in rows[:5])
        raise JobNotFound(f"{selector!r} fits {len(rows)} jobs: {shown}. Give more characters of the id.")
    return rows[0]


def list_jobs(store: Store, *, status: Sequence[str] = (), limit: int | None = None) -> pd.DataFrame:
    """One row a job: first those that run, then those that wait in the order they will be taken, then the ended ones,
    newest first. `status` picks, `limit` cuts the end off.

    Columns: key, id, kind, name, status, cause, request, priority, place, device, n_attempts, max_attempts, created_at,
    started_at, ended_at, worker_device, host, pid, heartbeat_at (of the process that has it in hand), run_key, run_id,
    run_name, run_status, step (the last one recorded), n_steps (as the recipe plans them; missing where that is not
    known), sweep_key, sweep_id, sweep_name, sweep_status, n_trials_done, n_trials (of a sweep's job; a trial's says
    its own steps).
    """
    frame = read_frame(
        store.db,
        "SELECT j.key, j.id, j.kind, j.name, j.status, j.cause, j.request, j.priority, j.place, j.device, j.n_attempts,"
        " j.max_attempts, j.created_at, j.started_at, j.ended_at, j.worker_device, j.host, j.pid, j.heartbeat_at,"
        " j.run_key, r.id AS run_id, r.name AS run_name, r.status AS run_status,"
        " (SELECT max(m.latest_step) FROM metric_latest m WHERE m.run_key = r.key) AS step,"
        " json_extract(r.recipe, '$.training') AS training, json_extract(d.n_rows, '$.train') AS n_train,"
        " j.sweep_key, s.id AS sweep_id, s.name AS sweep_name, s.status AS sweep_status,"
        f" CASE WHEN s.key IS NOT NULL AND j.kind != '{TRIAL}' THEN (SELECT count(*) FROM trials t"
        "  WHERE t.sweep_key = s.key AND t.status NOT IN ('queued', 'running')) END AS n_trials_done,"
        f" CASE WHEN j.kind != '{TRIAL}' THEN s.n_trials END AS n_trials"
        " FROM jobs j LEFT JOIN runs r ON r.key = j.run_key LEFT JOIN datasets d ON d.key = r.dataset_key"
        " LEFT JOIN sweeps s ON s.key = j.sweep_key"
        " WHERE (? = '[]' OR j.status IN (SELECT value FROM json_each(?)))"
        " ORDER BY CASE WHEN j.status = 'running' THEN 0 WHEN j.status IN ('queued', 'paused') THEN 1 ELSE 2 END,"
        " CASE WHEN j.ended_at IS NULL THEN -j.priority END, CASE WHEN j.ended_at IS NULL THEN j.place END,"
        " j.ended_at DESC, j.key DESC LIMIT ?",
        (*[json.dumps([str(s) for s in status])] * 2, -1 if limit is None else limit),
    )
    plans = zip(frame.pop("training"), frame.pop("n_train"), strict=True)
    frame.insert(list(frame.columns).index("step") + 1, "n_steps", [_planned_steps(*plan) for plan in plans])
    return frame


def job_log(store: Store, job: Job) -> Path:
    """Where the output of a job goes, all attempts one after the other. Built from the job's id alone."""
    return job_file(store, job, "log")


def job_file(store: Store, job: Job, suffix: str) -> Path:
    """A file of the job beside the store, named by its id."""
    if not (job.id.isascii() and job.id.isalnum()):  # a file that somebody else made may say anything
        raise StoreUnreadable(f"the job {job.name!r} in {store.path} has an id that Assay never gives: {job.id!r}.")
    return store.files / "jobs" / f"{job.id}.{suffix}"


# what people ask ---------------------------------------------------------------------------------------------------


def cancel_job(store: Store, selector: str | int) -> Job:
    """A waiting job is killed at once; of a running one it is asked, and its run stays resumable.

    Raises JobRefused when it has ended.
    """
    job = get_job(store, selector)
    with store.write() as db:
        waiting = db.execute(
            "UPDATE jobs SET status = 'killed', cause = CASE n_attempts WHEN 0 THEN 'cancelled before it began'"
            f" ELSE 'cancelled' END, ended_at = ? WHERE key = ? AND {WAITING}",
            (time.time(), job.key),
        ).rowcount
        if not waiting:
            _ask(db, job, "cancel")
    return get_job(store, job.key)


def pause_job(store: Store, selector: str | int) -> Job:
    """A queued job waits until it is resumed; a running one is asked to stop where it can be taken up again.

    Raises JobRefused when it has ended or is being cancelled.
    """
    job = get_job(store, selector)
    with store.write() as db:
        if job.request == "cancel":
            raise JobRefused(f"{job.title} is being cancelled; it cannot be paused any more.")
        waiting = db.execute(f"UPDATE jobs SET status = 'paused' WHERE key = ? AND {WAITING}", (job.key,)).rowcount
        if not waiting:
            _ask(db, job, "pause")
    return get_job(store, job.key)


def resume_job(store: Store, selector: str | int) -> Job:
    """A paused job is queued again at its old place. Raises JobRefused for any other."""
    job = get_job(store, selector)
    with store.write() as db:
        changed = db.execute(
            "UPDATE jobs SET status = 'queued', cause = NULL, max_attempts = max(max_attempts, n_attempts + 1)"
            " WHERE key = ? AND status = 'paused'",
            (job.key,),
        ).rowcount
        if not changed:
            now = get_job(store, job.key)
            hint = {
                "running": "it is still being paused; wait until it is" if now.request == "pause" else "let it run",
                "queued": "a worker takes it when its turn comes",
                "finished": "queue it anew to run it again",
            }.get(now.status, f"`runner queue retry {job.id}` runs it again")
            raise JobRefused(f"{now.title} is {now.status}, not paused: {hint}.")
    return get_job(store, job.key)


def retry_job(store: Store, selector: str | int) -> Job:
    """A failed or killed job is queued again, at the end of its priority, for one more attempt.

    Raises JobRefused for any other.
    """
    job = get_job(store, selector)
    if job.kind == TRIAL:
        raise JobRefused(
            f"{job.title} is a trial: its sweep tries it again by itself, or with `runner sweep SWEEP --retry`."
        )
    with store.write() as db:
        changed = db.execute(
            "UPDATE jobs SET status = 'queued', cause = NULL, request = NULL, ended_at = NULL,"
            " max_attempts = max(max_attempts, n_attempts + 1), place = (SELECT max(place) + 1 FROM jobs)"
            " WHERE key = ? AND status IN ('failed', 'killed')",
            (job.key,),
        ).rowcount
        if not changed:
            hint = {
                "paused": f"`runner queue resume {job.id}` lets it go on",
                "finished": "queue it anew to run it again",
            }.get(job.status, "there is nothing to retry yet")
            raise JobRefused(f"{job.title} is {job.status}, not failed or killed: {hint}.")
    return get_job(store, job.key)


def remove_job(store: Store, selector: str | int) -> Job:
    """Forget a job that has ended, and its files; its run stays. Returns it. Raises JobRefused for any other."""
    job = get_job(store, selector)
    with store.write() as db:
        if not db.execute("DELETE FROM jobs WHERE key = ? AND ended_at IS NOT NULL", (job.key,)).rowcount:
            raise JobRefused(f"{job.title} is {job.status}: `runner queue cancel {job.id}` ends it first.")
    for file in job_log(store, job).parent.glob(f"{job.id}.*"):
        file.unlink(missing_ok=True)
    return job


# workers -----------------------------------------------------------------------------------------------------------


def list_workers(store: Store) -> pd.DataFrame:
    """One row a worker, by host and device.

    Columns: key, device, host, pid, started_at, heartbeat_at, is_leaving (it takes no further job), job_key, job_id,
    job_name (what it is at), cause (why it is gone; None while it may be alive).
    """
    import pandas as pd

    frame = read_frame(
        store.db,
        "SELECT w.key, w.device, w.host, w.pid, w.started_at, w.heartbeat_at, w.is_leaving, w.job_key, j.id AS job_id,"
        " j.name AS job_name, w.process_started_at, w.boot_id, w.oom_kills"
        " FROM workers w LEFT JOIN jobs j ON j.key = w.job_key ORDER BY w.host, w.device, w.key",
    )
    holders = [Holder(*row) for row in frame[HOLDER_COLUMNS.split(", ")].itertuples(index=False)]
    frame = frame.drop(columns=["process_started_at", "boot_id", "oom_kills"])
    causes = pd.Series([cause_of_death(holder) for holder in holders], dtype=object)
    return frame.assign(is_leaving=frame["is_leaving"].astype(bool), cause=causes)


# the parts ---------------------------------------------------------------------------------------------------------


def _ask(db: sqlite3.Connection, job: Job, request: str) -> None:
    """Ask it of a running job. A cancel takes the place of a pause."""
    asked = db.execute("UPDATE jobs SET request = ? WHERE key = ? AND status = 'running'", (request, job.key)).rowcount
    if not asked:
        verb = {"cancel": "cancelled", "pause": "paused"}[request]
        (status,) = db.execute("SELECT status FROM jobs WHERE key = ?", (job.key,)).fetchone()
        raise JobRefused(f"{job.title} is {status}: only a job that waits or runs can be {verb}.")


def _planned_steps(training: object, n_train: float | None) -> int | None:
    """Optimizer steps that a resolved recipe's [training] asks for on so many rows; None where that is not known."""
    spec = json.loads(training) if isinstance(training, str) else {}
    if spec.get("max_steps"):
        return int(spec["max_steps"])
    if not n_train or n_train != n_train or not spec.get("epochs") or not spec.get("batch_size"):
        return None
    batches = math.ceil(n_train / spec["batch_size"])
    steps: int = math.ceil(batches / int(spec.get("gradient_accumulation") or 1))
    return math.ceil(steps * float(spec["epochs"]))


def _known(db: sqlite3.Connection) -> str:
    newest = _select(db, "1 ORDER BY created_at DESC, key DESC LIMIT 3", ())
    if not newest:
        return "There are no jobs yet: `runner queue add train RECIPE` makes one."
    return "The newest are " + ", ".join(f"{job.name} ({job.id})" for job in newest) + "; see `runner queue`."


def _select(db: sqlite3.Connection, where: str, values: tuple[object, ...]) -> list[Job]:
    n = len(_COLUMNS.split(", "))
    return [
        Job(
            **{
                **dict(zip(_COLUMNS.split(", "), row[:n], strict=True)),
                "arguments": json.loads(row[4]),
                "status": JobStatus(row[5]),
                "holder": None if row[n] is None else Holder(*row[n:]),
            }
        )
        for row in db.execute(f"SELECT {_COLUMNS}, {HOLDER_COLUMNS} FROM jobs WHERE {where}", values)
    ]
