"""The order of waiting jobs: by priority (higher first), then by place (lower first)."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Literal

from store.connection import Store
from store.errors import JobRefused
from store.jobs import WAITING, Job, get_job

Where = Literal["top", "bottom", "up", "down", "before", "after"]


def set_priority(store: Store, selector: str | int, priority: int) -> Job:
    """Higher goes first; it keeps its place among those of the new priority. Raises JobRefused when it has begun."""
    job = get_job(store, selector)
    with store.write() as db:
        _require_waiting(db, job)
        db.execute("UPDATE jobs SET priority = ? WHERE key = ?", (priority, job.key))
    return get_job(store, job.key)


def reorder_job(store: Store, selector: str | int, where: Where, other: str | int | None = None) -> Job:
    """Move a waiting job: to the top or bottom of all, up or down by one, or before or after another waiting job.

    It takes the priority of the job it comes next to. Raises JobRefused when it, or `other`, does not wait.
    """
    job = get_job(store, selector)
    neighbour = get_job(store, other) if other is not None else None
    if (neighbour is None) == (where in ("before", "after")):
        raise ValueError("`other` goes with before and after, and with them alone.")
    with store.write() as db:
        _require_waiting(db, job)
        if neighbour is not None:
            _require_waiting(db, neighbour)
        order = _waiting(db)
        at = next(i for i, (key, _, _) in enumerate(order) if key == job.key)
        rest = order[:at] + order[at + 1 :]
        if rest and (neighbour is None or neighbour.key != job.key):
            index = {"top": 0, "bottom": len(rest), "up": max(at - 1, 0), "down": min(at + 1, len(rest))}.get(where)
            if neighbour is not None:
                index = next(i for i, (key, _, _) in enumerate(rest) if key == neighbour.key) + (where == "after")
            assert index is not None
            if index != at or neighbour is not None:
                _put(db, job.key, rest, index, is_after=where in ("after", "bottom", "down"))
    return get_job(store, job.key)


def _require_waiting(db: sqlite3.Connection, job: Job) -> None:
    (status,) = db.execute("SELECT status FROM jobs WHERE key = ?", (job.key,)).fetchone()
    if status not in ("queued", "paused"):
        raise JobRefused(f"{job.title} is {status}: only a job that waits has a place in the queue.")


def _waiting(db: sqlite3.Connection) -> list[tuple[int, int, float]]:
    """(key, priority, place) of all that wait, in the order they will be taken."""
    return db.execute(
        f"SELECT key, priority, place FROM jobs WHERE {WAITING} ORDER BY priority DESC, place, key"
    ).fetchall()


def _put(
    db: sqlite3.Connection, key: int, rest: Sequence[tuple[int, int, float]], index: int, *, is_after: bool
) -> None:
    """Give a job the place before `rest[index]`, in the priority of the one it comes next to."""
    before = rest[index - 1] if index > 0 else None
    after = rest[index] if index < len(rest) else None
    beside = (before or after) if is_after else (after or before)
    assert beside is not None
    low = before[2] if before and before[1] == beside[1] else None
    high = after[2] if after and after[1] == beside[1] else None
    bounds = [bound for bound in (low, high) if bound is not None]  # one at least: that of `beside`
    place = sum(bounds) / len(bounds) + (high is None) - (low is None)
    if place in (low, high):  # halved so often that no number is left in between: space all of them out
        db.executemany("UPDATE jobs SET place = ? WHERE key = ?", [(2.0 * i, k) for i, (k, _, _) in enumerate(rest)])
        spaced = [(k, priority, 2.0 * i) for i, (k, priority, _) in enumerate(rest)]
        _put(db, key, spaced, index, is_after=is_after)
        return
    db.execute("UPDATE jobs SET priority = ?, place = ? WHERE key = ?", (beside[1], place, key))
