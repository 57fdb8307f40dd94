"""From decisions to a new dataset version: what would change, making it, and what did change."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from store.connection import Store
from store.datasets import record_dataset
from store.errors import VersionRefused
from store.frames import read_frame
from store.ids import dataset_fingerprint, example_id
from store.labelled import label_name, name_of, named
from store.records import Dataset, NewRow

if TYPE_CHECKING:
    import pandas as pd

Disputed = Literal["refuse", "newest", "leave"]

_BATCH = 10_000
_SHOWN = 5

# Decisions of this version that change something, with the row they change. Those of earlier versions are done here.
_CHANGES = (
    " FROM standing_decisions s CROSS JOIN decisions e ON e.key = s.decision_key AND e.dataset_key = s.dataset_key"
    "  AND (e.action = 'drop' OR (e.action IN ('relabel', 'edit') AND (e.label IS NOT NULL OR e.text IS NOT NULL)))"
    " WHERE s.dataset_key = :dataset AND s.is_current AND (NOT s.is_disputed OR :with_disputed)"
)
_CHANGE = (
    "CASE WHEN e.action = 'drop' THEN 'drop' WHEN e.label IS NULL THEN 'edit' WHEN e.text IS NULL THEN 'relabel'"
    " ELSE 'edit and relabel' END"
)
_SHOW = (
    "SELECT e.split, e.position, lower(hex(x.id)) AS example_id, x.text,"
    f" {_CHANGE} AS change, {name_of('w.target')} AS given,"
    f" iif(e.action = 'drop', NULL, coalesce({label_name('w.target', 'coalesce(e.label, w.target)')},"
    "  coalesce(e.label, w.target))) AS label, iif(e.action = 'drop', NULL, e.text) AS new_text,"
    " e.author, e.at, e.note, e.finding, e.id AS decision_id"
)
_OF_ROW = (
    " JOIN datasets d ON d.key = e.dataset_key"
    " JOIN dataset_rows w ON w.dataset_key = e.dataset_key AND w.split = e.split AND w.position = e.position"
    " JOIN examples x ON x.key = w.example_key ORDER BY e.split, e.position LIMIT :limit OFFSET :offset"
)


def count_changes(store: Store, dataset: Dataset, *, disputed: Disputed = "newest") -> dict[str, int]:
    """How many rows `make_version` would change now: relabel, edit, edit and relabel, drop; 0 included."""
    rows = store.db.execute(
        f"SELECT {_CHANGE}, count(*){_CHANGES} GROUP BY 1",
        {"dataset": dataset.key, "with_disputed": disputed == "newest"},
    ).fetchall()
    return {change: dict(rows).get(change, 0) for change in ("relabel", "edit", "edit and relabel", "drop")}


def list_changes(store: Store, dataset: Dataset, *, limit: int = 1000, offset: int = 0) -> pd.DataFrame:
    """What the decisions on this version would change, in the order of split and position; disputed rows included.

    Columns split, position, example_id, text, change (relabel, edit, edit and relabel, drop), given, label (names;
    missing where it is dropped), new_text (missing: as it is), author, at, note, finding, decision_id, is_disputed.
    """
    frame = read_frame(
        store.db,
        f"{_SHOW}, e.is_disputed FROM (SELECT e.*, s.is_disputed{_CHANGES}) e{_OF_ROW}",
        {"dataset": dataset.key, "with_disputed": True, "limit": limit, "offset": offset},
    )
    frame["is_disputed"] = frame["is_disputed"].astype(bool)
    return _by_name(frame, dataset)


def list_version_changes(store: Store, dataset: Dataset, *, limit: int = 1000, offset: int = 0) -> pd.DataFrame:
    """What makes a version that `make_version` made differ from its parent; empty for any other.

    Columns as of `list_changes` without is_disputed; split and position are those in the parent.
    """
    frame = read_frame(
        store.db,
        f"{_SHOW} FROM version_decisions v JOIN decisions e ON e.key = v.decision_key AND v.dataset_key = :dataset"
        f"{_OF_ROW}",
        {"dataset": dataset.key, "limit": limit, "offset": offset},
    )
    return _by_name(frame, dataset)


def _by_name(frame: pd.DataFrame, dataset: Dataset) -> pd.DataFrame:
    """Sets of labels and spans as `read_rows` names them."""
    names = dataset.label_names

    def told(target: object) -> object:
        is_listed = isinstance(target, str) and target.startswith("[") and names is not None and target not in names
        return named(target, names) if is_listed else target

    return frame.assign(given=frame["given"].map(told), label=frame["label"].map(told))


def make_version(
    store: Store,
    dataset: Dataset,
    *,
    author: str,
    name: str | None = None,
    note: str | None = None,
    disputed: Disputed = "refuse",
) -> Dataset:
    """Write a child version with what was decided: new labels, new texts, dropped rows gone. The rest is as it was.

    name: of the child, the dataset's own where it is None (then it is its next version). disputed: what becomes of rows
    of which authors want different things: `refuse` makes no version, `newest` does what was decided last, `leave`
    leaves them as they are.

    Raises VersionRefused, naming every reason, where there is nothing to change, rows are disputed, or nothing would be
    left of a split.
    """
    counts = count_changes(store, dataset, disputed=disputed)
    problems = list(_problems(store, dataset, counts, author, disputed))
    if problems:
        raise VersionRefused(" ".join(problems))
    bound = {"dataset": dataset.key, "with_disputed": disputed == "newest"}
    keys = [key for (key,) in store.db.execute(f"SELECT e.key{_CHANGES} ORDER BY e.key", bound)]
    changes = _Changes(store, dataset, keys)
    fingerprint = changes.fingerprint()
    source: dict[str, object] = {
        "kind": "decisions", "made_from": str(dataset), "author": author.strip(), "counts": counts,
    }  # fmt: skip
    if note:
        source["note"] = note
    if clean := dataset.source.get("clean"):
        source["clean"] = clean  # its texts are the parent's; what comes later has to be cleaned like them
    if columns := dataset.source.get("columns"):
        source["columns"] = columns  # what it is exported with
    if query_id := dataset.source.get("query_id"):
        source["query_id"] = query_id  # where the metadata say which rows are of one query
    if extras := dataset.source.get("extras"):  # tells apart versions of one fingerprint by their metadata
        source["extras"] = hashlib.blake2b(f"{extras} {fingerprint}".encode(), digest_size=16).hexdigest()
    return record_dataset(
        store,
        name or dataset.name,
        changes.rows(),
        label_names=dataset.label_names,
        source=source,
        fingerprint=fingerprint,
        parent=dataset,
        decision_keys=keys,
    )


def _problems(store: Store, dataset: Dataset, counts: dict[str, int], author: str, disputed: Disputed) -> Iterator[str]:
    if not author.strip():
        yield "author is empty; a version says who made it."
    if disputed not in ("refuse", "newest", "leave"):
        yield f"disputed is {disputed!r}; allowed are refuse, newest, leave."
    if not sum(counts.values()) and not sum(count_changes(store, dataset).values()):
        yield f"nothing that was decided changes {dataset}: relabel, edit or drop examples first."
    rows = store.db.execute(
        "SELECT split, position FROM standing_decisions WHERE dataset_key = ? AND is_current AND is_disputed"
        " ORDER BY split, position",
        (dataset.key,),
    ).fetchall()
    if rows and disputed == "refuse":
        shown = ", ".join(f"{split} {position}" for split, position in rows[:_SHOWN])
        rest = f" and {len(rows) - _SHOWN} more" if len(rows) > _SHOWN else ""
        yield (
            f"authors want different things of {len(rows)} examples: {shown}{rest}. Agree on them, or choose"
            ' disputed = "newest" (what was decided last) or "leave" (as they are).'
        )
    (n_unclear,) = store.db.execute(
        f"SELECT count(*){_CHANGES} AND e.action <> 'drop' AND e.text IS NOT NULL AND EXISTS (SELECT 1"
        " FROM dataset_rows w JOIN examples x ON x.key = w.example_key WHERE w.dataset_key = e.dataset_key"
        "  AND w.split = e.split AND w.position = e.position AND x.inputs IS NOT NULL"
        "  AND (SELECT count(*) <> 1 OR min(i.type) <> 'text' FROM json_each(x.inputs) i))",
        {"dataset": dataset.key, "with_disputed": disputed == "newest"},
    ).fetchone()
    if n_unclear:
        yield (
            f"{n_unclear} edits change the text of examples that are more than one text, and do not say which part: "
            "undo these edits, and drop or relabel the examples."
        )
    dropped = store.db.execute(
        f"SELECT s.split, count(*){_CHANGES} AND e.action = 'drop' GROUP BY s.split",
        {"dataset": dataset.key, "with_disputed": disputed == "newest"},
    )
    for split, n in dropped:
        if n == dataset.n_rows[split]:
            yield f"nothing would be left of {split}: all {n:,} examples are dropped. Keep some of them."


def _edited(inputs: str, new_text: str | None) -> dict[str, Any]:
    """Inputs as JSON, with another text in place of the only one.

    >>> _edited('{"prompt": "Name a rivr."}', "Name a river."), _edited('{"query": "a", "document": "b"}', None)
    ({'prompt': 'Name a river.'}, {'query': 'a', 'document': 'b'})
    """
    given: dict[str, Any] = json.loads(inputs)
    return given if new_text is None else dict.fromkeys(given, new_text)


class _Changes:
    """A dataset version with these decisions done, read a batch at a time."""

    def __init__(self, store: Store, dataset: Dataset, decision_keys: list[int]) -> None:
        self._db, self._dataset = store.db, dataset
        self._decisions = {
            (split, position): (action, label, text)
            for split, position, action, label, text in self._db.execute(
                "SELECT split, position, action, label, text FROM decisions"
                " WHERE key IN (SELECT value FROM json_each(?))",
                (json.dumps(decision_keys),),
            )
        }

    def rows(self) -> Iterator[NewRow]:
        for split in self._dataset.n_rows:
            for position, text, inputs, target, metadata in self._read(split, "x.text, x.inputs, w.target, w.metadata"):
                action, label, new_text = self._decisions.get((split, position), (None, None, None))
                if action != "drop":
                    yield NewRow(
                        split,
                        text if new_text is None else new_text,
                        target if label is None else label,
                        json.loads(metadata) if metadata else None,
                        _edited(inputs, new_text) if inputs else None,
                    )

    def fingerprint(self) -> str:
        """Of the version to come. Ids and labels are held, 24 bytes an example; texts are not."""
        splits: dict[str, tuple[npt.NDArray[np.uint8], npt.NDArray[np.generic] | list[object]]] = {}
        for split in self._dataset.n_rows:
            ids, targets = bytearray(), list[Any]()
            for position, identity, inputs, target in self._read(split, "x.id, x.inputs, w.target"):
                action, label, new_text = self._decisions.get((split, position), (None, None, None))
                if action != "drop":
                    ids += identity if new_text is None else example_id(_edited(inputs or '{"text": ""}', new_text))
                    targets.append(target if label is None else label)
            if targets:
                is_labels = all(isinstance(target, int) for target in targets)
                splits[split] = (
                    np.frombuffer(bytes(ids), dtype=np.uint8).reshape(-1, 16),
                    np.array(targets, dtype=np.int64) if is_labels else targets,
                )
        return dataset_fingerprint(self._dataset.label_names, splits)

    def _read(self, split: str, columns: str) -> Iterator[tuple[Any, ...]]:
        for first in range(0, self._dataset.n_rows[split], _BATCH):
            yield from self._db.execute(
                f"SELECT w.position, {columns} FROM dataset_rows w CROSS JOIN examples x ON x.key = w.example_key"
                " WHERE w.dataset_key = ? AND w.split = ? AND w.position >= ? AND w.position < ? ORDER BY w.position",
                (self._dataset.key, split, first, first + _BATCH),
            ).fetchall()
