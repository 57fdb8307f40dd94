import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from store import (
    NewSweep,
    NewTrial,
    Objective,
    Status,
    Store,
    Sweep,
    SweepHeld,
    SweepNotFound,
    find_sweep,
    get_sweep,
    list_sweeps,
    open_store,
    read_trials,
    reconcile,
    record_sweep,
    request_stop,
)
from store.sweeps import beat_sweep, delete_sweep, hold_sweep, reconcile_sweeps, release_sweep, update_sweep
from store.trials import end_trial, record_trial, start_trial

F1 = Objective("validation/macro_f1", "maximize")
SECONDS = Objective("cost/train_seconds", "minimize")


def new_sweep(name: str = "search", **changes: object) -> NewSweep:
    values = {"recipe_text": "[sweep]", "recipe": {"sweep": {}}, "fingerprint": "f", "objectives": (F1,), **changes}
    return NewSweep(name, **values)  # type: ignore[arg-type]  # the test says what each field holds


def held_by(store: Store, sweep: Sweep, **holder: object) -> None:
    """The sweep is driven by this process, but for what the test wants otherwise."""
    hold_sweep(store, sweep.key)
    with store.write() as db:
        for column, value in holder.items():
            db.execute(f"UPDATE sweeps SET {column} = ? WHERE key = ?", (value, sweep.key))


def test_a_sweep_comes_back_as_it_was_written(store: Store) -> None:
    sweep = record_sweep(store, new_sweep(objectives=(F1, SECONDS), n_trials=7, recipe_path="/a.toml"))
    assert sweep == get_sweep(store, sweep.id)
    assert (sweep.objectives, sweep.n_trials, sweep.recipe_path) == ((F1, SECONDS), 7, "/a.toml")
    assert (sweep.status, sweep.holder, sweep.wall_seconds, sweep.request) == (Status.QUEUED, None, 0.0, None)


def test_a_sweep_is_found_by_id_prefix_name_and_latest(store: Store) -> None:
    first, second = record_sweep(store, new_sweep()), record_sweep(store, new_sweep(fingerprint="g"))
    assert get_sweep(store, "search").key == get_sweep(store, "@latest").key == second.key
    assert get_sweep(store, first.id.lower()).key == first.key
    assert find_sweep(store, "search", "f") == first
    assert find_sweep(store, "search", "other") is None
    with pytest.raises(SweepNotFound, match="fits 2 sweeps"):
        get_sweep(store, first.id[:8])
    with pytest.raises(SweepNotFound, match=f"The newest are search \\({second.id}\\)"):
        get_sweep(store, "nothing")


def test_without_sweeps_the_next_command_is_said(store: Store) -> None:
    with pytest.raises(SweepNotFound, match="runner sweep RECIPE"):
        get_sweep(store, "@latest")
    assert list_sweeps(store).empty
    assert {"n_finished", "best_value", "device_seconds"} <= set(list_sweeps(store).columns)


def test_another_budget_is_the_same_sweep(store: Store) -> None:
    sweep = record_sweep(store, new_sweep(n_trials=3, recipe_path="/a.toml"))
    changed = update_sweep(store, sweep.key, new_sweep(n_trials=5, recipe_text="more"))
    assert (changed.key, changed.n_trials, changed.recipe_text, changed.recipe_path) == (
        sweep.key,
        5,
        "more",
        "/a.toml",
    )
    assert changed.version > sweep.version


def test_the_list_counts_trials_and_names_the_best(store: Store) -> None:
    sweep = record_sweep(store, new_sweep())
    for number, value in enumerate((0.5, 0.75, None)):
        trial = record_trial(store, sweep.key, NewTrial(number, 0, {}, "h"))
        end_trial(store, trial, Status.FINISHED if value else Status.FAILED, None, (value,))
    row = list_sweeps(store).iloc[0]
    assert (row["n_finished"], row["n_failed"], row["n_queued"], row["n_configurations"]) == (2, 1, 0, 3)
    assert (row["objective"], row["direction"], row["best_value"]) == ("validation/macro_f1", "maximize", 0.75)
    smallest = record_sweep(store, new_sweep(objectives=(SECONDS,)))
    for number, value in enumerate((4.0, 3.0)):
        trial = record_trial(store, smallest.key, NewTrial(number, 0, {}, "h"))
        end_trial(store, trial, Status.FINISHED, None, (value,))
    assert list_sweeps(store).iloc[0]["best_value"] == 3.0


def test_one_living_process_drives_a_sweep(store: Store) -> None:
    sweep = record_sweep(store, new_sweep())
    held_by(store, sweep, pid=os.getppid(), process_started_at=_started_at(os.getppid()))
    with pytest.raises(SweepHeld, match=f"is driven by process {os.getppid()}"):
        hold_sweep(store, sweep.key)
    held_by_us = record_sweep(store, new_sweep("ours"))
    hold_sweep(store, held_by_us.key)
    hold_sweep(store, held_by_us.key)  # again, by the same process
    assert get_sweep(store, held_by_us.key).status == Status.RUNNING


def _started_at(pid: int) -> float:
    import psutil

    return psutil.Process(pid).create_time()


def test_a_stop_is_asked_for_and_heard_at_the_next_heartbeat(store: Store) -> None:
    sweep = record_sweep(store, new_sweep())
    assert not request_stop(store, sweep.key), "nobody drives it"
    hold_sweep(store, sweep.key)
    assert beat_sweep(store, sweep.key, 1.5) is None
    assert request_stop(store, sweep.key)
    assert beat_sweep(store, sweep.key, 2.0) == "stop"
    release_sweep(store, sweep.key, Status.KILLED, "asked to stop")
    ended = get_sweep(store, sweep.key)
    assert (ended.status, ended.cause, ended.holder, ended.request) == (Status.KILLED, "asked to stop", None, None)
    assert ended.wall_seconds == 3.5


def _drive_forever(path: Path, key: int, ready: "multiprocessing.SimpleQueue[int]") -> None:
    store = open_store(path)
    hold_sweep(store, key)
    start_trial(store, record_trial(store, key, NewTrial(0, 0, {"training.epochs": 3}, "h")))
    ready.put(key)
    time.sleep(600)


def test_a_killed_driver_is_noticed_and_its_sweep_can_be_taken_up(store: Store) -> None:
    sweep = record_sweep(store, new_sweep())
    fork = multiprocessing.get_context("fork")
    ready = fork.SimpleQueue()
    process = fork.Process(target=_drive_forever, args=(store.path, sweep.key, ready))
    process.start()
    ready.get()
    assert reconcile_sweeps(store) == []
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    reconcile(store)
    gone = get_sweep(store, sweep.key)
    assert gone.status == Status.FAILED
    assert gone.cause is not None
    assert gone.cause.startswith(f"killed: process {process.pid} ended without a word")
    (trial,) = read_trials(store, sweep.key)
    assert trial.status == Status.KILLED
    assert reconcile_sweeps(store) == []
    hold_sweep(store, sweep.key)
    assert get_sweep(store, sweep.key).status == Status.RUNNING


def test_a_sweep_that_is_forgotten_takes_its_trials_along(store: Store) -> None:
    sweep = record_sweep(store, new_sweep())
    record_trial(store, sweep.key, NewTrial(0, 0, {}, "h"))
    delete_sweep(store, sweep.key)
    assert read_trials(store, sweep.key) == []
    assert list_sweeps(store).empty
