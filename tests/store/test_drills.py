"""Real processes, killed and crowded: what was acknowledged is there, once."""

import multiprocessing
import signal
import sqlite3
import struct
import subprocess
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import pytest

from store import (
    NewRun,
    Recorder,
    Status,
    get_run,
    list_events,
    open_store,
    reconcile,
    record_run,
    spool_status,
)

# Logs as fast as a training does and notes, after each call, which one it was and when.
_LOGGING = """
import os, struct, sys, time
from store import *
store = open_store(sys.argv[1])
recorder = Recorder(store, record_run(store, NewRun("drill")))
notes = os.open(sys.argv[2], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
n = 0
while True:
    recorder.log({f"m{i}": n for i in range(5)}, n)
    if n % 10 == 0: recorder.text(f"{n}\\n")
    os.write(notes, struct.pack("<qd", n, time.monotonic()))
    n += 1
    time.sleep(0.003)
"""


def kill_while_locked(folder: Path, locked_seconds: float) -> None:
    """One round: rows are logged, the store is locked, the process is killed; then everything must be in its place."""
    path, notes = folder / "assay.db", folder / "notes"
    process = subprocess.Popen([sys.executable, "-c", _LOGGING, str(path), str(notes)])
    deadline = time.monotonic() + 120
    while (not notes.exists() or notes.stat().st_size < 16 * 300) and time.monotonic() < deadline:
        time.sleep(0.02)
    other = sqlite3.connect(path, isolation_level=None, timeout=60)
    other.execute("BEGIN IMMEDIATE")
    time.sleep(locked_seconds)
    killed_at = time.monotonic()
    process.send_signal(signal.SIGKILL)
    process.wait()
    other.execute("ROLLBACK")
    other.close()

    store = open_store(path)
    n_waiting = spool_status(store).rows_pending
    (run,) = reconcile(store)
    assert (run.status, str(run.cause)[:7]) == (Status.FAILED, "killed:")
    assert reconcile(store) == []
    noted = list(struct.iter_unpack("<qd", notes.read_bytes()))
    # On a machine that is too busy to run the process at all, its thread that writes comes late as well.
    starved = max(later - earlier for (_, earlier), (_, later) in pairwise(noted))
    n_promised = sum(at < killed_at - 0.5 - 2 * starved for _, at in noted)
    for name in (f"m{i}" for i in range(5)):
        rows = store.db.execute(
            "SELECT step, value FROM visible_metrics m JOIN metric_keys k ON k.key = m.metric_key"
            " WHERE k.name = ? ORDER BY step",
            (name,),
        ).fetchall()
        assert rows == [(n, float(n)) for n in range(len(rows))]  # no gap and nothing twice
        assert len(rows) >= n_promised
    texts = [text for (text,) in store.db.execute("SELECT text FROM run_logs ORDER BY number")]
    assert texts == [f"{n}\n" for n in range(0, 10 * len(texts), 10)]
    assert len(texts) >= n_promised // 10
    if locked_seconds > 1:
        assert n_waiting > 6 * 50
        assert list_events(store, run.key)["kind"].tolist() == ["spool", "failed"]
    assert spool_status(store).files == ()
    assert list((store.files / "spool").glob("*")) == []
    store.close()


@pytest.mark.parametrize("locked_seconds", [0.0, 2.0])
def test_a_kill_while_the_store_is_locked(tmp_path: Path, locked_seconds: float) -> None:
    kill_while_locked(tmp_path, locked_seconds)


@pytest.mark.slow
@pytest.mark.parametrize("round_", range(40))
def test_a_kill_at_any_moment_of_a_lock(tmp_path: Path, round_: int) -> None:
    kill_while_locked(tmp_path, 0.1 * round_)


def test_a_run_that_ends_while_the_store_is_locked_has_finished(tmp_path: Path) -> None:
    script = (
        "import sys; from store import *; from store import writer\n"
        "store = open_store(sys.argv[1]); recorder = Recorder(store, record_run(store, NewRun('late')))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "recorder.log({'a': 1.0}, 1); recorder.finish(timeout=0.5)\n"
    )
    path = tmp_path / "assay.db"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    process.stdout.readline()
    other = sqlite3.connect(path, isolation_level=None, timeout=60)
    other.execute("BEGIN IMMEDIATE")
    _, said = process.communicate("go\n")
    assert process.returncode == 0, said
    assert "3 rows could not be written" in said
    assert "The next start of Assay on this store writes them" in said
    other.execute("ROLLBACK")
    other.close()
    store = open_store(path)
    assert get_run(store, "late").status == Status.RUNNING
    assert reconcile(store) == []
    assert get_run(store, "late").status == Status.FINISHED
    assert store.db.execute("SELECT value FROM metrics").fetchall() == [(1.0,)]
    store.close()


def test_a_script_that_forgets_to_finish_while_locked_leaves_its_rows(tmp_path: Path) -> None:
    script = (
        "import sys; from store import *\n"
        "store = open_store(sys.argv[1]); recorder = Recorder(store, record_run(store, NewRun('forgot')))\n"
        "print('ready', flush=True); sys.stdin.readline()\n"
        "recorder.log({'a': 1.0}, 1)\n"
    )
    path = tmp_path / "assay.db"
    process = subprocess.Popen(
        [sys.executable, "-c", script, str(path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    process.stdout.readline()
    other = sqlite3.connect(path, isolation_level=None, timeout=60)
    other.execute("BEGIN IMMEDIATE")
    process.communicate("go\n")
    other.execute("ROLLBACK")
    other.close()
    store = open_store(path)
    assert [run.name for run in reconcile(store)] == ["forgot"]
    assert store.db.execute("SELECT value FROM metrics").fetchall() == [(1.0,)]
    store.close()


def _write_many(path: Path, number: int, start: threading.Barrier, said: "multiprocessing.SimpleQueue[str]") -> None:
    try:
        store = open_store(path)
        recorder = Recorder(store, record_run(store, NewRun(f"writer {number}")))
        start.wait()
        for step in range(1000):
            recorder.log({f"m{i}": step for i in range(5)}, step)
        recorder.finish()
        said.put(f"{recorder.rows_lost} lost")
        store.close()
    except BaseException as error:  # whatever it is, the parent has to hear of it
        said.put(f"{type(error).__name__}: {error}")


def test_sixteen_writers_lose_nothing(tmp_path: Path) -> None:
    fork = multiprocessing.get_context("fork")
    start, said = fork.Barrier(16), fork.SimpleQueue()
    path = tmp_path / "assay.db"
    processes = [fork.Process(target=_write_many, args=(path, n, start, said)) for n in range(16)]
    for process in processes:
        process.start()
    assert [said.get() for _ in processes] == ["0 lost"] * 16
    for process in processes:
        process.join()
    store = open_store(path)
    rows = store.db.execute("SELECT run_key, metric_key, count(*), sum(value) FROM metrics GROUP BY 1, 2").fetchall()
    assert [row[2:] for row in rows] == [(1000, 499_500.0)] * (16 * 5)
    assert store.db.execute("SELECT status, count(*) FROM runs GROUP BY 1").fetchall() == [("finished", 16)]
    assert spool_status(store).files == ()
    assert list((store.files / "spool").glob("*")) == []
    store.close()
