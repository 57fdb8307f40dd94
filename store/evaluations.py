"""Evaluations: what a checkpoint said about every example of a split, and how well it did."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.connection import Store
from store.frames import read_frame, read_numbers
from store.metrics import metric_key
from store.records import Evaluation, ScoreRow

if TYPE_CHECKING:
    import pandas as pd


class Predictions(NamedTuple):
    """One value an example in position order, each `(n,)`; nan where not measured.

    predicted: class index, -1 where there is none · p_given, p_predicted: probabilities in [0, 1] · margin: p_given
    minus the largest other probability, in [-1, 1] · loss: -ln p_given, in nats.
    """

    predicted: NDArray[np.int64]
    p_given: NDArray[np.floating]
    p_predicted: NDArray[np.floating]
    margin: NDArray[np.floating]
    loss: NDArray[np.floating]


class Answers(NamedTuple):
    """What a comparison needs of `Predictions`, each `(n,)` in position order: predicted class (-1 none), loss."""

    predicted: NDArray[np.int64]
    loss: NDArray[np.float64]


def write_evaluation(
    db: sqlite3.Connection,
    run_key: int,
    segment: int,
    *,
    split: str,
    step: int,
    epoch: float | None,
    n_examples: int,
    scores: Sequence[ScoreRow],
    predictions: Predictions | None,
    at: float,
    responses: Sequence[str] = (),
) -> int:
    """Write an evaluation with its scores and predictions; one of the same step and split is replaced.

    `at`: when it was made, in unix seconds. `responses`: JSON of each example in position order, or none.
    """
    db.execute(
        "DELETE FROM evaluations WHERE run_key = ? AND segment = ? AND step = ? AND split = ?",
        (run_key, segment, step, split),
    )
    (key,) = db.execute(
        "INSERT INTO evaluations (run_key, segment, step, epoch, split, n_examples, at)"
        " VALUES (?, ?, ?, ?, ?, ?, ?) RETURNING key",
        (run_key, segment, step, epoch, split, n_examples, at),
    ).fetchone()
    db.executemany(
        "INSERT INTO scores (evaluation_key, metric_key, value, low, high, n) VALUES (?, ?, ?, ?, ?, ?)",
        [(key, metric_key(db, score.metric), score.value, score.low, score.high, score.n) for score in scores],
    )
    if predictions is not None:
        first, *others = (np.asarray(column).tolist() for column in predictions)
        predicted = (None if label < 0 else label for label in first)
        db.executemany(
            "INSERT INTO predictions (evaluation_key, position, predicted, p_given, p_predicted, margin, loss)"
            f" VALUES ({int(key)}, ?, ?, ?, ?, ?, ?)",
            zip(range(n_examples), predicted, *others, strict=True),
        )
    db.executemany(
        f"INSERT INTO responses (evaluation_key, position, response) VALUES ({int(key)}, ?, ?)", enumerate(responses)
    )
    return int(key)


def mark_best(db: sqlite3.Connection, run_key: int, segment: int, step: int) -> None:
    """The evaluations and the checkpoint of this step are the run's best from now on."""
    for table in ("evaluations", "checkpoints"):
        db.execute(
            f"UPDATE {table} SET is_best = (segment = ? AND step = ?) WHERE run_key = ?",
            (segment, step, run_key),
        )


def list_evaluations(store: Store, run_key: int) -> list[Evaluation]:
    """The run's visible evaluations by step, then split."""
    rows = store.db.execute(
        "SELECT key, run_key, segment, step, epoch, split, n_examples, is_best, at FROM visible_evaluations"
        " WHERE run_key = ? ORDER BY step, split",
        (run_key,),
    )
    return [Evaluation(*(*row[:7], bool(row[7]), row[8])) for row in rows]


def get_evaluation(store: Store, run_key: int, split: str, step: int | None = None) -> Evaluation | None:
    """The run's evaluation on a split at a step; without one, the best's, else the newest. None if there is none."""
    fitting = [e for e in list_evaluations(store, run_key) if e.split == split and (step is None or e.step == step)]
    return max(fitting, key=lambda e: (e.is_best, e.step), default=None)


def list_scores(store: Store, run_keys: Sequence[int], *, best_only: bool = False) -> pd.DataFrame:
    """Columns run_key, split, step, epoch, is_best, metric, value, low, high, n; by run, split, step, metric."""
    marks = ", ".join("?" * len(run_keys))
    return read_frame(
        store.db,
        "SELECT e.run_key, e.split, e.step, e.epoch, e.is_best, k.name AS metric, s.value, s.low, s.high, s.n"
        " FROM visible_evaluations e JOIN scores s ON s.evaluation_key = e.key"
        " JOIN metric_keys k ON k.key = s.metric_key"
        f" WHERE e.run_key IN ({marks}) AND (e.is_best OR NOT ?) ORDER BY e.run_key, e.split, e.step, k.name",
        (*(int(key) for key in run_keys), best_only),
    )


def read_predictions(store: Store, evaluation: Evaluation) -> Predictions:
    """All predictions of an evaluation as arrays in position order."""
    predicted, *others = read_numbers(
        store.db,
        "SELECT coalesce(predicted, -1), p_given, p_predicted, margin, loss FROM predictions"
        " WHERE evaluation_key = ? ORDER BY position",
        (evaluation.key,),
    )
    return Predictions(predicted.astype(np.int64), *others)


def read_answers(store: Store, evaluation: Evaluation) -> Answers:
    """Two columns of `read_predictions`, for a third of its time."""
    numbers = np.fromiter(  # without a list of tuples in between
        chain.from_iterable(
            store.db.execute(
                "SELECT coalesce(predicted, -1), coalesce(loss, 'nan') FROM predictions"
                " WHERE evaluation_key = ? ORDER BY position",
                (evaluation.key,),
            )
        ),
        dtype=np.float64,
    ).reshape(-1, 2)
    return Answers(numbers[:, 0].astype(np.int64), numbers[:, 1].copy())


def read_responses(store: Store, evaluation: Evaluation, positions: Sequence[int] | None = None) -> dict[int, Any]:
    """What the model said of each example, of these positions or of all: position → the value of its JSON.

    Empty for tasks whose predictions are classes.
    """
    where, values = "", list[object]([evaluation.key])
    if positions is not None:
        where = " AND position IN (SELECT value FROM json_each(?))"
        values.append(json.dumps([int(position) for position in positions]))
    rows = store.db.execute(
        f"SELECT position, response FROM responses WHERE evaluation_key = ?{where} ORDER BY position", values
    )
    return {position: json.loads(response) for position, response in rows}


_ORDERS = {
    "loss": "p.loss DESC",
    "margin": "p.margin",
    "confidence": "p.p_predicted DESC",
    "position": "p.position",
}


def list_predictions(
    store: Store,
    evaluation: Evaluation,
    *,
    given: int | None = None,
    predicted: int | None = None,
    wrong_only: bool = False,
    search: str | None = None,
    order: str = "loss",
    limit: int = 50,
    offset: int = 0,
) -> pd.DataFrame:
    """One page of predictions with their texts, the worst first.

    Columns position, example_id, text, given, predicted (class indices), p_given, p_predicted, margin, loss.
    `order` is one of loss, margin, confidence, position. `search` looks for words in the text.
    """
    if order not in _ORDERS:
        raise ValueError(f"cannot order by {order!r}; choose one of {', '.join(_ORDERS)}.")
    where, values = _matching(evaluation, given, predicted, wrong_only, search)
    return read_frame(
        store.db,
        # The page is chosen first: texts are read for its rows only.
        "SELECT p.position, lower(hex(x.id)) AS example_id, x.text, given, predicted, p_given, p_predicted, margin,"
        " loss FROM (SELECT p.position, w.example_key, w.target AS given, p.predicted, p.p_given, p.p_predicted,"
        "  p.margin, p.loss"
        f"  {_PREDICTED_ROWS} WHERE {where} ORDER BY {_ORDERS[order]}, p.position LIMIT ? OFFSET ?) p"
        f" JOIN examples x ON x.key = p.example_key ORDER BY {_ORDERS[order]}, p.position",
        (*values, limit, offset),
    )


def count_predictions(
    store: Store,
    evaluation: Evaluation,
    *,
    given: int | None = None,
    predicted: int | None = None,
    wrong_only: bool = False,
    search: str | None = None,
) -> int:
    """How many predictions `list_predictions` finds with the same filters and no limit."""
    where, values = _matching(evaluation, given, predicted, wrong_only, search)
    return int(store.db.execute(f"SELECT count(*) {_PREDICTED_ROWS} WHERE {where}", values).fetchone()[0])


_PREDICTED_ROWS = (
    "FROM predictions p JOIN evaluations e ON e.key = p.evaluation_key JOIN runs r ON r.key = e.run_key"
    " JOIN dataset_rows w ON w.dataset_key = r.dataset_key AND w.split = e.split AND w.position = p.position"
)


def _matching(
    evaluation: Evaluation, given: int | None, predicted: int | None, wrong_only: bool, search: str | None
) -> tuple[str, list[object]]:
    """The condition and its values for the filters of `list_predictions`, over `_PREDICTED_ROWS`."""
    where, values = ["p.evaluation_key = ?"], list[object]([evaluation.key])
    for column, wanted in (("w.target", given), ("p.predicted", predicted)):
        if wanted is not None:
            where.append(f"{column} = ?")
            values.append(wanted)
    if wrong_only:
        where.append("p.predicted <> w.target")
    if search:
        where.append("w.example_key IN (SELECT rowid FROM examples_fts WHERE examples_fts MATCH ?)")
        values.append(match_query(search))
    return " AND ".join(where), values


def match_query(words: str) -> str:
    """A full-text query that finds texts with all these words (the last may be a beginning), whatever is typed.

    >>> match_query('late "bus" AND')
    '"late" "bus" "AND"*'
    """
    readable = words.replace("\0", " ").encode("utf-8", "replace").decode()  # half a character is none
    parts = [part for part in readable.replace('"', " ").split() if part]
    return " ".join(f'"{part}"' for part in parts) + ("*" if parts else '""')
