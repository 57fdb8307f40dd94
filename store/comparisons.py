"""Two runs side by side, example by example, and one example across all runs.

Runs on the same dataset pair by position; runs on different versions or datasets pair by example id.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.connection import Store
from store.evaluations import match_query
from store.frames import read_frame, read_numbers
from store.labelled import label_name, name_of
from store.records import Evaluation

if TYPE_CHECKING:
    import pandas as pd

# The pairs of two evaluations: a and b what each said, w the row of A's dataset with the gold label.
_PAIRS = (
    " FROM evaluations ea JOIN runs ra ON ra.key = ea.run_key"
    " JOIN predictions a ON a.evaluation_key = ea.key"
    " JOIN dataset_rows w ON w.dataset_key = ra.dataset_key AND w.split = ea.split AND w.position = a.position"
    " JOIN predictions b ON b.evaluation_key = {b} AND {condition}"
    " WHERE ea.key = {a}"
)
_SAME_DATASET = "b.position = a.position"
# Texts that occur twice in a split pair once: the first occurrence on either side.
_FIRST = (
    "(SELECT min(f.position) FROM dataset_rows f WHERE f.example_key = w.example_key"
    " AND (f.dataset_key, f.split) = (SELECT r.dataset_key, e.split FROM evaluations e JOIN runs r ON r.key = e.run_key"
    " WHERE e.key = {key}))"
)


class Pairs(NamedTuple):
    """What two evaluations said of the same examples, each `(n,)`; gold is the label in A's dataset version."""

    positions: NDArray[np.int64]
    gold: NDArray[np.int64]
    predicted_a: NDArray[np.int64]
    predicted_b: NDArray[np.int64]
    loss_a: NDArray[np.float64]
    loss_b: NDArray[np.float64]


def _pairs_sql(store: Store, a: Evaluation, b: Evaluation) -> str:
    (same,) = store.db.execute(
        "SELECT count(DISTINCT r.dataset_key) = 1 AND count(DISTINCT e.split) = 1"
        " FROM evaluations e JOIN runs r ON r.key = e.run_key WHERE e.key IN (?, ?)",
        (a.key, b.key),
    ).fetchone()
    first_a, first_b = (_FIRST.format(key=int(e.key)) for e in (a, b))
    condition = _SAME_DATASET if same else f"a.position = {first_a} AND b.position = {first_b}"
    return _PAIRS.format(a=int(a.key), b=int(b.key), condition=condition)


class Meetings(NamedTuple):
    """Where two evaluations have the same example, each `(n,)`, in A's order."""

    positions_a: NDArray[np.int64]
    positions_b: NDArray[np.int64]


def read_meetings(store: Store, a: Evaluation, b: Evaluation) -> Meetings:
    """The positions of all examples that both evaluations saw, in the split of each."""
    sql = f"SELECT a.position, b.position{_pairs_sql(store, a, b)} ORDER BY a.position"
    return Meetings(*(column.astype(np.int64) for column in read_numbers(store.db, sql)))


def read_pairs(store: Store, a: Evaluation, b: Evaluation) -> Pairs:
    """All examples that both evaluations saw, in A's order; -1 for a label that is not there. A label index means the
    same name in both runs or the pair is meaningless: compare `Dataset.label_names` first."""
    *labels, loss_a, loss_b = read_numbers(
        store.db,
        "SELECT a.position, coalesce(w.target, -1), coalesce(a.predicted, -1), coalesce(b.predicted, -1),"
        f" a.loss, b.loss{_pairs_sql(store, a, b)} ORDER BY a.position",
    )
    positions, gold, predicted_a, predicted_b = (column.astype(np.int64) for column in labels)
    return Pairs(positions, gold, predicted_a, predicted_b, loss_a, loss_b)


_KINDS = {
    "broken": "a.predicted = w.target AND b.predicted <> w.target",
    "fixed": "a.predicted <> w.target AND b.predicted = w.target",
    "both wrong": "a.predicted <> w.target AND b.predicted <> w.target",
    "both right": "a.predicted = w.target AND b.predicted = w.target",
    "differ": "a.predicted <> b.predicted",
    "all": "1",
}


def list_flips(
    store: Store,
    a: Evaluation,
    b: Evaluation,
    *,
    kind: str = "differ",
    label: int | None = None,
    search: str | None = None,
    limit: int = 50,
    offset: int = 0,
) -> pd.DataFrame:
    """One page of examples on which A and B (dis)agree, the largest change in loss first.

    `kind`: broken (A right, B wrong), fixed (A wrong, B right), both wrong, both right, differ, all.
    Columns position, example_id, text, gold, predicted_a, p_a, predicted_b, p_b, loss_a, loss_b (p: of the predicted).
    """
    where, values = _filters(kind, label, search)
    return read_frame(
        store.db,
        # The page is chosen first: texts are read for its rows only.
        "SELECT page.position, lower(hex(x.id)) AS example_id, x.text, gold, predicted_a, p_a, predicted_b, p_b,"
        " loss_a, loss_b FROM (SELECT a.position, w.example_key, w.target AS gold, a.predicted AS predicted_a,"
        "  a.p_predicted AS p_a, b.predicted AS predicted_b, b.p_predicted AS p_b, a.loss AS loss_a, b.loss AS loss_b"
        f"  {_pairs_sql(store, a, b)}{where} ORDER BY abs(a.loss - b.loss) DESC, a.position LIMIT ? OFFSET ?) page"
        " JOIN examples x ON x.key = page.example_key ORDER BY abs(loss_a - loss_b) DESC, page.position",
        (*values, limit, offset),
    )


def count_flips(
    store: Store, a: Evaluation, b: Evaluation, *, label: int | None = None, search: str | None = None
) -> dict[str, int]:
    """How many examples there are of each kind under the same filters as `list_flips`."""
    where, values = _filters("all", label, search)
    sums = ", ".join(f"coalesce(sum({condition}), 0)" for condition in _KINDS.values())
    row = store.db.execute(f"SELECT {sums}{_pairs_sql(store, a, b)}{where}", values).fetchone()
    return dict(zip(_KINDS, row, strict=True))


def _filters(kind: str, label: int | None, search: str | None) -> tuple[str, list[object]]:
    if kind not in _KINDS:
        raise ValueError(f"unknown kind of flip {kind!r}; choose one of {', '.join(_KINDS)}.")
    where, values = f" AND {_KINDS[kind]}", list[object]()
    if label is not None:
        where += " AND w.target = ?"
        values.append(label)
    if search:
        where += " AND w.example_key IN (SELECT rowid FROM examples_fts WHERE examples_fts MATCH ?)"
        values.append(match_query(search))
    return where, values


def _id_bytes(example_id: str) -> bytes:
    try:
        return bytes.fromhex(example_id)
    except ValueError:
        return b""  # no example has such an id


def list_example_history(store: Store, example_id: str) -> pd.DataFrame:
    """Every visible prediction about one example by any run, over checkpoints.

    Columns run_key, run_id, run, status, dataset, split, step, epoch, is_best, position, given, predicted (label
    names), p_given, p_predicted, margin, loss; newest run first, then by step.
    """
    return read_frame(
        store.db,
        "SELECT r.key AS run_key, r.id AS run_id, r.name AS run, r.status, d.name || '@' || d.version AS dataset,"
        " e.split, e.step, e.epoch, e.is_best, w.position,"
        f" {label_name('w.target')} AS given,"
        " json_extract(d.label_names, '$[' || p.predicted || ']') AS predicted,"
        " p.p_given, p.p_predicted, p.margin, p.loss"
        " FROM examples x JOIN dataset_rows w ON w.example_key = x.key JOIN datasets d ON d.key = w.dataset_key"
        " JOIN runs r ON r.dataset_key = d.key"
        " JOIN visible_evaluations e ON e.run_key = r.key AND e.split = w.split"
        " JOIN predictions p ON p.evaluation_key = e.key AND p.position = w.position"
        " WHERE x.id = ? ORDER BY r.created_at DESC, r.key DESC, w.position, e.step",
        (_id_bytes(example_id),),
    )


def list_example_places(store: Store, example_id: str) -> pd.DataFrame:
    """Where an example occurs. Columns text, dataset, version, dataset_key, split, position, label, metadata."""
    return read_frame(
        store.db,
        "SELECT x.text, d.name AS dataset, d.version, d.key AS dataset_key, w.split, w.position,"
        f" {name_of('w.target')} AS label, w.metadata"
        " FROM examples x JOIN dataset_rows w ON w.example_key = x.key JOIN datasets d ON d.key = w.dataset_key"
        " WHERE x.id = ? AND d.version IS NOT NULL ORDER BY d.created_at DESC, w.split, w.position",
        (_id_bytes(example_id),),
    )
