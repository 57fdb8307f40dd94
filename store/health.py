"""What state the store is in: sizes, integrity, writers."""

import sqlite3
from dataclasses import dataclass

from store.connection import Store, explained


@dataclass(frozen=True)
class StoreHealth:
    """`problems` is empty for a sound store; sizes in bytes."""

    size_bytes: int
    wal_bytes: int
    n_runs: int
    n_live: int
    n_examples: int
    n_metric_values: int
    rows_pending: int
    rows_lost: int
    problems: tuple[str, ...]


def check_store(store: Store, *, thorough: bool = True) -> StoreHealth:
    """Look the store over. Thorough reads every page (`integrity_check`, seconds a gigabyte), else `quick_check`.

    Raises StoreUnreadable where the damage is such that not even the runs can be counted.
    """
    with explained(store.path):
        return _check(store, thorough=thorough)


def _check(store: Store, *, thorough: bool) -> StoreHealth:
    db = store.db
    problems: list[str] = []
    pragma = "integrity_check" if thorough else "quick_check"
    try:
        problems += [text for (text,) in db.execute(f"PRAGMA {pragma}(20)") if text != "ok"]
        problems += [
            f"{table}: row {rowid} refers to a row of {parent} that is not there"
            for table, rowid, parent, _ in db.execute("PRAGMA foreign_key_check").fetchmany(20)
        ]
    except sqlite3.DatabaseError as error:
        problems.append(str(error))
    wal = store.path.with_name(store.path.name + "-wal")
    pending, lost = db.execute(
        "SELECT coalesce(sum(rows_pending), 0), coalesce(sum(rows_lost), 0) FROM leases"
    ).fetchone()
    return StoreHealth(
        size_bytes=store.path.stat().st_size,
        wal_bytes=wal.stat().st_size if wal.exists() else 0,
        n_runs=_count(db, "SELECT count(*) FROM runs"),
        n_live=_count(db, "SELECT count(*) FROM runs WHERE status = 'running'"),
        n_examples=_count(db, "SELECT count(*) FROM examples"),
        n_metric_values=_count(db, "SELECT coalesce(sum(n), 0) FROM metric_latest"),
        rows_pending=pending,
        rows_lost=lost,
        problems=tuple(problems),
    )


def _count(db: sqlite3.Connection, sql: str) -> int:
    return int(db.execute(sql).fetchone()[0])
