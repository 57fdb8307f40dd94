import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from store import (
    Job,
    JobStatus,
    NewRun,
    Status,
    Store,
    WorkerExists,
    cancel_job,
    finish_run,
    get_job,
    job_leases,
    list_workers,
    open_store,
    pause_job,
    queue_job,
    reconcile_jobs,
    record_run,
    resume_job,
    retry_job,
)
from store.holders import this_process
from store.job_leases import (
    abandon_job,
    beat_job,
    beat_worker,
    count_queued,
    finish_job,
    job_on,
    lease_job,
    read_request,
    register_worker,
    remove_worker,
    take_job,
)
from store.leases import take_lease

FORK = multiprocessing.get_context("fork")


def leased(store: Store, device: str = "cpu") -> Job:
    job = lease_job(store, device)
    assert job is not None
    return job


def taken(store: Store, job: Job) -> Job:
    """The job as its own process holds it; here that is the worker's, too."""
    assert job.holder is not None
    again = take_job(store, job.key, (job.holder.pid, job.holder.process_started_at))
    assert again is not None
    return again


def hold(store: Store, job: Job, **holder: Any) -> None:
    """Say that another process holds it."""
    with store.write() as db:
        for column, value in holder.items():
            db.execute(f"UPDATE jobs SET {column} = ? WHERE key = ?", (value, job.key))


NOBODY = {"pid": 2**22 + 1}


# one job, one process ------------------------------------------------------------------------------------------------


def _take_all(path: Path, answers: "multiprocessing.SimpleQueue[list[str]]") -> None:
    store = open_store(path)
    mine = []
    while job := lease_job(store, "cpu"):
        mine.append(job.id)
        assert finish_job(store, job, JobStatus.FINISHED)
    answers.put(mine)


def test_no_job_is_taken_twice_by_many_processes(store: Store) -> None:
    ids = {queue_job(store, "sleep", f"job {i}", {}, priority=i % 3).id for i in range(60)}
    answers = FORK.SimpleQueue()
    processes = [FORK.Process(target=_take_all, args=(store.path, answers)) for _ in range(8)]
    for process in processes:
        process.start()
    taken = [answers.get() for _ in processes]
    for process in processes:
        process.join()
    assert sorted(job for mine in taken for job in mine) == sorted(ids)
    assert sum(map(len, taken)) == 60


@pytest.mark.parametrize(
    ("device", "names"),
    [("cpu", ["any", "cpu"]), ("cuda:1", ["any", "cuda", "cuda:1"]), ("cuda:11", ["any", "cuda"]), ("mps", ["any"])],
)
def test_a_job_runs_where_it_has_to(store: Store, device: str, names: list[str]) -> None:
    for wanted in (None, "cpu", "cuda", "cuda:1"):
        queue_job(store, "sleep", wanted or "any", {}, device=wanted)
    found = []
    while job := lease_job(store, device):
        assert job.worker_device == device
        found.append(job.name)
    assert found == names


def test_kinds_that_are_not_known_stay_queued(store: Store) -> None:
    queue_job(store, "review", "later", {}, device="cuda")
    queue_job(store, "train", "now", {})
    assert lease_job(store, "cuda:0", kinds=()) is None
    job = lease_job(store, "cpu", kinds=("train", "sweep"))
    assert job is not None
    assert job.name == "now"
    assert lease_job(store, "cuda:0", kinds=("train",)) is None
    assert count_queued(store) == {("review", "cuda"): 1}


def test_looking_for_a_job_does_not_move_the_stores_version(store: Store) -> None:
    version = store.version()
    assert lease_job(store, "cpu") is None
    assert store.version() == version


def test_a_job_that_was_given_to_another_is_not_taken_over(store: Store) -> None:
    queue_job(store, "sleep", "a", {})
    job = leased(store)
    assert job.holder is not None
    us = (job.holder.pid, job.holder.process_started_at)
    hold(store, job, pid=us[0] + 1)
    assert take_job(store, job.key, us) is None
    hold(store, job, pid=us[0])
    again = take_job(store, job.key, us)
    assert again is not None
    assert (again.n_attempts, again.started_at is not None) == (1, True)


def test_who_does_not_hold_a_job_any_more_changes_nothing(store: Store) -> None:
    queue_job(store, "sleep", "a", {})
    job = taken(store, leased(store))
    hold(store, job, process_started_at=1.0)
    beat = get_job(store, job.key)
    assert not finish_job(store, job, JobStatus.FINISHED)
    beat_job(store, job.key)
    assert get_job(store, job.key) == beat


def test_a_beat_brings_back_what_is_asked(store: Store) -> None:
    queue_job(store, "sleep", "a", {})
    job = taken(store, leased(store))
    before = get_job(store, job.key).holder
    assert beat_job(store, job.key) is None
    after = get_job(store, job.key).holder
    assert before is not None
    assert after is not None
    assert after.heartbeat_at >= before.heartbeat_at
    cancel_job(store, job.key)
    assert beat_job(store, job.key) == "cancel" == read_request(store, job.key)


# dead processes ------------------------------------------------------------------------------------------------------


def _work_forever(path: Path, ready: "multiprocessing.SimpleQueue[int]") -> None:
    store = open_store(path)
    job = taken(store, leased(store))
    ready.put(job.key)
    time.sleep(600)


def test_a_killed_process_is_noticed_and_its_job_is_queued_again_until_attempts_are_out(store: Store) -> None:
    queue_job(store, "sleep", "doomed", {}, max_attempts=2)
    for attempt in (1, 2):
        ready = FORK.SimpleQueue()
        process = FORK.Process(target=_work_forever, args=(store.path, ready))
        process.start()
        key = ready.get()
        assert reconcile_jobs(store) == []
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        (job,) = reconcile_jobs(store)
        assert (job.key, job.n_attempts, job.holder) == (key, attempt, None)
        assert job.cause is not None
        assert f"killed: process {process.pid} ended without a word" in job.cause
        assert job.status == ("queued" if attempt == 1 else "failed")
    assert reconcile_jobs(store) == []
    assert (retry_job(store, "doomed").status, get_job(store, "doomed").max_attempts) == ("queued", 3)


@pytest.mark.parametrize(
    ("ask", "status", "cause"),
    [(cancel_job, "killed", "cancelled; killed: "), (pause_job, "paused", "paused; killed: ")],
)
def test_what_was_asked_of_a_job_is_done_by_its_death(store: Store, ask: Any, status: str, cause: str) -> None:
    queue_job(store, "sleep", "a", {}, max_attempts=5)
    job = taken(store, leased(store))
    ask(store, job.key)
    hold(store, job, **NOBODY)
    (gone,) = reconcile_jobs(store)
    assert gone.status == status
    assert str(gone.cause).startswith(cause)
    assert gone.request is None
    assert (gone.ended_at is None) == (status == "paused")


def test_a_pause_costs_no_attempt(store: Store) -> None:
    queue_job(store, "sleep", "a", {}, max_attempts=1)
    for attempt in (1, 2, 3):
        job = taken(store, leased(store))
        assert (job.n_attempts, job.max_attempts) == (attempt, attempt)
        assert finish_job(store, job, JobStatus.PAUSED)
        resume_job(store, job.key)


def test_a_job_whose_worker_died_before_it_began_has_lost_nothing(store: Store) -> None:
    queue_job(store, "sleep", "a", {}, max_attempts=1)
    hold(store, leased(store), **NOBODY)
    (job,) = reconcile_jobs(store)
    assert (job.status, job.n_attempts) == ("queued", 0)


def test_a_job_that_was_given_back_has_one_attempt_less(store: Store) -> None:
    queue_job(store, "sleep", "a", {}, max_attempts=2)
    abandon_job(store, leased(store), "it did not start")
    assert (get_job(store, "a").status, get_job(store, "a").n_attempts) == ("queued", 1)
    abandon_job(store, leased(store), "it did not start")
    job = get_job(store, "a")
    assert (job.status, job.cause) == ("failed", "it did not start (attempt 2 of 2)")


def test_a_job_whose_run_finished_has_finished_whatever_became_of_its_process(store: Store) -> None:
    queue_job(store, "train", "a", {})
    job = taken(store, leased(store))
    run = record_run(store, NewRun("r"))
    take_lease(store, run)
    finish_run(store, run.key, Status.FINISHED)
    hold(store, job, **NOBODY)
    (gone,) = reconcile_jobs(store)
    assert (gone.status, gone.cause, gone.run_key) == ("finished", None, run.key)


def test_two_who_reconcile_at_once_do_it_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between our list of running jobs and our look at one, it was reconciled, or ended."""
    for name in ("queued again", "finished"):
        queue_job(store, "sleep", name, {}, max_attempts=3)
        job = taken(store, leased(store))
        hold(store, job, **NOBODY)
        original = job_leases.get_job

        def look(store: Store, key: int, name: str = name, original: Any = original) -> Job:
            seen = original(store, key)
            if seen.status == "running":
                finish_job(store, seen, JobStatus.QUEUED if name == "queued again" else JobStatus.FINISHED, "by other")
            return seen if name == "finished" else original(store, key)  # before, and after it was changed

        with monkeypatch.context() as patch:
            patch.setattr(job_leases, "get_job", look)
            assert reconcile_jobs(store) == []
        now = get_job(store, job.key)
        assert (now.status, now.cause) == ("queued" if name == "queued again" else "finished", "by other")
        cancel_job(store, job.key) if now.status == "queued" else None


def test_a_job_on_another_host_is_believed_for_a_while(store: Store) -> None:
    queue_job(store, "sleep", "a", {})
    job = taken(store, leased(store))
    hold(store, job, host="elsewhere", heartbeat_at=time.time() - 200)
    assert reconcile_jobs(store) == []
    hold(store, job, heartbeat_at=time.time() - 400)
    (gone,) = reconcile_jobs(store)
    assert str(gone.cause).startswith("lost: no sign of life from elsewhere")


def test_the_job_that_has_a_device(store: Store) -> None:
    queue_job(store, "sleep", "a", {})
    host = this_process().host
    assert job_on(store, "cuda:0", host) is None
    job = leased(store, "cuda:0")
    assert job_on(store, "cuda:0", host) == get_job(store, job.key)
    assert job_on(store, "cuda:1", host) is None
    assert job_on(store, "cuda:0", "elsewhere") is None


# workers -------------------------------------------------------------------------------------------------------------


def test_one_worker_a_device(store: Store) -> None:
    worker = register_worker(store, "cuda:0")
    with pytest.raises(WorkerExists, match=rf"a worker for cuda:0 is already at work on .* \(process {os.getpid()}\)"):
        register_worker(store, "cuda:0")
    other = register_worker(store, "cuda:1")
    queue_job(store, "sleep", "a", {})
    beat_worker(store, worker, leased(store).key)
    frame = list_workers(store)
    assert list(frame["device"]) == ["cuda:0", "cuda:1"]
    assert frame["job_name"].tolist()[0] == "a"
    assert list(frame["cause"]) == [None, None]
    remove_worker(store, worker)
    remove_worker(store, other)
    frame = list_workers(store)
    assert len(frame) == 0
    assert {"device", "host", "pid", "job_id", "heartbeat_at", "cause"} <= set(frame.columns)


def test_a_dead_worker_is_in_nobodys_way_and_is_forgotten(store: Store) -> None:
    register_worker(store, "cpu")
    with store.write() as db:
        db.execute("UPDATE workers SET pid = ?", (NOBODY["pid"],))
    assert str(list_workers(store)["cause"][0]).startswith("killed: process")
    assert register_worker(store, "cpu").holder.pid == os.getpid()
    with store.write() as db:
        db.execute("UPDATE workers SET pid = ?", (NOBODY["pid"],))
    assert reconcile_jobs(store) == []
    assert len(list_workers(store)) == 0
