"""Segments: the stretches of a run between its (re)starts. What a later one abandoned stays in the file, in no view."""

import time
from typing import NamedTuple

from store.connection import Store
from store.errors import RunNotResumable
from store.leases import hold_run
from store.metrics import refresh_summary
from store.records import Run, Status
from store.runs import record_event

RESUMABLE = (Status.FAILED, Status.KILLED, Status.PRUNED)
"""A run of any other status has finished, is at work, or has not begun."""


class Segment(NamedTuple):
    """One stretch; rows of it at steps after `visible_until` were abandoned (None: none were)."""

    number: int
    start_step: int
    visible_until: int | None
    started_at: float


def list_segments(store: Store, run_key: int) -> list[Segment]:
    """The run's stretches in the order of their beginning."""
    rows = store.db.execute(
        "SELECT number, start_step, visible_until, started_at FROM segments WHERE run_key = ? ORDER BY number",
        (run_key,),
    )
    return [Segment(*row) for row in rows]


def open_segment(
    store: Store, run: Run, start_step: int | None, *, n_epochs: int = 0, best_step: int | None = None
) -> int:
    """Begin a new stretch of a run that had ended, after `start_step` (None: anew, before its first row).

    This process holds the run from now on. What was recorded of later steps is abandoned: metrics, evaluations,
    dynamics and checkpoints of exactly the steps up to `start_step` stay visible, and summaries say what they say.

    Args:
        n_epochs: epochs that are complete at `start_step`; the part of the next one that was recorded goes, because
            the new stretch records that epoch whole.
        best_step: the best evaluation up to there.

    Returns:
        The number of the new segment.

    Raises:
        RunNotResumable: the run is finished, running or queued.
        RunHeld: another living process has it.
    """
    last = -1 if start_step is None else start_step
    now = time.time()
    with store.write(run.key) as db:
        (status,) = db.execute("SELECT status FROM runs WHERE key = ?", (run.key,)).fetchone()
        if status not in RESUMABLE:
            raise RunNotResumable(
                f"run {run.name} ({run.id}) is {status}; only a failed, killed or pruned one goes on."
            )
        hold_run(db, store, run)
        db.execute(
            "DELETE FROM dynamics WHERE run_key = :run AND epoch > :epochs AND step <= :last AND segment IN"
            " (SELECT number FROM segments WHERE run_key = :run AND (visible_until IS NULL OR visible_until >= step))",
            {"run": run.key, "epochs": n_epochs, "last": last},
        )
        db.execute(
            "UPDATE segments SET visible_until = min(coalesce(visible_until, ?1), ?1) WHERE run_key = ?2",
            (last, run.key),
        )
        (number,) = db.execute(
            "INSERT INTO segments (run_key, number, start_step, started_at)"
            " SELECT ?1, max(number) + 1, ?2, ?3 FROM segments WHERE run_key = ?1 RETURNING number",
            (run.key, max(last, 0), now),
        ).fetchone()
        for (key,) in db.execute("SELECT metric_key FROM metric_latest WHERE run_key = ?", (run.key,)).fetchall():
            refresh_summary(db, run.key, key)
        db.execute(
            "UPDATE checkpoints SET deleted_at = ? WHERE run_key = ? AND step > ? AND deleted_at IS NULL",
            (now, run.key, last),
        )
        for table in ("evaluations", "checkpoints"):
            db.execute(
                f"UPDATE {table} SET is_best = (step IS ?1 AND EXISTS (SELECT 1 FROM segments s"
                f" WHERE s.run_key = {table}.run_key AND s.number = {table}.segment"
                f" AND (s.visible_until IS NULL OR {table}.step <= s.visible_until))) WHERE run_key = ?2",
                (best_step, run.key),
            )
        db.execute("DELETE FROM run_embeddings WHERE run_key = ?", (run.key,))
        db.execute("DELETE FROM embedding_sets WHERE key NOT IN (SELECT set_key FROM run_embeddings)")
        where = "again from the start" if start_step is None else f"after step {start_step:,}"
        record_event(
            db, run.key, "resumed", f"segment {number}: {where}", {"segment": number, "start_step": start_step}
        )
    return int(number)
