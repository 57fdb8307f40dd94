"""Metrics: narrow rows with integer keys, and a summary kept in the same transaction so tables never read history."""

import json
import sqlite3
from collections.abc import Mapping, Sequence
from itertools import chain
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from store.connection import Store
from store.frames import read_frame


class Column(NamedTuple):
    """One metric's new values: steps `(n,)` strictly increasing, values `(n,)` float64 in which nan is kept apart."""

    steps: NDArray[np.int64]
    values: NDArray[np.float64]


class StepRow(NamedTuple):
    """Where a step stands on the other axes; seconds since the run began."""

    step: int
    seconds: float | None
    epoch: float | None
    tokens: int | None


def metric_key(db: sqlite3.Connection, name: str) -> int:
    """The integer of a metric's name, made if new, inside a transaction of the caller's."""
    row = db.execute("SELECT key FROM metric_keys WHERE name = ?", (name,)).fetchone()
    if row is None:
        row = db.execute("INSERT INTO metric_keys (name) VALUES (?) RETURNING key", (name,)).fetchone()
    return int(row[0])


def write_metrics(db: sqlite3.Connection, run_key: int, segment: int, columns: Mapping[str, Column]) -> None:
    """Insert values and bring the summaries up to date. A step that was there before takes the new value."""
    for name, column in columns.items():
        if not len(column.steps):
            continue
        key = metric_key(db, name)
        latest = db.execute(
            "SELECT latest_step FROM metric_latest WHERE run_key = ? AND metric_key = ?", (run_key, key)
        ).fetchone()
        finite = np.isfinite(column.values)
        prefix = (run_key, key, segment)
        if finite.all():
            db.executemany(
                f"INSERT OR REPLACE INTO metrics (run_key, metric_key, segment, step, value)"
                f" VALUES ({run_key}, {key}, {segment}, ?, ?)",
                zip(column.steps.tolist(), column.values.tolist(), strict=True),
            )
        else:
            db.executemany(
                "INSERT OR REPLACE INTO metrics (run_key, metric_key, segment, step, value, not_finite)"
                " VALUES (?, ?, ?, ?, ?, ?)",
                (
                    (*prefix, step, value if ok else None, None if ok else str(value))
                    for step, value, ok in zip(
                        column.steps.tolist(), column.values.tolist(), finite.tolist(), strict=True
                    )
                ),
            )
        if latest is None or int(column.steps[0]) > latest[0]:
            _add_to_summary(db, run_key, key, column, finite)
        else:
            refresh_summary(db, run_key, key)


def _add_to_summary(db: sqlite3.Connection, run_key: int, key: int, column: Column, finite: NDArray[np.bool_]) -> None:
    """Fold values that come after all earlier ones into the summary, without reading history."""
    steps, values = column.steps[finite], column.values[finite]
    low, high = (int(np.argmin(values)), int(np.argmax(values))) if len(values) else (None, None)
    last = float(column.values[-1])
    db.execute(
        "INSERT INTO metric_latest VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (run_key, metric_key) DO UPDATE SET"
        " n = n + excluded.n, latest_step = excluded.latest_step, latest_value = excluded.latest_value,"
        " latest_not_finite = excluded.latest_not_finite,"
        " min_step = iif(min_value IS NULL OR excluded.min_value < min_value, excluded.min_step, min_step),"
        " min_value = iif(min_value IS NULL OR excluded.min_value < min_value, excluded.min_value, min_value),"
        " max_step = iif(max_value IS NULL OR excluded.max_value > max_value, excluded.max_step, max_step),"
        " max_value = iif(max_value IS NULL OR excluded.max_value > max_value, excluded.max_value, max_value)",
        (
            run_key,
            key,
            len(column.steps),
            int(column.steps[-1]),
            last if np.isfinite(last) else None,
            None if np.isfinite(last) else str(last),
            None if low is None else int(steps[low]),
            None if low is None else float(values[low]),
            None if high is None else int(steps[high]),
            None if high is None else float(values[high]),
        ),
    )


def refresh_summary(db: sqlite3.Connection, run_key: int, key: int) -> None:
    """Recompute one metric's summary from its visible rows (a value was replaced, or a tail abandoned)."""
    db.execute("DELETE FROM metric_latest WHERE run_key = ? AND metric_key = ?", (run_key, key))
    db.execute(
        "INSERT INTO metric_latest"
        " SELECT :run, :key, count(*), max(step),"
        " (SELECT value FROM visible_metrics WHERE run_key = :run AND metric_key = :key ORDER BY step DESC LIMIT 1),"
        " (SELECT not_finite FROM visible_metrics WHERE run_key = :run AND metric_key = :key"
        "  ORDER BY step DESC LIMIT 1),"
        " (SELECT step FROM visible_metrics WHERE run_key = :run AND metric_key = :key AND value IS NOT NULL"
        "  ORDER BY value, step LIMIT 1), min(value),"
        " (SELECT step FROM visible_metrics WHERE run_key = :run AND metric_key = :key AND value IS NOT NULL"
        "  ORDER BY value DESC, step LIMIT 1), max(value)"
        " FROM visible_metrics WHERE run_key = :run AND metric_key = :key HAVING count(*) > 0",
        {"run": run_key, "key": key},
    )


def write_steps(db: sqlite3.Connection, run_key: int, segment: int, rows: Sequence[StepRow]) -> None:
    """Insert where steps stand in time, epochs and tokens; a later row fills in what an earlier one left open."""
    db.executemany(
        f"INSERT INTO steps (run_key, segment, step, seconds, epoch, tokens) VALUES ({run_key}, {segment}, ?, ?, ?, ?)"
        " ON CONFLICT (run_key, segment, step) DO UPDATE SET seconds = coalesce(seconds, excluded.seconds),"
        " epoch = coalesce(epoch, excluded.epoch), tokens = coalesce(tokens, excluded.tokens)",
        rows,
    )


def list_latest(store: Store, run_keys: Sequence[int]) -> pd.DataFrame:
    """Columns run_key, metric, n, latest_step, latest_value, latest_not_finite, min_step/value, max_step/value."""
    return read_frame(
        store.db,
        "SELECT l.run_key, k.name AS metric, l.n, l.latest_step, l.latest_value, l.latest_not_finite,"
        " l.min_step, l.min_value, l.max_step, l.max_value"
        " FROM metric_latest l JOIN metric_keys k ON k.key = l.metric_key"
        " WHERE l.run_key IN (SELECT value FROM json_each(?)) ORDER BY l.run_key, k.name",
        (json.dumps([int(key) for key in run_keys]),),
    )


def list_metrics(
    store: Store, run_keys: Sequence[int], names: Sequence[str], *, after_step: int | None = None
) -> pd.DataFrame:
    """Curves. Columns run_key, metric, step, value (nan where not finite), not_finite, seconds, epoch, tokens.

    Only visible rows, by run, metric, step. `after_step` reads just what is new since then.
    """
    db = store.db
    keys = dict(
        db.execute(
            "SELECT key, name FROM metric_keys WHERE name IN (SELECT value FROM json_each(?))",
            (json.dumps(list(names)),),
        ).fetchall()
    )
    columns: list[tuple[list[object], ...]] = []
    for run_key in run_keys:
        for key, name in sorted(keys.items(), key=lambda item: str(item[1])):
            rows = db.execute(
                "SELECT m.step, m.value, m.not_finite, t.seconds, t.epoch, t.tokens FROM visible_metrics m"
                " LEFT JOIN steps t ON t.run_key = m.run_key AND t.segment = m.segment AND t.step = m.step"
                " WHERE m.run_key = ? AND m.metric_key = ? AND m.step > ? ORDER BY m.step",
                (run_key, key, -1 if after_step is None else after_step),
            ).fetchall()
            if rows:
                n = len(rows)
                columns.append(([run_key] * n, [name] * n, *(list(c) for c in zip(*rows, strict=True))))
    names_out = ["run_key", "metric", "step", "value", "not_finite", "seconds", "epoch", "tokens"]
    merged = [list(chain.from_iterable(block[i] for block in columns)) for i in range(len(names_out))]
    frame = pd.DataFrame(dict(zip(names_out, merged, strict=True)), columns=names_out)
    return frame.astype(
        {"run_key": "int64", "step": "int64", "value": "float64", "seconds": "float64", "epoch": "float64"}
    ).astype({"tokens": "float64"})


def list_sparklines(store: Store, run_keys: Sequence[int], name: str, *, n_points: int = 30) -> dict[int, list[float]]:
    """A coarse curve of one metric a run: up to `n_points` means of equal stretches of its steps."""
    lines: dict[int, list[float]] = {}
    rows = store.db.execute(
        "SELECT m.run_key, avg(m.value) FROM visible_metrics m JOIN metric_keys k ON k.key = m.metric_key"
        " JOIN metric_latest l ON l.run_key = m.run_key AND l.metric_key = m.metric_key"
        " WHERE k.name = ? AND m.run_key IN (SELECT value FROM json_each(?)) AND m.value IS NOT NULL"
        " GROUP BY m.run_key, m.step * ? / (l.latest_step + 1) ORDER BY m.run_key, min(m.step)",
        (name, json.dumps([int(key) for key in run_keys]), n_points),
    )
    for run_key, value in rows:
        lines.setdefault(run_key, []).append(value)
    return lines
