"""Metrics: narrow rows with integer keys, and a summary kept in the same transaction so tables never read history."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from store.connection import Store
from store.frames import read_frame, read_numbers

if TYPE_CHECKING:
    import pandas as pd


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
    # In a segment that is visible to its end, a step beyond the latest cannot have a row yet. (A missing one: None.)
    is_open = db.execute(
        "SELECT visible_until IS NULL FROM segments WHERE run_key = ? AND number = ?", (run_key, segment)
    ).fetchone() == (1,)
    for name, column in columns.items():
        if not len(column.steps):
            continue
        key = metric_key(db, name)
        latest = db.execute(
            "SELECT latest_step FROM metric_latest WHERE run_key = ? AND metric_key = ?", (run_key, key)
        ).fetchone()
        is_ahead = is_open and (latest is None or int(column.steps[0]) > latest[0])
        verb = "INSERT" if is_ahead else "INSERT OR REPLACE"
        constants = f"{int(run_key)}, {key}, {int(segment)}"
        steps, values, finite = column.steps.tolist(), column.values.tolist(), np.isfinite(column.values)
        if finite.all():
            db.executemany(
                f"{verb} INTO metrics (run_key, metric_key, segment, step, value) VALUES ({constants}, ?, ?)",
                zip(steps, values, strict=True),
            )
        else:
            db.executemany(
                f"{verb} INTO metrics (run_key, metric_key, segment, step, value, not_finite)"
                f" VALUES ({constants}, ?, ?, ?)",
                (
                    (step, value, None) if ok else (step, None, str(value))
                    for step, value, ok in zip(steps, values, finite.tolist(), strict=True)
                ),
            )
        if is_ahead:
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
        " (SELECT value FROM visible_metrics WHERE run_key = :run AND metric_key = :key"
        "  ORDER BY step DESC, segment DESC LIMIT 1),"
        " (SELECT not_finite FROM visible_metrics WHERE run_key = :run AND metric_key = :key"
        "  ORDER BY step DESC, segment DESC LIMIT 1),"
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
    import pandas as pd

    db = store.db
    keys = db.execute(
        "SELECT key, name FROM metric_keys WHERE name IN (SELECT value FROM json_each(?)) ORDER BY name",
        (json.dumps(list(names)),),
    ).fetchall()
    after = -(2**63) if after_step is None else after_step
    blocks = [(run_key, name, _read_curve(db, run_key, key, after)) for run_key in run_keys for key, name in keys]
    blocks = [block for block in blocks if block[2].size]
    step, value, segment = (np.concatenate([np.empty(0), *(curve[i] for _, _, curve in blocks)]) for i in range(3))
    is_finite = np.isfinite(value)
    not_finite = np.full(len(value), None, dtype=object)
    not_finite[~is_finite] = value[~is_finite].astype(str)
    lengths = [curve.shape[1] for _, _, curve in blocks]
    frame = pd.DataFrame(
        {
            "run_key": np.repeat(np.array([run_key for run_key, _, _ in blocks], dtype=np.int64), lengths),
            "metric": np.repeat(np.array([name for _, name, _ in blocks], dtype=object), lengths),
            "step": step.astype(np.int64),
            "value": np.where(is_finite, value, np.nan),
            "not_finite": not_finite,
            "segment": segment.astype(np.int64),
        }
    )
    axes = np.concatenate([np.empty((6, 0)), *(_read_axes(db, run_key, after) for run_key in run_keys)], axis=1)
    columns = dict(zip(["run_key", "segment", "step", "seconds", "epoch", "tokens"], axes, strict=True))
    integers = dict.fromkeys(["run_key", "segment", "step"], np.int64)
    merged = frame.merge(pd.DataFrame(columns).astype(integers), how="left", on=list(integers))
    return merged.drop(columns="segment")


def _read_curve(db: sqlite3.Connection, run_key: int, key: int, after_step: int) -> NDArray[np.float64]:
    """Visible `(step, value, segment)` of one metric as `(3, n)` by step; values that are not finite as what they are.

    The segments lead (a CROSS JOIN keeps its order), so that rows come in the order of their key, unsorted.
    """
    curve = read_numbers(
        db,
        "SELECT m.step, coalesce(m.value, CASE m.not_finite WHEN 'inf' THEN 9e999 WHEN '-inf' THEN -9e999 END),"
        " m.segment FROM segments s CROSS JOIN metrics m"
        " WHERE s.run_key = ?1 AND m.run_key = ?1 AND m.metric_key = ?2 AND m.segment = s.number AND m.step > ?3"
        " AND (s.visible_until IS NULL OR m.step <= s.visible_until) ORDER BY m.segment, m.step",
        (run_key, key, after_step),
    )
    steps = curve[0]
    return curve if (np.diff(steps) >= 0).all() else curve[:, np.argsort(steps, kind="stable")]


def _read_axes(db: sqlite3.Connection, run_key: int, after_step: int) -> NDArray[np.float64]:
    """`(run_key, segment, step, seconds, epoch, tokens)` of a run's steps, `(6, n)`."""
    return read_numbers(
        db,
        "SELECT run_key, segment, step, seconds, epoch, tokens FROM steps WHERE run_key = ? AND step > ?",
        (run_key, after_step),
    )


def list_sparklines(store: Store, run_keys: Sequence[int], name: str, *, n_points: int = 30) -> dict[int, list[float]]:
    """A coarse curve of one metric a run: up to `n_points` means of equal stretches of its steps."""
    lines: dict[int, list[float]] = {}
    rows = store.db.execute(
        "SELECT l.run_key, avg(m.value) FROM metric_latest l CROSS JOIN segments s ON s.run_key = l.run_key"
        " CROSS JOIN metrics m ON m.run_key = l.run_key AND m.metric_key = l.metric_key AND m.segment = s.number"
        " WHERE l.run_key IN (SELECT value FROM json_each(?2))"
        " AND l.metric_key = (SELECT key FROM metric_keys WHERE name = ?1)"
        " AND (s.visible_until IS NULL OR m.step <= s.visible_until) AND m.value IS NOT NULL"
        " GROUP BY l.run_key, m.step * ?3 / (l.latest_step + 1) ORDER BY l.run_key, min(m.step)",
        (name, json.dumps([int(key) for key in run_keys]), n_points),
    )
    for run_key, value in rows:
        lines.setdefault(run_key, []).append(value)
    return lines
