"""Two stores become one, once."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest

from store import (
    NewRow,
    NewRun,
    Recorder,
    Store,
    StoreNotFound,
    StoreTooNew,
    StoreUnreadable,
    check_store,
    example_id,
    get_dataset,
    get_run,
    list_checkpoints,
    list_metrics,
    open_store,
    read_embeddings,
    record_dataset,
    record_run,
)
from store.connection import SCHEMA_VERSION
from store.merging import Merged, merge_store
from store.merging.tables import TABLES
from store.rescue import rescue_store
from tests.store.filled import filled_store
from tests.store.merging.portable import portable
from tests.store.rescue.damage import blank, describe

LOSING = ("runs", "examples", "dataset_rows", "run_logs", "metrics", "evaluations", "predictions")


def copy_files(source: Path, target: Path, hashes: Mapping[str, str]) -> str | None:
    if not source.is_dir():
        return "its files are missing"
    if any(hashlib.sha256((source / name).read_bytes()).hexdigest() != wanted for name, wanted in hashes.items()):
        return "a file was altered"
    shutil.copytree(source, target, dirs_exist_ok=True)
    return None


def merge(store: Store, path: Path, **options: bool) -> Merged:
    merged = merge_store(store, path, copy_files, **options)
    assert check_store(store).problems == ()
    return merged


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    (tmp_path / "elsewhere").mkdir()
    opened = open_store(tmp_path / "elsewhere" / "other.db")
    yield opened
    opened.close()


def filled(path: Path, seed: int) -> Store:
    return filled_store(path, n_runs=3, n_steps=20, n_examples=60, seed=seed)


def counts(store: Store) -> Counter[str]:
    return Counter(
        {t.name: store.db.execute(f"SELECT count(*) FROM {t.name}").fetchone()[0] for t in TABLES}
    )  # fmt: skip


def test_everything_of_both_stores_is_there(tmp_path: Path) -> None:
    ours, theirs = filled(tmp_path / "assay.db", 1), filled(tmp_path / "other.db", 2)
    with theirs.write() as db:
        db.execute("UPDATE sweeps SET status = 'finished'")
    mine, wanted, before = portable(ours.db), portable(theirs.db), counts(ours)

    planned = merge(ours, tmp_path / "other.db", dry_run=True)
    assert portable(ours.db) == mine
    merged = merge(ours, tmp_path / "other.db")
    assert merged.plan == planned.plan
    assert {run.step for run in merged.plan.runs} == {"added"}
    found = portable(ours.db)
    for table, rows in wanted.items():
        assert rows <= found[table], table
        assert found[table] <= rows + mine[table], table
    assert counts(ours) - before == +Counter({**merged.plan.n_rows, "metric_keys": 0})
    assert ours.db.execute("SELECT count(*) FROM examples_fts WHERE examples_fts MATCH 'rain*'").fetchone()[0] > 0
    parents = {row for (row,) in ours.db.execute("SELECT parent_key FROM datasets WHERE version = 4")}
    assert parents == {get_dataset(ours, "weather@3").key}

    version = ours.version()
    again = merge(ours, tmp_path / "other.db")
    assert ours.version() == version
    assert not again.plan.n_rows
    assert {step.step for step in (*again.plan.runs, *again.plan.sweeps)} == {"kept"}
    ours.close()
    theirs.close()


def test_the_other_store_is_only_read(tmp_path: Path, store: Store) -> None:
    filled(tmp_path / "other.db", 2).close()
    data = (tmp_path / "other.db").read_bytes()
    merge(store, tmp_path / "other.db")
    assert (tmp_path / "other.db").read_bytes() == data
    assert counts(store)["runs"] == 3


def test_a_merge_that_is_stopped_goes_on(tmp_path: Path, store: Store) -> None:
    theirs = filled(tmp_path / "other.db", 2)
    wanted = portable(theirs.db)
    theirs.close()
    said: list[str] = []

    def stop(text: str) -> None:
        said.append(text)
        if text == "run run 1":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        merge_store(store, tmp_path / "other.db", copy_files, report=stop)
    assert said[-2:] == ["run run 0", "run run 1"]
    assert counts(store)["runs"] == 1
    assert "other" not in {name for _, name, _ in store.db.execute("PRAGMA database_list")}
    merged = merge(store, tmp_path / "other.db")
    assert [run.step for run in merged.plan.runs] == ["kept", "added", "added"]
    assert portable(store.db)["metrics"] == wanted["metrics"]


# runs ----------------------------------------------------------------------------------------------------------------


@pytest.fixture
def copied(tmp_path: Path) -> Iterator[tuple[Store, Store]]:
    """Ours, and a copy of it that went its own way."""
    filled(tmp_path / "assay.db", 1).close()
    shutil.copy(tmp_path / "assay.db", tmp_path / "other.db")
    ours, theirs = open_store(tmp_path / "assay.db"), open_store(tmp_path / "other.db")
    yield ours, theirs
    ours.close()
    theirs.close()


def go_on(store: Store, name: str, step: int) -> None:
    """One more segment with one more value."""
    run = get_run(store, name)
    with store.write(run.key) as db:
        db.execute("UPDATE segments SET visible_until = 30 WHERE run_key = ? AND number = 2", (run.key,))
        db.execute("INSERT INTO segments VALUES (?, 3, 30, NULL, 3e9)", (run.key,))
        db.execute("UPDATE runs SET status = 'failed', cause = 'again', note = 'theirs' WHERE key = ?", (run.key,))
    with Recorder(store, run, segment=3) as recorder:
        recorder.log({"train/new": 1.0}, step)


def test_a_run_that_went_on_there_is_replaced(copied: tuple[Store, Store]) -> None:
    ours, theirs = copied
    go_on(theirs, "run 1", 31)
    before = get_run(ours, "run 1")
    with ours.write() as db:
        db.execute("UPDATE runs SET tags = '[\"mine\"]' WHERE key = ?", (before.key,))
    trials = ours.db.execute("SELECT count(*) FROM trials WHERE run_key = ?", (before.key,)).fetchone()
    merged = merge(ours, theirs.path)
    assert {run.name: run.step for run in merged.plan.runs} == {"run 0": "kept", "run 1": "replaced", "run 2": "kept"}
    after = get_run(ours, "run 1")
    assert (after.key, after.note, after.tags) == (before.key, "theirs", ("kept", "mine"))
    assert after.version > before.version
    assert list_metrics(ours, [after.key], ["train/new"])["step"].tolist() == [31]
    assert ours.db.execute("SELECT count(*) FROM trials WHERE run_key = ?", (before.key,)).fetchone() == trials
    with theirs.write() as db:
        db.execute('UPDATE runs SET tags = \'["kept","mine"]\' WHERE id = ?', (after.id,))
    assert portable(ours.db) == portable(theirs.db)
    assert not merge(ours, theirs.path).plan.n_rows
    assert [run.step for run in merge(theirs, ours.path).plan.runs] == ["kept"] * 3


def test_a_run_that_went_on_here_stays(copied: tuple[Store, Store]) -> None:
    ours, theirs = copied
    go_on(ours, "run 1", 31)
    before = portable(ours.db)
    merged = merge(ours, theirs.path)
    assert [(run.step, run.reason) for run in merged.plan.runs] == [("kept", None)] * 3
    assert portable(ours.db) == before


@pytest.mark.parametrize("table", ["predictions", "scores", "dynamics", "system_samples", "run_embeddings", "flights"])
def test_rows_that_were_lost_here_come_back(copied: tuple[Store, Store], table: str) -> None:
    ours, theirs = copied
    with ours.write() as db:
        db.execute(f"DELETE FROM {table}")
    steps = {run.step for run in merge(ours, theirs.path).plan.runs}
    assert "replaced" in steps
    assert portable(ours.db)[table] == portable(theirs.db)[table]
    assert not merge(ours, theirs.path).plan.n_rows
    assert {run.step for run in merge(theirs, ours.path).plan.runs} == {"kept"}


def test_a_run_that_went_on_in_both_stays_and_is_said(copied: tuple[Store, Store]) -> None:
    ours, theirs = copied
    go_on(theirs, "run 1", 31)
    with ours.write() as db:
        db.executemany(
            "INSERT INTO run_logs VALUES (2, ?, 'only here')", [(number,) for number in range(10_000, 10_050)]
        )
    (run,) = [run for run in merge(ours, theirs.path).plan.runs if run.name == "run 1"]
    assert (run.step, run.reason) == ("kept", "both stores went on with it")


def test_what_is_at_work_is_left_out(store: Store, other: Store, tmp_path: Path) -> None:
    live = Recorder(other, record_run(other, NewRun("live")))
    live.log({"a": 1.0}, 1)
    live.flush()
    record_run(other, NewRun("waiting"))
    with Recorder(other, record_run(other, NewRun("done"))):
        pass
    with other.write() as db:
        db.execute(
            "INSERT INTO jobs (id, kind, name, arguments, status, place, created_at)"
            " VALUES (?, 'train', 'j', '{}', 'queued', 1, 0)",
            ("A" * 26,),
        )
    merged = merge(store, other.path)
    assert {run.name: (run.step, run.reason) for run in merged.plan.runs} == {
        "live": ("left out", "it is running there"),
        "waiting": ("left out", "it is queued there"),
        "done": ("added", None),
    }
    assert merged.plan.n_jobs == 1
    assert counts(store)["runs"] == 1
    assert store.db.execute("SELECT count(*) FROM jobs").fetchone() == (0,)
    live.finish()
    assert {run.name: run.step for run in merge(store, other.path).plan.runs}["live"] == "added"


# sweeps --------------------------------------------------------------------------------------------------------------


def test_sweeps_with_their_trials(store: Store, other: Store) -> None:
    with other.write() as db:
        for key, status in ((1, "finished"), (2, "running")):
            db.execute(
                "INSERT INTO sweeps (key, id, name, status, recipe_text, recipe, fingerprint, objectives, created_at,"
                " parent_key, host, pid) VALUES (?, ?, 's', ?, '', '{}', 'f', '[]', ?, ?, 'here', 7)",
                (key, str(key) * 26, status, key, key - 1 or None),
            )
    run = record_run(other, NewRun("trial"))
    with other.write() as db:
        db.executemany(
            "INSERT INTO trials (key, sweep_key, number, seed, parameters, status, recipe_hash, run_key, created_at)"
            " VALUES (?, 1, ?, 0, '{}', 'finished', 'h', ?, 0)",
            [(5, 0, run.key), (6, 1, None)],
        )
        db.execute("INSERT INTO trial_reports (trial_key, rung, step, value, at) VALUES (6, 0, 10, 0.5, 0)")
    with store.write() as db:  # another sweep has taken that key here
        db.execute(
            "INSERT INTO sweeps (id, name, status, recipe_text, recipe, fingerprint, objectives, created_at)"
            " VALUES (?, 'ours', 'finished', '', '{}', 'f', '[]', 0)",
            ("Z" * 26,),
        )
    merged = merge(store, other.path)
    assert [(sweep.step, sweep.reason) for sweep in merged.plan.sweeps] == [
        ("added", None),
        ("left out", "it is running there"),
    ]
    trials = "SELECT t.number, t.run_key, s.id, s.pid FROM trials t JOIN sweeps s ON s.key = t.sweep_key"
    assert store.db.execute(trials).fetchall() == [(0, None, "1" * 26, None), (1, None, "1" * 26, None)]
    assert store.db.execute("SELECT value FROM trial_reports").fetchall() == [(0.5,)]

    with Recorder(other, run):  # the run ends, and the sweep after it, and another trial is made
        pass
    merge(store, other.path)
    assert store.db.execute("SELECT run_key FROM trials WHERE number = 0").fetchone() == (get_run(store, "trial").key,)
    with other.write() as db:
        db.execute("UPDATE sweeps SET status = 'finished', version = version + 1")
        db.execute(
            "INSERT INTO trials (sweep_key, number, seed, parameters, status, recipe_hash, created_at)"
            " VALUES (1, 2, 0, '{}', 'finished', 'h', 0)"
        )
    merged = merge(store, other.path)
    assert [sweep.step for sweep in merged.plan.sweeps] == ["replaced", "added"]
    assert store.db.execute("SELECT count(*), count(run_key) FROM trials").fetchone() == (3, 1)
    child, parent = store.db.execute("SELECT s.id, p.id FROM sweeps s JOIN sweeps p ON p.key = s.parent_key").fetchone()
    assert (child, parent) == ("2" * 26, "1" * 26)
    assert not merge(store, other.path).plan.n_rows


# datasets ------------------------------------------------------------------------------------------------------------


def dataset(store: Store, name: str, texts: str) -> None:
    record_dataset(
        store,
        name,
        [NewRow("train", text, 0) for text in texts],
        label_names=["no", "yes"],
        source={},
        fingerprint=hashlib.sha256(texts.encode()).hexdigest(),
    )


def test_datasets_are_the_same_by_content(store: Store, other: Store) -> None:
    dataset(store, "d", "abc")
    dataset(store, "mine", "xyz")
    for name, texts in (("e", "qrs"), ("d", "cde"), ("d", "abc"), ("theirs", "xyz")):
        dataset(other, name, texts)
    run = record_run(other, NewRun("r", dataset_key=get_dataset(other, "theirs").key))
    with Recorder(other, run):
        pass
    merged = merge(store, other.path)
    assert {d.theirs: (d.ours, d.our_key is None) for d in merged.plan.datasets} == {
        "e@1": ("e@1", True),
        "d@1": ("d@2", True),
        "d@2": ("d@1", False),
        "theirs@1": ("mine@1", False),
    }
    assert get_run(store, "r").dataset_key == get_dataset(store, "mine@1").key
    assert counts(store)["examples"] == len(set("abcxyzqrscde"))
    assert [d.our_key is None for d in merge(store, other.path).plan.datasets] == [False] * 4


def test_drafts_stay_behind(store: Store, other: Store) -> None:
    dataset(other, "d", "ab")
    with other.write() as db:
        db.execute("UPDATE datasets SET version = NULL")
    merged = merge(store, other.path)
    assert merged.plan.datasets == ()
    assert counts(store).total() == 0


def test_embeddings_are_known_by_their_dataset_here(store: Store, other: Store) -> None:
    import numpy as np

    dataset(store, "first", "xyz")
    dataset(other, "d", "ab")
    for name in ("one", "two"):
        with Recorder(other, record_run(other, NewRun(name, dataset_key=1))) as recorder:
            vectors = np.arange(4, dtype=np.float16).reshape(2, 2)
            recorder.embeddings({"train": vectors}, dataset_key=1, fingerprint="encoder-1", pooling="mean")
    merged = merge(store, other.path)
    assert (merged.plan.n_rows["embedding_sets"], merged.plan.n_rows["run_embeddings"]) == (1, 2)
    assert store.db.execute("SELECT fingerprint, dataset_key FROM embedding_sets").fetchall() == [("encoder-2", 2)]
    found = read_embeddings(store, get_run(store, "two").key, "train")
    assert found is not None
    assert found.tolist() == [[0, 1], [2, 3]]


# checkpoints ---------------------------------------------------------------------------------------------------------


def checkpoint(store: Store, recorder: Recorder, step: int, path: str | None = None) -> Path:
    place = path or f"runs/{recorder.run.id}/checkpoints/step-{step}"
    folder = store.files / place
    if path is None:
        folder.mkdir(parents=True)
        (folder / "model.safetensors").write_text(f"weights {step}")
    manifest = {"model.safetensors": hashlib.sha256(f"weights {step}".encode()).hexdigest()}
    recorder.checkpoint(step, epoch=None, path=place, size_bytes=9, sha256="0", manifest=manifest)
    return folder


def test_checkpoints_come_with_their_files(store: Store, other: Store, tmp_path: Path) -> None:
    with Recorder(other, record_run(other, NewRun("r"))) as recorder:
        folders = {step: checkpoint(other, recorder, step) for step in (1, 2, 3)}
        checkpoint(other, recorder, 4, "s3://bucket/step-4")
        checkpoint(other, recorder, 5, "../../secrets")
    (folders[2] / "model.safetensors").write_text("something else")
    shutil.move(folders[3], tmp_path / "away")
    merged = merge(store, other.path)
    run = get_run(store, "r")
    assert merged.plan.file_bytes == 45
    assert merged.n_files == 1
    assert [text.split(": ", 1)[1] for text in merged.problems] == [
        "a file was altered",
        "its files are missing",
        "the path '../../secrets' is not one that Assay gives",
    ]
    there = {c.step: c for c in list_checkpoints(store, run.key, existing=True)}
    assert set(there) == {1, 4}
    assert (store.files / there[1].path / "model.safetensors").read_text() == "weights 1"
    assert not (tmp_path / "secrets").exists()

    shutil.move(tmp_path / "away", folders[3])
    (folders[2] / "model.safetensors").write_text("weights 2")
    assert merge(store, other.path).n_files == 2
    assert {c.step for c in list_checkpoints(store, run.key, existing=True)} == {1, 2, 3, 4}
    version = store.version()
    assert merge(store, other.path).n_files == 0
    assert store.version() == version


# other stores --------------------------------------------------------------------------------------------------------


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
