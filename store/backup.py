"""Backups: a whole copy of a store in one file, taken while others write to it."""

import contextlib
import os
import sqlite3
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from store.connection import Store, explained, open_store
from store.errors import StoreUnreadable
from store.rescue.layout import is_derived
from store.rescue.swap import only_user, require_room, sync_folder

_STEP_PAGES = 2048  # copied between two calls of `report`


@dataclass(frozen=True)
class Backup:
    """A backup that was verified. `n_rows` counts the rows of each table."""

    path: Path
    size_bytes: int
    n_rows: Mapping[str, int]


def backup_store(
    store: Store,
    target: Path,
    *,
    force: bool = False,
    extra_bytes: int = 0,
    report: Callable[[int, int], None] | None = None,
    also: Callable[[Store], None] | None = None,
) -> Backup:
    """Copy the store, as it is at one moment, to `target`. Others go on writing meanwhile.

    The copy is made beside its place, checked (integrity, rows of every table), and moved there whole. `also` is given
    the checked copy before that, to complete it; what it raises leaves no backup. `report(bytes done, bytes in all)`
    is called as it goes. Raises StoreUnreadable for a target that cannot be (`force` overwrites one that is there),
    where it and `extra_bytes` do not fit on the disk, and where the copy is not sound.
    """
    target = check_target(store, target, force=force)
    size = _size(store)
    require_room(target.parent, size + extra_bytes, "the backup")
    partial = target.with_name(target.name + ".partial")
    _remove(partial)
    try:
        with explained(store.path):
            n_rows = _copy(store, partial, report or (lambda done, total: None))
        _verify(store, partial, n_rows)
        if also is not None:
            copy = open_store(partial, create=False)
            try:
                also(copy)
            finally:
                copy.close()
        _move(partial, target, force=force)
    finally:
        _remove(partial)
    return Backup(target, target.stat().st_size, n_rows)


def check_target(store: Store, target: Path, *, force: bool) -> Path:
    """The absolute path of a file that a backup may become. Raises StoreUnreadable, saying what to do instead."""
    target = target.expanduser().absolute()
    if not target.parent.is_dir():
        raise StoreUnreadable(f"cannot back up to {target}: there is no folder {target.parent}. Make it first.")
    if target.is_dir():
        raise StoreUnreadable(f"cannot back up to {target}: it is a folder. Name a file in it.")
    own = [store.path.with_name(store.path.name + end) for end in ("", "-wal", "-shm")]
    if target.resolve() in {path.resolve() for path in own} or (target.exists() and target.samefile(store.path)):
        raise StoreUnreadable(f"cannot back up to {target}: that is the store itself. Name another file.")
    if not os.access(target.parent, os.W_OK):
        raise StoreUnreadable(f"cannot back up to {target}: the folder {target.parent} is not writable.")
    left = [path for path in _with_log(target) if path.exists()]
    if left and not force:
        raise StoreUnreadable(f"{left[0]} is there already. Name another file, or add --force to overwrite it.")
    return target


def _copy(store: Store, partial: Path, report: Callable[[int, int], None]) -> dict[str, int]:
    """Copy page by page from one snapshot; returns the rows of each table in it."""
    db = store.db
    (page_bytes,) = db.execute("PRAGMA page_size").fetchone()
    copy = sqlite3.connect(partial)
    try:
        db.execute("BEGIN")  # and the first read fixes the snapshot: without it every write would start the copy anew
        n_rows = _count_rows(db)
        db.backup(
            copy,
            pages=_STEP_PAGES,
            progress=lambda _, left, total: report((total - left) * page_bytes, total * page_bytes),
            sleep=0,
        )
        return n_rows
    finally:
        copy.close()
        if db.in_transaction:
            db.execute("ROLLBACK")


def _verify(store: Store, partial: Path, n_rows: Mapping[str, int]) -> None:
    copy = sqlite3.connect(partial)
    try:
        with explained(store.path):
            problems = [text for (text,) in copy.execute("PRAGMA integrity_check(1)") if text != "ok"]
        if problems:
            raise StoreUnreadable(
                f"the store {store.path} is damaged ({problems[0]}), and so is a copy of it: nothing was backed up. "
                f"Run `runner doctor --repair --store {store.path}` first."
            )
        found = _count_rows(copy)
    finally:
        copy.close()
    if found != n_rows:
        wrong = next(table for table in n_rows if found.get(table) != n_rows[table])
        raise StoreUnreadable(
            f"the copy has {found.get(wrong)} rows in {wrong} instead of {n_rows[wrong]}: nothing was backed up. "
            "Check the disk, then try again."
        )


def _count_rows(db: sqlite3.Connection) -> dict[str, int]:
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
    return {
        name: int(db.execute(f'SELECT count(*) FROM "{name}"').fetchone()[0]) for name in tables if not is_derived(name)
    }


def _move(partial: Path, target: Path, *, force: bool) -> None:
    with partial.open("rb") as file:
        os.fsync(file.fileno())
    with contextlib.ExitStack() as stack:
        if target.exists():
            if not force:
                raise StoreUnreadable(f"{target} came to be meanwhile; it was left as it is. Name another file.")
            stack.enter_context(only_user(target))
        for log in _with_log(target)[1:]:  # a log left there would be taken for the new file's
            log.unlink(missing_ok=True)
        os.replace(partial, target)
    sync_folder(target.parent)


def _size(store: Store) -> int:
    (n_pages,) = store.db.execute("PRAGMA page_count").fetchone()
    (page_bytes,) = store.db.execute("PRAGMA page_size").fetchone()
    return int(n_pages) * int(page_bytes)


def _with_log(path: Path) -> list[Path]:
    return [path, *(path.with_name(path.name + end) for end in ("-wal", "-shm"))]


def _remove(path: Path) -> None:
    for part in _with_log(path):
        part.unlink(missing_ok=True)
