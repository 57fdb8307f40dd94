"""Workers and jobs as real processes; the jobs themselves do next to nothing (`fake_jobs`)."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import psutil
import pytest

from store import Job, Store, cancel_job, get_job, job_log, list_workers, pause_job, queue_job, resume_job, retry_job
from tests.runner.queue import fake_jobs

T = TypeVar("T")


def until(what: Callable[[], T], seconds: float = 60.0) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return answer


class Bench:
    """A store, a file that jobs write into, and workers that are ended with the test."""

    def __init__(self, store: Store, folder: Path) -> None:
        self.store, self.file = store, folder / "notes.txt"
        self._folder = folder
        self._workers: list[subprocess.Popen[bytes]] = []

    def queue(self, kind: str, word: str = "", **options: int) -> Job:
        return queue_job(self.store, kind, word or kind, {"file": str(self.file), "word": word}, **options)

    def worker(self, *options: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, fake_jobs.__file__, "worker", str(self.store.path), "cpu", *options]
        with (self._folder / "worker.log").open("ab") as out:
            self._workers.append(subprocess.Popen(command, stdout=out, stderr=out, start_new_session=True))
        return self._workers[-1]

    def work(self, *options: str) -> int:
        """Let a worker do all there is."""
        return self.worker("--idle-exit", "0", *options).wait(120)

    def running(self, job: Job) -> Job:
        """The job once its own process is at work."""

        def look() -> Job | None:
            now = get_job(self.store, job.key)
            begun = now.status == "running" and now.n_attempts > job.n_attempts and job.name in self.notes()
            return now if begun else None

        return until(look)

    def ended(self, job: Job, status: str) -> Job:
        until(lambda: get_job(self.store, job.key).status == status)
        return get_job(self.store, job.key)

    def notes(self) -> list[str]:
        return self.file.read_text().split() if self.file.exists() else []

    def said(self) -> str:
        return (self._folder / "worker.log").read_text()

    def close(self) -> None:
        for worker in self._workers:
            if worker.poll() is None:
                worker.kill()
            worker.wait()
        rows = self.store.db.execute("SELECT pid FROM jobs WHERE status = 'running' AND pid IS NOT NULL").fetchall()
        for (pid,) in rows:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def bench(store: Store, tmp_path: Path) -> Iterator[Bench]:
    made = Bench(store, tmp_path)
    yield made
    made.close()


def pid_of(job: Job) -> int:
    assert job.holder is not None
    return job.holder.pid


def test_jobs_run_by_priority_and_place_and_an_error_stops_none(bench: Bench) -> None:
    bench.queue("note", "second")
    failing, crashing = bench.queue("fail", priority=2), bench.queue("crash", priority=1, max_attempts=9)
    bench.queue("note", "third")
    bench.queue("note", "first", priority=5)
    unknown = bench.queue("divine")
    elsewhere = queue_job(bench.store, "note", "elsewhere", {}, device="cuda:1")
    assert bench.work() == 0
    assert bench.notes() == ["first", "second", "third"]
    failed, crashed = get_job(bench.store, failing.key), get_job(bench.store, crashing.key)
    assert (failed.status, failed.cause) == ("failed", "it was not to be")
    assert (crashed.status, crashed.cause) == ("failed", "ZeroDivisionError: our own mistake")
    assert crashed.n_attempts == 1  # an error of its own would come again
    assert "hello from crash" in job_log(bench.store, crashed).read_text()
    assert "Traceback" in job_log(bench.store, crashed).read_text()
    assert [get_job(bench.store, job.key).status for job in (unknown, elsewhere)] == ["queued", "queued"]
    assert "1 queued job of kind 'divine' left alone: this version knows note, sleep" in bench.said()
    assert "1 queued job of kind 'note' left alone: for a worker with cuda:1, this one has cpu" in bench.said()
    assert len(list_workers(bench.store)) == 0


def test_once_is_one_job_and_its_exit_code(bench: Bench) -> None:
    bench.queue("fail")
    bench.queue("note", "done")
    assert bench.worker("--once").wait(60) == 1
    assert bench.notes() == []
    assert bench.worker("--once").wait(60) == 0
    assert bench.notes() == ["done"]
    assert bench.worker("--once").wait(60) == 0  # nothing to do


def test_a_second_worker_for_the_device_is_refused(bench: Bench) -> None:
    bench.worker()
    until(lambda: len(list_workers(bench.store)))
    assert bench.worker().wait(60) == 1
    assert "a worker for cpu is already at work" in bench.said()


def test_cancel_pause_and_resume(bench: Bench) -> None:
    cancelled = bench.queue("sleep", "cancelled")
    paused = bench.queue("sleep", "paused")
    late = bench.queue("late", "late")
    bench.queue("note", "after")
    bench.worker()
    pid = pid_of(bench.running(cancelled))
    assert os.getsid(pid) == pid  # the leader of a session of its own
    cancel_job(bench.store, cancelled.key)
    assert bench.ended(cancelled, "killed").cause == "cancelled"
    until(lambda: not psutil.pid_exists(pid))
    bench.running(paused)
    pause_job(bench.store, paused.key)
    assert bench.ended(paused, "paused").ended_at is None
    bench.running(late)
    cancel_job(bench.store, late.key)
    assert bench.ended(late, "finished").cause is None  # it had done its work before it heard
    until(lambda: "after" in bench.notes())
    resumed = resume_job(bench.store, paused.key)
    until(lambda: bench.notes().count("paused") == 2)
    assert get_job(bench.store, paused.key).n_attempts == 2
    assert resumed.max_attempts == 2
    cancel_job(bench.store, paused.key)
    bench.ended(paused, "killed")
    assert "asked to pause: interrupting" in job_log(bench.store, paused).read_text()
    retry_job(bench.store, cancelled.key)
    until(lambda: bench.notes().count("cancelled") == 2)


def test_a_training_that_is_paused_is_not_interrupted(bench: Bench) -> None:
    job = bench.queue("heed", "heeds")
    bench.worker()
    bench.running(job)
    pause_job(bench.store, job.key)
    bench.ended(job, "paused")
    log = job_log(bench.store, job).read_text()
    assert "asked to pause: ending after this step, with a checkpoint" in log
    assert "interrupting" not in log


def test_what_does_not_end_when_asked_is_killed(bench: Bench) -> None:
    job = bench.queue("stuck", "stuck", max_attempts=3)
    bench.worker()
    bench.running(job)
    cancel_job(bench.store, job.key)
    ended = bench.ended(job, "killed")
    assert str(ended.cause).startswith("cancelled; killed: process")
    assert "it did not end: killed" in job_log(bench.store, job).read_text()


def test_a_killed_job_is_tried_again_so_often_and_then_says_why_not(bench: Bench) -> None:
    job = bench.queue("die", max_attempts=3)
    bench.queue("note", "after")
    assert bench.work() == 0
    ended = get_job(bench.store, job.key)
    assert (ended.status, ended.n_attempts) == ("failed", 3)
    assert "ended without a word" in str(ended.cause)
    assert "attempt 3 of 3" in str(ended.cause)
    assert job_log(bench.store, job).read_text().count("hello from die") == 3
    assert bench.notes() == ["after"]


def test_a_killed_worker_leaves_its_job_to_itself_and_the_next_waits_for_it(bench: Bench) -> None:
    job = bench.queue("late", "late")
    bench.queue("note", "after")
    first = bench.worker()
    pid = pid_of(bench.running(job))
    first.kill()
    first.wait()
    second = bench.worker()
    until(lambda: "waiting for it" in bench.said())
    assert (pid_of(get_job(bench.store, job.key)), psutil.pid_exists(pid)) == (pid, True)
    assert bench.notes() == ["late"]  # the device is not free
    os.kill(pid, signal.SIGINT)  # its work ends
    assert bench.ended(job, "finished").n_attempts == 1
    until(lambda: "after" in bench.notes())
    assert second.poll() is None


def test_hangup_is_nothing_interrupts_stop_and_terminate_leaves(bench: Bench) -> None:
    job = bench.queue("sleep", "one")
    bench.queue("note", "never")
    worker = bench.worker()
    bench.running(job)
    worker.send_signal(signal.SIGHUP)
    worker.send_signal(signal.SIGINT)
    until(lambda: "stopping when job one" in bench.said())
    assert worker.poll() is None
    worker.send_signal(signal.SIGINT)
    assert worker.wait(60) == 0
    assert bench.ended(job, "killed").cause == "cancelled"
    assert "never" not in bench.notes()

    cancel_job(bench.store, "never")
    late = bench.queue("late", "late")
    worker = bench.worker()
    pid = pid_of(bench.running(late))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert psutil.pid_exists(pid)
    assert get_job(bench.store, late.key).status == "running"
    os.kill(pid, signal.SIGINT)
    bench.ended(late, "finished")


def test_a_job_that_is_told_to_end_from_outside_is_queued_again(bench: Bench) -> None:
    job = bench.queue("sleep", "one", max_attempts=2)
    bench.worker("--once")
    os.kill(pid_of(bench.running(job)), signal.SIGTERM)
    again = bench.ended(job, "queued")
    assert again.cause == "attempt 1 of 2 was interrupted, queued again"


def test_a_process_that_ends_before_it_begins_the_job_costs_an_attempt(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    from runner.queue.worker import JobWorker

    job = bench.queue("note", "never", max_attempts=2)
    monkeypatch.setattr(signal, "signal", lambda number, handler: None)  # pytest keeps its own
    said: list[str] = []
    broken = [sys.executable, "-c", "raise SystemExit(7)"]
    worker = JobWorker(
        bench.store, "cpu", say=said.append, kinds=fake_jobs.KINDS, launch=lambda store, job: broken, idle_exit=0
    )
    assert worker.run() == 0
    ended = get_job(bench.store, job.key)
    assert (ended.status, ended.n_attempts) == ("failed", 2)
    assert ended.cause == "its process ended before it began the job (exit code 7) (attempt 2 of 2)"
    assert len([text for text in said if "begins" in text]) == 2


def test_a_worker_loads_neither_torch_nor_pandas() -> None:
    code = "import sys, runner.queue.worker, runner.commands.worker; print({'torch', 'pandas'} & set(sys.modules))"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "set()"
