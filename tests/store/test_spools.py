"""What waits on disk comes into the store exactly once, or is said and kept."""

import json
import shutil
import subprocess
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import pytest

from store import (
    NewRun,
    Run,
    Status,
    Store,
    finish_run,
    fold_spools,
    get_run,
    list_events,
    list_latest,
    list_runs,
    open_store,
    reconcile,
    record_run,
    spool_status,
)
from store import spools as spools_module
from store.entries import Entry, Item, Point
from store.leases import take_lease
from store.metrics import StepRow
from store.spool import Source, SpoolFile
from tests.store.builders import locked


def points(steps: Sequence[int]) -> list[Item]:
    return [Point(StepRow(step, 0.5, None, None), {"loss": float(step)}) for step in steps]


def end(status: str = "finished") -> Entry:
    return Entry("finish", 12.5, {"status": status, "cause": None}, {}, 1)


def leave(store: Store, run: Run, *batches: Sequence[Item], folder: Path | None = None) -> Path:
    """A spool file as a process leaves it that was killed."""
    folder = folder or store.files / "spool"
    folder.mkdir(parents=True, exist_ok=True)
    file = SpoolFile.create(folder, run.id)
    for items in batches:
        file.append(items, Source(run.id, 1, str(store.path)))
    file.close()
    return file.path


def dead_run(store: Store) -> Run:
    """A running run whose process is gone."""
    run = record_run(store, NewRun("x"))
    take_lease(store, run)
    with store.write() as db:
        db.execute("UPDATE leases SET pid = ? WHERE run_key = ?", (2**22 + 1, run.key))
    return run


def n_values(store: Store, run: Run) -> int:
    return int(list_latest(store, [run.key])["n"].sum())


def test_reconcile_folds_before_it_says_that_a_run_is_dead(store: Store) -> None:
    finished, killed = dead_run(store), dead_run(store)
    path = leave(store, finished, points(range(3)), [end()])
    leave(store, killed, points(range(5)))
    status = spool_status(store)
    assert (status.rows_pending, status.rows_of(finished.id), status.rows_of(killed.id)) == (17, 7, 10)
    assert status.size_bytes > 100
    (report,) = [file for file in status.files if file.path == path]
    assert (report.is_live, report.problem, report.run_id) == (False, None, finished.id)
    assert [run.key for run in reconcile(store)] == [killed.key]
    run = get_run(store, finished.key)
    assert (run.status, run.cause, run.ended_at) == (Status.FINISHED, None, 12.5)
    assert (n_values(store, finished), n_values(store, killed)) == (3, 5)
    assert get_run(store, killed.key).status == Status.FAILED
    assert list_events(store, finished.key)["message"].tolist() == [
        "7 rows that waited on disk when its process ended were written"
    ]
    assert spool_status(store).files == ()
    assert not path.exists()


def test_a_file_that_comes_back_changes_nothing(store: Store, tmp_path: Path) -> None:
    run = record_run(store, NewRun("x"))
    path = leave(store, run, points(range(3)), [Entry("text", 1.0, {"text": "line\n"}, {}, 1)])
    shutil.copy(path, tmp_path / "copy")
    fold_spools(store)
    before = store.db.execute("SELECT * FROM run_logs").fetchall(), n_values(store, run), len(list_events(store, 1))
    shutil.copy(tmp_path / "copy", path)  # as if the process had been killed before it removed the file
    assert spool_status(store).files == ()
    (folded,) = fold_spools(store)
    assert (folded.n_rows, folded.problem) == (0, None)
    assert (store.db.execute("SELECT * FROM run_logs").fetchall(), n_values(store, run)) == before[:2]
    assert len(list_events(store, 1)) == before[2]
    assert not path.exists()


def test_a_kill_in_the_middle_of_folding_goes_on_where_it_was(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run = record_run(store, NewRun("x"))
    lines = [[Entry("text", 1.0, {"text": f"{n}\n"}, {}, 1)] for n in range(5)]
    path = leave(store, run, *lines)
    monkeypatch.setattr(spools_module, "_CHUNK_ROWS", 2)
    real, n_chunks = spools_module.Cursor.fold, 0

    def killed(*arguments: object, **more: object) -> object:
        nonlocal n_chunks
        n_chunks += 1
        if n_chunks == 3:
            raise KeyboardInterrupt
        return real(*arguments, **more)  # type: ignore[arg-type]  # passed on as they are

    monkeypatch.setattr(spools_module.Cursor, "fold", killed)
    with pytest.raises(KeyboardInterrupt):
        fold_spools(store)
    assert spool_status(store).rows_pending == 1
    (folded,) = fold_spools(store)
    assert folded.n_rows == 1
    assert [text for (text,) in store.db.execute("SELECT text FROM run_logs ORDER BY number")] == [
        f"{n}\n" for n in range(5)
    ]
    assert not path.exists()


def test_files_of_a_run_are_folded_in_the_order_of_their_making(store: Store, tmp_path: Path) -> None:
    run = record_run(store, NewRun("x"))
    leave(store, run, [Entry("text", 1.0, {"text": "1"}, {}, 1)])
    leave(store, run, [Entry("text", 1.0, {"text": "2"}, {}, 1)])
    leave(store, run, [Entry("text", 1.0, {"text": "3"}, {}, 1)])
    fold_spools(store)
    assert [text for (text,) in store.db.execute("SELECT text FROM run_logs ORDER BY number")] == ["1", "2", "3"]


def test_what_is_torn_is_left_out_and_what_is_damaged_is_told(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    path = leave(store, run, points([1]), points([2]), points([3]), points([4]))
    whole = path.read_bytes()
    broken = bytearray(whole[:-5])  # the last is torn
    broken[len(whole) // 4 + 60] ^= 1  # in the second
    path.write_bytes(broken)
    (folded,) = fold_spools(store)
    assert (folded.n_rows, folded.n_lost, folded.n_damaged, folded.problem) == (4, 0, 1, None)
    assert n_values(store, run) == 2
    events = list_events(store, run.key)
    assert events["kind"].tolist() == ["rows lost", "spool"]
    assert events["message"][0].startswith("1 entries of ")
    assert not path.exists()


def test_a_file_of_which_nothing_can_be_read_is_told(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    path = leave(store, run, points([1]))
    path.write_bytes(b"?" + path.read_bytes()[1:])
    (folded,) = fold_spools(store)
    assert (folded.n_rows, folded.n_damaged) == (0, 1)
    assert list_events(store, run.key)["kind"][0] == "rows lost"
    assert not path.exists()


def test_what_the_store_refuses_loses_only_itself(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    bad = [Point(StepRow(2**70, None, None, None), {"loss": 1.0}), Entry("text", 1.0, {"text": "\ud800"}, {}, 1)]
    leave(store, run, [*points(range(9)), *bad, *points([9])])
    (folded,) = fold_spools(store)
    assert (folded.n_rows, folded.n_lost) == (20, 3)
    assert n_values(store, run) == 10
    events = list_events(store, run.key)
    assert events["kind"].tolist() == ["rows lost", "rows lost", "spool"]
    assert events["message"][0].startswith("2 rows could not be written: ")


def test_a_spool_without_its_run_is_said_and_kept(store: Store, tmp_path: Path) -> None:
    other = open_store(tmp_path / "other.db")
    stranger, deleted = record_run(other, NewRun("x")), record_run(store, NewRun("y"))
    paths = [leave(store, run, points([1])) for run in (stranger, deleted)]
    with store.write() as db:
        db.execute("DELETE FROM runs WHERE key = ?", (deleted.key,))
    assert fold_spools(store) == []
    assert reconcile(store) == []
    status = spool_status(store)
    assert (len(status.files), status.rows_pending) == (2, 4)
    assert all("its run is not in this store" in str(report.problem) for report in status.files)
    assert all(path.exists() for path in paths)
    other.close()


def test_a_shared_folder_holds_spools_of_several_stores(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shared = tmp_path / "shared"
    monkeypatch.setenv("ASSAY_SPOOL", str(shared))
    run = record_run(store, NewRun("x"))
    copy = open_store(shutil.copy(store.path, tmp_path / "copy.db"))  # a backup has the same run
    path = leave(store, run, points([1]), folder=shared)
    assert (fold_spools(copy), spool_status(copy).files) == ([], ())
    assert path.exists()
    assert spool_status(store).rows_pending == 2
    assert [folded.n_rows for folded in fold_spools(store)] == [2]
    leave(store, run, points([2]), folder=shared)
    store.close()
    moved = open_store(shutil.move(store.path, tmp_path / "moved.db"))
    assert [folded.n_rows for folded in fold_spools(moved)] == [2]  # it found back to its run
    assert list(shared.iterdir()) == []
    for opened in (copy, moved):
        opened.close()


def test_kinds_of_a_newer_assay_are_left_for_it(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    path = leave(store, run, points([1]), [Entry("song", 1.0, {}, {}, 5)], points([2]))
    (folded,) = fold_spools(store)
    assert (folded.n_rows, folded.problem) == (2, "a newer Assay wrote it, and recorded song")
    (report,) = spool_status(store).files
    assert (report.rows_pending, report.problem) == (7, "a newer Assay wrote it, and recorded song")
    assert path.exists()


def test_a_locked_store_leaves_file_and_status_for_the_next_start(store: Store) -> None:
    run = dead_run(store)
    leave(store, run, points([1]), [end()])
    with locked(store):
        (folded,) = fold_spools(store, wait_seconds=0.01)
        assert (folded.n_rows, folded.problem) == (0, "database is locked")
    assert spool_status(store).rows_pending == 3
    assert reconcile(store) == []
    assert get_run(store, run.key).status == Status.FINISHED


def test_while_another_process_folds_nobody_is_declared_dead(store: Store) -> None:
    run = dead_run(store)
    path = leave(store, run, points([1]), [end()])
    other = SpoolFile.adopt(path)
    assert other is not None
    assert spool_status(store).files[0].is_live
    assert reconcile(store) == []
    assert get_run(store, run.key).status == Status.RUNNING
    other.close()
    assert reconcile(store) == []
    assert get_run(store, run.key).status == Status.FINISHED


def test_an_end_that_comes_late_is_the_truth(store: Store) -> None:
    run = dead_run(store)
    finish_run(store, run.key, Status.FAILED, "killed")
    leave(store, run, [end()])
    reconcile(store)
    assert get_run(store, run.key).status == Status.FINISHED


def test_a_file_that_cannot_be_opened_is_said(store: Store) -> None:
    run = dead_run(store)
    path = leave(store, run, points([1]))
    path.unlink()
    path.mkdir()
    (report,) = spool_status(store).files
    assert "cannot be read" in str(report.problem)
    assert [found.key for found in reconcile(store)] == [run.key]


def test_six_processes_that_fold_at_once_fold_once(store: Store) -> None:
    run = dead_run(store)
    paths = [leave(store, run, *([entry] for entry in points(range(100 * n, 100 * n + 100)))) for n in range(4)]
    script = "import sys; from store import *; reconcile(open_store(sys.argv[1]))"
    processes = [subprocess.Popen([sys.executable, "-c", script, str(store.path)]) for _ in range(6)]
    assert [process.wait() for process in processes] == [0] * 6
    reconcile(store)
    assert n_values(store, run) == 400
    assert get_run(store, run.key).status == Status.FAILED
    assert not any(path.exists() for path in paths)
    events = list_events(store, run.key)["message"].tolist()
    assert sum("200 rows that waited on disk" in text for text in events) == 4
    assert len(events) == 5


def test_rows_of_the_lease_and_rows_on_disk_are_different_rows(store: Store) -> None:
    run = record_run(store, NewRun("x"))
    leave(store, run, points([1]))
    assert json.loads(list_runs(store)["rows_pending"].to_json()) == {"0": None}
    assert spool_status(store).rows_of(run.id) == 2
    with warnings.catch_warnings(action="error"):
        reconcile(store)
    assert spool_status(store).rows_of(run.id) == 0
