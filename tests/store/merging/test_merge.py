"""Two stores become one, once: everything, runs, sweeps."""

import shutil
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import (
    NewRun,
    Recorder,
    Store,
    get_dataset,
    get_run,
    list_metrics,
    open_store,
    record_run,
)
from store.merging import merge_store
from tests.store.merging.kit import copy_files, counts, filled, merge
from tests.store.merging.portable import portable


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
