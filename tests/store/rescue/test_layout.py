import sqlite3
from pathlib import Path

from store import open_store
from store.connection import SCHEMA_VERSION
from store.rescue.layout import is_derived, read_layout
from store.rescue.mending import REBUILT, references


def test_every_table_of_the_schema_is_known(tmp_path: Path) -> None:
    store = open_store(tmp_path / "assay.db")
    rows = store.db.execute("SELECT name FROM sqlite_schema WHERE rootpage > 0").fetchall()
    layout = read_layout(SCHEMA_VERSION)
    assert set(layout.stored) == {name for (name,) in rows}
    assert all(not is_derived(stored.name) for stored in layout.tables)
    assert len(layout.tables) >= 30
    store.close()


def test_columns_that_a_later_migration_added_may_be_missing() -> None:
    layout = read_layout(1, ("CREATE TABLE one (a INTEGER PRIMARY KEY, b TEXT) STRICT",))
    assert layout.stored["one"].shape.columns == ("n", "nt")
    assert layout.stored["runs"].shape.n_required == len(layout.stored["runs"].columns)


def test_whatever_is_referred_to_can_be_rebuilt(tmp_path: Path) -> None:
    """A new table that others refer to must say in `REBUILT` what its rows are when their page is lost."""
    store = open_store(tmp_path / "assay.db")
    layout = read_layout(SCHEMA_VERSION)
    parents = {parent for table in layout.tables for parent, _, _ in references(store.db, table.name)}
    assert parents == set(REBUILT)
    for parent in parents:
        indexed = {
            column for index in layout.stored.values() if index.table == parent and index.is_index
            for column in index.columns
        }  # fmt: skip
        required = {
            name
            for name, not_null, default, key in store.db.execute(
                'SELECT name, "notnull", dflt_value, pk FROM pragma_table_info(?)', (parent,)
            )
            if not_null and default is None and not key
        }
        assert required <= indexed | set(REBUILT[parent]), parent
        names = {name for (name,) in store.db.execute("SELECT name FROM pragma_table_info(?)", (parent,))}
        assert set(REBUILT[parent]) <= names, parent
    store.close()


def test_nothing_of_the_schema_is_sorted_in_a_way_that_is_not_known() -> None:
    """Ranges of keys say where an orphaned page belongs; without them only its shape does."""
    indexes = [stored for stored in read_layout(SCHEMA_VERSION).stored.values() if stored.shape.is_index]
    unsorted = {stored.name for stored in indexes if not stored.shape.n_key}
    assert unsorted == {"jobs_by_status"}  # by priority, falling; an index, which is made anew anyway


def test_the_layout_of_a_table_with_no_row_id_of_its_own() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE TABLE plain (a TEXT, b)")
    layout = read_layout(1, ("CREATE TABLE plain (a TEXT, b)",))
    assert layout.stored["plain"].rowid_column is None
    assert layout.stored["plain"].values(7, ("x", 1)) == ("x", 1)
    assert layout.stored["runs"].values(7, (None, "id"))[:2] == (7, "id")
    db.close()
