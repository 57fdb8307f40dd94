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
    RunHeld,
    ScoreRow,
    Status,
    Store,
    SystemSample,
    delete_run,
    get_lease,
    get_run,
    iter_dynamics,
    list_evaluations,
    list_events,
    list_latest,
    list_metrics,
    list_samples,
    open_store,
    read_log,
    record_run,
)
from store import entries as entries_module
from store import writer as writer_module
from tests.store.builders import locked, predict


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "LOCK_SECONDS", 0.05)
    monkeypatch.setattr(writer_module, "RETRY_SECONDS", 0.02)


def start(store: Store, name: str = "run") -> Recorder:
    return Recorder(store, record_run(store, NewRun(name)))


def curve(store: Store, recorder: Recorder, name: str) -> dict[int, float]:
    frame = list_metrics(store, [recorder.run.key], [name])
    return dict(zip(frame["step"].tolist(), frame["value"].tolist(), strict=True))


def test_rows_are_there_within_a_moment_without_flush(store: Store) -> None:
    recorder = start(store)
    recorder.log({"loss": 0.5}, 1)
    deadline = time.monotonic() + 20
    while not curve(store, recorder, "loss") and time.monotonic() < deadline:
        time.sleep(0.02)
    assert curve(store, recorder, "loss") == {1: 0.5}
    assert recorder.rows_pending == 0
    recorder.finish()


def test_values_axes_and_what_is_not_finite(store: Store) -> None:
    with start(store) as recorder:
        recorder.log({"a": 1, "b": np.float32(0.5)}, 3, epoch=0.5, tokens=64)
        recorder.log({"a": float("inf")}, 4)
        recorder.log({"a": float("-inf")}, 5)
        recorder.log({"a": float("nan")}, 6)
    frame = list_metrics(store, [recorder.run.key], ["a", "b"])
    assert frame[["metric", "step"]].to_numpy().tolist() == [["a", 3], ["a", 4], ["a", 5], ["a", 6], ["b", 3]]
    assert frame["not_finite"].dropna().to_dict() == {1: "inf", 2: "-inf", 3: "nan"}
    assert frame["value"].isna().tolist() == [False, True, True, True, False]
    assert frame.loc[0, ["epoch", "tokens"]].tolist() == [0.5, 64]
    assert frame["seconds"].between(0, 60).all()
    (row,) = list_latest(store, [recorder.run.key]).query("metric == 'a'").itertuples()
    assert (row.n, row.latest_step, row.latest_not_finite, row.min_value, row.max_value) == (4, 6, "nan", 1, 1)


@pytest.mark.parametrize("wrong", ["1.5", None, [1.0, 2.0], "text", 1j, 10**400])
def test_log_refuses_what_is_no_number_and_records_none_of_the_call(store: Store, wrong: object) -> None:
    message = r"'bad'.*is not a number; log text with event\(\)"
    with start(store) as recorder, pytest.raises(TypeError, match=message):
        recorder.log({"good": 1.0, "bad": wrong}, 1)  # type: ignore[dict-item]  # that is the test
    assert curve(store, recorder, "good") == {}


def test_of_one_step_logged_twice_the_later_stays_in_whatever_way(store: Store) -> None:
    with start(store) as recorder:
        recorder.log({"a": 1.0, "b": 1.0, "c": 1.0}, 1)
        recorder.log({"a": 2.0}, 1)
        recorder.flush()
        recorder.log({"b": 2.0}, 1)
        recorder.log_columns({"c": ([1, 1], [5.0, 6.0]), "d": ([1], [1.0])})
        recorder.log({"d": 2.0}, 1)
    values = {name: curve(store, recorder, name) for name in "abcd"}
    assert values == {"a": {1: 2.0}, "b": {1: 2.0}, "c": {1: 6.0}, "d": {1: 2.0}}
    latest = list_latest(store, [recorder.run.key])
    assert latest["n"].tolist() == [1, 1, 1, 1]
    assert latest["min_value"].tolist() == [2, 2, 6, 2]


def test_bad_columns_are_refused_by_name(store: Store) -> None:
    with start(store) as recorder:
        with pytest.raises(ValueError, match=r"'a'.*one length"):
            recorder.log_columns({"a": ([1, 2], [1.0])})
        with pytest.raises(ValueError, match=r"'a'.*whole numbers"):
            recorder.log_columns({"a": ([1.5], [1.0])})
        with pytest.raises(ValueError, match="3 examples expected"):
            recorder.evaluation("test", 1, epoch=None, n_examples=3, scores=[], predictions=predict([1, 0]))
        with pytest.raises(ValueError, match="uint16"):
            recorder.dynamics(1, 1, n_classes=2, words=np.zeros((2, 2), dtype=np.float32))  # type: ignore[arg-type]  # that is the test
        with pytest.raises(ValueError, match="one d for every split"):
            recorder.embeddings({}, dataset_key=1, fingerprint="x", pooling="mean")


def test_buffers_may_be_filled_again_after_the_call(store: Store) -> None:
    with start(store) as recorder, locked(store):
        words, steps, values = np.full((2, 2), 7, np.uint16), np.arange(3), np.ones(3)
        recorder.dynamics(1, 1, n_classes=2, words=words)
        recorder.log_columns({"a": (steps, values)})
        words[:], steps[:], values[:] = 0, 9, 9
    assert [row.words.tolist() for row in iter_dynamics(store, recorder.run.key)] == [[[7, 7], [7, 7]]]
    assert curve(store, recorder, "a") == {0: 1.0, 1: 1.0, 2: 1.0}


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


def test_finish_while_locked_raises_goes_on_and_can_be_called_again(store: Store) -> None:
    recorder = start(store)
    recorder.log({"loss": 1.0}, 1)
    with warnings.catch_warnings(action="ignore"), locked(store), pytest.raises(RowsLost):
        recorder.finish(timeout=0.2)
    recorder.finish()
    assert get_run(store, recorder.run.key).status == Status.FINISHED
    assert get_lease(store, recorder.run.key) is None
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
        with pytest.raises(RowsLost, match="1 rows"):
            recorder.finish()
    messages = list_events(store, recorder.run.key)["message"].tolist()
    assert [m for m in messages if m.startswith("e")] == [f"e{number}" for number in range(6)]
    assert messages.count("good") == 5


def test_memory_is_bounded_and_the_loss_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
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
    delete_run(store, recorder.run)
    with pytest.warns(UserWarning, match="the run was deleted"):  # noqa: PT031  # the warning comes from another thread, at some point of these
        for step in range(1_000):
            recorder.log({"a": 1.0}, step)
        recorder.flush()
    with pytest.raises(RowsLost, match="2000 rows"):
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


@pytest.mark.parametrize(
    ("error", "status", "cause"),
    [
        (None, Status.FINISHED, None),
        (ValueError("no such label"), Status.FAILED, "ValueError: no such label"),
        (KeyboardInterrupt(), Status.KILLED, "interrupted (Ctrl-C)"),
    ],
)
def test_how_a_block_ends_is_how_the_run_ends(
    store: Store, error: BaseException | None, status: Status, cause: str | None
) -> None:
    run = record_run(store, NewRun("x"))
    same = error is None
    try:
        with Recorder(store, run) as recorder:
            assert get_run(store, run.key).status == Status.RUNNING
            recorder.log({"a": 1.0}, 1)
            if error is not None:
                raise error
    except BaseException as raised:
        same = raised is error
    assert same
    ended = get_run(store, run.key)
    assert (ended.status, ended.cause) == (status, cause)
    assert ended.ended_at is not None
    assert curve(store, recorder, "a") == {1: 1.0}


def test_the_error_of_the_block_is_not_hidden_by_rows_lost(store: Store) -> None:
    recorder = start(store)
    with warnings.catch_warnings(action="ignore"), pytest.raises(ZeroDivisionError) as caught, recorder:  # noqa: PT012  # the block is the thing tested
        recorder.log({"a": 1.0}, 2**70)
        raise ZeroDivisionError
    assert "rows of run" in caught.value.__notes__[0]


def test_a_run_is_recorded_by_one_process_at_a_time(store: Store) -> None:
    recorder = start(store)
    with store.write() as db:
        db.execute("UPDATE leases SET host = 'elsewhere'")
    with pytest.raises(RunHeld, match=r"is being recorded by process .* on elsewhere"):
        Recorder(store, recorder.run)
    recorder.finish()
    with Recorder(store, recorder.run) as again:  # it was let go
        assert get_run(store, recorder.run.key).ended_at is None
        again.text("second part\n")
    assert read_log(store, recorder.run.key) == "second part\n"


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


def test_an_evaluation_of_the_same_step_is_replaced(store: Store) -> None:
    with start(store) as recorder:
        for value in (0.5, 0.75):
            scores = [ScoreRow("accuracy", value, None, None, 2)]
            recorder.evaluation("test", 5, epoch=1.0, n_examples=2, scores=scores, predictions=predict([1, -1]))
        recorder.best(5)
    (evaluation,) = list_evaluations(store, recorder.run.key)
    assert evaluation.is_best
    assert store.db.execute("SELECT value FROM scores").fetchall() == [(0.75,)]
    assert store.db.execute("SELECT predicted FROM predictions").fetchall() == [(1,), (None,)]
    assert curve(store, recorder, "test/accuracy") == {5: 0.75}


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
