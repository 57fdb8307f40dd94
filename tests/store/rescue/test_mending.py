"""What a store lacks after rows were lost is rebuilt, dropped or derived again."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from store import check_store
from store.rescue.mending import mend
from tests.store.filled import filled_store


def nothing(table: str, keys: set[int]) -> Mapping[int, Mapping[str, object]]:
    return {}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    store = filled_store(tmp_path / "assay.db", n_runs=3, n_steps=20, n_examples=60)
    store.db.execute("PRAGMA foreign_keys = OFF")
    yield store.db
    problems = check_store(store).problems
    assert problems == ()
    store.close()


def count(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(f"SELECT count(*) FROM {sql}").fetchone()[0])


def test_nothing_to_mend(db: sqlite3.Connection) -> None:
    before = list(db.iterdump())
    mended = mend(db, nothing, {"metrics"})
    assert (mended.n_rebuilt.total(), mended.n_dropped.total()) == (0, 0)
    after = [line for line in db.iterdump() if "examples_fts" not in line]
    assert after == [line for line in before if "examples_fts" not in line]


def test_a_run_that_no_index_knows_gets_a_new_id(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM runs WHERE key = 2")
    mended = mend(db, nothing, {"runs"})
    assert mended.n_rebuilt["runs"] == 1
    assert mended.n_dropped.total() == 0
    name, status, identity = db.execute("SELECT name, status, id FROM runs WHERE key = 2").fetchone()
    assert (name, status, len(identity)) == ("rescued", "failed", 26)


def test_predictions_of_a_lost_evaluation_are_dropped_where_nothing_tells_what_it_was(db: sqlite3.Connection) -> None:
    n = count(db, "predictions WHERE evaluation_key = 1")
    db.execute("DELETE FROM evaluations WHERE key = 1")
    mended = mend(db, nothing, {"evaluations"})
    assert (mended.n_dropped["predictions"], mended.n_dropped["scores"]) == (n, 5)
    known = {2: {"key": 2, "run_key": 1, "segment": 1, "step": 7, "split": "test"}}
    n = count(db, "predictions WHERE evaluation_key = 2")
    db.execute("DELETE FROM evaluations WHERE key = 2")
    mended = mend(db, lambda table, keys: known if table == "evaluations" else {}, {"evaluations"})
    assert (mended.n_rebuilt["evaluations"], mended.n_dropped.total()) == (1, 0)
    assert db.execute("SELECT step, split, n_examples FROM evaluations WHERE key = 2").fetchone() == (7, "test", n)


def test_references_that_may_be_empty_become_so(db: sqlite3.Connection) -> None:
    db.execute("UPDATE datasets SET parent_key = 77 WHERE key = 2")
    db.execute("DELETE FROM sweeps WHERE key = 1")
    n_trials = count(db, "trials WHERE sweep_key = 1")
    n_jobs = count(db, "jobs WHERE sweep_key = 1")
    mended = mend(db, nothing, {"sweeps", "datasets"})
    assert mended.n_rebuilt["datasets"] == 1  # one that an edit was made from, empty as it is
    assert mended.n_rebuilt["sweeps"] == (1 if n_trials + n_jobs else 0)


def test_segments_and_summaries_are_derived_again(db: sqlite3.Connection, tmp_path: Path) -> None:
    segments = db.execute("SELECT run_key, number, start_step, visible_until FROM segments").fetchall()
    latest = db.execute("SELECT * FROM metric_latest").fetchall()
    db.execute("DELETE FROM segments WHERE run_key = 1")
    db.execute("DELETE FROM metric_latest WHERE run_key < 3")
    mend(db, nothing, {"segments", "metric_latest"})
    assert db.execute("SELECT run_key, number, start_step, visible_until FROM segments").fetchall() == segments
    assert db.execute("SELECT * FROM metric_latest").fetchall() == latest
    assert len(latest) > 3


def test_a_dataset_with_rows_missing_is_marked_once(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM dataset_rows WHERE dataset_key = 1 AND position = 3")
    mend(db, nothing, {"dataset_rows"})
    mend(db, nothing, {"dataset_rows"})
    fingerprints = [text for (text,) in db.execute("SELECT fingerprint FROM datasets ORDER BY key")]
    assert fingerprints == [f"damaged:{1:032x}", f"{2:032x}"]


def test_the_version_of_the_store_is_beyond_any_earlier_one(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM store_version")
    mend(db, nothing, set())
    assert db.execute("SELECT version > 1e9 FROM store_version").fetchone() == (1,)
