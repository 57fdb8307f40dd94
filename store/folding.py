"""Folding: what waits in spool files comes into the store, in order and exactly once.

How many frames of a file are in the store stands in the table `spools` and moves in the transaction that writes them,
so a file that is folded again (after a kill between fold and deletion, from a backup) changes nothing.
"""

import contextlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from store.batches import Loss, NotInTurn, write_batch
from store.connection import Store
from store.entries import KINDS, Entry, Item
from store.records import Run
from store.spool import Source, SpoolFile
from store.spool_folders import list_folders, make_folder

Also = Callable[[sqlite3.Connection, Sequence[Loss]], None]

# Rows that waited for longer than this must not be lost in a power cut just because they moved from spool to store.
_OLD_SECONDS = 5.0


class Chunk(NamedTuple):
    """Items of one file that are folded together; no source: there are none."""

    source: Source | None
    items: list[Item]
    n_rows: int
    n_damaged: int
    """Frames missed before or between them."""
    next_sequence: int
    end: int
    is_last: bool
    """Nothing came after them when they were read."""
    problem: str | None
    """Why the file cannot be read any further."""


class Cursor:
    """How far a spool file has been folded."""

    def __init__(self, file: SpoolFile, n_folded: int = 0) -> None:
        self.file = file
        self.n_rows = 0
        """Rows appended and not folded; only its owner counts."""
        self._n_folded = n_folded
        self._offset = 0

    def read(self, max_rows: int) -> Chunk:
        """What comes next, up to `max_rows` and the rest of a frame."""
        source, items, n_rows, n_damaged = None, list[Item](), 0, 0
        sequence, end = self._n_folded, self._offset
        is_last, problem = True, None
        for frame in self.file.frames(self._offset):
            if not frame.is_sound:
                n_damaged += 1
            elif frame.sequence >= sequence:
                if n_rows >= max_rows:
                    is_last = False
                    break
                made_by, more = self.file.read(frame)
                unknown = unknown_kinds(more)
                if unknown or made_by != (source or made_by):
                    is_last = False
                    problem = f"a newer Assay wrote it, and recorded {unknown}" if unknown else None
                    break
                n_damaged += frame.sequence - sequence
                source, sequence = made_by, frame.sequence + 1
                items += more
                n_rows += frame.n_rows
            end = frame.end
        return Chunk(source, items, n_rows, n_damaged, sequence, end, is_last, problem)

    def fold(self, store: Store, run_key: int, chunk: Chunk, *, wait_seconds: float, also: Also) -> list[Loss]:
        """Write a chunk and how far that was, in one transaction.

        Raises as `write_batch` does, and NotInTurn where another process has folded what this one was about to.
        """

        def move(db: sqlite3.Connection, losses: Sequence[Loss]) -> None:
            moved = db.execute(
                "INSERT INTO spools (id, n_folded, at) VALUES (?1, ?2, ?3) ON CONFLICT (id)"
                " DO UPDATE SET n_folded = ?2, at = ?3 WHERE n_folded = ?4",
                (self.file.id, chunk.next_sequence, time.time(), self._n_folded),
            )
            if moved.rowcount != 1:
                raise NotInTurn(f"another process is folding {self.file.path}")
            also(db, losses)

        segment = 1 if chunk.source is None else chunk.source.segment
        losses = write_batch(store, run_key, segment, chunk.items, wait_seconds=wait_seconds, also=move)
        self._n_folded, self._offset = chunk.next_sequence, chunk.end
        self.n_rows -= chunk.n_rows
        return losses

    def catch_up(self, store: Store) -> None:
        """Begin anew behind what the store says is folded."""
        self._n_folded, self._offset = n_folded(store, self.file.id), 0
        self.n_rows = sum(
            frame.n_rows for frame in self.file.frames() if frame.is_sound and frame.sequence >= self._n_folded
        )

    def empty(self) -> None:
        """All is folded: use the file again."""
        self.file.empty()
        self.n_rows = self._offset = 0


class Spool:
    """The rows of one recorder that wait on disk: in the store's files folder, or where else they can be kept."""

    def __init__(self, store: Store, run: Run, segment: int) -> None:
        self._store = store
        self._run = run
        self._source = Source(run.id, segment, os.path.realpath(store.path))
        self._cursors: list[Cursor] = []  # one a file, in the order of the rows
        self._chunk: Chunk | None = None  # read and not folded yet: reading it again and again would take its time
        self._since = 0.0  # when the oldest row came

    @property
    def n_rows(self) -> int:
        """Rows that are in its files and not in the store."""
        return sum(cursor.n_rows for cursor in self._cursors)

    @property
    def path(self) -> Path | None:
        """The file that rows go to."""
        return self._cursors[-1].file.path if self._cursors else None

    def append(self, items: Sequence[Item]) -> None:
        """Keep items on disk. Raises OSError where no folder takes them."""
        if not self.n_rows:
            self._since = time.monotonic()
        problems = []
        for cursor in self._open_files():
            try:
                cursor.file.append(items, self._source)
            except OSError as error:
                problems.append(str(error))
                if cursor not in self._cursors:
                    cursor.file.remove()
                continue
            if cursor not in self._cursors:
                self._cursors.append(cursor)
            cursor.n_rows += sum(item.n_rows for item in items)
            return
        raise OSError("; ".join(problems) or "no folder takes a spool file")

    def fold(self, max_rows: int, *, wait_seconds: float, also: Also) -> list[Loss]:
        """Bring the oldest rows, `max_rows` or a few more, into the store; see `write_batch` for `also` and errors."""
        cursor = self._cursors[0]
        chunk = self._chunk = self._chunk or cursor.read(max_rows)
        is_all = not chunk.n_rows or chunk.next_sequence == cursor.file.next_sequence
        n_damaged = cursor.n_rows - chunk.n_rows if is_all else 0
        damage = [Loss(n_damaged, f"the spool file {cursor.file.path} was damaged on disk")] if n_damaged else []
        is_old = time.monotonic() - self._since > _OLD_SECONDS
        try:
            with durable(self._store) if is_old else contextlib.nullcontext():
                losses = cursor.fold(
                    self._store,
                    self._run.key,
                    chunk,
                    wait_seconds=wait_seconds,
                    also=lambda db, losses: also(db, [*losses, *damage]),
                )
        except NotInTurn:  # its lock was not respected (a network drive)
            self._chunk = None
            cursor.catch_up(self._store)
            return []
        self._chunk = None
        if is_all:
            self._drop(cursor)
        return [*losses, *damage]

    def close(self) -> None:
        """Delete its files. Call it when nothing waits."""
        for cursor in self._cursors:
            cursor.file.remove()
        self._cursors.clear()

    def _open_files(self) -> Iterator[Cursor]:
        """The file in use, then new ones in the other folders, for as long as somebody asks."""
        yield from self._cursors[-1:]
        used = {cursor.file.path.parent for cursor in self._cursors}
        for folder in list_folders(self._store):
            if folder not in used:
                with contextlib.suppress(OSError):
                    make_folder(folder)
                    yield Cursor(SpoolFile.create(folder, self._run.id))

    def _drop(self, cursor: Cursor) -> None:
        """Nothing waits in this file any more; one in the store's own folder is kept for the next time."""
        if len(self._cursors) == 1 and cursor.file.path.parent == list_folders(self._store)[0]:
            cursor.empty()
        else:
            cursor.file.remove()
            self._cursors.remove(cursor)


def unknown_kinds(items: Sequence[Item]) -> str:
    """The kinds among these that this version cannot apply; empty where it can apply all."""
    return ", ".join(sorted({item.kind for item in items if isinstance(item, Entry) and item.kind not in KINDS}))


@contextlib.contextmanager
def durable(store: Store) -> Iterator[None]:
    """Transactions of this thread inside the block outlive a power cut, as soon as they are committed."""
    store.db.execute("PRAGMA synchronous = FULL")
    try:
        yield
    finally:
        store.db.execute("PRAGMA synchronous = NORMAL")


def n_folded(store: Store, spool_id: str) -> int:
    """How many frames of a spool file are in the store."""
    row = store.db.execute("SELECT n_folded FROM spools WHERE id = ?", (spool_id,)).fetchone()
    return int(row[0]) if row else 0
