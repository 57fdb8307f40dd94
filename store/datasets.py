"""The data family: examples by content, datasets as immutable versions."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from store.connection import Store
from store.errors import DatasetNotFound
from store.frames import read_frame
from store.ids import example_id
from store.labelled import named
from store.plain import to_json
from store.records import Dataset, NewRow
from store.standing import refresh_dataset

if TYPE_CHECKING:
    import pandas as pd

_BATCH = 10_000
# A draft older than this that nobody finished is what a killed process left behind.
_DRAFT_SECONDS = 24 * 3600.0

_COLUMNS = "key, name, version, fingerprint, label_names, source, n_rows, parent_key, created_at"


def record_dataset(
    store: Store,
    name: str,
    rows: Iterable[NewRow],
    *,
    label_names: Sequence[str] | None,
    source: Mapping[str, object],
    fingerprint: str,
    parent: Dataset | None = None,
    decision_keys: Iterable[int] = (),
) -> Dataset:
    """Write a new version of the dataset `name`; the order of rows within a split becomes their position.

    Rows are streamed in short transactions into a draft that nobody sees, so other writers are never kept waiting;
    one last transaction numbers it. Where another process has written the same rows under this name meanwhile, metadata
    included, its version is returned and there is no second. A child of `parent` is always a version of its own, made
    by the decisions with `decision_keys`. An exception raised while `rows` is read leaves no dataset behind.
    """
    with store.write() as db:
        (key,) = db.execute(
            "INSERT INTO datasets (name, version, fingerprint, parent_key, label_names, source, n_rows, created_at)"
            " VALUES (?, NULL, ?, ?, ?, ?, '{}', ?) RETURNING key",
            (
                name,
                fingerprint,
                parent.key if parent else None,
                None if label_names is None else json.dumps(list(label_names), ensure_ascii=False),
                to_json(source),
                time.time(),
            ),
        ).fetchone()
    try:
        counts: dict[str, int] = {}
        iterator = iter(rows)
        while batch := list(islice(iterator, _BATCH)):
            with store.write() as db:
                _insert_rows(db, key, batch, counts)
        with store.write() as db:
            twins = find_datasets(store, name, fingerprint) if parent is None else []
            for twin in twins:
                if _has_metadata_of(db, twin.key, key):
                    _delete_draft(db, key)
                    return twin
            db.execute(
                "UPDATE datasets SET n_rows = ?,"
                " version = (SELECT coalesce(max(version), 0) + 1 FROM datasets WHERE name = ?) WHERE key = ?",
                (json.dumps(counts), name, key),
            )
            db.executemany(
                "INSERT INTO version_decisions (dataset_key, decision_key) VALUES (?, ?)",
                ((key, decision_key) for decision_key in decision_keys),
            )
            refresh_dataset(db, key)
    except BaseException:
        delete_draft(store, key)
        raise
    return _dataset(store.db.execute(f"SELECT {_COLUMNS} FROM datasets WHERE key = ?", (key,)).fetchone())


def _insert_rows(db: sqlite3.Connection, dataset_key: int, rows: Sequence[NewRow], counts: dict[str, int]) -> None:
    ids = [example_id({"text": row.text} if row.inputs is None else row.inputs) for row in rows]
    (last_key,) = db.execute("SELECT coalesce(max(key), 0) FROM examples").fetchone()
    db.executemany(
        "INSERT INTO examples (id, text, inputs) VALUES (?, ?, ?) ON CONFLICT (id) DO NOTHING",
        (
            (identity, row.text, None if row.inputs is None else to_json(row.inputs))
            for identity, row in zip(ids, rows, strict=True)
        ),
    )
    db.execute("INSERT INTO examples_fts (rowid, text) SELECT key, text FROM examples WHERE key > ?", (last_key,))

    def values() -> Iterator[tuple[object, ...]]:
        for identity, row in zip(ids, rows, strict=True):
            position = counts.get(row.split, 0)
            counts[row.split] = position + 1
            metadata = to_json(row.metadata) if row.metadata else None
            yield dataset_key, row.split, position, identity, row.target, metadata

    db.executemany(
        "INSERT INTO dataset_rows (dataset_key, split, position, example_key, target, metadata)"
        " VALUES (?, ?, ?, (SELECT key FROM examples WHERE id = ?), ?, ?)",
        values(),
    )


def _has_metadata_of(db: sqlite3.Connection, key: int, other: int) -> bool:
    """Whether two datasets of the same rows have the same metadata beside them."""
    differs = db.execute(
        "SELECT 1 FROM dataset_rows a JOIN dataset_rows b ON b.dataset_key = ? AND b.split = a.split"
        " AND b.position = a.position WHERE a.dataset_key = ? AND a.metadata IS NOT b.metadata LIMIT 1",
        (other, key),
    )
    return differs.fetchone() is None


def delete_draft(store: Store, key: int) -> None:
    """Remove a draft dataset and the examples that nothing else refers to."""
    with store.write() as db:
        _delete_draft(db, key)


def _delete_draft(db: sqlite3.Connection, key: int) -> None:
    db.execute(
        "CREATE TEMP TABLE orphans AS SELECT DISTINCT example_key AS key FROM dataset_rows WHERE dataset_key = ?",
        (key,),
    )
    db.execute("DELETE FROM datasets WHERE key = ? AND version IS NULL", (key,))
    db.execute("DELETE FROM orphans WHERE EXISTS (SELECT 1 FROM dataset_rows w WHERE w.example_key = orphans.key)")
    db.execute(
        "INSERT INTO examples_fts (examples_fts, rowid, text)"
        " SELECT 'delete', key, text FROM examples WHERE key IN (SELECT key FROM orphans)"
    )
    db.execute("DELETE FROM examples WHERE key IN (SELECT key FROM orphans)")
    db.execute("DROP TABLE orphans")


def delete_stale_drafts(store: Store) -> int:
    """Remove what processes killed in the middle of writing a dataset left behind; returns how many."""
    stale = [
        key
        for (key,) in store.db.execute(
            "SELECT key FROM datasets WHERE version IS NULL AND created_at < ?",
            (time.time() - _DRAFT_SECONDS,),
        )
    ]
    for key in stale:
        delete_draft(store, key)
    return len(stale)


def find_datasets(store: Store, name: str, fingerprint: str) -> list[Dataset]:
    """The versions of `name` with this content, newest first; they may differ in their metadata."""
    rows = store.db.execute(
        f"SELECT {_COLUMNS} FROM datasets WHERE name = ? AND fingerprint = ? AND version IS NOT NULL"
        " ORDER BY version DESC",
        (name, fingerprint),
    )
    return [_dataset(row) for row in rows]


def find_dataset(store: Store, name: str, fingerprint: str) -> Dataset | None:
    """The newest version of `name` with this content, if there is one."""
    return next(iter(find_datasets(store, name, fingerprint)), None)


def get_dataset(store: Store, selector: str | int) -> Dataset:
    """By `name` (the newest version), `name@version`, or key. Raises DatasetNotFound, naming what there is."""
    if isinstance(selector, int):
        row = store.db.execute(
            f"SELECT {_COLUMNS} FROM datasets WHERE key = ? AND version IS NOT NULL", (selector,)
        ).fetchone()
    else:
        name, _, version = selector.rpartition("@")
        if not version.isdecimal():  # no version, or an @ that belongs to the name
            name, version = selector, ""
        where, values = ("name = ?", (name,)) if not version else ("name = ? AND version = ?", (name, version))
        row = store.db.execute(
            f"SELECT {_COLUMNS} FROM datasets WHERE {where} AND version IS NOT NULL ORDER BY version DESC LIMIT 1",
            values,
        ).fetchone()
    if row is None:
        known = list_datasets(store)
        names = ", ".join(f"{r.name}@{r.version}" for r in known.head(10).itertuples()) or "none yet"
        raise DatasetNotFound(f"no dataset {selector!r} in {store.path}; there are: {names}.")
    return _dataset(row)


def list_datasets(store: Store) -> pd.DataFrame:
    """Columns key, name, version, parent, n_train, n_validation, n_test, n_labels, created_at; newest first."""
    return read_frame(
        store.db,
        "SELECT d.key, d.name, d.version, p.name || '@' || p.version AS parent,"
        " json_extract(d.n_rows, '$.train') AS n_train, json_extract(d.n_rows, '$.validation') AS n_validation,"
        " json_extract(d.n_rows, '$.test') AS n_test, json_array_length(d.label_names) AS n_labels, d.created_at"
        " FROM datasets d LEFT JOIN datasets p ON p.key = d.parent_key"
        " WHERE d.version IS NOT NULL ORDER BY d.created_at DESC, d.key DESC",
    )


def read_targets(store: Store, dataset: Dataset, split: str) -> NDArray[np.int64]:
    """Label indices in position order, `(n,)`; -1 where there is no label, and where the target is something else."""
    n = dataset.n_rows.get(split, 0)
    rows = store.db.execute(
        "SELECT iif(typeof(target) = 'integer', target, -1) FROM dataset_rows WHERE dataset_key = ? AND split = ?"
        " ORDER BY position",
        (dataset.key, split),
    )
    return np.fromiter((row[0] for row in rows), dtype=np.int64, count=n)


def iter_texts(store: Store, dataset: Dataset, split: str, batch_size: int = _BATCH) -> Iterator[list[str]]:
    """The texts of a split in position order, `batch_size` at a time."""
    for first in range(0, dataset.n_rows.get(split, 0), batch_size):
        yield [
            text
            for (text,) in store.db.execute(
                "SELECT x.text FROM dataset_rows w JOIN examples x ON x.key = w.example_key"
                " WHERE w.dataset_key = ? AND w.split = ? AND w.position >= ? AND w.position < ? ORDER BY w.position",
                (dataset.key, split, first, first + batch_size),
            )
        ]


def iter_inputs(
    store: Store, dataset: Dataset, split: str, batch_size: int = _BATCH
) -> Iterator[list[Mapping[str, Any]]]:
    """What a model gets of each example of a split, by name, in position order, `batch_size` at a time."""
    for first in range(0, dataset.n_rows.get(split, 0), batch_size):
        yield [
            {"text": text} if inputs is None else json.loads(inputs)
            for text, inputs in store.db.execute(
                "SELECT x.text, x.inputs FROM dataset_rows w JOIN examples x ON x.key = w.example_key"
                " WHERE w.dataset_key = ? AND w.split = ? AND w.position >= ? AND w.position < ? ORDER BY w.position",
                (dataset.key, split, first, first + batch_size),
            )
        ]


def read_inputs(store: Store, example_ids: Iterable[str]) -> dict[str, Mapping[str, Any]]:
    """What a model gets of some examples, by their ids (32 hexadecimal digits); ids that are not there are left out."""
    found: dict[str, Mapping[str, Any]] = {}
    for each in example_ids:
        row = store.db.execute("SELECT text, inputs FROM examples WHERE id = ?", (bytes.fromhex(each),)).fetchone()
        if row is not None:
            found[each] = {"text": row[0]} if row[1] is None else json.loads(row[1])
    return found


def target_types(store: Store, dataset: Dataset) -> set[str]:
    """What SQLite calls the targets that there are: `integer` (labels), `real` (numbers), `text` (JSON)."""
    rows = store.db.execute("SELECT DISTINCT typeof(target) FROM dataset_rows WHERE dataset_key = ?", (dataset.key,))
    return {kind for (kind,) in rows} - {"null"}


def read_values(store: Store, dataset: Dataset, split: str) -> list[Any]:
    """Targets as they are stored, in position order: of a label its index, a number, or JSON text; None = none."""
    rows = store.db.execute(
        "SELECT target FROM dataset_rows WHERE dataset_key = ? AND split = ? ORDER BY position", (dataset.key, split)
    )
    return [value for (value,) in rows]


def read_rows(
    store: Store, dataset: Dataset, split: str, *, positions: Sequence[int] | None = None, limit: int = 100
) -> pd.DataFrame:
    """Columns position, example_id, text, target, label (its name; of a set as `store.labelled.named`), metadata: the
    named positions, or the first `limit` rows."""
    where, values = "", [dataset.key, split]
    if positions is not None:
        where = " AND w.position IN (SELECT value FROM json_each(?))"
        values.append(json.dumps([int(p) for p in positions]))
    frame = read_frame(
        store.db,
        "SELECT w.position, lower(hex(x.id)) AS example_id, x.text, w.target, w.metadata"
        " FROM dataset_rows w JOIN examples x ON x.key = w.example_key"
        f" WHERE w.dataset_key = ? AND w.split = ?{where} ORDER BY w.position LIMIT ?",
        (*values, len(positions) if positions is not None else limit),
    )
    frame.insert(4, "label", [named(target, dataset.label_names or None) for target in frame["target"]])
    frame["metadata"] = [json.loads(m) if isinstance(m, str) else {} for m in frame["metadata"]]
    return frame


def _dataset(row: tuple[object, ...]) -> Dataset:
    key, name, version, fingerprint, label_names, source, n_rows, parent_key, created_at = row
    return Dataset(
        key=int(str(key)),
        name=str(name),
        version=int(str(version)),
        fingerprint=str(fingerprint),
        label_names=None if label_names is None else tuple(json.loads(str(label_names))),
        source=json.loads(str(source)),
        n_rows=json.loads(str(n_rows)),
        parent_key=None if parent_key is None else int(str(parent_key)),
        created_at=float(str(created_at)),
    )
