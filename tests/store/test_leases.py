import multiprocessing
import os
import signal
import time
from pathlib import Path

import pytest

from store import (
    NewRun,
    Recorder,
    Run,
    Status,
    Store,
    get_lease,
    get_run,
    list_events,
    open_store,
    reconcile,
    record_run,
)
from store import holders as holders_module
from store.leases import take_lease


def held_run(store: Store, **lease: object) -> Run:
    """A running run whose lease says what the test wants; the rest is this process."""
    run = record_run(store, NewRun("x"))
    take_lease(store, run)
    with store.write() as db:
        for column, value in lease.items():
            db.execute(f"UPDATE leases SET {column} = ? WHERE run_key = ?", (value, run.key))
    return run


def _hold_forever(path: Path, ready: "multiprocessing.SimpleQueue[int]") -> None:
    store = open_store(path)
    recorder = Recorder(store, record_run(store, NewRun("doomed")))
    recorder.log({"loss": 1.0}, 1)
    recorder.flush()
    ready.put(recorder.run.key)
    time.sleep(600)


def test_a_killed_process_is_noticed_at_once(store: Store) -> None:
    fork = multiprocessing.get_context("fork")
    ready = fork.SimpleQueue()
    process = fork.Process(target=_hold_forever, args=(store.path, ready))
    process.start()
    key = ready.get()
    assert process.pid is not None
    assert reconcile(store) == []
    assert get_run(store, key).status == Status.RUNNING
    os.kill(process.pid, signal.SIGKILL)
    for _ in range(200):  # it may be a zombie for a while, and that is dead too
        gone = reconcile(store)
        if gone:
            break
        time.sleep(0.02)
    process.join()
    assert [run.key for run in gone] == [key]
    run = get_run(store, key)
    assert run.status == Status.FAILED
    assert run.cause is not None
    assert run.cause.startswith(f"killed: process {process.pid} ended without a word")
    assert get_lease(store, key) is None
    assert list_events(store, key)[["kind", "message"]].to_numpy().tolist() == [["failed", run.cause]]
    assert reconcile(store) == []
    assert len(list_events(store, key)) == 1


@pytest.mark.parametrize(
    ("lease", "cause"),
    [
        ({}, None),
        ({"process_started_at": 1_000.0}, "killed: process"),  # another process got the pid
        ({"pid": 2**22 + 1}, "killed: process"),
        ({"boot_id": "the boot before"}, "was restarted while process"),
        ({"host": "elsewhere"}, None),
        ({"host": "elsewhere", "silent_seconds": 200}, None),
        ({"host": "elsewhere", "silent_seconds": 400}, "lost: no sign of life from elsewhere"),
        ({"silent_seconds": 4_000}, None),  # a living process may be stopped in a debugger
    ],
)
def test_what_became_of_the_holder(store: Store, lease: dict[str, object], cause: str | None) -> None:
    silent_seconds = float(str(lease.pop("silent_seconds", 0)))
    run = held_run(store, heartbeat_at=time.time() - silent_seconds, **lease)
    gone = reconcile(store)
    if cause is None:
        assert gone == []
        assert get_run(store, run.key).status == Status.RUNNING
    else:
        assert [(r.key, r.status) for r in gone] == [(run.key, Status.FAILED)]
        assert cause in str(gone[0].cause)
        assert "sign of life" in str(gone[0].cause)


def test_out_of_memory_is_told_from_a_kill(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(holders_module, "oom_kill_count", lambda: 3)
    run = held_run(store, pid=2**22 + 1)
    monkeypatch.setattr(holders_module, "oom_kill_count", lambda: 4)
    reconcile(store)
    assert str(get_run(store, run.key).cause).startswith(f"out of memory: the kernel killed process {2**22 + 1}")


def test_a_running_run_that_nobody_holds_is_dead(store: Store) -> None:
    record_run(store, NewRun("x"), status=Status.RUNNING)
    assert [run.cause for run in reconcile(store)] == ["killed: no process holds this run"]


def test_queued_and_ended_runs_are_left_alone(store: Store) -> None:
    queued = record_run(store, NewRun("queued"))
    with Recorder(store, record_run(store, NewRun("done"))) as recorder:
        pass
    assert reconcile(store) == []
    assert [get_run(store, key).status for key in (queued.key, recorder.run.key)] == ["queued", "finished"]


def test_the_kernels_count_is_a_number_or_unknown() -> None:
    count = holders_module.oom_kill_count()
    assert count is None or count >= 0
