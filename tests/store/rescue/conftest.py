import sqlite3

import pytest

from tests.store.filled import filled_store
from tests.store.rescue.damage import Sound, describe


@pytest.fixture(scope="package")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """A store with rows in every table, over more than a thousand pages."""
    path = tmp_path_factory.mktemp("sound") / "assay.db"
    filled_store(path).close()
    return describe(path)


@pytest.fixture(scope="package")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Sound:
    """Pages of 512 bytes make trees of three and four levels."""
    path = tmp_path_factory.mktemp("deep") / "assay.db"
    db = sqlite3.connect(path)
    db.execute("PRAGMA page_size = 512")
    db.execute("VACUUM")
    db.close()
    filled_store(path, n_runs=5, n_steps=120, n_examples=300).close()
    return describe(path)
