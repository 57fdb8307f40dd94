"""Decisions, triages and what is made of them, after pages were lost."""

import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from store import check_store, current_decisions, get_dataset, list_facets, open_store
from store.rescue import rescue_store
from store.rescue.mending import mend
from tests.store.filled import filled_store
from tests.store.rescue.damage import blank, describe


def nothing(table: str, keys: set[int]) -> Mapping[int, Mapping[str, object]]:
    return {}


@pytest.fixture
def db(tmp_path: Path) -> Iterator[sqlite3.Connection]:
    store = filled_store(tmp_path / "assay.db", n_runs=3, n_steps=20, n_examples=60)
    store.db.execute("PRAGMA foreign_keys = OFF")
    yield store.db
    assert check_store(store).problems == ()
    store.close()


@pytest.mark.parametrize("table", ["standing_decisions", "facets"])
def test_what_is_made_of_others_is_made_again(db: sqlite3.Connection, table: str) -> None:
    before = db.execute(f"SELECT * FROM {table}").fetchall()
    assert len(before) >= 4
    db.execute(f"DELETE FROM {table} WHERE split = 'train'")
    mend(db, nothing, {table})
    assert db.execute(f"SELECT * FROM {table}").fetchall() == before


def test_a_lost_decision_is_a_note_that_says_so(db: sqlite3.Connection) -> None:
    key, batch, split, position, example = db.execute(
        "SELECT key, batch, split, position, example_key FROM decisions WHERE dataset_key = 1 AND action = 'relabel'"
        " AND key IN (SELECT decision_key FROM version_decisions) LIMIT 1"
    ).fetchone()
    db.execute("DELETE FROM decisions WHERE key = ?", (key,))
    known = {"dataset_key": 1, "split": split, "position": position, "example_key": example, "batch": batch}
    mended = mend(db, lambda table, keys: {key: known} if table == "decisions" else {}, {"decisions"})
    assert mended.n_rebuilt["decisions"] == 1
    found = db.execute(
        "SELECT action, label, position, batch, author, note FROM decisions WHERE key = ?", (key,)
    ).fetchone()
    assert found == ("note", None, position, batch, "unknown", "(this decision was on a damaged page of the store)")


def test_a_triage_that_was_lost_is_one_that_failed(db: sqlite3.Connection) -> None:
    (dataset_key,) = db.execute("SELECT dataset_key FROM triages WHERE key = 1").fetchone()
    n = db.execute("SELECT count(*) FROM triage_queue WHERE triage_key = 1").fetchone()
    db.execute("DELETE FROM triages WHERE key IN (1, 2)")
    known = {1: {"dataset_key": dataset_key}}
    mended = mend(db, lambda table, keys: known if table == "triages" else {}, {"triages"})
    assert db.execute("SELECT status, summary FROM triages WHERE key = 1").fetchone() == ("failed", "{}")
    assert db.execute("SELECT count(*) FROM triage_queue WHERE triage_key = 1").fetchone() == n
    assert db.execute("SELECT count(*) FROM triage_queue WHERE triage_key = 2").fetchone() == (0,)
    assert mended.n_dropped["triage_queue"] > 0


def test_a_lost_opinion_keeps_its_numbers(db: sqlite3.Connection) -> None:
    db.execute("DELETE FROM opinions WHERE key = 1")
    mend(db, lambda table, keys: {1: {"dataset_key": 1}} if table == "opinions" else {}, {"opinions"})
    assert db.execute("SELECT status, n_classes FROM opinions WHERE key = 1").fetchone() == ("failed", 2)
    assert db.execute("SELECT count(*) FROM opinion_blocks WHERE opinion_key = 1").fetchone()[0] > 0


def test_a_damaged_page_of_decisions(tmp_path: Path) -> None:
    path = tmp_path / "assay.db"
    filled_store(path, n_runs=3, n_steps=20, n_examples=300).close()
    store = open_store(path)
    dataset = get_dataset(store, "weather@1")
    before, facets = current_decisions(store, dataset), list_facets(store, dataset)
    store.close()
    sound = describe(path)
    page = min(page for _, pages in sound.rows["decisions"] for page in pages)
    path.write_bytes(blank(sound, page))
    saved = rescue_store(path)
    (decisions,) = [table for table in saved.salvaged.tables if table.table == "decisions"]
    assert decisions.n_rebuilt > 0
    store = open_store(path)
    assert check_store(store).problems == ()
    after = current_decisions(store, dataset)
    lost = after["note"] == "(this decision was on a damaged page of the store)"
    assert 0 < lost.sum() < len(after)
    kept = after[~lost].merge(before, on=["split", "position", "author", "at", "action"])
    assert len(kept) > 10
    assert list_facets(store, dataset).equals(facets)
    store.close()
