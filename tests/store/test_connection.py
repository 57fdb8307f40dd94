import multiprocessing
import os
import sqlite3
import threading
from pathlib import Path

import pytest
import sqlite_utils  # loaded before the forks, so that the children meet at the file and not in the import

from store import (
    NewRun,
    Store,
    StoreNotFound,
    StoreTooNew,
    StoreUnreadable,
    count_runs,
    get_run,
    open_readonly,
    open_store,
    reading,
    record_run,
)
from store.connection import APPLICATION_ID, SCHEMA_VERSION
from store.migrations import migrations
from tests.store.builders import locked

N_OPENERS = 16


def _open_and_write(path: Path, barrier: threading.Barrier, results: "multiprocessing.SimpleQueue[str]") -> None:
    barrier.wait()
    try:
        store = open_store(path)
        record_run(store, NewRun("opener"))
        store.close()
        results.put("ok")
    except BaseException as error:  # whatever it is, the parent has to hear of it
        results.put(f"{type(error).__name__}: {error}")


@pytest.mark.parametrize("round_", [*range(4), *(pytest.param(n, marks=pytest.mark.slow) for n in range(4, 50))])
def test_sixteen_processes_open_a_new_file_at_once(tmp_path: Path, round_: int) -> None:
    fork = multiprocessing.get_context("fork")
    barrier, results = fork.Barrier(N_OPENERS), fork.SimpleQueue()
    path = tmp_path / "new.db"
    processes = [fork.Process(target=_open_and_write, args=(path, barrier, results)) for _ in range(N_OPENERS)]
    for process in processes:
        process.start()
    said = [results.get() for _ in processes]
    for process in processes:
        process.join()
    assert said == ["ok"] * N_OPENERS
    store = open_store(path)
    assert count_runs(store) == {"queued": N_OPENERS}
    assert store.db.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (SCHEMA_VERSION,)
    store.close()


def test_schema_version_counts_the_migrations(store: Store) -> None:
    assert len(list(migrations.pending(sqlite_utils.Database(memory=True)))) == SCHEMA_VERSION
    assert not list(migrations.pending(sqlite_utils.Database(store.db)))
    assert store.db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
    assert store.db.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
    assert store.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_migration_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.migrations.FOUNDATION", "CREATE TABLE one (a);\nCREATE TABLE one (a)")
    with pytest.raises(StoreUnreadable, match="one already exists"):
        open_store(tmp_path / "new.db")
    tables = sqlite3.connect(tmp_path / "new.db").execute("SELECT count(*) FROM sqlite_master").fetchone()
    assert tables == (0,)
    monkeypatch.undo()
    open_store(tmp_path / "new.db").close()


def test_foreign_sqlite_file_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "other.db"
    sqlite3.connect(path).execute("CREATE TABLE songs (name)")
    for opener in (open_store, open_readonly):
        with pytest.raises(StoreUnreadable, match=r"not an Assay store.*'songs'"):
            opener(path)
    assert [n for (n,) in sqlite3.connect(path).execute("SELECT name FROM sqlite_master")] == ["songs"]


def test_file_that_is_not_sqlite(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("these are notes, no database, and long enough to be looked at\n" * 20)
    before = path.read_bytes()
    for opener in (open_store, open_readonly):
        with pytest.raises(StoreUnreadable, match="not a SQLite file"):
            opener(path)
    assert path.read_bytes() == before


def test_newer_store(store: Store) -> None:
    store.db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    for opener in (open_store, open_readonly):
        with pytest.raises(StoreTooNew, match=f"schema {SCHEMA_VERSION + 1}, this one knows {SCHEMA_VERSION}"):
            opener(store.path)


def test_missing_store(tmp_path: Path) -> None:
    with pytest.raises(StoreNotFound, match="runner demo"):
        open_readonly(tmp_path / "none.db")
    with pytest.raises(StoreNotFound, match="ASSAY_STORE"):
        open_store(tmp_path / "none.db", create=False)
    assert not list(tmp_path.iterdir())
    with pytest.raises(StoreUnreadable, match="no folder"):
        open_store(tmp_path / "no" / "such" / "folder.db")


def test_empty_file_read_only_names_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "empty.db").touch()
    with pytest.raises(StoreUnreadable, match="runner doctor"):
        open_readonly(tmp_path / "empty.db")


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user of a child process")
def test_files_and_folders_without_the_right_to_write(tmp_path: Path) -> None:
    path = tmp_path / "theirs.db"
    open_store(path).close()
    path.chmod(0o644)
    for folder in (tmp_path, *tmp_path.parents):
        if folder != Path("/") and folder.owner() == "root" and folder != Path("/tmp"):
            folder.chmod(folder.stat().st_mode | 0o055)
    fork = multiprocessing.get_context("fork")
    said = fork.SimpleQueue()

    def child() -> None:
        os.setuid(65534)
        for name in ("theirs.db", "new.db"):
            try:
                open_store(tmp_path / name)
                said.put("opened")
            except StoreUnreadable as error:
                said.put(str(error))

    process = fork.Process(target=child)
    process.start()
    process.join()
    assert "is not writable; check its owner and mode" in said.get()
    assert f"the folder {tmp_path} is not writable" in said.get()
    assert not (tmp_path / "new.db").exists()


def test_read_only_store_refuses_writes_and_sees_new_rows(store: Store) -> None:
    reader = open_readonly(store.path)
    with pytest.raises(StoreUnreadable, match="read-only"):
        record_run(reader, NewRun("no"))
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        reader.db.execute("DELETE FROM runs")
    before = reader.version()
    run = record_run(store, NewRun("yes"))
    assert get_run(reader, run.key).name == "yes"
    assert reader.version() == before + 1
    reader.close()


def test_reading_is_read_only_closes_and_explains(store: Store, tmp_path: Path) -> None:
    record_run(store, NewRun("a"))
    with reading(store.path) as opened:
        assert opened.readonly
        assert count_runs(opened) == {"queued": 1}
        connection = opened.db
    with pytest.raises(sqlite3.ProgrammingError, match="closed"):
        connection.execute("SELECT 1")
    with pytest.raises(StoreUnreadable, match="cannot be used: no such table: nowhere"), reading(store.path) as opened:
        opened.db.execute("SELECT * FROM nowhere")
    with pytest.raises(ZeroDivisionError), reading(store.path):  # what is not SQLite's stays what it is
        raise ZeroDivisionError
    with pytest.raises(StoreNotFound, match="there is no store"), reading(tmp_path / "none.db"):
        pass


def test_write_rolls_back_and_moves_the_version_only_when_it_happened(store: Store) -> None:
    run = record_run(store, NewRun("a"))
    before = store.version()
    with pytest.raises(RuntimeError, match="half way"), store.write(run.key) as db:  # noqa: PT012  # the block is the thing tested
        db.execute("UPDATE runs SET name = 'b'")
        raise RuntimeError("half way")
    assert (store.version(), get_run(store, run.key).name, get_run(store, run.key).version) == (before, "a", 0)
    with store.write(run.key) as db:
        db.execute("UPDATE runs SET name = 'b'")
    assert (store.version(), get_run(store, run.key).name, get_run(store, run.key).version) == (before + 1, "b", 1)
    with store.write():
        pass
    assert (store.version(), get_run(store, run.key).version) == (before + 2, 1)


def test_readers_see_nothing_half_written(store: Store) -> None:
    reader = open_readonly(store.path)
    with store.write() as db:
        db.execute("INSERT INTO metric_keys (name) VALUES ('x')")
        assert reader.db.execute("SELECT count(*) FROM metric_keys").fetchone() == (0,)
    assert reader.db.execute("SELECT count(*) FROM metric_keys").fetchone() == (1,)
    reader.close()


def test_write_waits_no_longer_than_it_is_told(store: Store) -> None:
    with locked(store), pytest.raises(sqlite3.OperationalError, match="locked"), store.write(wait_seconds=0.05):
        pass
    with store.write():  # and goes on working
        pass


def test_connections_of_threads_that_ended_are_closed(store: Store) -> None:
    for _ in range(20):
        thread = threading.Thread(target=store.version)
        thread.start()
        thread.join()
    assert len(store._connections) <= 2


def test_a_forked_child_opens_its_own_connection(store: Store) -> None:
    fork = multiprocessing.get_context("fork")
    parents = id(store.db)
    said = fork.SimpleQueue()

    def child() -> None:
        said.put(id(store.db) != parents)
        said.put(record_run(store, NewRun("child")).name)

    process = fork.Process(target=child)
    process.start()
    process.join()
    assert said.get() is True
    assert said.get() == "child"
    assert get_run(store, "child").name == "child"
