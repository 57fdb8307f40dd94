"""One damaged page costs the rows on it and no others."""

import random
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from store import check_store, list_metrics, list_runs, open_store
from store.connection import SCHEMA_VERSION
from store.errors import StoreTooNew, StoreUnreadable
from store.ids import example_id
from store.rescue import Rescue, rescue_store
from tests.store.filled import filled_store
from tests.store.rescue.damage import WAYS, Sound, added, blank, damaged, describe, missing


def rescue(folder: Path, data: bytes) -> tuple[Path, Rescue]:
    path = folder / "assay.db"
    for old in folder.iterdir():
        old.unlink()
    path.write_bytes(data)
    return path, rescue_store(path)


def rounds(n: int, seed: int) -> Iterator[tuple[int, str, random.Random]]:
    dice = random.Random(seed)
    for number in range(n):
        yield number, WAYS[number % len(WAYS)], dice


def keep_all_but_one_page(folder: Path, sound: Sound, n: int, seed: int) -> None:
    for number, way, dice in rounds(n, seed):
        page = dice.randrange(1, sound.n_pages + 1)
        path, saved = rescue(folder, damaged(sound, page, way, dice))
        where = f"round {number}: page {page}, {way}"
        assert missing(sound, path, {page}) == {}, where
        if page in sound.trees:  # what is wrong in the middle of a long row can be told from right by nothing
            rebuilt = {table.table: table.n_rebuilt for table in saved.salvaged.tables}
            assert all(n <= rebuilt[table] for table, n in added(sound, path).items()), where


def test_a_damaged_page_costs_its_rows_alone(sound: Sound, tmp_path: Path) -> None:
    keep_all_but_one_page(tmp_path, sound, 5, seed=1)


@pytest.mark.slow
def test_fifty_damaged_pages_one_after_the_other(sound: Sound, deep: Sound, tmp_path: Path) -> None:
    keep_all_but_one_page(tmp_path, sound, 50, seed=2)
    keep_all_but_one_page(tmp_path, deep, 50, seed=3)


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(1, 30))])
def test_bytes_altered_anywhere_make_a_sound_store(tmp_path: Path, small: Sound, seed: int) -> None:
    """Damage that leaves pages half right: what is on the other pages is there, and the store is sound."""
    dice = random.Random(seed)
    data, pages = bytearray(small.data), set()
    for _ in range(dice.choice([1, 3, 10])):
        page = dice.randrange(2, small.n_pages + 1)
        start = (page - 1) * small.page_bytes + dice.choice([0, 1, 3, 5, 8, 100, dice.randrange(4000)])
        n_bytes = dice.choice([1, 2, 8, 90])
        data[start : start + n_bytes] = dice.randbytes(n_bytes)
        pages |= {page, (start + n_bytes - 1) // small.page_bytes + 1}
    path, _ = rescue(tmp_path, bytes(data))
    assert missing(small, path, pages) == {}


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    path = tmp_path_factory.mktemp("small") / "assay.db"
    filled_store(path, n_runs=3, n_steps=60, n_examples=150).close()
    return describe(path)


def places(sound: Sound) -> dict[str, int]:
    """A page of every kind that others hang on, and where small tables are."""
    found = {"the first page": 1, "a page of the schema": sound.schema[-1]}
    for name in ("metrics", "run_events", "sqlite_autoindex_examples_1", "dataset_rows"):
        found[f"the top of {name}"] = sound.inner[name][0]
        found[f"below the top of {name}"] = sound.inner[name][-1]
    for name in ("runs", "datasets", "metric_keys", "embedding_sets", "run_embeddings"):
        found[f"a page of {name}"] = min(page for _, pages in sound.rows[name] for page in pages)
    return found


@pytest.mark.parametrize("way", ["zeros", pytest.param("random bytes", marks=pytest.mark.slow)])
def test_pages_that_others_hang_on(sound: Sound, deep: Sound, tmp_path: Path, way: str) -> None:
    assert len(deep.inner["metrics"]) > 3
    assert len(sound.schema) > 3
    dice = random.Random(4)
    for store in (sound, deep):
        for where, page in places(store).items():
            if store is deep and page == 1:
                continue  # without the header nothing tells that its pages are not of the usual size
            path, _ = rescue(tmp_path, damaged(store, page, way, dice))
            assert missing(store, path, {page}) == {}, where


def test_two_pages_and_a_lost_end(sound: Sound, tmp_path: Path) -> None:
    pages = {sound.inner["metrics"][0], sound.inner["run_events"][0]}
    n_left = sound.n_pages - 5
    path, _ = rescue(tmp_path, blank(sound, *pages)[: n_left * sound.page_bytes - 100])
    assert missing(sound, path, pages | set(range(n_left, sound.n_pages + 1))) == {}


def test_what_was_deleted_does_not_come_back(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "assay.db", n_runs=6)
    with store.write() as db:
        db.execute("DELETE FROM runs WHERE key % 2")
    store.close()
    sound = describe(tmp_path / "assay.db")
    trunk = int.from_bytes(sound.data[32:36], "big")
    assert trunk > 0
    for page in (1, trunk, sound.inner["metrics"][0]):
        path, _ = rescue(tmp_path, blank(sound, page))
        assert missing(sound, path, {page}) == {}
        assert added(sound, path) == {}


def test_rows_in_the_log_alone_are_kept(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "assay.db", n_runs=2)
    store.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    store.db.execute("PRAGMA wal_autocheckpoint = 0")
    with store.write() as db:
        db.executemany(
            "INSERT INTO run_events (run_key, at, kind, message) VALUES (1, 0, 'late', ?)",
            [(f"{number} in the log {'x' * 500}",) for number in range(200)],
        )
    folder = tmp_path / "copy"
    folder.mkdir()
    data = bytearray((tmp_path / "assay.db").read_bytes())
    data[8 * 4096 : 9 * 4096] = bytes(4096)
    (folder / "assay.db").write_bytes(data)
    log = (tmp_path / "assay.db-wal").read_bytes()
    (folder / "assay.db-wal").write_bytes(log + b"\1" * 5000)  # and the beginning of what was never committed
    store.close()
    saved = rescue_store(folder / "assay.db")
    rescued = open_store(folder / "assay.db")
    assert rescued.db.execute("SELECT count(*) FROM run_events WHERE kind = 'late'").fetchone() == (200,)
    rescued.close()
    assert Path(f"{saved.damaged_path}-wal").read_bytes() == log + b"\1" * 5000


def test_a_lost_run_keeps_its_id_and_everything_recorded(sound: Sound, tmp_path: Path) -> None:
    before = {values[sound.columns["runs"].index("id")] for values, _ in sound.rows["runs"]}
    path, saved = rescue(tmp_path, blank(sound, sound.inner["runs"][0]))
    assert saved.harmed == []
    page = min(page for _, pages in sound.rows["runs"] for page in pages)
    n_lost = sum(page in pages for _, pages in sound.rows["runs"])
    path, saved = rescue(tmp_path, blank(sound, page))
    (runs,) = [table for table in saved.harmed if table.table == "runs"]
    assert (runs.n_rebuilt, runs.n_dropped, runs.n_lost) == (n_lost, 0, 0)
    store = open_store(path)
    rows = list_runs(store)
    assert set(rows["id"]) == before
    rebuilt = rows[rows["name"] == "rescued"]
    assert len(rebuilt) == n_lost
    assert set(rebuilt["status"]) == {"failed"}
    assert "damaged page" in rebuilt["cause"].iloc[0]
    assert rebuilt["dataset"].notna().all()
    (runs,) = store.db.execute("SELECT count(DISTINCT run_id) FROM run_metrics").fetchone()
    assert runs == len(before)
    store.close()


def test_lost_texts_and_labels_are_said_and_their_dataset_is_not_trained_on(sound: Sound, tmp_path: Path) -> None:
    for table in ("examples", "dataset_rows"):
        page = max(page for _, pages in sound.rows[table][:40] for page in pages if len(pages) == 1)
        path, saved = rescue(tmp_path, blank(sound, page))
        (harmed,) = saved.harmed
        n_lost = sum(page in pages for _, pages in sound.rows[table])
        assert (harmed.table, harmed.n_rebuilt, harmed.n_dropped, harmed.n_lost) == (table, n_lost, 0, 0)
        db = sqlite3.connect(path)
        if table == "examples":
            texts = [text for _, text, _ in db.execute("SELECT id, text, inputs FROM examples")]
            assert sum("damaged page" in text for text in texts) == harmed.n_rebuilt
            ids = {bytes(key) for (key,) in db.execute("SELECT id FROM examples")}
            assert ids == {example_id({"text": values[2]}) for values, _ in sound.rows["examples"]}
        else:
            assert db.execute("SELECT count(*) FROM dataset_rows WHERE target IS NULL").fetchone() == (
                harmed.n_rebuilt,
            )
        assert db.execute("SELECT count(*) FROM datasets WHERE fingerprint LIKE 'damaged:%'").fetchone()[0] >= 1
        found = db.execute("SELECT count(*) FROM examples_fts WHERE examples_fts MATCH 'rain1 OR sun2'").fetchone()
        assert found[0] > 0
        db.close()


def test_tables_of_somebody_else_are_kept(tmp_path: Path) -> None:
    store = filled_store(tmp_path / "assay.db", n_runs=2)
    store.db.execute("CREATE TABLE notes (text, number)")
    store.db.execute("CREATE INDEX notes_by_number ON notes (number)")
    store.db.execute("CREATE VIEW loud AS SELECT upper(text) AS text FROM notes")
    store.db.executemany("INSERT INTO notes VALUES (?, ?)", [(f"note {i}", i) for i in range(2000)])
    (root,) = store.db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'notes'").fetchone()
    store.close()
    data = bytearray((tmp_path / "assay.db").read_bytes())
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    path, saved = rescue(tmp_path, bytes(data))
    assert saved.harmed == []
    db = sqlite3.connect(path)
    assert db.execute("SELECT count(*), max(text) FROM loud").fetchone() == (2000, "NOTE 999")
    db.close()


def test_an_older_schema_is_saved_and_brought_up_to_date(tmp_path: Path) -> None:
    asset = shutil.copy(Path(__file__).parents[1] / "assets" / "m001_foundation.db", tmp_path / "old.db")
    data = bytearray(asset.read_bytes())
    db = sqlite3.connect(asset)
    (root,) = db.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'run_events'").fetchone()
    db.close()
    data[(root - 1) * 4096 : root * 4096] = bytes(4096)
    for first_page in (bytes(data[:4096]), bytes(4096)):  # with the header, and without
        path, saved = rescue(tmp_path, first_page + bytes(data[4096:]))
        (events,) = saved.harmed
        assert (events.table, events.n_kept, events.n_lost) == ("run_events", 0, 1)
        store = open_store(path)
        assert store.db.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert len(list_metrics(store, [1], ["train/loss"])) == 11
        assert check_store(store).problems == ()
        store.close()


def test_what_is_no_store_is_left_alone(sound: Sound, tmp_path: Path) -> None:
    path = tmp_path / "assay.db"
    other = sqlite3.connect(tmp_path / "other.db")
    other.execute("CREATE TABLE songs (name)")
    other.close()
    newer = sound.data[:60] + (SCHEMA_VERSION + 1).to_bytes(4, "big") + sound.data[64:]
    for data, error, text in (
        (b"", StoreUnreadable, "too short"),
        (b"these are notes\n" * 1000, StoreUnreadable, "no trace of an Assay store"),
        ((tmp_path / "other.db").read_bytes(), StoreUnreadable, "no trace of an Assay store"),
        (newer, StoreTooNew, f"schema {SCHEMA_VERSION + 1}"),
    ):
        path.write_bytes(data)
        with pytest.raises(error, match=text):
            rescue_store(path)
        assert path.read_bytes() == data
        assert sorted(file.name for file in tmp_path.iterdir()) == ["assay.db", "other.db"]
