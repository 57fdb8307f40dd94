"""Trials as jobs: a real driver, real workers and the processes that they start; what kills of each of them leave."""

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

from runner import reasons
from runner.shared import Shared
from runner.sweep.engine import Answer, Asked, Ended, Lost, Placed, Stop, Task, pack, unpack
from runner.sweep.leased import Mail, _Process
from runner.sweep.queued import QueueEngine
from store import (
    Job,
    JobStatus,
    Status,
    Store,
    Trial,
    cancel_job,
    get_job,
    get_run,
    get_sweep,
    list_checkpoints,
    list_evaluations,
    list_jobs,
    list_runs,
    list_workers,
    open_store,
    pause_job,
    queue_job,
    read_trials,
    reconcile,
    reconcile_jobs,
    remove_job,
    resume_job,
)
from store.job_leases import finish_job, lease_job, leave_worker, register_worker, take_job
from store.records import NewSweep, NewTrial, Objective
from store.sweeps import hold_sweep, record_sweep
from store.trial_jobs import end_trial_job, read_messages, send_message
from store.trials import record_trial
from tests.runner.conftest import Kit
from tests.runner.sweep.engines import InlineEngine
from tests.runner.sweep.test_local import scores, search_in, swept
from tests.store.test_trial_jobs import US, make_sweep

pytestmark = pytest.mark.timeout(900)  # each process of trials loads torch
T = TypeVar("T")


def until(what: Callable[[], T], seconds: float = 240.0) -> T:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while not (answer := what()):
        assert time.monotonic() < deadline, "it did not happen"
        time.sleep(0.05)
    return answer


class Bench:
    """A folder with a store, workers and drivers that are ended with the test."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.store = folder, open_store(folder / "assay.db")
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, log: str, *words: str) -> "subprocess.Popen[bytes]":
        """A command of ours as a process that Ctrl-C reaches."""
        code = "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        code += "from runner.cli import main; main(sys.argv[1:])"
        with (self.folder / log).open("ab") as out:
            process = subprocess.Popen(
                [sys.executable, "-c", code, *words],
                cwd=self.folder,
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
            )
        self._started.append(process)
        return process

    def worker(self, *options: str) -> "subprocess.Popen[bytes]":
        return self.start("worker.log", "worker", "--device", "cpu", *options)

    def driver(self, *options: str) -> "subprocess.Popen[bytes]":
        return self.start("driver.log", "sweep", "sweep.toml", "--on", "workers", "--plain", *options)

    def said(self, log: str) -> str:
        return (self.folder / log).read_text()

    def trials(self) -> list[Trial]:
        is_there = self.store.db.execute("SELECT count(*) FROM sweeps").fetchone()[0]
        return read_trials(self.store, 1) if is_there else []

    def is_training(self, number: int) -> bool:
        """Whether that trial's run has a checkpoint beside that of its beginning."""
        trials = [trial for trial in self.trials() if trial.number == number]
        return bool(trials and trials[0].run_key and len(list_checkpoints(self.store, trials[0].run_key)) > 1)

    def pid_of_trial(self) -> int:
        """The process that carries out the trial at work."""
        (pid,) = list_jobs(self.store, status=["running"])["pid"].dropna()
        return int(pid)

    def close(self) -> None:
        for process in self._started:
            if process.poll() is None:
                process.kill()
            process.wait()
        for pid in list_jobs(self.store, status=["running"])["pid"].dropna():
            if psutil.pid_exists(int(pid)):
                os.kill(int(pid), signal.SIGKILL)
        self.store.close()


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    made.close()


def write_sweep(bench: Bench, kit: Kit, rates: str, epochs: int, lines: str = "") -> str:
    space = f'"training.learning_rate" = {rates}'
    text, _ = search_in(kit, space, "queued", **{"training.epochs": epochs, "training.learning_rate": None})
    text = text.replace('sampler = "grid"', 'sampler = "grid"\n' + lines)
    (bench.folder / "sweep.toml").write_text(text)
    return text


def alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def assert_each_step_once(store: Store, trials: list[Trial]) -> None:
    for trial in trials:
        steps = [e.step for e in list_evaluations(store, int(trial.run_key or 0)) if e.split == "validation"]
        assert steps == sorted({*steps}), "one visible evaluation a step"


def test_a_driver_waits_for_a_worker_whose_process_then_does_all(bench: Bench, kit: Kit, tmp_path: Path) -> None:
    lines = 'pruner = "asha"\neta = 2\nfirst_rung = 0.5'
    text = write_sweep(bench, kit, "[3e-3, 3e-9, 1e-9]", 4, lines)
    driver = bench.driver("--priority", "3")
    until(lambda: "waiting: no worker takes its trials. Start one: runner worker --store" in bench.said("driver.log"))
    waiting = list_jobs(bench.store)
    assert waiting[["kind", "name", "status", "priority", "sweep_name"]].values.tolist() == [
        ["trial", "queued-0", "queued", 3, "queued"]
    ]
    (trial,) = bench.trials()
    assert (trial.status, trial.n_attempts, trial.held_seconds) == (Status.QUEUED, 0, None), "waiting costs nothing"
    worker = bench.worker("--idle-exit", "5")
    assert driver.wait(400) == 0, bench.said("driver.log")
    assert worker.wait(60) == 0
    trials = bench.trials()
    assert {trial.status for trial in trials} == {Status.FINISHED, Status.PRUNED}
    assert [trial.n_attempts for trial in trials] == [1, 1, 1]
    assert all(trial.held_seconds for trial in trials)
    assert list_jobs(bench.store).empty, "what came to a good end has left the queue"
    assert bench.store.db.execute("SELECT count(*) FROM trial_messages").fetchone() == (0,)
    said = bench.said("worker.log")
    # a trial that begins and ends between two looks of the worker is not said
    assert (said.count(" begins; its output"), said.count("follows in the same process") >= 1) == (1, True), said
    assert len(list_workers(bench.store)) == 0

    alone = open_store(tmp_path / "alone.db")
    sweep, others, _ = swept(alone, kit, text, InlineEngine(alone))
    assert sweep.status == Status.FINISHED
    for one, other in zip(trials, others, strict=True):
        assert (one.status, one.objective_values) == (other.status, other.objective_values)
        runs = get_run(bench.store, int(one.run_key or 0)), get_run(alone, int(other.run_key or 0))
        assert scores(bench.store, runs[0]) == scores(alone, runs[1]), "as in one process, bit for bit"
    alone.close()


def test_kills_of_trial_worker_and_driver_lose_nothing(bench: Bench, kit: Kit) -> None:
    write_sweep(bench, kit, "[1e-3, 3e-3]", 60)
    driver, worker = bench.driver(), bench.worker()
    until(lambda: bench.is_training(0))
    os.kill(bench.pid_of_trial(), signal.SIGKILL)
    until(lambda: "trial 0 failed: killed: process" in bench.said("driver.log"), seconds=30)
    assert "it is tried again" in bench.said("driver.log")
    (lost,) = list_jobs(bench.store, status=["failed"])["name"]
    assert lost == "queued-0"
    until(lambda: bench.trials()[0].status == Status.RUNNING and len(list_jobs(bench.store, status=["running"])))
    assert len(list_runs(bench.store)) == 1, "the same run goes on"

    worker.kill()
    worker.wait()
    until(lambda: bench.trials()[0].status == Status.FINISHED)  # its process needs no worker
    until(lambda: "waiting: no worker" in bench.said("driver.log"))
    worker = bench.worker()
    until(lambda: bench.is_training(1))
    child = bench.pid_of_trial()
    driver.kill()
    driver.wait()
    until(lambda: not alive(child), seconds=30)
    run = get_run(bench.store, 2)
    assert (run.status, run.cause) == (Status.KILLED, "its sweep's driver was gone")
    reconcile(bench.store)
    reconcile_jobs(bench.store)
    assert get_sweep(bench.store, 1).status == Status.FAILED
    assert list_jobs(bench.store, status=["running", "queued", "paused"]).empty

    worker.kill()
    worker.wait()
    driver, worker = bench.driver(), bench.worker()
    assert driver.wait(400) == 0, bench.said("driver.log")
    trials = bench.trials()
    assert [trial.status for trial in trials] == [Status.FINISHED] * 2
    assert list_runs(bench.store)["status"].tolist() == ["finished", "finished"], "no run was begun twice"
    assert_each_step_once(bench.store, trials)


def test_a_trial_is_paused_resumed_and_cancelled_in_the_queue(bench: Bench, kit: Kit) -> None:
    write_sweep(bench, kit, "[1e-3, 3e-3]", 60)
    driver, worker = bench.driver(), bench.worker()
    until(lambda: bench.is_training(0))
    first = str(list_jobs(bench.store, status=["running"])["id"][0])
    pause_job(bench.store, first)
    until(lambda: get_job(bench.store, first).status == JobStatus.PAUSED)
    until(lambda: bench.is_training(1))  # its worker goes on with the next
    assert bench.trials()[0].status == Status.KILLED
    assert "trial 0 waits: its job was paused" in bench.said("driver.log")
    second = str(list_jobs(bench.store, status=["running"])["id"][0])
    cancel_job(bench.store, second)
    until(lambda: bench.trials()[1].status == Status.FAILED)
    assert bench.trials()[1].cause == "its job was cancelled"
    assert (get_job(bench.store, second).status, get_job(bench.store, second).cause) == ("killed", "cancelled")
    assert driver.poll() is None, "it waits for what is paused"
    resume_job(bench.store, first)
    assert driver.wait(400) == 0, bench.said("driver.log")
    assert [trial.status for trial in bench.trials()] == [Status.FINISHED, Status.FAILED]
    assert_each_step_once(bench.store, bench.trials()[:1])

    driver = bench.driver("--retry")
    until(lambda: bench.trials()[1].status == Status.RUNNING)
    other = queue_job(bench.store, "resume", "other", {"run": "nowhere"}, priority=9)
    worker.send_signal(signal.SIGINT)  # it leaves after this trial, and takes neither the other job nor a trial
    driver.send_signal(signal.SIGINT)
    assert driver.wait(120) == 130
    assert worker.wait(120) == 0
    trial = bench.trials()[1]
    assert (trial.status, trial.cause) == (Status.KILLED, "its sweep was stopped: interrupted (Ctrl-C)")
    assert get_job(bench.store, other.key).status == "queued"
    (leftover,) = list_jobs(bench.store, status=["killed"]).query("name == 'queued-1' and cause != 'cancelled'")[
        "cause"
    ]
    assert leftover == "its sweep was stopped: interrupted (Ctrl-C)"
    assert worker.returncode == 0


def test_a_trial_is_for_its_own_driver_alone(store: Store) -> None:
    key = make_sweep(store)
    job = queue_job(store, "trial", "x", {}, sweep_key=key)
    here = (US.host, US.pid, US.process_started_at)
    assert Mail(store, job, here).why_end() == "its sweep's driver was gone"
    hold_sweep(store, key)
    assert Mail(store, job, here).why_end() is None
    assert Mail(store, job, (US.host, US.pid, 1.0)).why_end() == "its sweep's driver was gone"
    send_message(store, job.key, pack(Stop("its sweep was stopped: Ctrl-C")).decode(), is_from_driver=True)
    assert Mail(store, job, here).why_end() == "its sweep was stopped: Ctrl-C"


# the engine alone: a store, and nobody who trains --------------------------------------------------------------------


def engine_of(store: Store, said: list[str], device: str = "auto", **options: int) -> tuple[QueueEngine, list[Task]]:
    recipe = {"name": "search", "training": {"device": device}}
    new = NewSweep("search", "", recipe, "f", (Objective("validation/loss", "minimize"),))
    sweep = record_sweep(store, new)
    hold_sweep(store, sweep.key)
    trials = [record_trial(store, sweep.key, NewTrial(number, 0, {}, "h")) for number in range(3)]
    tasks = [Task(trial.key, "train", {**recipe, "name": f"search-{trial.number}"}, "") for trial in trials]
    return QueueEngine(store, get_sweep(store, sweep.key), said.append, **options), tasks


def taken(store: Store) -> Job:
    """The next job, as if this process were the one that a worker started for it."""
    job = lease_job(store, "cpu")
    assert job is not None
    held = take_job(store, job.key, (US.pid, US.process_started_at))
    assert held is not None
    return held


def test_there_are_as_many_places_as_workers(store: Store) -> None:
    engine, tasks = engine_of(store, [])
    assert engine.n_slots == 1, "a worker may come"
    engine.start(tasks[0])
    with pytest.raises(RuntimeError, match="all workers have a trial"):
        engine.start(tasks[1])
    worker = register_worker(store, "cpu")
    register_worker(store, "cuda:0")
    assert engine.n_slots == 2
    engine.most = 1
    assert engine.n_slots == 1
    pause_job(store, list_jobs(store)["id"][0])
    assert engine.n_slots == 2, "what is paused holds none"
    engine.most = None
    leave_worker(store, worker)
    assert engine.n_slots == 2


def test_a_sweep_for_a_device_waits_for_its_workers(store: Store) -> None:
    said: list[str] = []
    engine, tasks = engine_of(store, said, "cuda")
    register_worker(store, "cpu")
    engine.start(tasks[0])
    assert engine.next_event(0) is None
    assert engine.next_event(0) is None
    assert said == [f"waiting: no worker takes its trials. Start one: runner worker --device cuda --store {store.path}"]
    register_worker(store, "cuda:1")
    assert engine.next_event(0) is None
    assert list_jobs(store)["device"].tolist() == ["cuda"]


def test_what_becomes_of_jobs_becomes_events(store: Store) -> None:
    for device in ("cpu", "cuda:0", "cuda:1"):
        register_worker(store, device)
    engine, tasks = engine_of(store, [])
    one, two, three = tasks
    for task in tasks:
        engine.start(task)
    job = taken(store)
    assert engine.next_event(1) == Placed(one.trial, f"{US.host} cpu")
    asked = Asked(one.trial, 0, 5, 0.5, {"validation/loss": 0.25})
    send_message(store, job.key, pack(asked).decode(), is_from_driver=False)
    assert engine.next_event(1) == asked
    engine.answer(Answer(one.trial, stops=False))
    (answer,) = read_messages(store, job.key, is_from_driver=True)
    assert unpack(answer.text.encode()) == Answer(one.trial, stops=False)
    assert end_trial_job(store, job, JobStatus.PAUSED, None, None)
    assert engine.next_event(1) == Placed(one.trial, None, "its job was paused")
    cancel_job(store, job.id)
    assert engine.next_event(1) == Ended(one.trial, "failed", "its job was cancelled", None, can_retry=False)
    lost = taken(store)
    finish_job(store, lost, JobStatus.FAILED, "killed: it was shot")
    assert [engine.next_event(1)] == [Lost(two.trial, "killed: it was shot")]
    cancelled = list_jobs(store, status=["queued"])["id"][0]
    cancel_job(store, cancelled)
    remove_job(store, cancelled)
    queue_job(store, "train", "another with that key", {})
    assert engine.next_event(1) == Ended(
        three.trial, "failed", "its job was removed from the queue", None, can_retry=False
    )
    assert engine.next_event(0) is None


def test_memory_that_ran_out_ends_the_process(store: Store) -> None:
    make_sweep(store)
    process = _Process(store, (US.pid, US.process_started_at))
    job = queue_job(store, "trial", "x", {}, sweep_key=1)
    full = Ended(1, "failed", "out of memory on the device; try less", None)
    process._n = 1
    assert process._with_memory(full).was_alone, "the worker has the device, and the process had carried out nothing"
    assert process.next_after(job) is None
    process._n = 2
    assert not process._with_memory(full).was_alone
    other = Ended(1, "failed", "the data are gone", None)
    assert process._with_memory(other) is other


def test_an_interrupt_waits_until_libraries_are_loaded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    register_worker(store, "cpu")
    engine, (task, *_) = engine_of(store, [])
    engine.start(task)
    job, loaded = taken(store), []

    def load() -> Shared:
        reasons.say("its sweep was stopped: Ctrl-C")
        os.kill(os.getpid(), signal.SIGINT)
        loaded.append(Shared())
        return loaded[0]

    monkeypatch.setattr("runner.sweep.worker.load_libraries", load)
    process = _Process(store, (US.pid, US.process_started_at))
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        process.carry_out(job)
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)
    assert process._shared is loaded[0], "the next trial finds them whole"
    assert engine.next_event(5) == Ended(task.trial, "killed", "its sweep was stopped: Ctrl-C", None)


def test_a_stop_takes_back_what_waits_and_tells_what_runs(store: Store) -> None:
    register_worker(store, "cpu")
    register_worker(store, "cuda:0")
    engine, (one, two, _) = engine_of(store, [])
    engine.start(one)
    engine.start(two)
    job = taken(store)
    assert engine.next_event(1) == Placed(one.trial, f"{US.host} cpu")
    engine.stop("its sweep was stopped: Ctrl-C")
    assert engine.next_event(1) == Ended(two.trial, "killed", "its sweep was stopped: Ctrl-C", None)
    (message,) = read_messages(store, job.key, is_from_driver=True)
    assert unpack(message.text.encode()) == Stop("its sweep was stopped: Ctrl-C")
    ended = Ended(one.trial, "killed", "its sweep was stopped: Ctrl-C", None)
    assert end_trial_job(store, job, JobStatus.KILLED, ended.cause, pack(ended).decode())
    assert engine.next_event(1) == ended
    engine.start(one)
    engine.close()
    assert list_jobs(store)["status"].tolist() == ["killed"], "what nobody began has left the queue"
