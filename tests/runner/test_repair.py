"""`runner doctor --repair`, `runner backup` and `runner merge-store` as from a shell."""

import json
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from runner.commands.doctor import _echo
from runner.files import folder_bytes
from runner.repair import Repair, Sizes, repair_store
from store import NewRun, Recorder, Status, Store, check_store, get_run, list_checkpoints, open_store, record_run
from store.rescue.salvage import Salvaged, SavedTable
from store.rescue.swap import Rescue
from tests.runner.conftest import Trained
from tests.runner.rescue_kit import checkpoints, own_copy
from tests.store.filled import filled_store
from tests.store.test_spools import dead_run, leave, points


@pytest.fixture
def shell(capfd: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """`shell(path, "ls", …)` → exit code, stdout, stderr."""
    from runner.cli import main

    def call(path: Path, *arguments: str) -> tuple[int, str, str]:
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([*arguments, "--store", str(path)])
        out, err = capfd.readouterr()
        assert "Traceback" not in err
        return int(ended.value.code or 0), out, err

    return call


Shell = Callable[..., tuple[int, str, str]]


def damage(path: Path, table: str) -> None:
    db = sqlite3.connect(path)
    (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()
    data = bytearray(path.read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    path.write_bytes(data)


def quiet(table: str, n_rows: int) -> None:
    pass


# doctor --repair -----------------------------------------------------------------------------------------------------


def test_nothing_to_repair(trained: Callable[[str], Trained], tmp_path: Path, shell: Shell) -> None:
    store, _ = own_copy(trained, tmp_path)
    store.close()
    code, out, _ = shell(store.path, "doctor", "--repair")
    assert code == 0, out
    assert "nothing had to be repaired" in out


@pytest.mark.parametrize("harm", ["altered", "longer"])
def test_a_checkpoint_that_is_not_what_was_written_is_broken(
    trained: Callable[[str], Trained], tmp_path: Path, shell: Shell, harm: str
) -> None:
    store, run = own_copy(trained, tmp_path)
    known = checkpoints(store, run)
    store.close()
    n_bytes = sum(folder_bytes(store.files / each.path) for each in known)
    code, out, _ = shell(store.path, "doctor")
    assert code == 0, out
    assert f"{len(known)}; {n_bytes / 1e6:,.1f} MB read and compared with their hashes" in out
    file = store.files / known[-1].path / "head.safetensors"
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.write_bytes(bytes(content) + (b"0" if harm == "longer" else b""))
    for options in ([], ["--quick"], ["--repair"], ["--repair", "--quick"]):
        code, out, _ = shell(store.path, "doctor", *options)
        is_seen = harm == "longer" or "--quick" not in options
        assert code == is_seen, out
        assert ("1 broken" in out) == is_seen
        assert (f"{run.name} ({run.id}), step {known[-1].step}: {store.files / known[-1].path}" in out) == is_seen


def test_everything_at_once(trained: Callable[[str], Trained], tmp_path: Path, shell: Shell) -> None:
    """A damaged page, rows in a spool, a dead run, a checkpoint that was never noted, a folder of nobody."""
    store, run = own_copy(trained, tmp_path)
    dead = dead_run(store)
    leave(store, dead, points(range(5)))
    noted = checkpoints(store, run)[0]
    with store.write() as db:
        db.execute("DELETE FROM checkpoints WHERE key = ?", (noted.key,))
    (store.files / "runs" / ("X" * 26)).mkdir()
    store.close()
    damage(store.path, "metrics")
    before = store.path.read_bytes()

    code, out, _ = shell(store.path, "doctor")
    assert code == 1
    assert "doctor --repair" in out
    assert store.path.read_bytes() == before
    code, out, err = shell(store.path, "doctor", "--repair", "--json")
    assert code == 0, out + err
    repair = json.loads(out)["repair"]
    assert [table["table"] for table in repair["rescued"]["tables"] if table["n_lost"]] == ["metrics"]
    assert [died["id"] for died in repair["died"]] == [dead.id]
    assert [left["kind"] for left in repair["cleared"]] == ["unrecorded"]
    assert [left["kind"] for left in repair["left"]] == ["orphaned"]
    assert repair["after"]["rows_pending"] == 0
    assert Path(repair["rescued"]["damaged_path"]).read_bytes() == before
    store = open_store(store.path, create=False)
    assert check_store(store).problems == ()
    assert get_run(store, dead.id).status == Status.FAILED
    assert store.db.execute("SELECT count(*) FROM metrics WHERE run_key = ?", (dead.key,)).fetchone() == (5,)
    assert noted.step in {c.step for c in list_checkpoints(store, run.key, existing=True)}
    store.close()

    code, out, _ = shell(store.path, "doctor", "--repair", "--remove-orphans")
    assert code == 0, out
    assert "done: 1 × folder that belongs to no run" in out
    assert not (store.files / "runs" / ("X" * 26)).exists()
    _, out, _ = shell(store.path, "doctor", "--repair", "--remove-orphans")
    assert "nothing had to be repaired" in out


def test_what_was_saved_is_shown(tmp_path: Path, shell: Shell) -> None:
    filled_store(tmp_path / "assay.db", n_runs=2, n_steps=30, n_examples=80).close()
    damage(tmp_path / "assay.db", "run_embeddings")
    code, out, _ = shell(tmp_path / "assay.db", "doctor", "--repair")
    assert "the damaged file is " in out
    assert out.split("lost\n")[1].split()[:6] == ["run_embeddings", "0", "0", "0", "0", "not"]
    assert "left: 1 × folder of all checkpoints, which is not there" in out
    assert code == 1  # the filled store's checkpoints have no files


@pytest.mark.parametrize("n_damaged", [3, 0])
def test_a_salvage_is_told_in_sentences(n_damaged: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = SavedTable("runs", 1200, 0, 0, 0, 0)
    harmed = SavedTable("scores", 34, 1, 2, None, 5)
    rescue = Rescue(tmp_path / "old.db", Salvaged((whole, harmed) if n_damaged else (whole,), 2048, n_damaged), 9, 8)
    _echo(Repair(Sizes(9, 0), Sizes(8, 0), rescue, ("a page is torn", "another")))
    said = capsys.readouterr().out.splitlines()
    assert said[0] == "the store was damaged: a page is torn"
    assert said[1] == (
        "3 of its 2,048 pages were found to hold something else than they should"
        if n_damaged
        else "of its 2,048 pages none shows by itself that it holds something else than it should"
    )
    n_kept = "1,234" if n_damaged else "1,200"
    assert said[2] == f"{n_kept} rows were saved into a new one, which was checked and put in its place"
    assert said[3] == f"the damaged file is {tmp_path / 'old.db'}"
    if n_damaged:
        assert said[5].split() == ["scores", "34", "1", "5", "2", "not", "known"]
        assert said[6] == "docs/rescue.md says what the columns mean"
    else:
        assert said[4] == "no row was lost"


def test_a_run_at_work_is_named_and_nothing_is_repaired(tmp_path: Path, shell: Shell) -> None:
    import os

    store = open_store(tmp_path / "assay.db")
    with Recorder(store, record_run(store, NewRun("busy"))) as recorder:
        code, _, err = shell(store.path, "doctor", "--repair")
    assert code == 2
    assert f"run busy ({recorder.run.id}) is at work" in err
    assert f"process {os.getpid()}" in err
    store.close()


def test_orphans_alone_are_a_usage_error_and_no_store_is_one(tmp_path: Path, shell: Shell) -> None:
    code, _, err = shell(tmp_path / "none.db", "doctor", "--remove-orphans")
    assert (code, "goes with --repair" in err) == (2, True)
    code, _, err = shell(tmp_path / "none.db", "doctor", "--repair")
    assert (code, "no store at" in err) == (2, True)
    (tmp_path / "notes.txt").write_text("notes\n" * 1000)
    code, _, err = shell(tmp_path / "notes.txt", "doctor", "--repair")
    assert (code, "no trace of an Assay store" in err) == (2, True)
    (tmp_path / "folder").mkdir()
    with pytest.raises(Exception, match="no file that may be written"):
        repair_store(tmp_path / "folder", remove_orphans=False, report=quiet)


@pytest.mark.parametrize("table", ["runs", "leases", "datasets", "examples"])
def test_a_damaged_store_is_told_in_words_by_every_command(tmp_path: Path, shell: Shell, table: str) -> None:
    filled_store(tmp_path / "assay.db", n_runs=2, n_steps=30, n_examples=80).close()
    damage(tmp_path / "assay.db", table)
    for arguments in (["ls"], ["show", "run 1"], ["backup", str(tmp_path / "b.db")], ["doctor"], ["queue"]):
        code, out, err = shell(tmp_path / "assay.db", *arguments)
        assert code == 0 or "doctor --repair" in out + err, arguments
    assert not (tmp_path / "b.db").exists()


# backup --------------------------------------------------------------------------------------------------------------


def test_backup_with_files(trained: Callable[[str], Trained], tmp_path: Path, shell: Shell) -> None:
    store, run = own_copy(trained, tmp_path)
    target = tmp_path / "backup.db"
    code, out, err = shell(store.path, "backup", str(target), "--with-files", "--json")
    assert code == 0, err
    said = json.loads(out)
    found = checkpoints(store, run)
    assert (said["path"], said["problems"], said["rows_pending"]) == (str(target), [], 0)
    assert said["checkpoints"] >= len(found)
    copy = open_store(target, create=False)
    for checkpoint in found:
        assert (copy.files / checkpoint.path / "assay.json").is_file()
    copy.close()

    code, _, err = shell(store.path, "backup", str(tmp_path / "other" / "b.db"))
    assert (code, "there is no folder" in err) == (2, True)
    target.unlink()
    code, _, err = shell(store.path, "backup", str(target), "--with-files")
    assert (code, "backup-files is there already" in err) == (2, True)
    code, out, _ = shell(store.path, "backup", str(target), "--with-files", "--force")
    assert code == 0
    assert "hashes checked" in out

    shutil.rmtree(store.files / found[0].path)
    shutil.rmtree(tmp_path / "backup-files")
    code, out, err = shell(store.path, "backup", str(target), "--with-files", "--force")
    assert code == 1
    assert "not copied: " in err
    assert "its files are missing" in err
    store.close()


def test_rows_on_disk_are_not_in_a_backup_and_that_is_said(tmp_path: Path, shell: Shell, store: Store) -> None:
    run = record_run(store, NewRun("gone"))
    leave(store, run, points(range(3)))
    with store.write() as db:
        db.execute("DELETE FROM runs WHERE key = ?", (run.key,))
    code, _, err = shell(store.path, "backup", str(tmp_path / "b.db"))
    assert code == 0
    assert "6 rows still wait on disk" in err


# merge-store ---------------------------------------------------------------------------------------------------------


def test_merge_store(trained: Callable[[str], Trained], tmp_path: Path, shell: Shell, store: Store) -> None:
    (tmp_path / "there").mkdir()
    other, run = own_copy(trained, tmp_path / "there")
    other.close()
    code, out, _ = shell(store.path, "merge-store", str(other.path), "--dry-run")
    assert code == 0
    assert "nothing was written" in out
    assert store.db.execute("SELECT count(*) FROM runs").fetchone() == (0,)
    code, out, err = shell(store.path, "merge-store", str(other.path), "--json")
    assert code == 0, err
    said: dict[str, Any] = json.loads(out)
    assert {r["step"] for r in said["runs"]} == {"added"}
    assert said["problems"] == []
    assert said["checkpoints"] > 0
    merged = get_run(store, run.id)
    for checkpoint in checkpoints(store, merged):
        assert (store.files / checkpoint.path / "assay.json").is_file()
    code, out, _ = shell(store.path, "merge-store", str(other.path))
    assert (code, "everything is here already" in out) == (0, True)
    assert shell(store.path, "predict", run.id, "--split", "test", "--help")[0] == 0
    code, _, err = shell(store.path, "merge-store", str(store.path))
    assert (code, "the store itself" in err) == (2, True)
