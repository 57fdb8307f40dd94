"""Decisions: what people did about examples. Rows are only ever added; undoing is another row.

A decision says the whole of what an example is to become: an edit keeps the label that the same author decided on
before, a new label the edited text; to keep an example takes back both. What stands of them: `store.standing`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from store.connection import Store
from store.errors import DecisionRefused
from store.ids import example_id, new_run_id
from store.records import Dataset
from store.standing import refresh_rows
from store.targets import Label, label_value, target_problem


class Action(StrEnum):
    """What a person can do about an example. The first four decide it; `skip` and `note` leave it open."""

    RELABEL = "relabel"
    KEEP = "keep"
    DROP = "drop"
    EDIT = "edit"
    SKIP = "skip"
    NOTE = "note"
    UNDO = "undo"


DECIDING = (Action.RELABEL, Action.KEEP, Action.DROP, Action.EDIT)
_SHOWN = 10  # problems in one message
_NEEDS = {Action.RELABEL: "a label", Action.EDIT: "a text", Action.NOTE: "a note"}


@dataclass(frozen=True)
class NewDecision:
    """A decision as it is asked for. `label`: an index or a name; of sets and spans JSON (`store.targets`); of data
    without label names any target."""

    split: str
    position: int
    action: Action | str
    label: Label | None = None
    text: str | None = None
    note: str | None = None
    finding: str | None = None
    """The kind of finding that led here."""
    triage_key: int | None = None
    seconds: float | None = None
    """That the person looked at it."""


@dataclass(frozen=True)
class Decision:
    """One row. `label` and `text` are what the example is to become; None: as it is."""

    key: int
    id: str
    batch: str
    dataset_key: int
    split: str | None
    """None for an undo, which is about a batch."""
    position: int | None
    action: Action
    label: Label | None
    text: str | None
    note: str | None
    author: str
    at: float
    seconds: float | None
    finding: str | None
    triage_id: str | None
    undoes: str | None
    """The batch that an undo takes back."""


_COLUMNS = (
    "key, id, batch, dataset_key, split, position, action, label, text, note, author, at, seconds, finding, triage_id,"
    " undoes"
)


def record_decision(
    store: Store,
    dataset: Dataset,
    *,
    split: str,
    position: int,
    action: Action | str,
    author: str,
    label: Label | None = None,
    text: str | None = None,
    note: str | None = None,
    finding: str | None = None,
    triage_key: int | None = None,
    seconds: float | None = None,
) -> Decision:
    """Write what a person decided about one example. Raises DecisionRefused, naming every problem."""
    new = NewDecision(split, position, action, label, text, note, finding, triage_key, seconds)
    (decision,) = record_decisions(store, dataset, [new], author=author)
    return decision


def record_decisions(
    store: Store, dataset: Dataset, decisions: Sequence[NewDecision], *, author: str, at: float | None = None
) -> list[Decision]:
    """Write what was decided at once: all of it or, with DecisionRefused naming every problem, nothing.

    One `undo_last` takes all of it back. `at`: when it was decided, unix seconds; None: now.
    """
    if problems := _listed(_problems(store, dataset, decisions, author)):
        raise DecisionRefused(problems)
    if not decisions:
        return []
    batch = new_run_id()
    with store.write() as db:
        written = write_batch(db, dataset, decisions, batch=batch, author=author.strip(), at=at or time.time())
        refresh_rows(db, dataset.key, ((new.split, new.position) for new in decisions))
    return written


def write_batch(
    db: sqlite3.Connection,
    dataset: Dataset,
    decisions: Sequence[NewDecision],
    *,
    batch: str,
    author: str,
    at: float,
    identity: str | None = None,
) -> list[Decision]:
    """Within a transaction: write checked decisions. What stands of them is not made anew: `refresh_rows` does it.

    `identity`: the id of the only one, which says the whole already, whatever the author decided before.
    """
    triages = dict(db.execute("SELECT key, id FROM triages WHERE dataset_key = ?", (dataset.key,)).fetchall())
    written = []
    for new in decisions:
        action = Action(new.action)
        example_key, own_id, own_text, target = db.execute(
            "SELECT x.key, x.id, x.text, w.target FROM dataset_rows w JOIN examples x ON x.key = w.example_key"
            " WHERE w.dataset_key = ? AND w.split = ? AND w.position = ?",
            (dataset.key, new.split, new.position),
        ).fetchone()
        label, text = label_value(dataset, new.label), new.text
        if isinstance(target, float) and label is not None:
            label = float(label)  # an integer would be the index of a label
        if action in (Action.RELABEL, Action.EDIT) and identity is None:
            before = _last_word(db, dataset.key, new.split, new.position, author)
            if before is not None and before[0] != Action.DROP:
                label = before[1] if label is None else label
                text = before[2] if text is None else text
        label = None if label == target else label
        text = None if text == own_text else text
        if action in (Action.RELABEL, Action.EDIT) and label is None and text is None:
            action = Action.KEEP
        result = None
        if action in (Action.RELABEL, Action.KEEP, Action.EDIT):
            result = own_id if text is None else example_id({"text": text})
        decision = Decision(
            key=0, id=identity or (batch if len(decisions) == 1 else new_run_id()), batch=batch,
            dataset_key=dataset.key, split=new.split, position=new.position, action=action, label=label, text=text,
            note=(new.note or "").strip() or None, author=author, at=at, seconds=new.seconds, finding=new.finding,
            triage_id=triages.get(new.triage_key), undoes=None,
        )  # fmt: skip
        written.append(_insert(db, decision, example_key, result))
    return written


def _insert(db: sqlite3.Connection, new: Decision, example_key: int | None, result: bytes | None) -> Decision:
    cursor = db.execute(
        "INSERT INTO decisions (id, batch, dataset_key, split, position, example_key, action, label, text, result_id,"
        " note, author, at, seconds, finding, triage_id, undoes)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (new.id, new.batch, new.dataset_key, new.split, new.position, example_key, new.action.value, new.label,
         new.text, result, new.note, new.author, new.at, new.seconds, new.finding, new.triage_id, new.undoes),
    )  # fmt: skip
    return replace(new, key=int(cursor.lastrowid or 0))


def undo_last(store: Store, dataset: Dataset, author: str) -> list[Decision]:
    """Take back what the author decided last on this dataset version and has not taken back, a bulk as a whole.

    Returns those decisions; none where nothing is left. Again and again it goes further back; `redo_last` brings what
    it took back again.
    """
    with store.write() as db:
        row = db.execute(
            "SELECT batch FROM counted_decisions WHERE dataset_key = ? AND author = ? ORDER BY key DESC LIMIT 1",
            (dataset.key, author.strip()),
        ).fetchone()
        return [] if row is None else _undo(db, dataset, author.strip(), undoes=row[0], content=row[0])


def redo_last(store: Store, dataset: Dataset, author: str) -> list[Decision]:
    """Bring again what the author's last undo took back, unless something was decided since; none: there is nothing."""
    with store.write() as db:
        row = db.execute(
            "SELECT u.batch, u.undoes FROM decisions u WHERE u.dataset_key = :dataset AND u.author = :author"
            " AND u.action = 'undo' AND NOT EXISTS (SELECT 1 FROM decisions r WHERE r.undoes = u.batch)"
            " AND EXISTS (SELECT 1 FROM decisions c WHERE c.batch = u.undoes AND c.action <> 'undo')"
            " AND NOT EXISTS (SELECT 1 FROM decisions c WHERE c.dataset_key = :dataset AND c.author = :author"
            "  AND c.action <> 'undo' AND c.key > u.key)"
            " ORDER BY u.key DESC LIMIT 1",
            {"dataset": dataset.key, "author": author.strip()},
        ).fetchone()
        return [] if row is None else _undo(db, dataset, author.strip(), undoes=row[0], content=row[1])


def _undo(db: sqlite3.Connection, dataset: Dataset, author: str, *, undoes: str, content: str) -> list[Decision]:
    """Add a row that takes back a batch: of decisions (`content`), or of the undo that took them back."""
    identity = new_run_id()
    undo = Decision(
        key=0, id=identity, batch=identity, dataset_key=dataset.key, split=None, position=None, action=Action.UNDO,
        label=None, text=None, note=None, author=author, at=time.time(), seconds=None, finding=None, triage_id=None,
        undoes=undoes,
    )  # fmt: skip
    _insert(db, undo, None, None)
    rows = db.execute(f"SELECT {_COLUMNS} FROM decisions WHERE batch = ? ORDER BY key", (content,)).fetchall()
    refresh_rows(db, dataset.key, ((row[4], row[5]) for row in rows))
    return [decision_of(row) for row in rows]


def list_decisions(store: Store, dataset: Dataset, *, split: str, position: int) -> list[Decision]:
    """Everything that was decided about one row of this version, undone or not, the oldest first; undos included."""
    rows = store.db.execute(
        f"SELECT {_COLUMNS} FROM decisions WHERE dataset_key = :dataset AND split = :split AND position = :position"
        f" UNION SELECT {', '.join(f'u.{name}' for name in _COLUMNS.split(', '))} FROM decisions d"
        "  JOIN decisions u ON u.undoes = d.batch OR u.undoes IN"
        "   (SELECT batch FROM decisions WHERE undoes = d.batch)"
        "  WHERE d.dataset_key = :dataset AND d.split = :split AND d.position = :position"
        " ORDER BY key",
        {"dataset": dataset.key, "split": split, "position": position},
    )
    return [decision_of(row) for row in rows]


def decision_of(row: Sequence[object]) -> Decision:
    """A row of the columns of `Decision`."""
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    return Decision(**{**values, "action": Action(str(values["action"]))})  # type: ignore[arg-type]  # as in the table


def _last_word(
    db: sqlite3.Connection, dataset_key: int, split: str, position: int, author: str
) -> tuple[str, Label | None, str | None] | None:
    """Action, label and text of what the author decided on this row of this version, where it stands."""
    row = db.execute(
        "SELECT d.action, d.label, d.text FROM standing_decisions s JOIN decisions d ON d.key = s.decision_key"
        " WHERE s.dataset_key = ?1 AND s.split = ?2 AND s.position = ?3 AND s.author = ?4 AND d.dataset_key = ?1",
        (dataset_key, split, position, author),
    ).fetchone()
    return None if row is None else tuple(row)


def _problems(store: Store, dataset: Dataset, decisions: Sequence[NewDecision], author: str) -> Iterator[str]:
    if not author.strip():
        yield "author is empty; a decision says who made it."
    if not _is_text(author):
        yield "author holds half a character."
    known = {key for (key,) in store.db.execute("SELECT key FROM triages WHERE dataset_key = ?", (dataset.key,))}
    seen: set[tuple[str, int]] = set()
    for new in decisions:
        place = f"{new.split} {new.position}"
        if new.split not in dataset.n_rows:
            yield f"{place}: {dataset} has no split {new.split!r}; it has {', '.join(dataset.n_rows)}."
        elif isinstance(new.position, bool) or not 0 <= new.position < dataset.n_rows[new.split]:
            yield f"{place}: {new.split} has the positions 0 to {dataset.n_rows[new.split] - 1}."
        elif (new.split, new.position) in seen:
            yield f"{place}: it is decided twice at once; one decision for an example."
        seen.add((new.split, new.position))
        own = list(_own_problems(dataset, new, place))
        yield from own
        if not own and new.label is not None and (said := _misfit(store, dataset, new)):
            yield f"{place}: {said}."
        if new.triage_key is not None and new.triage_key not in known:
            yield f"{place}: there is no triage {new.triage_key} of {dataset}."


def _misfit(store: Store, dataset: Dataset, new: NewDecision) -> str | None:
    """Why the label cannot be what the example is to have."""
    row = store.db.execute(
        "SELECT w.target, json_array_length(x.inputs, '$.tokens') FROM dataset_rows w"
        " JOIN examples x ON x.key = w.example_key WHERE w.dataset_key = ? AND w.split = ? AND w.position = ?",
        (dataset.key, new.split, new.position),
    ).fetchone()
    return None if row is None else target_problem(row[0], label_value(dataset, new.label), row[1])


def _own_problems(dataset: Dataset, new: NewDecision, place: str) -> Iterator[str]:
    try:
        action = Action(new.action)
    except ValueError:
        action = Action.UNDO
    if action == Action.UNDO:
        allowed = ", ".join(each.value for each in Action if each != Action.UNDO)
        yield f"{place}: {str(new.action)!r} cannot be decided; allowed are {allowed}."
        return
    given: Mapping[str, object] = {
        "a label": new.label,
        "a text": new.text if new.text is None or new.text.strip() else "",
        "a note": (new.note or "").strip() or None,
    }
    need = _NEEDS.get(action)
    if need and given[need] in (None, ""):
        yield f"{place}: to {action.value} needs {need}."
    if action not in (Action.RELABEL, Action.EDIT) and new.label is not None:
        yield f"{place}: to {action.value} takes no label; use relabel."
    if action != Action.EDIT and new.text is not None:
        yield f"{place}: to {action.value} takes no text; use edit."
    for name, text in (("text", new.text), ("note", new.note), ("label", new.label)):
        if isinstance(text, str) and not _is_text(text):
            yield f"{place}: {name} holds half a character, which no file can hold."
    try:
        label_value(dataset, new.label)
    except ValueError as error:
        yield f"{place}: {error}"
    if new.seconds is not None and not 0 <= new.seconds < float("inf"):
        yield f"{place}: seconds is {new.seconds}; allowed is 0 or more."


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _listed(problems: Iterator[str]) -> str:
    """The first problems in full, and how many more there are; empty where there are none.

    >>> _listed(iter(["one.", "two."]))
    'one. two.'
    """
    found = list(problems)
    rest = len(found) - _SHOWN
    return " ".join(found[:_SHOWN]) + (f" And {rest} more." if rest > 0 else "")
