"""Statuses made true: what became of runs, sweeps and datasets whose process is gone.

Invariant: a run that is not held by a living process is never `running`. Whoever starts a command line or a dashboard
calls `reconcile` first.
"""

from store.connection import Store, explained
from store.datasets import delete_stale_drafts
from store.flights import find_rings, remove_rings, take_rings
from store.holders import cause_of_death, is_same
from store.leases import get_lease
from store.opinions import reconcile_opinions
from store.records import Lease, Run, Status
from store.runs import end_run, get_run, record_event
from store.spools import fold_spools, spool_status
from store.sweeps import reconcile_sweeps
from store.triages import reconcile_triages

_WAIT_SECONDS = 5.0  # for a locked store, in which statuses are to be made true before anything else is done


def reconcile(store: Store) -> list[Run]:
    """Make statuses true: runs whose process is gone become `failed` with a cause, sweeps too; triages and
    opinions become `killed`. Returns those runs.

    What dead processes left in spool files is folded in first: it may say that a run has finished. Raises
    StoreUnreadable where the store cannot be written now; then some statuses are not true yet.
    """
    with explained(store.path):
        return _reconcile(store)


def _reconcile(store: Store) -> list[Run]:
    fold_spools(store)
    waiting = {file.run_id for file in spool_status(store).files if file.problem is None}
    gone = []
    for (key,) in store.db.execute("SELECT key FROM runs WHERE status = 'running'").fetchall():
        seen = get_lease(store, key)
        if _death(seen) is None:
            continue
        run = get_run(store, key)
        if run.id in waiting:
            continue  # another process is folding it, or the store is locked: the next start will know
        rings = find_rings(store, run)
        with store.write(key, wait_seconds=_WAIT_SECONDS) as db:
            lease = get_lease(store, key)
            cause = _death(lease)
            (status,) = db.execute("SELECT status FROM runs WHERE key = ?", (key,)).fetchone() or (None,)
            if status != Status.RUNNING or cause is None or not _is_same(seen, lease):
                continue  # it ended, was deleted, was taken up or was reconciled by somebody else, since we looked
            record_event(db, key, "failed", cause)
            take_rings(db, run, rings, cause)
            end_run(db, key, Status.FAILED, cause)
        remove_rings(rings)
        gone.append(get_run(store, key))
    reconcile_sweeps(store)
    reconcile_triages(store)
    reconcile_opinions(store)
    delete_stale_drafts(store)
    return gone


def _death(lease: Lease | None) -> str | None:
    """Why nobody is at a running run any more; None while somebody may be."""
    return "killed: no process holds this run" if lease is None else cause_of_death(lease)


def _is_same(one: Lease | None, other: Lease | None) -> bool:
    return one is other if one is None or other is None else is_same(one, other)
