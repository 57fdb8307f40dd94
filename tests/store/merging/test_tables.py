"""The table of tables names everything there is."""

from store import Store
from store.merging.tables import BY_NAME, NOT_MERGED, TABLES, insertion, make_map, owned_by
from store.rescue.layout import read_layout


def test_every_table_is_merged_or_says_why_not(store: Store) -> None:
    version = store.db.execute("PRAGMA user_version").fetchone()[0]
    names = {stored.name for stored in read_layout(version).tables}
    assert names == set(BY_NAME) | set(NOT_MERGED)
    assert not set(BY_NAME) & set(NOT_MERGED)
    assert len(names) >= 30


def test_every_column_that_holds_a_key_is_named(store: Store) -> None:
    for table in TABLES:
        found = dict(store.db.execute('SELECT "from", "table" FROM pragma_foreign_key_list(?)', (table.name,)))
        assert found == dict(table.references), table.name


def test_what_others_refer_to_is_known_in_any_store(store: Store) -> None:
    for table in TABLES:
        for parent in table.references.values():
            assert BY_NAME[parent].identity, f"{table.name} refers to {parent}"
            assert TABLES.index(BY_NAME[parent]) <= TABLES.index(table)
        columns = {name for (name,) in store.db.execute("SELECT name FROM pragma_table_info(?)", (table.name,))}
        assert {*table.identity, *table.written, *table.references} <= columns, table.name
        assert table.owner is None or table.owner in table.references


def test_everything_belongs_to_something_that_is_merged() -> None:
    owners = ("datasets", "runs", "sweeps", "embedding_sets", "decisions", "triages", "opinions")
    owned = {table.name for root in owners for table in owned_by(root)}
    roots = {"metric_keys", "examples", *owners}
    assert owned | roots == set(BY_NAME)
    assert not owned & roots
    assert [table.name for table in owned_by("sweeps")] == ["trials", "trial_reports"]


def test_the_statements_are_sql(store: Store) -> None:
    db = store.db
    db.execute("ATTACH ':memory:' AS other")
    for name, sql in db.execute("SELECT name, sql FROM main.sqlite_schema WHERE type = 'table'").fetchall():
        if name in BY_NAME:
            db.execute(sql.replace("CREATE TABLE ", "CREATE TABLE other."))
    for table in TABLES:
        for parent in {*table.references.values(), table.name}:
            db.execute(f"CREATE TEMP TABLE IF NOT EXISTS map_{parent} (theirs INTEGER PRIMARY KEY, ours INTEGER)")
        assert db.execute(insertion(db, table)).rowcount == 0
        if table.identity:
            make_map(db, table)
