"""Reading every row that can be read of a damaged store into a new file.

Tables in which SQLite finds nothing wrong are copied by it; the rows of the others are read page by page
(`store.rescue.btrees`), so that a damaged page costs the rows on it and no others. Then the rows are made to fit
together again (`store.rescue.mending`).
"""

import contextlib
import sqlite3
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from store.connection import APPLICATION_ID, SCHEMA_VERSION
from store.errors import StoreTooNew, StoreUnreadable
from store.rescue.btrees import Reader, Tree
from store.rescue.layout import Layout, Stored, make_schema, read_layout
from store.rescue.mending import mend
from store.rescue.pages import PageFile
from store.rescue.rows import Row, Shape

# Called with a table and the rows of it read so far.
Report = Callable[[str, int], None]

SCHEMA = Shape("sqlite_schema", False, ("t", "t", "t", "ni", "nt"), 5)

# How many rows of a table are missing, where other tables say how many there were and no index does.
_MISSING = {
    "dataset_rows": "(SELECT sum(n.value) FROM datasets d, json_each(d.n_rows) n WHERE d.version IS NOT NULL)"
    " - (SELECT count(*) FROM dataset_rows w JOIN datasets d ON d.key = w.dataset_key WHERE d.version IS NOT NULL)",
    "metrics": "(SELECT sum(n) FROM metric_latest) - (SELECT count(*) FROM visible_metrics)",
    "predictions": "(SELECT sum(n_examples) FROM evaluations e"
    " WHERE run_key IN (SELECT DISTINCT run_key FROM evaluations JOIN predictions ON evaluation_key = key))"
    " - (SELECT count(*) FROM predictions)",
}


@dataclass(frozen=True)
class SavedTable:
    """What became of a table's rows. `n_lost` is None where nothing tells how many there were."""

    table: str
    n_kept: int
    n_rebuilt: int
    """Of the kept: lost but for their key and what indexes say of them; the rest of such a row says so."""
    n_dropped: int
    """Readable, but what they belong to is gone and cannot be rebuilt."""
    n_lost: int | None
    n_doubtful: int
    """Of the kept: long rows that may hold something else in part; nothing in the file could tell."""


@dataclass(frozen=True)
class Salvaged:
    """What was read of a damaged file. Damaged pages are those found to hold something else than they should."""

    tables: tuple[SavedTable, ...]
    n_pages: int
    n_damaged_pages: int


def salvage(work: Path, target: Path, name: str, report: Report | None = None) -> Salvaged:
    """Write every readable row of a file into a new store, `target`, of the same schema version.

    `work` is a copy made by `store.rescue.pages.copy_whole`; `name` is what messages call it. Raises StoreUnreadable
    where there is no trace of a store in it, StoreTooNew.
    """
    try:
        file = PageFile(work)
    except ValueError as error:
        raise StoreUnreadable(f"{name} is too short to hold anything; there is nothing to save.") from error
    db = sqlite3.connect(target.as_uri(), uri=True, isolation_level=None)
    with file, contextlib.closing(db):
        for pragma in ("journal_mode = MEMORY", "synchronous = OFF", "foreign_keys = OFF", "cache_size = -65536"):
            db.execute(f"PRAGMA {pragma}")
        return _Salvager(work, name, file, db, report or (lambda table, n_rows: None)).run()


class _Salvager:
    """One salvage: from the pages of `file` (and SQLite's view of the same, where it has one) into `db`."""

    def __init__(self, work: Path, name: str, file: PageFile, db: sqlite3.Connection, report: Report) -> None:
        self._work, self._name, self._file, self._db, self._report = work, name, file, db, report
        self._reader = Reader(file)
        self._free, self._knows_free = file.free_pages()
        self._trees: dict[str, Tree] = {}  # those that had to be read page by page
        self._roots: dict[str, int] = {}
        self._others: list[tuple[str, str]] = []  # (kind, statement) of what is not ours
        self._layout = self._read_schema()

    def run(self) -> Salvaged:
        self._make_schema()
        sound = self._copy_sound_tables()
        wanted = {stored.name for stored in self._layout.tables}
        lost_roots = [stored for stored in self._layout.stored.values() if stored.name not in self._roots]
        for stored in self._layout.stored.values():
            if stored.name in self._roots and stored.table not in sound:
                self._read(stored, wanted)
        self._find_roots(lost_roots)
        for stored in lost_roots:
            self._read(stored, wanted)
        self._adopt(wanted)
        tables = self._mend(sound)
        return Salvaged(tables, self._file.n_pages, len(self._damaged_pages))

    @property
    def _damaged_pages(self) -> set[int]:
        """Pages that are not what their place asks for, as far as was found out by now."""
        return {
            hole.number for tree in self._trees.values() for hole in tree.holes if hole.number
        } - self._reader.claimed

    # the schema ------------------------------------------------------------------------------------------------------

    def _read_schema(self) -> Layout:
        """Find where each table and index begins, as far as the file still says, and what they look like."""
        tree = self._trees["sqlite_schema"] = Tree(SCHEMA, 1)
        rows = [row.values for page in self._reader.rows(tree) for row in page]
        if tree.holes:
            for number in self._reader.unclaimed(self._free, self._damaged_pages):
                rows += [row.values for page in self._reader.adopt(tree, number, None, None) for row in page]
        rows = [row for row in rows if row[0] in ("table", "index", "view", "trigger")]
        layout = self._choose_layout({row[1] for row in rows})
        self._others = [
            (kind, sql)
            for kind, name, _, _, sql in rows
            if name not in layout.names and sql and (kind != "table" or sql.upper().startswith("CREATE TABLE"))
        ]
        theirs = tuple(sql for wanted in ("table", "index") for kind, sql in self._others if kind == wanted)
        if theirs:
            layout = read_layout(layout.version, theirs)
        self._roots = {name: root for _, name, _, root, _ in rows if name in layout.stored and root}
        return layout

    def _choose_layout(self, names: set[str]) -> Layout:
        version, is_ours = self._file.user_version, self._file.application_id == APPLICATION_ID
        if is_ours and version is not None and SCHEMA_VERSION < version < 1000:
            raise StoreTooNew(
                f"the store {self._name} was written by a newer Assay (schema {version}, this one knows"
                f" {SCHEMA_VERSION}). Upgrade Assay to repair it."
            )
        layouts = [read_layout(number) for number in range(1, SCHEMA_VERSION + 1)]
        if not is_ours and len(names & set(layouts[0].stored)) < 3:
            raise StoreUnreadable(f"there is no trace of an Assay store in {self._name}; nothing was changed.")
        if is_ours and version is not None and 1 <= version <= SCHEMA_VERSION:
            return layouts[version - 1]
        # Of versions with the same tables the newest: it reads rows from before it had some of its columns.
        return min(reversed(layouts), key=lambda layout: len(names ^ set(layout.stored)))

    def _make_schema(self) -> None:
        make_schema(self._db, self._layout.version)
        self._db.execute("DELETE FROM store_version")
        self._db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
        self._db.execute(f"PRAGMA user_version = {self._layout.version}")
        for kind, sql in self._others:
            if kind == "table":
                self._db.execute(sql)

    def _find_roots(self, lost: list[Stored]) -> None:
        """Where tables begin that the schema no longer tells of: at pages that nothing refers to.

        Roots lie in the file in the order in which tables and indexes were made, unless pages were free at that time:
        first the longest run of fitting pairs in that order is taken, then what is left by shape alone.
        """
        if not lost:
            return
        pages = self._reader.unclaimed(self._free, self._damaged_pages)
        fits = [[self._reader.fits(stored.shape, number) for number in pages] for stored in lost]
        longest = [[0] * (len(pages) + 1) for _ in range(len(lost) + 1)]
        for i in reversed(range(len(lost))):
            for j in reversed(range(len(pages))):
                both = 1 + longest[i + 1][j + 1] if fits[i][j] else 0
                longest[i][j] = max(both, longest[i + 1][j], longest[i][j + 1])
        i = j = 0
        taken: set[int] = set()
        while i < len(lost) and j < len(pages):
            if fits[i][j] and longest[i][j] == 1 + longest[i + 1][j + 1]:
                self._roots[lost[i].name] = pages[j]
                taken.add(j)
                i, j = i + 1, j + 1
            elif longest[i][j] == longest[i + 1][j]:
                i += 1
            else:
                j += 1
        for i, stored in enumerate(lost):
            fitting = [j for j in range(len(pages)) if fits[i][j] and j not in taken]
            if stored.name not in self._roots and fitting:
                self._roots[stored.name] = pages[fitting[0]]
                taken.add(fitting[0])

    # rows ------------------------------------------------------------------------------------------------------------

    def _copy_sound_tables(self) -> set[str]:
        """The tables in which nothing is wrong, their indexes included; their rows are copied here by SQLite."""
        sound: dict[str, set[int]] = {}
        if set(self._layout.stored) - set(self._roots):
            return set()
        uri = f"{self._work.as_uri()}?mode=ro&immutable=1"
        with contextlib.closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as damaged:
            for stored in self._layout.stored.values():
                pages = None if stored.is_index else self._sound_pages(damaged, stored)
                if pages is not None:
                    sound[stored.name] = pages
        if not sound:
            return set()
        self._db.execute(f"ATTACH '{uri}' AS damaged")
        for stored in self._layout.tables:
            if stored.name in sound:
                name, columns = _quoted(stored.name), ", ".join(map(_quoted, stored.columns))
                try:
                    with _transaction(self._db):
                        self._db.execute(f"INSERT INTO {name} ({columns}) SELECT {columns} FROM damaged.{name}")
                except sqlite3.DatabaseError:  # a value that its column cannot have
                    del sound[stored.name]
                    continue
                self._report(stored.name, self._count(stored.name))
        self._db.execute("DETACH damaged")
        self._reader.claimed.update(*sound.values())
        return set(sound)

    def _sound_pages(self, damaged: sqlite3.Connection, stored: Stored) -> set[int] | None:
        """The pages of a table and its indexes; None where SQLite, a text or the end of a long row says of damage."""
        name = _quoted(stored.name)
        texts = [_quoted(n) for n, may in zip(stored.columns, stored.shape.columns, strict=True) if "t" in may]
        try:
            if damaged.execute(f"PRAGMA integrity_check({name})").fetchall() != [("ok",)]:
                return None
            if texts:
                deque(damaged.execute(f"SELECT {', '.join(texts)} FROM {name}"), maxlen=0)
        except sqlite3.DatabaseError:
            return None
        pages: set[int] = set()
        for other in self._layout.stored.values():
            if other.table == stored.name:
                its = self._reader.pages_of(self._roots[other.name])
                if its is None:
                    return None
                pages |= its
        return pages

    def _read(self, stored: Stored, wanted: set[str]) -> None:
        """Take the rows of one tree page by page; indexes are made anew, and read to know whose pages are whose."""
        tree = self._trees[stored.name] = Tree(stored.shape, self._roots.get(stored.name))
        self._insert(stored, self._reader.rows(tree), wanted)

    def _insert(self, stored: Stored, pages: Iterator[list[Row]], wanted: set[str]) -> None:
        columns, marks = ", ".join(map(_quoted, stored.columns)), ", ".join("?" * len(stored.columns))
        sql = f"INSERT OR IGNORE INTO {_quoted(stored.name)} ({columns}) VALUES ({marks})"
        n_rows = 0
        with _transaction(self._db):
            for rows in pages:
                if stored.name in wanted:
                    self._db.executemany(sql, [stored.values(row.rowid, row.values) for row in rows])
                    n_rows += len(rows)
                    self._report(stored.name, n_rows)

    def _adopt(self, wanted: set[str]) -> None:
        """Take what hangs below damaged pages: where its keys fit, or, if it can be no free page, where its shape does.

        Free pages keep what they held before; so long as not all of them are known, shape alone says too little.
        """
        orphans = self._reader.unclaimed(self._free, self._damaged_pages)
        everything = self._layout.stored.values()
        for stored in everything:
            tree = self._trees.get(stored.name)
            for hole in tree.holes if tree else ():  # grows while it is read: what is adopted may have holes again
                for number in orphans:
                    self._insert(stored, self._reader.adopt(tree, number, hole.low, hole.high), wanted)  # type: ignore[arg-type]  # tree is there where it has a hole
        if not self._knows_free:
            return
        by_holes = sorted(everything, key=lambda s: not (s.name in self._trees and self._trees[s.name].holes))
        for number in orphans:
            for stored in by_holes:
                if number not in self._reader.claimed:
                    tree = self._trees.setdefault(stored.name, Tree(stored.shape, self._roots.get(stored.name)))
                    self._insert(stored, self._reader.adopt(tree, number, None, None), wanted)

    # putting together ------------------------------------------------------------------------------------------------

    def _mend(self, sound: set[str]) -> tuple[SavedTable, ...]:
        tables = [stored.name for stored in self._layout.tables if stored.name != "store_version"]
        damaged = {name for name in tables if name not in sound}
        n_read = {name: self._count(name) for name in tables}
        n_gone = {name: self._count_gone(name, n_read[name]) for name in damaged if self._trees[name].holes}
        n_doubtful = Counter(name for name, _, _ in self._reader.cells.doubtful)
        with _transaction(self._db):
            mended = mend(self._db, self._known, damaged)
            for kind, sql in self._others:
                if kind != "table":
                    with contextlib.suppress(sqlite3.DatabaseError):  # a view of somebody's own that cannot be made
                        self._db.execute(sql)
        saved = []
        for name in tables:
            n_rebuilt, gone = mended.n_rebuilt[name], n_gone.get(name, 0)
            n_lost = None if gone is None else max(gone - n_rebuilt, 0)
            saved.append(
                SavedTable(name, self._count(name), n_rebuilt, mended.n_dropped[name], n_lost, n_doubtful[name])
            )
        self._db.execute("PRAGMA journal_mode = WAL")
        return tuple(saved)

    def _count_gone(self, table: str, n_read: int) -> int | None:
        """How many rows could not be read, by an index that is whole, or by what other tables say."""
        for index in self._layout.stored.values():
            if index.is_index and index.table == table and not self._trees[index.name].holes:
                return sum(len(rows) for rows in Reader(self._file).rows(self._fresh(index))) - n_read
        if table not in _MISSING:
            return None
        (missing,) = self._db.execute(f"SELECT {_MISSING[table]}").fetchone()
        return None if missing is None else int(missing)

    def _known(self, table: str, keys: set[int]) -> Mapping[int, Mapping[str, object]]:
        """What the file's indexes say of the rows with these keys; of a table that has none, of all its rows."""
        known: dict[int, dict[str, object]] = {}
        for index in self._layout.stored.values():
            if not index.is_index or index.table != table or index.name not in self._roots:
                continue
            for rows in Reader(self._file).rows(self._fresh(index)):
                for row in rows:
                    values = dict(zip(index.columns, row.values, strict=True))
                    key = values.get("key", len(known))
                    if not keys or key in keys:
                        known.setdefault(int(str(key)), {}).update(values)
        return known

    def _fresh(self, stored: Stored) -> Tree:
        return Tree(stored.shape, self._roots.get(stored.name))

    def _count(self, table: str) -> int:
        return int(self._db.execute(f"SELECT count(*) FROM {_quoted(table)}").fetchone()[0])


@contextlib.contextmanager
def _transaction(db: sqlite3.Connection) -> Iterator[None]:
    db.execute("BEGIN")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
