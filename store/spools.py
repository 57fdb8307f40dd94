"""Spools of this store: what waits in them, and folding those whose process is gone."""

import os
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from store.batches import Loss, NotInTurn
from store.connection import Store
from store.errors import may_pass
from store.folding import Chunk, Cursor, durable, n_folded, unknown_kinds
from store.plain import numbered
from store.runs import record_event
from store.spool import Source, SpoolFile, frames, is_locked, read_frame
from store.spool_folders import iter_paths, list_folders, run_id

_CHUNK_ROWS = 50_000
_WAIT_SECONDS = 5.0


@dataclass(frozen=True)
class SpoolReport:
    """One spool file."""

    path: Path
    run_id: str
    rows_pending: int
    """Rows in it that are not in the store, as far as they can be counted."""
    size_bytes: int
    is_live: bool
    """Its process lives (or another one is folding it just now)."""
    problem: str | None
    """Why it cannot be folded; None where the next start of Assay will, or the process itself."""


@dataclass(frozen=True)
class SpoolStatus:
    """What waits in spool files; those in which nothing waits are left out."""

    files: tuple[SpoolReport, ...]

    @property
    def rows_pending(self) -> int:
        """Rows that wait for the store, in all files."""
        return sum(file.rows_pending for file in self.files)

    @property
    def size_bytes(self) -> int:
        """Of all files."""
        return sum(file.size_bytes for file in self.files)

    def rows_of(self, run_id: str) -> int:
        """Rows of one run that wait."""
        return sum(file.rows_pending for file in self.files if file.run_id == run_id)


@dataclass(frozen=True)
class Folded:
    """What became of the spool file of a process that is gone."""

    path: Path
    run_id: str
    n_rows: int
    """Rows that came into the store."""
    n_lost: int
    """Rows that the store will never take; the run's events say why."""
    n_damaged: int
    """Frames that could not be read; nobody knows how many rows they held."""
    problem: str | None
    """Why the rest of it waits; None where there is no rest and the file is gone."""


def spool_status(store: Store) -> SpoolStatus:
    """What waits on disk to be written to this store. Reads little more than the heads of frames."""
    reports = (_report(store, path) for path in iter_paths(store))
    return SpoolStatus(tuple(report for report in reports if report is not None))


def fold_spools(store: Store, *, wait_seconds: float = _WAIT_SECONDS) -> list[Folded]:
    """Bring what dead processes left in spool files into the store and delete the files.

    A file stays where it is, and says so in `spool_status`, while its run is not in this store or it cannot be read.
    """
    folded = (_fold(store, path, wait_seconds) for path in iter_paths(store))
    return [file for file in folded if file is not None]


def _report(store: Store, path: Path) -> SpoolReport | None:
    name = run_id(path)
    try:
        is_live = is_locked(path)
        with path.open("rb") as file:
            done = n_folded(store, path.stem)
            first = next((f for f in frames(file.fileno()) if f.is_sound and f.sequence >= done), None)
            if first is None:  # nothing waits in it
                return None
            source, items = read_frame(file.fileno(), first)
            if not _is_ours(store, path, source):
                return None
            waiting = [f for f in frames(file.fileno(), first.offset, is_checked=False) if f.is_sound]
            size = os.fstat(file.fileno()).st_size
    except FileNotFoundError:  # it was folded just now
        return None
    except OSError as error:
        return SpoolReport(path, name, 0, 0, is_live=False, problem=f"it cannot be read: {error}")
    n_rows = sum(frame.n_rows for frame in waiting)
    problem = None
    if _run_key(store, path) is None:
        problem = f"its run is not in this store; it was deleted, or the file belongs to another ({source.store})"
    elif unknown := unknown_kinds(items):
        problem = f"a newer Assay wrote it, and recorded {unknown}"
    return SpoolReport(path, name, n_rows, size, is_live, problem)


def _is_ours(store: Store, path: Path, source: Source | None) -> bool:
    """In a folder that stores share, a file is of the store it was made for, or of the one that its run moved to."""
    if path.parent == list_folders(store)[0]:
        return True
    if source is None:
        return False
    is_homeless = not Path(source.store).exists() and _run_key(store, path) is not None
    return source.store == os.path.realpath(store.path) or is_homeless


def _fold(store: Store, path: Path, wait_seconds: float) -> Folded | None:
    """Fold one file; None where it is not for us, or not now."""
    key = _run_key(store, path)
    if key is None:
        return None
    try:
        file = SpoolFile.adopt(path)
    except OSError as error:
        return None if isinstance(error, FileNotFoundError) else Folded(path, run_id(path), 0, 0, 0, str(error))
    if file is None:
        return None
    try:
        first = next(file.frames(), None)
        if not _is_ours(store, path, file.read(first)[0] if first and first.is_sound else None):
            return None
        folded = _fold_all(store, key, Cursor(file, n_folded(store, file.id)), wait_seconds)
        if folded.problem is None:
            file.remove()
        return folded
    finally:
        file.close()


def _fold_all(store: Store, key: int, cursor: Cursor, wait_seconds: float) -> Folded:
    path = cursor.file.path
    n_rows = n_lost = n_damaged = 0
    chunk: Chunk | None = None

    def also(db: sqlite3.Connection, losses: Sequence[Loss]) -> None:
        assert chunk is not None
        for loss in losses:
            record_event(db, key, "rows lost", f"{numbered(loss.n_rows, 'row')} could not be written: {loss.reason}")
        if chunk.n_damaged:
            text = f"{chunk.n_damaged} entries of {path} were damaged on disk; how many rows they held is not known"
            record_event(db, key, "rows lost", text)
        if chunk.is_last:
            n_all = n_rows + chunk.n_rows - sum(loss.n_rows for loss in losses)
            text = (
                f"{numbered(n_all, 'row')} that waited on disk when its process ended {'was' if n_all == 1 else 'were'}"
            )
            record_event(db, key, "spool", f"{text} written")

    problem = None
    try:
        with durable(store):
            while chunk is None or not (chunk.is_last or chunk.problem):
                chunk = cursor.read(_CHUNK_ROWS)
                if chunk.n_rows or chunk.n_damaged:
                    losses = cursor.fold(store, key, chunk, wait_seconds=wait_seconds, also=also)
                    lost = sum(loss.n_rows for loss in losses)
                    n_rows, n_lost = n_rows + chunk.n_rows - lost, n_lost + lost
                    n_damaged += chunk.n_damaged
        problem = chunk.problem
    except NotInTurn as error:
        problem = str(error)
    except sqlite3.Error as error:
        if not may_pass(error):
            raise
        problem = str(error)
    if _run_key(store, path) is None:
        problem = "its run was deleted just now"
    return Folded(path, run_id(path), n_rows, n_lost, n_damaged, problem)


def _run_key(store: Store, path: Path) -> int | None:
    row = store.db.execute("SELECT key FROM runs WHERE id = ?", (run_id(path),)).fetchone()
    return int(row[0]) if row else None
