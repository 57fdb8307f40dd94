"""A recorder whose store cannot be written: rows go to disk, come back in order, and none is lost in silence."""

import fcntl
import os
import shutil
import sqlite3
import subprocess
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import Recorder, RowsLost, Status, Store, get_run, list_events, open_store, spool_status
from store import folding as folding_module
from store import writer as writer_module
from store.spool import SpoolFile
from store.spool_folders import make_folder
from tests.store.builders import curve, locked, start

N = 300


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, seconds in {"FLUSH": 0.05, "LOCK": 0.05, "RETRY": 0.02, "REST": 0.05}.items():
        monkeypatch.setattr(writer_module, f"{name}_SECONDS", seconds)


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder to go to where the store's own cannot be written."""
    monkeypatch.setenv("ASSAY_SPOOL", str(tmp_path / "elsewhere"))
    return tmp_path / "elsewhere"


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(folder: Path) -> Path:
    """Leave no byte free."""
    path = folder / "ballast"
    with path.open("wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                pass
    return path


def wait_for_spool(store: Store, n_rows: int) -> None:
    deadline = time.monotonic() + 60
    while spool_status(store).rows_pending < n_rows and time.monotonic() < deadline:
        time.sleep(0.02)
    assert spool_status(store).rows_pending == n_rows


def log(recorder: Recorder, first: int, n: int = N) -> None:
    for step in range(first, first + n):
        recorder.log({"a": step}, step)
        if step % 50 == 0:
            recorder.text(f"{step}\n")


def assert_complete(store: Store, recorder: Recorder, n: int) -> None:
    assert curve(store, recorder, "a") == {step: float(step) for step in range(n)}
    texts = [text for (text,) in store.db.execute("SELECT text FROM run_logs ORDER BY number")]
    assert texts == [f"{step}\n" for step in range(0, n, 50)]
    assert recorder.rows_lost == 0
    assert list_events(store, recorder.run.key).empty
    assert get_run(store, recorder.run.key).status == Status.FINISHED
    assert spool_status(store).files == ()


def test_rows_go_to_disk_and_back_again_and_again(store: Store) -> None:
    recorder = start(store)
    for turn in range(4):
        log(recorder, turn * 2 * N)
        recorder.flush()
        with locked(store):
            log(recorder, (turn * 2 + 1) * N)
            wait_for_spool(store, 2 * N + N // 50)
            assert recorder.rows_pending == 2 * N + N // 50
            (report,) = spool_status(store).files
            assert report.is_live
        recorder.flush()
    assert store.db.execute("SELECT count(*) FROM spools").fetchone() == (1,)  # one file for all four times
    assert report.path.stat().st_size == 0
    recorder.finish()
    assert_complete(store, recorder, 8 * N)
    assert not report.path.exists()


def test_rows_logged_while_a_large_spool_is_folded_come_behind_it(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer_module, "_CHUNK_ROWS", 100)
    recorder = start(store)
    with locked(store):
        for part in range(10):
            log(recorder, part * N)
            wait_for_spool(store, (part + 1) * (2 * N + N // 50))
    log(recorder, 10 * N)
    recorder.finish()
    assert_complete(store, recorder, 11 * N)


def test_where_the_stores_folder_takes_nothing_another_does(store: Store, elsewhere: Path) -> None:
    store.files.write_text("a file where a folder should be")
    recorder = start(store)
    with locked(store):
        log(recorder, 0)
        wait_for_spool(store, 2 * N + N // 50)
        assert [report.path.parent for report in spool_status(store).files] == [elsewhere]
    recorder.finish()
    assert_complete(store, recorder, N)
    assert list(elsewhere.iterdir()) == []


def test_a_full_disk_costs_nothing_while_another_has_room(small_disk: Path, elsewhere: Path) -> None:
    store = open_store(small_disk / "assay.db")
    recorder = start(store)
    log(recorder, 0)
    recorder.flush()
    with locked(store):  # the spool begins on the small disk
        log(recorder, N)
        wait_for_spool(store, 2 * N + N // 50)
        ballast = fill(small_disk)
        log(recorder, 2 * N)
        wait_for_spool(store, 2 * (2 * N + N // 50))
        assert {report.path.parent for report in spool_status(store).files} == {store.files / "spool", elsewhere}
    with warnings.catch_warnings(action="ignore"), pytest.raises(RowsLost, match=r"full.*wait in .*elsewhere"):
        recorder.flush(timeout=0.5)
    ballast.unlink()
    recorder.finish()
    assert_complete(store, recorder, 3 * N)
    assert list(elsewhere.iterdir()) == []
    store.close()


def test_where_every_disk_is_full_rows_wait_in_memory(small_disk: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_SPOOL", str(small_disk / "elsewhere"))
    store = open_store(small_disk / "assay.db")
    recorder = start(store)
    log(recorder, 0)
    recorder.flush()
    with locked(store):
        log(recorder, N)
        wait_for_spool(store, 2 * N + N // 50)
    recorder.flush()
    ballast = fill(small_disk)
    log(recorder, 2 * N, 20 * N)
    with warnings.catch_warnings(action="ignore"), pytest.raises(RowsLost, match=r"full.*wait in memory.*No space"):
        recorder.flush(timeout=0.5)
    assert recorder.rows_pending >= 20 * N
    ballast.unlink()
    recorder.finish()
    assert_complete(store, recorder, 22 * N)
    store.close()


def test_a_spool_damaged_under_its_owner_is_counted_to_the_row(store: Store) -> None:
    recorder = start(store)
    with warnings.catch_warnings(action="ignore"), locked(store):
        for step in range(3):
            recorder.log({"a": step}, step)
            wait_for_spool(store, 2 * (step + 1))
        (report,) = spool_status(store).files
        with report.path.open("r+b") as file:
            file.seek(report.size_bytes * 5 // 6)
            file.write(b"\xff")
    with pytest.raises(RowsLost, match="2 rows of run"), warnings.catch_warnings(action="ignore"):
        recorder.finish()
    assert curve(store, recorder, "a") == {0: 0.0, 1: 1.0}
    (event,) = list_events(store, recorder.run.key).itertuples()
    assert (event.kind, "was damaged on disk" in event.message) == ("rows lost", True)


def test_where_locks_are_not_respected_nothing_is_folded_twice(store: Store) -> None:
    recorder = start(store)
    other = sqlite3.connect(store.path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for step in range(3):
        recorder.log({"a": step}, step)
        wait_for_spool(store, 2 * (step + 1))
    (report,) = spool_status(store).files
    other.execute("INSERT INTO spools VALUES (?, 1, 0)", (report.path.stem,))  # as if it had folded the first
    other.execute("COMMIT")
    other.close()
    recorder.finish()
    assert curve(store, recorder, "a") == {1: 1.0, 2: 2.0}
    assert (recorder.rows_pending, recorder.rows_lost) == (0, 0)
    assert get_run(store, recorder.run.key).status == Status.FINISHED


def test_a_temporary_folder_of_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    folder = tmp_path / f"assay-spool-{os.getuid()}"
    folder.mkdir()
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="belongs to somebody else"):
        make_folder(folder)
    folder.chmod(0o700)
    make_folder(folder)


def test_rows_that_waited_long_are_safe_from_a_power_cut_before_the_spool_is_emptied(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    real = folding_module.write_batch

    def write_batch(of: Store, *arguments: object, **more: object) -> object:
        seen.append(of.db.execute("PRAGMA synchronous").fetchone())
        return real(of, *arguments, **more)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(folding_module, "write_batch", write_batch)
    for old_seconds in (60.0, -1.0):
        monkeypatch.setattr(folding_module, "_OLD_SECONDS", old_seconds)
        recorder = start(store)
        with locked(store):
            recorder.log({"a": 0}, 0)
            wait_for_spool(store, 2)
        recorder.finish()
        assert seen[-1] == ((1,) if old_seconds > 0 else (2,))


def test_an_owner_that_cannot_lock_makes_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise OSError("no locks available")

    monkeypatch.setattr(fcntl, "flock", refuse)
    with pytest.raises(OSError, match="no locks"):
        SpoolFile.create(tmp_path, "0" * 26)
    assert list(tmp_path.iterdir()) == []
