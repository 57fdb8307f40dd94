"""What every table and index of a store looks like on disk, by the schema that the migrations make."""

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from store.rescue.rows import Shape

# What a column of a STRICT table may hold (a REAL column keeps whole numbers as integers).
_CLASSES = {"INT": "i", "INTEGER": "i", "REAL": "ir", "TEXT": "t", "BLOB": "b", "ANY": "irtb"}
_ANYTHING = "nirtb"


@dataclass(frozen=True)
class Stored:
    """A table or an index. `columns` are its stored columns in order; an index's end with the row's key."""

    name: str
    table: str
    is_index: bool
    columns: tuple[str, ...]
    rowid_column: str | None
    """The column of a table that is another name for the row id, and is not stored."""
    shape: Shape

    def values(self, rowid: int | None, stored: Sequence[object]) -> tuple[object, ...]:
        """A row in the order of `columns`."""
        if self.rowid_column is None:
            return tuple(stored)
        place = self.columns.index(self.rowid_column)
        return (*stored[:place], rowid, *stored[place + 1 :])


@dataclass(frozen=True)
class Layout:
    """All tables and indexes of one schema version, by name, in the order in which they were made."""

    version: int
    stored: dict[str, Stored]
    names: frozenset[str]
    """Of everything in the schema: views and virtual tables too."""

    @property
    def tables(self) -> list[Stored]:
        """The tables whose rows are worth keeping: those that other tables are made from again are left out."""
        return [s for s in self.stored.values() if not s.is_index and not is_derived(s.name)]


def is_derived(table: str) -> bool:
    """Whether a table is SQLite's or sqlite-utils' own, or part of the full-text index: made again, not copied."""
    return table.startswith(("sqlite_", "_sqlite_", "examples_fts"))


def make_schema(db: sqlite3.Connection, version: int) -> None:
    """Apply the first `version` migrations to an empty database."""
    from sqlite_utils import Database

    from store.migrations import migrations

    names = [migration.name for migration in migrations.pending(Database(memory=True))]
    migrations.apply(Database(db), stop_before=names[version:])


@lru_cache(maxsize=16)  # a few versions; each takes migrations to find out
def read_layout(version: int, others: tuple[str, ...] = ()) -> Layout:
    """The layout of a schema version, with `others`: CREATE statements of tables and indexes that are not ours."""
    first_width: dict[str, int] = {}
    for earlier in range(1, version + 1):
        db = sqlite3.connect(":memory:", isolation_level=None)
        make_schema(db, earlier)
        for name, width in db.execute(
            "SELECT s.name, count(*) FROM sqlite_schema s, pragma_table_info(s.name) WHERE s.type = 'table' GROUP BY 1"
        ):
            first_width.setdefault(name, width)
        if earlier < version:
            db.close()
    for statement in others:
        db.execute(statement)
    stored = {}
    for kind, name, table in db.execute(
        "SELECT type, name, tbl_name FROM sqlite_schema WHERE rootpage > 0 ORDER BY rootpage"
    ).fetchall():
        stored[name] = _table(db, name, first_width.get(name)) if kind == "table" else _index(db, name, table)
    names = frozenset(name for (name,) in db.execute("SELECT name FROM sqlite_schema"))
    db.close()
    return Layout(version, stored, names)


def _table(db: sqlite3.Connection, name: str, first_width: int | None) -> Stored:
    columns = db.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (name,)).fetchall()
    (without_rowid, strict) = db.execute(
        "SELECT wr, strict FROM pragma_table_list(?) WHERE schema = 'main'", (name,)
    ).fetchone()
    keys = [column for column in columns if column[3]]
    rowid_column = None
    if not without_rowid and len(keys) == 1 and keys[0][1].upper() == "INTEGER":
        rowid_column = keys[0][0]
    n_key = 0
    if without_rowid:
        (primary,) = db.execute("SELECT name FROM pragma_index_list(?) WHERE origin = 'pk'", (name,)).fetchone()
        order, n_key = _order(db, primary)
        by_name = {column[0]: column for column in columns}
        columns = [by_name[column] for column in order]
    classes = tuple(
        "n" if column == rowid_column else _classes(kind, not not_null and not (without_rowid and key), bool(strict))
        for column, kind, not_null, key in columns
    )
    shape = Shape(name, bool(without_rowid), classes, min(first_width or len(columns), len(columns)), n_key)
    return Stored(name, name, False, tuple(column[0] for column in columns), rowid_column, shape)


def _index(db: sqlite3.Connection, name: str, table: str) -> Stored:
    columns, n_key = _order(db, name)
    (without_rowid, strict) = db.execute(
        "SELECT wr, strict FROM pragma_table_list(?) WHERE schema = 'main'", (table,)
    ).fetchone()
    described = {
        column: (kind, not_null, key)
        for column, kind, not_null, key in db.execute(
            'SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)
        )
    }
    classes = []
    for column in columns:
        if column is None:
            classes.append("i")  # the row id
            continue
        kind, not_null, key = described[column]
        classes.append(_classes(kind, not not_null and not (without_rowid and key), bool(strict)))
    shape = Shape(name, True, tuple(classes), len(classes), len(columns) if n_key else 0)
    names = tuple(_rowid_name(db, table) if column is None else column for column in columns)
    return Stored(name, table, True, names, None, shape)


def _order(db: sqlite3.Connection, index: str) -> tuple[list[str | None], int]:
    """Stored columns (None: the row id), and how many of them sort it; 0 where it is sorted in another way."""
    rows = db.execute('SELECT name, "desc", coll, key FROM pragma_index_xinfo(?) ORDER BY seqno', (index,)).fetchall()
    is_plain = all(not falling and collation == "BINARY" for _, falling, collation, key in rows if key)
    return [row[0] for row in rows], sum(row[3] for row in rows) if is_plain else 0


def _rowid_name(db: sqlite3.Connection, table: str) -> str:
    rows = db.execute("SELECT name FROM pragma_table_info(?) WHERE pk", (table,)).fetchall()
    return str(rows[0][0]) if len(rows) == 1 else "rowid"


def _classes(kind: str, is_nullable: bool, is_strict: bool) -> str:
    if not is_strict:
        return _ANYTHING
    return ("n" if is_nullable else "") + _CLASSES[kind.upper()]
