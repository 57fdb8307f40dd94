"""Entries: what the recorder was told, as plain records that can wait, be written to a file and be applied later.

An entry is a kind, values that JSON can hold, numpy arrays and a count of rows; what a kind does to the store is a
function in `KINDS`. Nothing in an entry refers to the process that made it, so another one can apply it.

To add a kind of entry:

1. a function `_name(db, run_key, segment, entry)` that writes it, inside a transaction of the caller's;
2. its line in `KINDS`;
3. a method of `Recorder` that checks what it was given and ends with `self._add("name", values, arrays, n_rows=...)`.

It may be applied long after the call: take times from `entry.at`, never from the clock. It is applied exactly once.
"""

import sqlite3
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from store.blocks import write_dynamics, write_embeddings
from store.evaluations import Predictions, mark_best, write_evaluation
from store.flights import write_flight
from store.metrics import Column, StepRow, write_metrics, write_steps
from store.records import RunCost, ScoreRow, Status
from store.ring import STEP, Steps
from store.runs import end_run, record_event, write_checkpoint, write_cost
from store.target_tokens import TargetTokens, write_target_tokens


class Point(NamedTuple):
    """The metrics of one call of `log`: an entry of its own kind, because there are so many of them."""

    at: StepRow
    values: dict[str, float]

    @property
    def n_rows(self) -> int:
        return len(self.values) + 1


class Entry(NamedTuple):
    """Anything else that was recorded."""

    kind: str
    at: float
    """Unix seconds of the call."""
    values: Mapping[str, Any]
    """What JSON can hold."""
    arrays: Mapping[str, NDArray[Any]]
    n_rows: int
    """What it counts for among rows pending and rows lost, at least 1."""


Item = Point | Entry


def column(name: str, steps: ArrayLike, values: ArrayLike) -> Column:
    """Steps strictly increasing; of values given twice for a step the later stays."""
    given = np.asarray(steps)
    if given.dtype.kind not in "iu" and given.size and not (given == np.floor(given)).all():
        raise ValueError(f"{name!r}: steps must be whole numbers.")
    step_array = given.astype(np.int64)
    value_array = np.array(values, dtype=np.float64)
    if step_array.shape != value_array.shape or step_array.ndim != 1:
        raise ValueError(f"{name!r}: steps {step_array.shape} and values {value_array.shape} must be of one length.")
    if len(step_array) > 1 and not (np.diff(step_array) > 0).all():
        _, last = np.unique(step_array[::-1], return_index=True)
        keep = len(step_array) - 1 - last
        step_array, value_array = step_array[keep], value_array[keep]
    return Column(step_array, value_array)


def write_points(db: sqlite3.Connection, run_key: int, segment: int, points: Sequence[Point]) -> None:
    """Many points at once, inside a transaction of the caller's."""
    series: dict[str, tuple[list[int], list[float]]] = {}
    for at, numbers in points:
        for name, value in numbers.items():
            steps, values = series.setdefault(name, ([], []))
            steps.append(at.step)
            values.append(value)
    columns = {name: column(name, steps, values) for name, (steps, values) in series.items()}
    write_metrics(db, run_key, segment, columns)
    write_steps(db, run_key, segment, [point.at for point in points])


# what each kind does ---------------------------------------------------------------------------------------------


def _curves(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    arrays = entry.arrays
    names = enumerate(entry.values["names"])
    write_metrics(db, run_key, segment, {name: Column(arrays[f"steps{i}"], arrays[f"values{i}"]) for i, name in names})


def _evaluation(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    values = dict(entry.values)
    scores = [ScoreRow(*score) for score in values.pop("scores")]
    predictions = Predictions(**entry.arrays) if entry.arrays else None
    write_evaluation(db, run_key, segment, **values, at=entry.at, scores=scores, predictions=predictions)


def _best(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    of = entry.values.get("segment")  # a spool file of an earlier version does not say
    mark_best(db, run_key, segment if of is None else of, entry.values["step"])


def _dynamics(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    write_dynamics(db, run_key, segment, **entry.values, words=entry.arrays["words"])


def _embeddings(db: sqlite3.Connection, run_key: int, _segment: int, entry: Entry) -> None:
    write_embeddings(db, run_key, **entry.values, splits=entry.arrays)


def _target_tokens(db: sqlite3.Connection, run_key: int, _segment: int, entry: Entry) -> None:
    arrays = entry.arrays
    tokens = TargetTokens(arrays["offsets"], arrays["log_probs"], arrays["best_other"], arrays.get("alone"))
    write_target_tokens(db, run_key, entry.values["split"], tokens)


def _checkpoint(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    write_checkpoint(db, run_key, segment, **entry.values, created_at=entry.at)


def _checkpoint_deleted(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    of = entry.values["segment"]
    db.execute(
        "UPDATE checkpoints SET deleted_at = ? WHERE run_key = ? AND segment = ? AND step = ?",
        (entry.at, run_key, segment if of is None else of, entry.values["step"]),
    )


def _event(db: sqlite3.Connection, run_key: int, _segment: int, entry: Entry) -> None:
    record_event(db, run_key, **entry.values, at=entry.at)


def _text(db: sqlite3.Connection, run_key: int, _segment: int, entry: Entry) -> None:
    db.execute(
        "INSERT INTO run_logs (run_key, number, text)"
        " SELECT ?1, coalesce(max(number), 0) + 1, ?2 FROM run_logs WHERE run_key = ?1",
        (run_key, entry.values["text"]),
    )


def _sample(db: sqlite3.Connection, run_key: int, _segment: int, entry: Entry) -> None:
    db.execute(
        "INSERT OR REPLACE INTO system_samples"
        " (run_key, at, cpu_percent, host_bytes, device_utilisation, device_bytes, power_watts)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)",
        (run_key, *entry.values["sample"]),
    )


def _cost(db: sqlite3.Connection, run_key: int, _segment: int, entry: Entry) -> None:
    write_cost(db, run_key, RunCost(**entry.values))


def _flight(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    values = dict(entry.values)
    of_segment = values.pop("segment")
    steps = Steps(np.frombuffer(entry.arrays["rows"].tobytes(), dtype=STEP), entry.arrays["positions"])
    write_flight(db, run_key, segment if of_segment is None else of_segment, **values, at=entry.at, steps=steps)


def _finish(db: sqlite3.Connection, run_key: int, segment: int, entry: Entry) -> None:
    newest = db.execute("SELECT max(number) FROM segments WHERE run_key = ?", (run_key,)).fetchone()
    if newest == (segment,):  # else the run was taken up again since, and goes on
        end_run(db, run_key, Status(entry.values["status"]), entry.values["cause"], at=entry.at)


KINDS: Mapping[str, Callable[[sqlite3.Connection, int, int, Entry], None]] = {
    "curves": _curves,
    "evaluation": _evaluation,
    "best": _best,
    "dynamics": _dynamics,
    "embeddings": _embeddings,
    "target_tokens": _target_tokens,
    "checkpoint": _checkpoint,
    "checkpoint_deleted": _checkpoint_deleted,
    "event": _event,
    "text": _text,
    "sample": _sample,
    "cost": _cost,
    "flight": _flight,
    "finish": _finish,
}
