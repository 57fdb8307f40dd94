"""Opening a store and writing to it.

Every thread gets its own connection. A write is `with store.write() as db:` — one `BEGIN IMMEDIATE` transaction that
either happened or did not, and that moves the store's version. (A deferred transaction that reads before it writes
fails at once with "database is locked" when another writer came between; an immediate one waits its turn.)
"""

import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from store.errors import StoreNotFound, StoreTooNew, StoreUnreadable

BUSY_SECONDS = 60.0
# "ASAY" in ASCII, kept in the file's header: `file(1)`-style tools and we ourselves can tell what the file is.
APPLICATION_ID = 0x41534159
# How many migrations there are (a test holds it to `store.migrations`): opening an up-to-date store then needs
# neither sqlite-utils nor more than one read.
SCHEMA_VERSION = 9


class Store:
    """One store file; share it between threads. Make it with `open_store` or `open_readonly`."""

    def __init__(self, path: Path, *, readonly: bool) -> None:
        self.path = path
        self.readonly = readonly
        self._local = threading.local()
        self._connections: dict[threading.Thread, sqlite3.Connection] = {}
        self._inherited: list[object] = []  # after a fork: the parent's, never to be used or closed here
        self._pid = os.getpid()
        self._lock = threading.Lock()

    @property
    def files(self) -> Path:
        """The folder beside the store that holds checkpoints and caches (`assay.db` → `assay-files/`)."""
        return self.path.with_name(self.path.stem + "-files")

    @property
    def db(self) -> sqlite3.Connection:
        """This thread's connection, opened on first use. Autocommit: reads see the newest state."""
        if self._pid != os.getpid():
            self._leave_to_parent()
        connection: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if connection is None:
            connection = _connect(self.path, readonly=self.readonly)
            self._local.connection = connection
            with self._lock:
                for thread in [t for t in self._connections if not t.is_alive()]:  # a dashboard makes many threads
                    self._connections.pop(thread).close()
                self._connections[threading.current_thread()] = connection
        return connection

    def _leave_to_parent(self) -> None:
        """A SQLite connection must not cross a fork: the child opens its own."""
        self._inherited += [self._connections, self._local]
        self._local, self._connections, self._lock = threading.local(), {}, threading.Lock()
        self._pid = os.getpid()

    @contextmanager
    def write(self, run_key: int | None = None, *, wait_seconds: float = BUSY_SECONDS) -> Iterator[sqlite3.Connection]:
        """One immediate transaction; moves the store's version, and the run's where one is named.

        Raises StoreUnreadable for a read-only store, sqlite3.OperationalError when the file stays locked for
        `wait_seconds` or the disk is full. An exception inside the block rolls everything back.
        """
        if self.readonly:
            raise StoreUnreadable(f"{self.path} was opened read-only; nothing can be written to it.")
        db = self.db
        db.execute(f"PRAGMA busy_timeout = {int(wait_seconds * 1000)}")
        try:
            db.execute("BEGIN IMMEDIATE")
        finally:
            db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        try:
            yield db
            db.execute("UPDATE store_version SET version = version + 1")
            if run_key is not None:
                db.execute("UPDATE runs SET version = version + 1 WHERE key = ?", (run_key,))
            db.execute("COMMIT")
        except BaseException:
            if db.in_transaction:
                db.execute("ROLLBACK")
            raise

    def version(self) -> int:
        """A number that moves with every write by any process: microseconds to read, made for cache keys."""
        (version,) = self.db.execute("SELECT version FROM store_version").fetchone()
        return int(version)

    def close(self) -> None:
        """Close this store's connections in all threads."""
        with self._lock:
            for connection in self._connections.values():
                connection.close()
            self._connections.clear()
            self._local = threading.local()


def open_store(path: str | Path, *, create: bool = True) -> Store:
    """Open for reading and writing, make the file if it is not there, and bring its schema up to date.

    Any number of processes may do this to the same new file at the same instant. Raises StoreNotFound (with
    `create=False`), StoreUnreadable or StoreTooNew.
    """
    path = Path(path).expanduser().absolute()
    if not path.exists():
        if not create:
            raise StoreNotFound(_no_store_text(path))
        if not path.parent.is_dir():
            raise StoreUnreadable(f"cannot make the store {path}: there is no folder {path.parent}.")
        if not os.access(path.parent, os.W_OK):
            raise StoreUnreadable(f"cannot make the store {path}: the folder {path.parent} is not writable.")
    elif not os.access(path, os.W_OK):
        raise StoreUnreadable(f"the store {path} is not writable; check its owner and mode, or copy it.")
    store = Store(path, readonly=False)
    try:
        with explained(path):
            _migrate(store)
    except BaseException:
        store.close()
        raise
    return store


def open_readonly(path: str | Path) -> Store:
    """Open an existing store for reading only. It must have today's schema (`open_store` brings it there)."""
    path = Path(path).expanduser().absolute()
    if not path.exists():
        raise StoreNotFound(_no_store_text(path))
    store = Store(path, readonly=True)
    try:
        with explained(path):
            is_current = _is_current(store.db, path)
    except BaseException:
        store.close()
        raise
    if not is_current:
        store.close()
        raise StoreUnreadable(
            f"the store {path} is empty or has an older schema. "
            f"Run `runner doctor --store {path}` once: it opens the store for writing and upgrades it."
        )
    return store


@contextmanager
def reading(path: str | Path) -> Iterator[Store]:
    """A read-only store for the length of a block; made for callers whose threads come and go.

    Raises what `open_readonly` raises; whatever SQLite cannot read inside the block becomes StoreUnreadable too.
    """
    store = open_readonly(path)
    try:
        with explained(store.path):
            yield store
    finally:
        store.close()


def _connect(path: Path, *, readonly: bool) -> sqlite3.Connection:
    mode = "ro" if readonly else "rwc"
    # A connection belongs to one thread; it may be closed by another (Store.close), hence check_same_thread.
    db = sqlite3.connect(
        f"{path.as_uri()}?mode={mode}",
        uri=True,
        timeout=BUSY_SECONDS,
        isolation_level=None,
        check_same_thread=False,
    )
    db.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
    db.execute("PRAGMA foreign_keys = ON")
    db.execute("PRAGMA synchronous = NORMAL")
    db.execute("PRAGMA cache_size = -65536")
    db.execute("PRAGMA temp_store = MEMORY")
    return db


def _is_current(db: sqlite3.Connection, path: Path) -> bool:
    """Whether the schema is today's. Raises StoreUnreadable for a foreign file, StoreTooNew for a newer one."""
    (application_id, version, table) = db.execute(  # in one statement: another process may be migrating just now
        "SELECT application_id, user_version, (SELECT min(name) FROM sqlite_master WHERE type = 'table')"
        " FROM pragma_application_id, pragma_user_version"
    ).fetchone()
    if application_id != APPLICATION_ID:
        if table:
            raise StoreUnreadable(
                f"{path} is a SQLite file but not an Assay store (it has tables such as {table!r}). "
                "Name another file with --store or ASSAY_STORE."
            )
        return False
    if version > SCHEMA_VERSION:
        raise StoreTooNew(
            f"the store {path} was written by a newer Assay (schema {version}, this one knows {SCHEMA_VERSION}). "
            "Upgrade Assay, or name another file with --store or ASSAY_STORE."
        )
    return bool(version == SCHEMA_VERSION)


def _migrate(store: Store) -> None:
    db = store.db
    if _is_current(db, store.path):
        return
    from sqlite_utils import Database

    from store.migrations import migrations

    _enter_wal(db)
    db.execute("BEGIN IMMEDIATE")  # the first of many openers migrates; the others wait here, then find nothing to do
    try:
        if not _is_current(db, store.path):
            migrations.apply(Database(db))
            db.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            db.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        db.execute("COMMIT")
    except BaseException:
        if db.in_transaction:
            db.execute("ROLLBACK")
        raise


def _enter_wal(db: sqlite3.Connection) -> None:
    """Switch to write-ahead logging. SQLite does not wait for a lock here by itself, so we do."""
    deadline = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            db.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if "locked" not in str(error) or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn SQLite's complaints into StoreUnreadable, in words a user can act on."""
    try:
        yield
    except sqlite3.DatabaseError as error:
        text = str(error)
        if "not a database" in text:
            raise StoreUnreadable(
                f"{path} is not a SQLite file, or its first page is damaged. Name another file with --store or "
                f"ASSAY_STORE; if it is a store, `runner doctor --repair --store {path}` saves what can be read."
            ) from error
        if "malformed" in text or "corrupt" in text:
            raise StoreUnreadable(
                f"the store {path} is damaged ({text}). `runner doctor --repair --store {path}` saves every row that "
                "can be read; or restore a backup."
            ) from error
        raise StoreUnreadable(f"the store {path} cannot be used: {text}.") from error


def _no_store_text(path: Path) -> str:
    return (
        f"there is no store at {path}. `runner train RECIPE` or `runner demo` makes one; "
        "--store FILE or ASSAY_STORE names another."
    )
