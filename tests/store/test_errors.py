"""What may pass is tried again; what does not is said at once."""

import errno
import sqlite3

import pytest

from store import StoreUnreadable, open_store, reconcile
from store.connection import Store
from store.errors import may_pass
from tests.store.builders import abandoned_run, locked


def explained_by(code: int) -> StoreUnreadable:
    reason = sqlite3.DatabaseError("as SQLite says it")
    reason.sqlite_errorcode = code
    error = StoreUnreadable("as we say it")
    error.__cause__ = reason
    return error


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (sqlite3.OperationalError("database is locked"), True),
        (sqlite3.IntegrityError("UNIQUE constraint failed"), False),
        (explained_by(sqlite3.SQLITE_BUSY), True),
        (explained_by(sqlite3.SQLITE_FULL), True),
        (explained_by(sqlite3.SQLITE_IOERR | 3 << 8), True),
        (explained_by(sqlite3.SQLITE_CORRUPT), False),
        (explained_by(sqlite3.SQLITE_NOTADB), False),
        (StoreUnreadable("opened read-only"), False),
        (OSError(errno.ENOSPC, "No space left on device"), True),
        (BlockingIOError(errno.EAGAIN, "Resource temporarily unavailable"), True),
        (PermissionError(errno.EACCES, "Permission denied"), False),
        (ValueError("ours"), False),
    ],
)
def test_what_may_pass(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def test_statuses_of_a_locked_store_may_be_made_true_later(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("store.statuses._WAIT_SECONDS", 0.01)
    abandoned_run(store, "x")
    with locked(store), pytest.raises(StoreUnreadable, match="database is locked") as caught:
        reconcile(store)
    assert may_pass(caught.value)
    assert len(reconcile(open_store(store.path))) == 1
