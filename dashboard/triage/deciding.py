"""Writing what was decided: a few milliseconds in the callback of a key, so that nothing is lost and nothing waits."""

from collections.abc import Callable, Sequence
from typing import TypeVar

from dashboard.triage.author import author
from dashboard.triage.reads import Desk
from dashboard.writing import note, write
from store import Decision, NewDecision, Store, record_decisions, redo_last, undo_last

Made = TypeVar("Made")


def decide(desk: Desk, decisions: Sequence[NewDecision], said: str | None = None) -> list[Decision] | None:
    """Record decisions at once, as one batch; `said` is shown when it worked. None, with the reason shown, if not."""
    return _write(desk, lambda store, name: record_decisions(store, desk.dataset, decisions, author=name), said)


def undo(desk: Desk) -> list[Decision]:
    """Take back what this author decided last, and say so where there is nothing left."""
    undone = _write(desk, lambda store, name: undo_last(store, desk.dataset, name))
    if undone == []:
        note("Nothing to undo.")
    return undone or []


def redo(desk: Desk) -> list[Decision]:
    """Bring back what the last undo took, and say so where there is nothing."""
    done = _write(desk, lambda store, name: redo_last(store, desk.dataset, name))
    if done == []:
        note("Nothing to bring back.")
    return done or []


def _write(desk: Desk, act: Callable[[Store, str], Made], said: str | None = None) -> Made | None:
    name = author()
    if name is None:
        note("Say your name first: decisions are saved under it.", is_problem=True)
        return None
    return write(desk.path, lambda store: act(store, name), said)
