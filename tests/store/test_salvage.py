"""One damaged page costs the rows on it and no others."""

import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from store.rescue import Rescue, rescue_store
from tests.store.damage import WAYS, Sound, added, damaged, describe, missing
from tests.store.filled import filled_store


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    path = tmp_path_factory.mktemp("sound") / "assay.db"
    filled_store(path).close()
    return describe(path)


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Small pages make trees of three and four levels."""
    path = tmp_path_factory.mktemp("deep") / "assay.db"
    sqlite3.connect(path).execute("PRAGMA page_size = 512").connection.execute("VACUUM").connection.close()
    filled_store(path, n_runs=5, n_steps=120, n_examples=300).close()
    return describe(path)


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
        assert saved.damaged_path.exists()


def test_a_damaged_page_costs_its_rows_alone(sound: Sound, tmp_path: Path) -> None:
    keep_all_but_one_page(tmp_path, sound, 6, seed=1)


@pytest.mark.slow
def test_fifty_damaged_pages_one_after_the_other(sound: Sound, deep: Sound, tmp_path: Path) -> None:
    keep_all_but_one_page(tmp_path, sound, 50, seed=2)
    keep_all_but_one_page(tmp_path, deep, 50, seed=3)


def places(sound: Sound, schema: int) -> dict[str, int]:
    """A page of every kind that others hang on, and where small tables are."""
    found = {"the first page": 1, "a page of the schema": schema}
    for name in ("metrics", "run_events", "sqlite_autoindex_examples_1", "dataset_rows"):
        found[f"the top of {name}"] = sound.inner[name][0]
        found[f"below the top of {name}"] = sound.inner[name][-1]
    for name in ("runs", "datasets", "metric_keys", "embedding_sets", "run_embeddings"):
        found[f"a page of {name}"] = min(page for _, pages in sound.rows[name] for page in pages)
    return found


@pytest.mark.parametrize("way", ["zeros", pytest.param("random bytes", marks=pytest.mark.slow)])
def test_pages_that_others_hang_on(sound: Sound, deep: Sound, tmp_path: Path, way: str) -> None:
    assert len(deep.inner["metrics"]) > 3
    dice = random.Random(4)
    for store, schema in ((sound, 17), (deep, 30)):
        for where, page in places(store, schema).items():
            if store is deep and page == 1:
                continue  # without the header nothing tells that its pages are not of the usual size
            path, _ = rescue(tmp_path, damaged(store, page, way, dice))
            assert missing(store, path, {page}) == {}, where
