"""Batches: items written in one transaction, without those that can never be written.

A row that SQLite refuses (a text that is no Unicode, a number out of range) must not keep its neighbours waiting for
ever: it is left out, counted and told. A store that is locked or full refuses everything for a while: that raises.
"""

import sqlite3
from collections.abc import Callable, Sequence
from typing import NamedTuple

from store.connection import Store
from store.entries import KINDS, Entry, Item, Point, write_points
from store.errors import may_pass


class Loss(NamedTuple):
    """Rows that can never be written, and why."""

    n_rows: int
    reason: str


class NotInTurn(Exception):
    """What `also` of `write_batch` raises when the batch is not to be written at all."""


def write_batch(
    store: Store,
    run_key: int,
    segment: int,
    items: Sequence[Item],
    *,
    wait_seconds: float,
    also: Callable[[sqlite3.Connection, Sequence[Loss]], None],
) -> list[Loss]:
    """Write items and, in the same transaction, whatever `also(db, losses)` writes; returns what had to be left out.

    Where the run was deleted nothing is written and everything is lost. Raises sqlite3.Error where the store cannot
    be written for `wait_seconds`, and then nothing has happened.
    """
    try:
        with store.write(run_key, wait_seconds=wait_seconds) as db:
            write_items(db, run_key, segment, items)
            also(db, [])
    except NotInTurn:
        raise
    except Exception as error:
        if may_pass(error):
            raise
    else:
        return []
    if store.db.execute("SELECT 1 FROM runs WHERE key = ?", (run_key,)).fetchone() is None:
        return [Loss(sum(item.n_rows for item in items), "the run was deleted")]
    with store.write(run_key, wait_seconds=wait_seconds) as db:
        losses = write_what_can_be(db, run_key, segment, items)
        also(db, losses)
    return losses


def write_items(db: sqlite3.Connection, run_key: int, segment: int, items: Sequence[Item]) -> None:
    """Apply items in order, metrics before the rest, inside a transaction of the caller's."""
    for group in in_order(items):
        if isinstance(group, Entry):
            KINDS[group.kind](db, run_key, segment, group)
        else:
            write_points(db, run_key, segment, group)


def in_order(items: Sequence[Item]) -> list[list[Point] | Entry]:
    """Items as they are to be applied: points that follow one another together, metrics before the rest."""
    groups: list[list[Point] | Entry] = []
    for item in items:
        if isinstance(item, Point):
            last = groups[-1] if groups else None
            if isinstance(last, list):
                last.append(item)
            else:
                groups.append([item])
        elif item.kind == "curves":
            groups.append(item)
    return [*groups, *(item for item in items if isinstance(item, Entry) and item.kind != "curves")]


def write_what_can_be(db: sqlite3.Connection, run_key: int, segment: int, items: Sequence[Item]) -> list[Loss]:
    """As `write_items`, without those items that can never be written. Raises what passes (`store.errors.may_pass`)."""
    losses = []
    stretches = [items]
    while stretches:
        stretch = stretches.pop(0)
        db.execute("SAVEPOINT stretch")
        try:
            write_items(db, run_key, segment, stretch)
        except Exception as error:
            if may_pass(error):
                raise
            db.execute("ROLLBACK TO stretch")
            if len(stretch) > 1:
                half = len(stretch) // 2
                stretches[:0] = [stretch[:half], stretch[half:]]
            else:
                losses.append(Loss(stretch[0].n_rows, f"{type(error).__name__}: {error}"))
        db.execute("RELEASE stretch")
    return losses
