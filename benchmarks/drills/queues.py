"""Queues whose workers and jobs are killed."""

import contextlib
import random
import time

from benchmarks.drills.records import compare, finished, record_of
from benchmarks.drills.workshop import TRUE_WITHIN_SECONDS, Outcome, Workshop, command, kill_one, look_over
from store import Store, get_run, list_runs, open_store, reconcile_jobs


def drill_queue(workshop: Workshop, n_kills: int, rng: random.Random, outcome: Outcome) -> None:
    """Kill a worker or its job; start a worker again until all jobs are finished."""
    path = workshop.folder / "queue.db"
    began = time.monotonic()
    command(workshop, "train", workshop.recipe("alone", "head"), path).wait()
    seconds = time.monotonic() - began
    with contextlib.closing(open_store(path, create=False)) as store:
        reference = record_of(store, finished(store, "alone"))
    n_before, number = outcome.total, 0
    while outcome.total - n_before < n_kills:
        name = f"job-{number}"
        number += 1
        command(workshop, "queue", "add", "train", workshop.recipe(name, "head"), path, "--attempts", "100").wait()
        while True:
            process = command(workshop, "worker", path, "--device", "cpu", "--idle-exit", "0.1")
            kill_one(process, rng.uniform(0.0, 1.5 * seconds), ("queue worker", "job"), rng, outcome)
            outcome.n_restarts += 1
            with contextlib.closing(open_store(path, create=False)) as store:
                status = _job_status(store, name)
            if status not in ("queued", "running"):
                break
        look_over(path, outcome)
        with contextlib.closing(open_store(path, create=False)) as store:
            n_runs = len(list_runs(store, search=name))
            if status != "finished" or n_runs != 1:
                outcome.problems.append(f"{name} is {status} and has {n_runs} runs")
                continue
            compare(name, record_of(store, get_run(store, name)), reference, outcome)


def _job_status(store: Store, name: str) -> str:
    """Of the newest job of that name; waits for a job that has outlived its worker."""
    deadline = time.monotonic() + 10 * TRUE_WITHIN_SECONDS
    while True:
        reconcile_jobs(store)
        status, pid = store.db.execute(
            "SELECT status, pid FROM jobs WHERE name = ? ORDER BY key DESC", (name,)
        ).fetchone()
        if status != "running" or pid is None or time.monotonic() > deadline:
            return str(status)
        time.sleep(0.2)
