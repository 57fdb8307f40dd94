import multiprocessing
import sqlite3
import threading
import time
import warnings
from pathlib import Path

import numpy as np
import pytest

from store import (
    NewRun,
    Recorder,
    RowsLost,
    Status,
    Store,
    SystemSample,
    get_lease,
    get_run,
    list_events,
    list_latest,
    list_samples,
    open_store,
    read_log,
    record_run,
)
from store import entries as entries_module
from store import writer as writer_module
from tests.store.builders import curve, forbid_spool, locked, start


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.02)
    monkeypatch.setattr(writer_module, "LOCKED_SECONDS", 0.0)


def test_rows_are_there_within_a_moment_without_flush(store: Store) -> None:
    recorder = start(store)
    recorder.log({"loss": 0.5}, 1)
    deadline = time.monotonic() + 20
    while not curve(store, recorder, "loss") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert curve(store, recorder, "loss") == {1: 0.5}
    assert recorder.rows_pending == 0
    recorder.finish()


def test_sixteen_threads_lose_nothing(store: Store) -> None:
    with start(store) as recorder:

        def work(thread: int) -> None:
            for step in range(200):
                recorder.log({f"m{thread}": step}, step)
                if step % 50 == 0:
                    recorder.flush()

        threads = [threading.Thread(target=work, args=(i,)) for i in range(16)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    latest = list_latest(store, [recorder.run.key])
    assert latest["n"].tolist() == [200] * 16
    assert latest["latest_value"].tolist() == [199] * 16
    assert (recorder.rows_lost, recorder.rows_pending) == (0, 0)


def _record_in_a_process(path: Path, number: int) -> None:
    store = open_store(path)
    with Recorder(store, record_run(store, NewRun(f"p{number}"))) as recorder:
        for step in range(100):
            recorder.log({"loss": step, "lr": 1.0}, step)
    store.close()


def test_eight_processes_lose_nothing(store: Store) -> None:
    spawned = multiprocessing.get_context("fork")
    processes = [spawned.Process(target=_record_in_a_process, args=(store.path, i)) for i in range(8)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0] * 8
    assert store.db.execute("SELECT count(*) FROM metrics").fetchone() == (8 * 200,)
    assert store.db.execute("SELECT count(*) FROM runs WHERE status = 'finished'").fetchone() == (8,)


def test_a_locked_store_makes_rows_wait_and_says_so(store: Store) -> None:
    recorder = start(store)
    with pytest.warns(UserWarning, match=r"locked.*rows wait"), locked(store):  # noqa: PT031  # the warning comes from another thread, at some point of these
        recorder.log({"loss": 1.0}, 1)
        recorder.event("note", "while locked")
        with pytest.raises(RowsLost, match="3 rows could not be written"):
            recorder.flush(timeout=0.3)
        assert recorder.rows_pending == 3
        recorder.log({"loss": 2.0}, 2)
    recorder.finish()
    assert curve(store, recorder, "loss") == {1: 1.0, 2: 2.0}
    assert list_events(store, recorder.run.key)["message"].tolist() == ["while locked"]
    assert recorder.rows_lost == 0


def test_finish_while_locked_leaves_the_end_of_the_run_in_the_spool(store: Store) -> None:
    recorder = start(store)
    recorder.log({"loss": 1.0}, 1)
    with pytest.warns(UserWarning, match=rf"locked.*wait in .*{recorder.run.id}.*next start of Assay"), locked(store):
        recorder.finish(timeout=0.2)
    recorder.finish()  # waits for it
    assert get_run(store, recorder.run.key).status == Status.FINISHED
    assert get_lease(store, recorder.run.key) is None
    assert curve(store, recorder, "loss") == {1: 1.0}
    assert list((store.files / "spool").iterdir()) == []


def test_finish_while_nothing_can_be_written_raises_and_can_be_called_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    forbid_spool(store, monkeypatch)
    recorder = start(store)
    recorder.log({"loss": 1.0}, 1)
    with warnings.catch_warnings(action="ignore"), locked(store), pytest.raises(RowsLost, match="wait in memory"):
        recorder.finish(timeout=0.2)
    recorder.finish()
    assert get_run(store, recorder.run.key).status == Status.FINISHED
    assert curve(store, recorder, "loss") == {1: 1.0}


def test_a_full_disk_makes_rows_wait(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = start(store)
    real = entries_module.write_metrics
    is_full = True

    def write(*arguments: object) -> None:
        real(*arguments)  # type: ignore[arg-type]  # passed on as they are
        if is_full:
            raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(entries_module, "write_metrics", write)
    recorder.log({"loss": 1.0}, 1)
    with pytest.warns(UserWarning, match=r"disk is full.*rows wait"), pytest.raises(RowsLost, match="disk is full"):
        recorder.flush(timeout=0.1)
    assert curve(store, recorder, "loss") == {}
    is_full = False
    recorder.finish()
    assert curve(store, recorder, "loss") == {1: 1.0}


class _SmallDisk(Store):
    max_pages = 2**30

    @property
    def db(self) -> sqlite3.Connection:
        connection = super().db
        connection.execute(f"PRAGMA max_page_count = {self.max_pages}")
        return connection


def test_a_disk_that_is_really_full(store: Store) -> None:
    small = _SmallDisk(store.path, readonly=False)
    recorder = start(small)
    (pages,) = store.db.execute("PRAGMA page_count").fetchone()
    small.max_pages = pages + 4
    recorder.log_columns({"a": (np.arange(20_000), np.random.default_rng(0).random(20_000))})
    with pytest.warns(UserWarning, match=r"full.*rows wait"), pytest.raises(RowsLost, match="full"):
        recorder.flush(timeout=0.1)
    small.max_pages = 2**30
    recorder.finish()
    assert list_latest(store, [recorder.run.key])["n"].tolist() == [20_000]
    small.close()


def test_what_can_never_be_written_loses_only_itself(store: Store) -> None:
    recorder = start(store)
    with warnings.catch_warnings(record=True) as caught, locked(store):  # so that all meet in one batch
        warnings.simplefilter("always")
        for step in range(40):
            recorder.log({"loss": step}, step)
        recorder.log({"loss": 1.0}, 2**70)  # no SQLite integer
        recorder.log({"broken \ud800 name": 1.0, "other": 2.0}, 1)
        recorder.text("before\n")
        recorder.sample(SystemSample(1.0, "much", None, None, None, None))  # type: ignore[arg-type]  # that is the test
        recorder.text("after\n")
    with warnings.catch_warnings(record=True) as later:
        warnings.simplefilter("always")
        with pytest.raises(RowsLost, match="6 rows of run"):
            recorder.finish()
    assert curve(store, recorder, "loss") == {step: float(step) for step in range(40)}
    assert read_log(store, recorder.run.key) == "before\nafter\n"
    assert list_samples(store, recorder.run.key).empty
    assert get_run(store, recorder.run.key).status == Status.FINISHED
    (event,) = list_events(store, recorder.run.key).itertuples()
    assert (event.kind, event.message[:30]) == ("rows lost", "6 rows could not be written: I")
    assert sum("could not be written:" in str(w.message) for w in [*caught, *later]) == 3
    assert recorder.rows_lost == 6


def test_a_lock_in_the_middle_of_sorting_out_loses_nothing(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    recorder = start(store)
    n_calls = 0
    real = entries_module.record_event

    def event(*arguments: object, **more: object) -> None:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 4:
            raise sqlite3.OperationalError("database is locked")
        real(*arguments, **more)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(entries_module, "record_event", event)
    with warnings.catch_warnings(action="ignore"):
        with locked(store):
            for number in range(6):
                recorder.event("note", f"e{number}")
                recorder.event("note", "bad \ud800" if number == 3 else "good")
        with pytest.raises(RowsLost, match="1 row of"):
            recorder.finish()
    messages = list_events(store, recorder.run.key)["message"].tolist()
    assert [m for m in messages if m.startswith("e")] == [f"e{number}" for number in range(6)]
    assert messages.count("good") == 5


def test_memory_is_bounded_and_the_loss_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    forbid_spool(store, monkeypatch)
    monkeypatch.setattr(writer_module, "_CAPACITY_ROWS", 10)
    recorder = start(store)
    with warnings.catch_warnings(action="ignore"), locked(store):
        recorder.log({"a": 1.0}, 0)
        with pytest.raises(RowsLost):
            recorder.flush(timeout=0.1)
        for step in range(1, 20):
            recorder.log({"a": 1.0}, step)
        assert recorder.rows_pending == 10
        assert recorder.rows_lost == 30
    with pytest.raises(RowsLost, match="30 rows of run"):
        recorder.finish()
    assert len(curve(store, recorder, "a")) == 5
    assert list_events(store, recorder.run.key)["message"].tolist()[0].startswith("30 rows could not be written: no r")


def test_a_caller_who_is_too_fast_waits(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "_BACKPRESSURE_ROWS", 100)
    with start(store) as recorder:
        for step in range(2_000):
            recorder.log({"a": step}, step)
            assert recorder.rows_pending <= 102
    assert len(curve(store, recorder, "a")) == 2_000


def test_a_run_deleted_under_the_recorder(store: Store) -> None:
    recorder = start(store)
    other = start(store, "other")
    with store.write() as db:  # `delete_run` would refuse
        db.execute("DELETE FROM runs WHERE key = ?", (recorder.run.key,))
    with pytest.warns(UserWarning, match="the run was deleted"):  # noqa: PT031  # the warning comes from another thread, at some point of these
        for step in range(1_000):
            recorder.log({"a": 1.0}, step)
        recorder.flush()
    with pytest.raises(RowsLost, match="2,000 rows"):
        recorder.finish()
    other.finish()
    assert store.db.execute("SELECT count(*) FROM metrics").fetchone() == (0,)


def test_rows_that_come_after_the_end_are_told(store: Store) -> None:
    recorder = start(store)
    recorder.finish()
    recorder.finish()
    with pytest.warns(UserWarning, match="has ended: 2 rows came too late"):
        recorder.log({"a": 1.0}, 1)
    assert recorder.rows_lost == 2


def test_heartbeat_tells_what_waits_and_what_is_lost(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "HEARTBEAT_SECONDS", 0.0)
    recorder = start(store)
    lease = get_lease(store, recorder.run.key)
    assert lease is not None
    deadline = time.monotonic() + 20
    beaten = lease.heartbeat_at
    while beaten == lease.heartbeat_at and time.monotonic() < deadline:
        time.sleep(0.05)
        now = get_lease(store, recorder.run.key)
        assert now is not None
        beaten = now.heartbeat_at
    assert beaten > lease.heartbeat_at
    recorder.finish()


def test_a_script_that_forgets_to_finish_leaves_its_rows(tmp_path: Path) -> None:
    import subprocess
    import sys

    script = (
        "import sys; from store import *\n"
        "store = open_store(sys.argv[1]); recorder = Recorder(store, record_run(store, NewRun('forgot')))\n"
        "recorder.log({'a': 1.0}, 1)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(tmp_path / "a.db")], check=True)
    store = open_store(tmp_path / "a.db")
    assert list_latest(store, [get_run(store, "forgot").key])["n"].tolist() == [1]
    store.close()


def test_ctrl_c_ends_a_run_with_everything_it_had_logged(tmp_path: Path) -> None:
    import signal
    import subprocess
    import sys

    script = (
        "import signal, sys; from store import *\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a test run in the background ignores Ctrl-C
        "store = open_store(sys.argv[1]); n = 0\n"
        "try:\n"
        "    with Recorder(store, record_run(store, NewRun('long'))) as recorder:\n"
        "        print('started', flush=True)\n"
        "        while True:\n"
        "            recorder.log({'a': n}, n); n += 1\n"
        "            if n % 100 == 0: recorder.flush()\n"
        "except KeyboardInterrupt: print(n)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path / "a.db")], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.5)
    process.send_signal(signal.SIGINT)
    n_logged = int(process.stdout.read())
    store = open_store(tmp_path / "a.db")
    run = get_run(store, "long")
    assert (run.status, run.cause) == (Status.KILLED, "interrupted (Ctrl-C)")
    assert int(list_latest(store, [run.key])["n"][0]) in (n_logged, n_logged + 1)  # caught between log and count
    store.close()
