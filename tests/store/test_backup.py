"""Backups are whole, are taken while others write, and overwrite nothing."""

import shutil
import subprocess
import sys
import threading
from collections import namedtuple
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import NewRun, Recorder, Store, StoreUnreadable, check_store, open_readonly, open_store, record_run
from store.backup import backup_store
from tests.store.filled import filled_store


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[Store]:
    store = filled_store(tmp_path / "assay.db", n_runs=2, n_steps=40, n_examples=100)
    yield store
    store.close()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.startswith("assay")}


def test_everything_is_in_it(filled: Store, tmp_path: Path) -> None:
    said: list[tuple[int, int]] = []
    backup = backup_store(filled, tmp_path / "copy.db", report=lambda done, total: said.append((done, total)))
    assert said[-1][0] == said[-1][1] == backup.size_bytes == (tmp_path / "copy.db").stat().st_size
    assert names(tmp_path) == {"copy.db"}
    assert backup.n_rows["runs"] == 2
    assert len(backup.n_rows) >= 30
    copy = open_store(tmp_path / "copy.db", create=False)
    assert check_store(copy).problems == ()
    assert list(copy.db.iterdump()) == list(filled.db.iterdump())
    assert copy.db.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    copy.close()


def test_while_a_run_writes(filled: Store, tmp_path: Path) -> None:
    """Every write would start a copy page by page anew; one snapshot is copied, and it is a moment's."""
    recorder = Recorder(filled, record_run(filled, NewRun("live")))
    stop = threading.Event()
    steps = 0

    def write() -> None:
        nonlocal steps
        writer = open_store(filled.path)
        while not stop.is_set():
            steps += 1
            with writer.write() as db:
                db.execute("INSERT INTO run_logs VALUES (1, ?, ?)", (1000 + steps, f"{steps} {'x' * 20_000}"))
        writer.close()

    thread = threading.Thread(target=write)
    thread.start()
    try:
        backup = backup_store(filled, tmp_path / "copy.db")
    finally:
        stop.set()
        thread.join()
    recorder.finish()
    assert steps > 1
    copy = open_readonly(tmp_path / "copy.db")
    (n, last) = copy.db.execute("SELECT count(*), max(number) FROM run_logs WHERE number > 1000").fetchone()
    assert n == (last - 1000 if last else 0)
    assert backup.n_rows["runs"] == 3
    copy.close()


def test_targets_that_cannot_be(filled: Store, tmp_path: Path) -> None:
    (tmp_path / "there.db").write_text("precious")
    (tmp_path / "gone.db-wal").write_text("the log of a file that is gone")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link.db").symlink_to(filled.path)
    for target, text in (
        ("no/such/copy.db", "there is no folder"),
        ("folder", "it is a folder"),
        ("assay.db", "the store itself"),
        ("link.db", "the store itself"),
        ("folder/../assay.db-wal", "the store itself"),
        ("there.db", "is there already.*--force"),
        ("gone.db", "gone.db-wal is there already"),
    ):
        with pytest.raises(StoreUnreadable, match=text):
            backup_store(filled, tmp_path / target)
    assert (tmp_path / "there.db").read_text() == "precious"
    assert names(tmp_path) == {"there.db", "gone.db-wal", "folder", "link.db"}
    for target in ("there.db", "gone.db"):
        backup_store(filled, tmp_path / target, force=True)
        open_store(tmp_path / target, create=False).close()
    assert not (tmp_path / "gone.db-wal").exists()


def test_a_store_that_is_in_use_is_not_overwritten(filled: Store, tmp_path: Path) -> None:
    other = filled_store(tmp_path / "other.db", n_runs=1, n_steps=10, n_examples=20)
    other.close()
    hold = (
        "import sqlite3, sys; db = sqlite3.connect(sys.argv[1]);"
        "print(db.execute('SELECT name FROM runs').fetchone(), flush=True); sys.stdin.read()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(tmp_path / "other.db")], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        with pytest.raises(StoreUnreadable, match="open elsewhere"):
            backup_store(filled, tmp_path / "other.db", force=True)
        holder.kill()
    assert not (tmp_path / "other.db.partial").exists()


def test_no_room(filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage(10**9, 10**9, 80_000_000))
    backup_store(filled, tmp_path / "copy.db")
    with pytest.raises(StoreUnreadable, match=r"the backup needs .* where 80 MB are free"):
        backup_store(filled, tmp_path / "more.db", extra_bytes=50_000_000)


def test_a_damaged_store_is_not_backed_up(filled: Store, tmp_path: Path) -> None:
    (root,) = filled.db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'flights_by_run'").fetchone()
    filled.close()
    data = bytearray(filled.path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    filled.path.write_bytes(data)
    with pytest.raises(StoreUnreadable, match=r"is damaged.*runner doctor --repair"):
        backup_store(open_store(filled.path), tmp_path / "copy.db")
    assert names(tmp_path) == set()


def test_what_goes_wrong_on_the_way_leaves_nothing(
    filled: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(copy: Store) -> None:
        assert copy.db.execute("SELECT count(*) FROM runs").fetchone() == (2,)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        backup_store(filled, tmp_path / "copy.db", also=refuse)
    assert names(tmp_path) == set()
    counts = iter([{"runs": 2}, {"runs": 1}])
    monkeypatch.setattr("store.backup._count_rows", lambda _: next(counts))
    with pytest.raises(StoreUnreadable, match=r"the copy has 1 rows in runs instead of 2"):
        backup_store(filled, tmp_path / "copy.db")
    assert names(tmp_path) == set()
    assert not filled.db.in_transaction
