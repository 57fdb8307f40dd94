"""A driver and the processes that carry out its trials, as the store sees them; here all of them are this process."""

from dataclasses import replace

import pytest

from store import (
    Job,
    JobRefused,
    JobStatus,
    Store,
    get_job,
    list_jobs,
    list_workers,
    pause_job,
    queue_job,
    reconcile,
    resume_job,
    retry_job,
)
from store.holders import this_process
from store.job_leases import beat_job, lease_job, leave_worker, list_living_workers, register_worker, take_job
from store.records import NewSweep, NewTrial, Objective, Status
from store.sweeps import hold_sweep, record_sweep, release_sweep
from store.trial_jobs import (
    end_trial_job,
    forget_trial,
    is_driven_by,
    is_in_hand,
    list_finished_trials,
    may_follow,
    read_messages,
    read_states,
    send_message,
    take_next_trial,
    withdraw_trial,
    workers_for,
)
from store.trials import record_trial

US = this_process()
LEASED_BY = (US.pid, US.process_started_at)


def make_sweep(store: Store, name: str = "search") -> int:
    objectives = (Objective("test/accuracy", "maximize"),)
    return record_sweep(store, NewSweep(name, "# a recipe", {"name": name}, "f1", objectives)).key


def queue_trial(store: Store, sweep_key: int, number: int, device: str = "auto", **options: int) -> Job:
    trial = record_trial(store, sweep_key, NewTrial(number, 0, {}, "h"))
    arguments = {"recipe_device": device}
    return queue_job(store, "trial", f"search-{number}", arguments, sweep_key=sweep_key, trial_key=trial.key, **options)


def begun(store: Store) -> Job:
    """The next job, as its own process holds it."""
    leased = lease_job(store, "cpu")
    assert leased is not None
    taken = take_job(store, leased.key, LEASED_BY)
    assert taken is not None
    return taken


def test_what_is_said_arrives_once_and_in_its_order(store: Store) -> None:
    sweep = make_sweep(store)
    one, other = queue_trial(store, sweep, 0), queue_trial(store, sweep, 1)
    first = send_message(store, one.key, "asked", is_from_driver=False)
    send_message(store, other.key, "asked too", is_from_driver=False)
    send_message(store, one.key, "answer", is_from_driver=True)
    later = send_message(store, one.key, "asked again", is_from_driver=False)
    heard = read_messages(store, one.key, is_from_driver=False)
    assert [(message.key, message.text) for message in heard] == [(first, "asked"), (later, "asked again")]
    assert [m.text for m in read_messages(store, one.key, is_from_driver=False, after=first or 0)] == ["asked again"]
    assert [message.text for message in read_messages(store, one.key, is_from_driver=True)] == ["answer"]
    assert send_message(store, 999, "nobody is there", is_from_driver=True) is None


def test_the_end_and_what_is_said_of_it_are_one(store: Store) -> None:
    sweep = make_sweep(store)
    queue_trial(store, sweep, 0)
    job = begun(store)
    assert is_in_hand(store, job.trial_key or 0)
    assert (job.n_attempts, read_states(store, [job.key])[job.key].status) == (1, "running")
    assert end_trial_job(store, job, JobStatus.FINISHED, None, "ended")
    assert not is_in_hand(store, job.trial_key or 0)
    assert not end_trial_job(store, job, JobStatus.FAILED, "late", "ended again"), "it is not ours any more"
    assert [message.text for message in read_messages(store, job.key, is_from_driver=False)] == ["ended"]
    assert list_finished_trials(store, sweep) == [job.key]
    forget_trial(store, job.key)
    forget_trial(store, job.key)
    assert read_states(store, [job.key]) == {}
    assert read_messages(store, job.key, is_from_driver=False) == []


def test_a_process_goes_on_with_the_trials_of_its_sweep_alone(store: Store) -> None:
    sweep, another = make_sweep(store), make_sweep(store, "another")
    worker = register_worker(store, "cpu")
    queue_trial(store, sweep, 0)
    job = begun(store)
    assert may_follow(store, job, LEASED_BY), "nothing waits, but something may come"
    assert take_next_trial(store, job, LEASED_BY) is None
    second = queue_trial(store, sweep, 1)
    taken = take_next_trial(store, job, LEASED_BY)
    assert taken is not None
    assert (taken.key, taken.status, taken.n_attempts, taken.worker_device) == (second.key, "running", 1, "cpu")
    assert beat_job(store, taken.key) is None
    assert list_workers(store)["job_name"].tolist() == ["search-1"]

    elsewhere = queue_trial(store, sweep, 2, device="cuda:1")
    assert take_next_trial(store, taken, LEASED_BY) is None, "this process has chosen its device"
    assert not may_follow(store, taken, LEASED_BY)
    assert withdraw_trial(store, elsewhere.key, "")
    third = queue_trial(store, sweep, 3)
    urgent = queue_trial(store, another, 0, priority=5)
    assert take_next_trial(store, taken, LEASED_BY) is None, "another sweep's comes first"
    assert not may_follow(store, taken, LEASED_BY)
    assert take_next_trial(store, taken, LEASED_BY, kinds=("train",)) is None
    assert withdraw_trial(store, urgent.key, "")
    leave_worker(store, worker)
    assert take_next_trial(store, taken, LEASED_BY) is None, "its worker is about to end"
    assert list_workers(store)["is_leaving"].tolist() == [True]
    assert read_states(store, [third.key])[third.key].status == "queued"


def test_which_workers_could_take_a_trial(store: Store) -> None:
    cpu, gpu = register_worker(store, "cpu"), register_worker(store, "cuda:1")
    assert [worker.device for worker in workers_for(store, None)] == ["cpu", "cuda:1"]
    assert [worker.device for worker in workers_for(store, "cuda")] == ["cuda:1"]
    assert workers_for(store, "cuda:0") == []
    leave_worker(store, gpu)
    assert workers_for(store, "cuda:1") == []
    with store.write() as db:
        db.execute("UPDATE workers SET pid = ? WHERE key = ?", (2**22 + 1, cpu.key))
    assert workers_for(store, None) == []
    assert [worker.device for worker in list_living_workers(store)] == ["cuda:1"]


def test_what_waits_goes_with_the_driver(store: Store) -> None:
    sweep = make_sweep(store)
    hold_sweep(store, sweep)
    us = (US.host, US.pid, US.process_started_at)
    assert is_driven_by(store, sweep, us)
    assert not is_driven_by(store, sweep, (US.host, US.pid + 1, US.process_started_at))
    queue_trial(store, sweep, 0)
    paused = begun(store)
    assert end_trial_job(store, paused, JobStatus.PAUSED, None, None)
    waiting, other = queue_trial(store, sweep, 1), queue_job(store, "train", "other", {})
    queue_trial(store, sweep, 2, priority=9)
    running = begun(store)
    release_sweep(store, sweep, Status.KILLED, "asked to stop")
    assert not is_driven_by(store, sweep, us)
    assert set(read_states(store, [paused.key, waiting.key, running.key, other.key])) == {
        paused.key, running.key, other.key,
    }  # fmt: skip
    ended = get_job(store, paused.key)
    assert (ended.status, ended.cause) == ("killed", "its sweep ended: asked to stop")
    assert get_job(store, running.key).status == "running"


def test_a_dead_drivers_trials_leave_the_queue(store: Store) -> None:
    sweep = make_sweep(store)
    hold_sweep(store, sweep)
    waiting = queue_trial(store, sweep, 0)
    with store.write() as db:
        db.execute("UPDATE sweeps SET pid = ?", (2**22 + 1,))
    reconcile(store)
    assert read_states(store, [waiting.key]) == {}


def test_a_trial_is_paused_but_not_retried_by_hand(store: Store) -> None:
    sweep = make_sweep(store)
    job = queue_trial(store, sweep, 0)
    assert pause_job(store, job.key).status == "paused"
    assert resume_job(store, job.key).status == "queued"
    taken = begun(store)
    assert end_trial_job(store, replace(taken), JobStatus.FAILED, "why", None)
    with pytest.raises(JobRefused, match="its sweep tries it again by itself"):
        retry_job(store, job.key)
    (row,) = list_jobs(store).to_dict("records")
    assert (row["sweep_name"], row["n_trials_done"] is None or row["n_trials_done"] != row["n_trials_done"]) == (
        "search", True,
    )  # fmt: skip
