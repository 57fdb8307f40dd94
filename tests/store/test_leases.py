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
from store.flights import LeftRing, find_rings, ring_path
from store.leases import QUIET_SECONDS, beat, take_lease, what_waits
from tests.store.builders import abandoned_run


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
    abandoned_run(store, "x")
    assert [run.cause for run in reconcile(store)] == ["killed: no process holds this run"]


def test_a_running_run_is_held_from_its_first_moment_on(store: Store) -> None:
    run = record_run(store, NewRun("new"), status=Status.RUNNING)
    lease = get_lease(store, run.key)
    assert lease is not None
    assert lease.pid == os.getpid()
    assert reconcile(store) == []


@pytest.mark.parametrize("is_held", [True, False])
def test_a_run_that_is_taken_up_while_it_is_looked_at_lives(
    store: Store, is_held: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between looking and writing lies the wait for a lock; a process may have taken the dead run up meanwhile."""
    run = held_run(store, pid=2**22 + 1) if is_held else abandoned_run(store, "x")
    ring = ring_path(store, run, 1)
    ring.parent.mkdir(parents=True)
    ring.write_bytes(b"of the living")
    look = find_rings

    def take_it_up(store: Store, run: Run) -> list[LeftRing]:
        take_lease(store, run)
        return look(store, run)

    monkeypatch.setattr("store.statuses.find_rings", take_it_up)
    assert reconcile(store) == []
    assert get_run(store, run.key).status == Status.RUNNING
    assert get_lease(store, run.key) is not None
    assert list_events(store, run.key).empty
    assert ring.exists()


def test_a_sign_of_life_while_it_is_looked_at_counts(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = held_run(store, host="elsewhere", heartbeat_at=time.time() - 400)

    def live_on(store: Store, run: Run) -> list[LeftRing]:
        with store.write(run.key) as db:
            beat(db, run.key, 0, 0)
        return []

    monkeypatch.setattr("store.statuses.find_rings", live_on)
    assert reconcile(store) == []
    assert get_run(store, run.key).status == Status.RUNNING


def test_queued_and_ended_runs_are_left_alone(store: Store) -> None:
    queued = record_run(store, NewRun("queued"))
    with Recorder(store, record_run(store, NewRun("done"))) as recorder:
        pass
    assert reconcile(store) == []
    assert [get_run(store, key).status for key in (queued.key, recorder.run.key)] == ["queued", "finished"]


def test_the_kernels_count_is_a_number_or_unknown() -> None:
    count = holders_module.oom_kill_count()
    assert count is None or count >= 0


def test_a_process_that_lives_and_cannot_write_is_told_by_its_silence(store: Store) -> None:
    run = record_run(store, NewRun("r"))
    take_lease(store, run)
    lease = get_lease(store, run.key)
    assert lease is not None
    assert what_waits(lease, lease.heartbeat_at + QUIET_SECONDS) is None, "nothing waits"
    silent = what_waits(lease, lease.heartbeat_at + 90)
    assert str(silent).startswith(
        f"process {os.getpid()} on {lease.host} lives, but has written nothing for 90 seconds:"
    )
    with store.write() as db:
        beat(db, run.key, 1500, 0)
    lease = get_lease(store, run.key)
    assert lease is not None
    said = f"1,500 rows waited in the memory of process {os.getpid()} 2 seconds ago"
    assert what_waits(lease, lease.heartbeat_at + 2) == said
