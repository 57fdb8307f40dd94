"""Stores of every kind that somebody may want to merge."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from store import (
    Store,
    StoreNotFound,
    StoreTooNew,
    StoreUnreadable,
    example_id,
    get_run,
    list_metrics,
    open_store,
)
from store.connection import SCHEMA_VERSION
from store.merging import merge_store
from store.rescue import rescue_store
from tests.store.merging.kit import copy_files, counts, filled, merge
from tests.store.merging.portable import portable
from tests.store.rescue.damage import blank, describe

LOSING = ("runs", "examples", "dataset_rows", "run_logs", "metrics", "evaluations", "predictions")


def test_an_older_schema_is_read_from_a_copy(store: Store, tmp_path: Path) -> None:
    asset = Path(__file__).parents[1] / "assets" / "m001_foundation.db"
    path = Path(shutil.copy(asset, tmp_path / "old.db"))
    merged = merge(store, path)
    assert [run.name for run in merged.plan.runs] == ["old"]
    assert len(list_metrics(store, [get_run(store, "old").key], ["train/loss"])) == 11
    assert path.read_bytes() == asset.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if "-wal" not in p.name and "-shm" not in p.name) == [
        "assay.db",
        "old.db",
    ]
    assert not merge(store, path).plan.n_rows


def test_a_store_in_a_folder_that_cannot_be_written(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    (tmp_path / "locked").mkdir()
    filled(tmp_path / "locked" / "other.db", 2).close()
    real: Callable[..., bool] = os.access
    monkeypatch.setattr(os, "access", lambda path, mode: "locked" not in str(path) and real(path, mode))
    merge(store, tmp_path / "locked" / "other.db")
    assert counts(store)["runs"] == 3
    assert [p.name for p in (tmp_path / "locked").iterdir()] == ["other.db"]


def test_stores_that_cannot_be_merged(store: Store, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("these are notes\n" * 100)
    (tmp_path / "link.db").symlink_to(store.path)
    newer = open_store(tmp_path / "newer.db")
    newer.db.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    newer.close()
    damaged = filled(tmp_path / "damaged.db", 3)
    (root,) = damaged.db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'steps'").fetchone()
    damaged.close()
    data = bytearray((tmp_path / "damaged.db").read_bytes())
    data[(root - 1) * 4096 : root * 4096] = b"\xff" * 4096
    (tmp_path / "damaged.db").write_bytes(data)
    for name, error, text in (
        ("none.db", StoreNotFound, "no store at"),
        ("link.db", StoreUnreadable, "the store itself"),
        ("notes.txt", StoreUnreadable, "not a SQLite file"),
        ("newer.db", StoreTooNew, "newer Assay"),
        ("damaged.db", StoreUnreadable, r"is damaged.*nothing was merged.*doctor --repair"),
    ):
        with pytest.raises(error, match=text):
            merge_store(store, tmp_path / name, copy_files)
    assert counts(store).total() == 0


def test_a_backup_completes_what_a_repair_could_not_save(tmp_path: Path) -> None:
    store = filled(tmp_path / "assay.db", 1)
    wanted = portable(store.db)
    store.close()
    shutil.copy(tmp_path / "assay.db", tmp_path / "backup.db")
    sound = describe(tmp_path / "assay.db")
    pages = {min(page for _, on in sound.rows[table] for page in on) for table in LOSING}
    (tmp_path / "assay.db").write_bytes(blank(sound, *pages))
    rescue_store(tmp_path / "assay.db")
    store = open_store(tmp_path / "assay.db")
    assert store.db.execute("SELECT count(*) FROM runs WHERE name = 'rescued'").fetchone()[0] > 0
    lost = "SELECT count(*) FROM examples WHERE text LIKE '%damaged page%'"
    (n_lost,) = store.db.execute(lost).fetchone()
    assert n_lost > 0
    merged = merge(store, tmp_path / "backup.db")
    assert merged.n_healed == n_lost
    assert {d.is_healed for d in merged.plan.datasets} == {True}
    assert store.db.execute(lost).fetchone() == (0,)
    texts = store.db.execute("SELECT id, text FROM examples").fetchall()
    assert all(example_id({"text": text}) == key for key, text in texts)
    found = portable(store.db)
    assert [table for table in wanted if found[table] != wanted[table]] == []
    assert not merge(store, tmp_path / "backup.db").plan.n_rows
    store.close()
