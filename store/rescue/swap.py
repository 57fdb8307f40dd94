"""Putting a new store in the place of a damaged one."""

import contextlib
import fcntl
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import psutil

from store.connection import open_store
from store.errors import StoreNotFound, StoreUnreadable
from store.health import check_store
from store.rescue.pages import copy_whole
from store.rescue.salvage import Report, Salvaged, SavedTable, salvage

_SPARE_BYTES = 64 * 1024 * 1024
# What SQLite locks while a file is open or written: its pending, reserved and shared bytes (os.h of its source).
_LOCK_BYTES, _LOCK_START = 512, 0x40000000


@dataclass(frozen=True)
class Rescue:
    """What became of a damaged store. `damaged_path` is where the damaged file lies now; sizes with the log."""

    damaged_path: Path
    salvaged: Salvaged
    bytes_before: int
    bytes_after: int

    @property
    def n_kept(self) -> int:
        return sum(table.n_kept for table in self.salvaged.tables)

    @property
    def harmed(self) -> list[SavedTable]:
        """The tables that lost something, or may have."""
        return [t for t in self.salvaged.tables if t.n_rebuilt or t.n_dropped or t.n_doubtful or t.n_lost != 0]


def rescue_store(path: Path, report: Report | None = None) -> Rescue:
    """Replace a damaged store by a new one with every row that can be read; the damaged file is kept beside it.

    The new store is put in place only after its own integrity check. Nothing may have the store open, this process
    included. Raises StoreNotFound; StoreUnreadable where that is not so, where the file is no Assay store, or where
    there is no room; StoreTooNew. Whatever is raised, the store is as it was.
    """
    path = path.expanduser().absolute()
    if not path.is_file():
        raise StoreNotFound(f"there is no store at {path} to repair.")
    with only_user(path) as file:
        _finish_interrupted_swap(path)
        before = sum(part.stat().st_size for part in (path, _log(path)) if part.exists())
        require_room(path.parent, 2 * before, "a repair")
        with tempfile.TemporaryDirectory(prefix=f"{path.name}.repair-", dir=path.parent) as name:
            folder = Path(name)
            copy_whole(file, _log(path), folder / "damaged")
            saved = folder / path.name
            salvaged = salvage(folder / "damaged", saved, str(path), report)
            (folder / "damaged").unlink()
            store = open_store(saved, create=False)  # brings an older schema up to date
            problems = check_store(store).problems
            store.close()
            if problems:
                raise StoreUnreadable(
                    f"what can be read of {path} does not make a sound store ({problems[0]}). Nothing was changed."
                )
            after = saved.stat().st_size
            damaged_path = _put_in_place(saved, path)
    return Rescue(damaged_path, salvaged, before, after)


@contextlib.contextmanager
def only_user(path: Path) -> Iterator[BinaryIO]:
    """The store's file for a block in which nobody else has it open or can open it.

    Raises StoreUnreadable where somebody has. While the block lasts, this process must open the file in no other way:
    closing any handle of it would let go of the lock.
    """
    with path.open("r+b") as file:
        try:
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, _LOCK_BYTES, _LOCK_START)
        except OSError as error:
            raise StoreUnreadable(
                f"the store {path} is open elsewhere{_users(path)}. Close what uses it (runs, dashboards), then try."
            ) from error
        yield file


def _users(path: Path) -> str:
    """The processes that have the file open, as far as they can be seen."""
    found = []
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.Error):
            if any(file.path == str(path) for file in process.open_files()) and process.pid != os.getpid():
                found.append(f"process {process.pid} ({process.info['name']})")
    return ": " + ", ".join(found) if found else ""


def require_room(folder: Path, n_bytes: int, what: str) -> None:
    """Raises StoreUnreadable unless so many bytes, and some to spare, are free in the folder."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes + _SPARE_BYTES:
        raise StoreUnreadable(
            f"{what} needs {(n_bytes + _SPARE_BYTES) / 1e6:,.0f} MB in {folder}, where {free / 1e6:,.0f} MB are free. "
            "Free some space first (`runner rm` shows what runs take)."
        )


def _put_in_place(saved: Path, path: Path) -> Path:
    """The new file takes the old one's name; the old one, with its log, gets another. At no time is there none."""
    damaged = path.with_name(f"{path.name}.damaged-{time.strftime('%Y%m%d-%H%M%S')}")
    with saved.open("rb") as file:
        os.fsync(file.fileno())
    try:
        os.link(path, damaged)
    except OSError:  # a file system without hard links
        os.rename(path, damaged)
    if _log(path).exists():  # a log belongs to the file that it was written for; the next file must not find it
        os.rename(_log(path), _log(damaged))
    path.with_name(path.name + "-shm").unlink(missing_ok=True)
    os.replace(saved, path)
    sync_folder(path.parent)
    return damaged


def _finish_interrupted_swap(path: Path) -> None:
    """A repair that was killed in the middle of `_put_in_place` may have taken the log away already: bring it back."""
    for other in [*path.parent.glob(f"{path.name}.damaged-*")]:
        if not other.name.endswith("-wal") and other.samefile(path):
            if _log(other).exists() and not _log(path).exists():
                os.rename(_log(other), _log(path))
            other.unlink()


def sync_folder(folder: Path) -> None:
    """Have renames in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _log(path: Path) -> Path:
    return path.with_name(path.name + "-wal")
