"""Damaging single pages of a store, and saying which rows lay on them."""

import random
import sqlite3
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from store.connection import SCHEMA_VERSION
from store.rescue.btrees import Reader, Tree
from store.rescue.layout import Stored, read_layout
from store.rescue.pages import PageFile
from store.rescue.salvage import SCHEMA

WAYS = ("zeros", "random bytes", "another page")
# What is made anew: the store's version moves, and the rest is derived from other rows.
_DERIVED = {"store_version", "metric_latest", "standing_decisions", "facets"}


@dataclass(frozen=True)
class Sound:
    """A sound store in one file, and its rows: table → (values, the pages that they lie on)."""

    data: bytes = field(repr=False)
    page_bytes: int
    rows: Mapping[str, list[tuple[tuple[Any, ...], frozenset[int]]]] = field(repr=False)
    columns: Mapping[str, tuple[str, ...]]
    inner: Mapping[str, list[int]]
    """Table or index → the pages of its tree that have others below them, from the top."""
    trees: frozenset[int]
    """All pages of trees; the others hold the rest of long rows, or nothing."""
    schema: list[int]
    """The pages that say what tables there are."""

    @property
    def n_pages(self) -> int:
        return len(self.data) // self.page_bytes


def describe(path: Path) -> Sound:
    """Read a closed store's rows with the pages that they lie on, and check that SQLite reads the same."""
    rows, columns, inner = {}, {}, {}
    db = sqlite3.connect(path)
    with PageFile(path) as file:
        reader = Reader(file)
        for stored, root in trees(db):
            tree, before = Tree(stored.shape, root), set(reader.claimed)
            found = [row for page in reader.rows(tree) for row in page]
            inner[stored.name] = sorted(n for n in reader.claimed - before if file.first_byte(n) in (2, 5))
            assert not tree.holes, stored.name
            if not stored.is_index:
                rows[stored.name] = [
                    (plain(stored.values(row.rowid, row.values)), frozenset(row.pages)) for row in found
                ]
                columns[stored.name] = stored.columns
                assert sorted(map(repr, (values for values, _ in rows[stored.name]))) == sorted(
                    repr(row) for row in read(db, stored.name, stored.columns)
                )
        before = set(reader.claimed)
        assert len([row for page in reader.rows(Tree(SCHEMA, 1)) for row in page]) > 50
        schema = sorted(reader.claimed - before)
        page_bytes = file.page_bytes
    db.close()
    wanted = {stored.name for stored in read_layout(SCHEMA_VERSION).tables} - _DERIVED
    rows = {name: rows[name] for name in wanted}
    return Sound(path.read_bytes(), page_bytes, rows, columns, inner, frozenset(reader.claimed), schema)


def trees(db: sqlite3.Connection) -> list[tuple[Stored, int]]:
    layout = read_layout(db.execute("PRAGMA user_version").fetchone()[0])
    roots = db.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
    return [(layout.stored[name], root) for name, root in roots]


def read(db: sqlite3.Connection, table: str, columns: Iterable[str]) -> list[tuple[Any, ...]]:
    return [plain(row) for row in db.execute(f"SELECT {', '.join(columns)} FROM {table}")]


def plain(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """SQLite keeps whole REAL numbers as integers."""
    return tuple(int(value) if isinstance(value, float) and value.is_integer() else value for value in row)


def damaged(sound: Sound, page: int, way: str, dice: random.Random) -> bytes:
    """The file with one page (from 1) overwritten."""
    size, start = sound.page_bytes, (page - 1) * sound.page_bytes
    other = dice.randrange(sound.n_pages) * size
    new = {"zeros": bytes(size), "random bytes": dice.randbytes(size), "another page": sound.data[other : other + size]}
    return sound.data[:start] + new[way] + sound.data[start + size :]


def added(sound: Sound, path: Path) -> dict[str, int]:
    """Table → how many rows of the store at `path` were not in the sound one."""
    db = sqlite3.connect(path)
    new = {}
    for table, rows in sound.rows.items():
        before = {repr(values) for values, _ in rows}
        n = sum(repr(row) not in before for row in read(db, table, sound.columns[table]))
        if n and table != "datasets":  # see `missing`
            new[table] = n
    db.close()
    return new


def blank(sound: Sound, *pages: int) -> bytes:
    """The file with these pages overwritten by zeros."""
    data, size = bytearray(sound.data), sound.page_bytes
    for page in pages:
        data[(page - 1) * size : page * size] = bytes(size)
    return bytes(data)


def missing(sound: Sound, path: Path, pages: set[int]) -> dict[str, int]:
    """Table → how many rows of the sound store that lay on none of these pages are not in the store at `path`."""
    db = sqlite3.connect(path)
    lost = {}
    has_marked = False
    for table, rows in sound.rows.items():
        there = {repr(row) for row in read(db, table, sound.columns[table])}
        gone = [values for values, on in rows if not on & pages and repr(values) not in there]
        if table == "datasets":  # one that lost rows on these pages is marked, so that nothing is trained on it
            has_marked = bool(gone)
            marked = db.execute("SELECT count(*) FROM datasets WHERE fingerprint LIKE 'damaged:%'").fetchone()[0]
            assert len(gone) == marked
        elif gone:
            lost[table] = len(gone)
    db.close()
    if has_marked:
        assert any(on & pages for table in ("examples", "dataset_rows") for _, on in sound.rows[table])
    return lost
