"""Opening the other store of a merge. It is only ever read; one of an older schema is read from a copy."""

import contextlib
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path

from store.connection import APPLICATION_ID, SCHEMA_VERSION, Store, explained, open_readonly, open_store
from store.errors import StoreUnreadable
from store.rescue.pages import copy_whole
from store.rescue.swap import require_room


@contextlib.contextmanager
def opened(store: Store, path: Path) -> Iterator[Path]:
    """The path of a file that holds what the other store holds, in today's schema, for a block in which it is read.

    Raises StoreNotFound, StoreUnreadable, StoreTooNew as `open_readonly` does, and StoreUnreadable for `store` itself.
    """
    path = path.expanduser().absolute()
    if path.exists() and path.samefile(store.path):
        raise StoreUnreadable(f"{path} is the store itself; name another one to merge into it.")
    if not _needs_copy(path):
        open_readonly(path).close()
        yield path
        return
    require_room(store.path.parent, path.stat().st_size, f"a copy of {path.name}, which has to be brought up to date,")
    with tempfile.TemporaryDirectory(prefix=f"{store.path.name}.merge-", dir=store.path.parent) as folder:
        copy = Path(folder) / path.name
        with path.open("rb") as source:
            copy_whole(source, path.with_name(path.name + "-wal"), copy)
        open_store(copy, create=False).close()
        yield copy


def _needs_copy(path: Path) -> bool:
    """Whether it cannot be read as it is: an older schema, or a folder in which SQLite may make no file of its own."""
    if not path.is_file():
        return False
    if not os.access(path.parent, os.W_OK):
        return True
    with explained(path), contextlib.closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True)) as db:
        (application_id,) = db.execute("PRAGMA application_id").fetchone()
        (version,) = db.execute("PRAGMA user_version").fetchone()
    return bool(application_id == APPLICATION_ID and version < SCHEMA_VERSION)
