"""What processes that were killed left behind in a store's tables, and what its checkpoints' rows say of files."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from store.connection import Store
from store.records import Checkpoint, Run, Status
from store.runs import write_checkpoint


@dataclass(frozen=True)
class StaleRows:
    """Rows that nothing will ever finish, by what they are."""

    n_leases: int
    """Of runs that are not running."""
    n_drafts: int
    """Datasets that were never written to their end; a fresh one may be at work still."""


def run_ids(store: Store) -> dict[str, tuple[int, Status]]:
    """Id → key and status of every run."""
    return {run: (key, Status(status)) for run, key, status in store.db.execute("SELECT id, key, status FROM runs")}


def count_stale_rows(store: Store) -> StaleRows:
    """See `StaleRows`; reads only."""
    leases = "SELECT count(*) FROM leases WHERE run_key NOT IN (SELECT key FROM runs WHERE status = 'running')"
    drafts = "SELECT count(*) FROM datasets WHERE version IS NULL"
    return StaleRows(*(int(store.db.execute(sql).fetchone()[0]) for sql in (leases, drafts)))


def delete_stale_leases(store: Store) -> None:
    with store.write() as db:
        db.execute("DELETE FROM leases WHERE run_key NOT IN (SELECT key FROM runs WHERE status = 'running')")


def mark_deleted(store: Store, checkpoints: Sequence[Checkpoint]) -> None:
    """Note that the files of these checkpoints are gone."""
    with store.write() as db:
        for checkpoint in checkpoints:
            db.execute("UPDATE checkpoints SET deleted_at = ? WHERE key = ?", (time.time(), checkpoint.key))
            db.execute("UPDATE runs SET version = version + 1 WHERE key = ?", (checkpoint.run_key,))


def register_checkpoint(
    store: Store,
    run: Run,
    *,
    step: int,
    epoch: float | None,
    path: str,
    size_bytes: int,
    sha256: str,
    manifest: Mapping[str, str],
    created_at: float,
) -> None:
    """Note a checkpoint that was saved and never noted, in the newest segment that had begun by that step."""
    with store.write(run.key) as db:
        (segment,) = db.execute(
            "SELECT coalesce(max(number) FILTER (WHERE start_step <= ?1), 1) FROM segments WHERE run_key = ?2",
            (step, run.key),
        ).fetchone()
        write_checkpoint(
            db,
            run.key,
            int(segment),
            step=step,
            epoch=epoch,
            path=path,
            size_bytes=size_bytes,
            sha256=sha256,
            manifest=manifest,
            created_at=created_at,
        )
