"""`runner doctor --repair`: from a store in any state to a sound one, with nothing left lying about unsaid."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.errors import UserError
from runner.files import folder_bytes
from runner.leftovers import Leftover, clear, find_leftovers
from store import (
    Rescue,
    Run,
    Store,
    StoreHealth,
    StoreUnreadable,
    check_store,
    get_lease,
    get_run,
    open_store,
    reconcile,
    reconcile_jobs,
    rescue_store,
    run_ids,
    spool_status,
)
from store.connection import explained
from store.holders import cause_of_death
from store.records import Status


@dataclass(frozen=True)
class Sizes:
    """A store before or after; None where it could not be counted. Bytes of the file with its log, and of its files."""

    store_bytes: int
    files_bytes: int
    n_runs: int | None = None
    n_examples: int | None = None
    n_metric_values: int | None = None
    rows_pending: int | None = None


@dataclass
class Repair:
    """What was done. `problems` is what was wrong with the file; `died` are runs whose process was found gone; `left`
    is what a repair does not touch.
    """

    before: Sizes
    after: Sizes
    rescue: Rescue | None = None
    problems: tuple[str, ...] = ()
    died: list[Run] = field(default_factory=list)
    cleared: list[Leftover] = field(default_factory=list)
    left: list[Leftover] = field(default_factory=list)


def repair_store(path: Path, *, remove_orphans: bool, report: Callable[[str, int], None]) -> Repair:
    """Repair the store at `path`; see docs/rescue.md for what that is. Nothing to do is not an error.

    Raises UserError naming a living process that holds a run; StoreNotFound, StoreUnreadable, StoreTooNew.
    """
    path = path.expanduser().absolute()
    problems, before = _look(path)
    rescue = rescue_store(path, report) if problems else None
    store = open_store(path, create=False)
    try:
        died = reconcile(store)  # spools of dead processes are folded in here
        reconcile_jobs(store)
        cleared: list[Leftover] = []
        left: list[Leftover] = []
        for leftover in find_leftovers(store):
            (cleared if clear(store, leftover, remove_orphans=remove_orphans) else left).append(leftover)
        after = _sizes(store, check_store(store, thorough=False))
    finally:
        store.close()
    return Repair(before, after, rescue, problems, died, cleared, left)


def _look(path: Path) -> tuple[tuple[str, ...], Sizes]:
    """What is wrong with the file, and how large everything is. Raises where a living process holds a run."""
    if path.exists() and not (path.is_file() and os.access(path, os.W_OK)):
        raise StoreUnreadable(f"{path} is no file that may be written; check its owner and mode, or copy it.")
    try:
        store = open_store(path, create=False)
    except StoreUnreadable as error:
        return (str(error),), Sizes(_file_bytes(path), _files_bytes(Store(path, readonly=True)))
    try:
        with explained(path):
            _require_idle(store)
        health = check_store(store)
        return health.problems, _sizes(store, health)
    except StoreUnreadable as error:
        return (str(error),), Sizes(_file_bytes(path), _files_bytes(store))
    finally:
        store.close()


def _require_idle(store: Store) -> None:
    """Raise UserError where a living process holds a run. (That nobody has the file open, a rescue checks itself.)"""
    for key, status in run_ids(store).values():
        lease = get_lease(store, key) if status == Status.RUNNING else None
        if lease is not None and cause_of_death(lease) is None:
            run = get_run(store, key)
            raise UserError(
                f"run {run.name} ({run.id}) is at work in {store.path}: process {lease.pid} on {lease.host} holds it. "
                "Let it end, or stop it (Ctrl-C, or kill), then repair."
            )


def _sizes(store: Store, health: StoreHealth) -> Sizes:
    return Sizes(
        store_bytes=health.size_bytes + health.wal_bytes,
        files_bytes=_files_bytes(store),
        n_runs=health.n_runs,
        n_examples=health.n_examples,
        n_metric_values=health.n_metric_values,
        rows_pending=spool_status(store).rows_pending,
    )


def _file_bytes(path: Path) -> int:
    log = path.with_name(path.name + "-wal")
    return path.stat().st_size + (log.stat().st_size if log.exists() else 0)


def _files_bytes(store: Store) -> int:
    return folder_bytes(store.files) if store.files.is_dir() else 0
