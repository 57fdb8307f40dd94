"""Trials of a sweep: one configuration with one seed, what it said at its rungs, how it ended.

A trial goes queued → running → finished, pruned, failed or killed; from the last three it may be taken up again. Its
numbers are its run's.
"""

from __future__ import annotations

import json
import math
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, NamedTuple

from store.connection import Store
from store.frames import read_frame
from store.records import NewSweep, NewTrial, Run, RunCost, Status, Sweep, Trial, TrialReport
from store.runs import get_run
from store.sweeps import find_same, get_sweep, insert_sweep, write_sweep

if TYPE_CHECKING:
    import pandas as pd

_COLUMNS = (
    "key, sweep_key, number, seed, parameters, status, cause, recipe_hash, run_key, is_reused, n_attempts,"
    " n_promotions, objective_values, sampler_state, created_at, started_at, ended_at, held_seconds, latency_low,"
    " latency_high"
)


def record_trial(store: Store, sweep_key: int, new: NewTrial) -> Trial:
    """Write a trial.

    Raises sqlite3.IntegrityError where the sweep has that configuration with that seed.
    """
    with write_sweep(store, sweep_key) as db:
        key = _insert(db, sweep_key, new)
    return get_trial(store, key)


class TakenOver(NamedTuple):
    """A trial that a new sweep takes over from the one that it is an edit of, with what it said at its rungs."""

    trial: NewTrial
    reports: tuple[TrialReport, ...]


def take_over(store: Store, new: NewSweep, trials: Sequence[TakenOver] = ()) -> tuple[Sweep, bool]:
    """Write a new sweep with all the trials that it takes over, in one transaction.

    Returns the sweep and whether it is new: where another process made the same meanwhile (`find_same`), it is that
    one, and nothing is written.
    """
    with store.write() as db:
        same = find_same(store, new)
        key = insert_sweep(db, new) if same is None else same.key
        for trial, reports in trials if same is None else ():
            trial_key = _insert(db, key, trial)
            for report in reports:
                _insert_report(db, trial_key, report)
    return get_sweep(store, key), same is None


def _insert(db: sqlite3.Connection, sweep_key: int, new: NewTrial) -> int:
    now = time.time()
    is_over = new.status not in (Status.QUEUED, Status.RUNNING)
    (key,) = db.execute(
        "INSERT INTO trials (sweep_key, number, seed, parameters, status, recipe_hash, run_key, is_reused,"
        " objective_values, sampler_state, cause, created_at, ended_at, latency_low, latency_high)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " RETURNING key",
        (
            sweep_key,
            new.number,
            new.seed,
            _json(dict(new.parameters)),
            new.status,
            new.recipe_hash,
            new.run_key,
            new.is_reused,
            _json(_finite(new.objective_values)),
            _json(new.sampler_state),
            new.cause,
            now,
            now if is_over else None,
            *(new.latency_ms or (None, None)),
        ),
    ).fetchone()
    return int(key)


def get_trial(store: Store, key: int) -> Trial:
    """Raises KeyError where there is none."""
    rows = store.db.execute(f"SELECT {_COLUMNS} FROM trials WHERE key = ?", (key,)).fetchall()
    if not rows:
        raise KeyError(f"no trial {key} in {store.path}")
    return _trial(rows[0])


def read_trials(store: Store, sweep_key: int) -> list[Trial]:
    """All trials of a sweep by number, then in the order their seeds were asked for."""
    rows = store.db.execute(f"SELECT {_COLUMNS} FROM trials WHERE sweep_key = ? ORDER BY number, key", (sweep_key,))
    return [_trial(row) for row in rows]


def list_trials(store: Store, sweep_key: int) -> pd.DataFrame:
    """One row a trial, by number, then seed.

    Columns: key, number, seed, status, cause, parameters (a dict, path → value), recipe_hash, run_key, run_id,
    run_name, run_status, is_reused, n_attempts, n_promotions, created_at, started_at, ended_at; one column an
    objective, named as its metric (nan where it was not measured or the trial has not ended); latency_low,
    latency_high (the interval of a measured latency, in ms); held_seconds (as in `Trial`); select_metric, value,
    low, high, n, step, epoch (the select metric at the run's best checkpoint so far, with its 95 % interval); rung,
    rung_epoch, rung_value (the last report); all of RunCost (of the run: the sweep did not pay for a reused one).
    """
    import pandas as pd

    costs = ", ".join(f"c.{field.name}" for field in fields(RunCost))
    frame = read_frame(
        store.db,
        "SELECT t.key, t.number, t.seed, t.status, t.cause, t.parameters, t.recipe_hash, t.run_key, r.id AS run_id,"
        " r.name AS run_name, r.status AS run_status, t.is_reused, t.n_attempts, t.n_promotions, t.created_at,"
        " t.started_at, t.ended_at, t.objective_values, t.latency_low, t.latency_high, t.held_seconds, r.select_metric,"
        " s.value, s.low, s.high, s.n, e.step, e.epoch,"
        f" p.rung, p.epoch AS rung_epoch, p.value AS rung_value, {costs}"
        " FROM trials t LEFT JOIN runs r ON r.key = t.run_key LEFT JOIN run_costs c ON c.run_key = r.key"
        " LEFT JOIN metric_keys k ON k.name = substr(r.select_metric, instr(r.select_metric, '/') + 1)"
        " LEFT JOIN visible_evaluations e ON e.run_key = r.key AND e.is_best"
        "  AND e.split = substr(r.select_metric, 1, instr(r.select_metric, '/') - 1)"
        " LEFT JOIN scores s ON s.evaluation_key = e.key AND s.metric_key = k.key"
        " LEFT JOIN trial_reports p ON p.trial_key = t.key"
        "  AND p.rung = (SELECT max(q.rung) FROM trial_reports q WHERE q.trial_key = t.key)"
        " WHERE t.sweep_key = ? ORDER BY t.number, t.seed",
        (sweep_key,),
    )
    frame["parameters"] = pd.Series([json.loads(text) for text in frame["parameters"]], dtype=object)
    frame["is_reused"] = frame["is_reused"].astype(bool)
    metrics = [
        metric
        for (metric,) in store.db.execute(
            "SELECT json_extract(o.value, '$.metric') FROM sweeps s, json_each(s.objectives) o WHERE s.key = ?"
            " ORDER BY o.key",
            (sweep_key,),
        )
    ]
    values = [json.loads(text) if isinstance(text, str) else [] for text in frame["objective_values"]]
    place = list(frame.columns).index("objective_values")
    frame = frame.drop(columns="objective_values")
    for i, metric in enumerate(metrics):
        column = [each[i] if i < len(each) else None for each in values]
        frame.insert(place + i, metric, pd.Series(column, dtype="float64"))
    return frame


def list_trial_reports(store: Store, sweep_key: int) -> pd.DataFrame:
    """Columns trial_key, number, seed, rung, step, epoch, value, at; by number, seed, rung."""
    return read_frame(
        store.db,
        "SELECT p.trial_key, t.number, t.seed, p.rung, p.step, p.epoch, p.value, p.at FROM trial_reports p"
        " JOIN trials t ON t.key = p.trial_key WHERE t.sweep_key = ? ORDER BY t.number, t.seed, p.rung",
        (sweep_key,),
    )


def read_reports(store: Store, sweep_key: int) -> dict[int, list[TrialReport]]:
    """Trial key → its reports by rung; trials without any are left out."""
    found: dict[int, list[TrialReport]] = {}
    rows = store.db.execute(
        "SELECT p.trial_key, p.rung, p.step, p.epoch, p.value FROM trial_reports p JOIN trials t ON t.key = p.trial_key"
        " WHERE t.sweep_key = ? ORDER BY p.trial_key, p.rung",
        (sweep_key,),
    )
    for key, *report in rows:
        found.setdefault(key, []).append(TrialReport(*report))
    return found


class Spent(NamedTuple):
    """What a sweep took, in seconds; 0 where nothing was measured yet."""

    run_seconds: float
    """Wall time of the runs that it made itself."""
    device_seconds: float
    """That its trials held devices, as its drivers wrote it down: with the start of workers, and with all that a trial
    did which came to nothing."""


def sum_costs(store: Store, sweep_key: int) -> Spent:
    """What the sweep took by now."""
    rows = store.db.execute(
        "SELECT coalesce(sum(CASE t.is_reused WHEN 0 THEN c.wall_seconds END), 0), coalesce(sum(t.held_seconds), 0)"
        " FROM trials t LEFT JOIN run_costs c ON c.run_key = t.run_key WHERE t.sweep_key = ?",
        (sweep_key,),
    ).fetchone()
    return Spent(*rows)


def find_trial_run(store: Store, name: str, recipe_hash: str, since: float) -> Run | None:
    """The newest run of that name and resolved recipe that was made since then, whatever became of it."""
    row = store.db.execute(
        "SELECT key FROM runs WHERE recipe_hash = ? AND name = ? AND created_at >= ? ORDER BY created_at DESC, key DESC"
        " LIMIT 1",
        (recipe_hash, name, since),
    ).fetchone()
    return get_run(store, int(row[0])) if row else None


def find_finished_run(store: Store, recipe_hash: str, dataset_key: int | None) -> Run | None:
    """The newest finished run of this resolved recipe on this dataset version (None: on any)."""
    row = store.db.execute(
        "SELECT key FROM runs WHERE recipe_hash = ?1 AND status = 'finished' AND (?2 IS NULL OR dataset_key = ?2)"
        " ORDER BY created_at DESC, key DESC LIMIT 1",
        (recipe_hash, dataset_key),
    ).fetchone()
    return get_run(store, int(row[0])) if row else None


# what happens to a trial -------------------------------------------------------------------------------------------


def start_trial(store: Store, trial: Trial, *, is_promotion: bool = False, is_trained: bool = True) -> None:
    """It is being worked on: for the first time, once more after a failure, or because it was promoted.

    A run that was there before and is trained further (`is_trained`) is not reused any more: the sweep pays for it.
    """
    counter = "n_promotions" if is_promotion else "n_attempts"
    with write_sweep(store, trial.sweep_key) as db:
        db.execute(
            f"UPDATE trials SET status = 'running', cause = NULL, ended_at = NULL, {counter} = {counter} + 1,"
            " started_at = coalesce(started_at, ?), is_reused = is_reused AND NOT ? WHERE key = ?",
            (time.time(), is_trained, trial.key),
        )


def set_trial_run(store: Store, trial: Trial, run_key: int) -> None:
    """The run that it is from now on."""
    with write_sweep(store, trial.sweep_key) as db:
        db.execute("UPDATE trials SET run_key = ? WHERE key = ?", (run_key, trial.key))


def record_report(store: Store, trial: Trial, report: TrialReport, state: Mapping[str, Any] | None = None) -> None:
    """What it said at a rung, and what the pruner notes about it.

    The same rung again replaces what was said before, and what was said at later ones: the trial had to go back.
    """
    with write_sweep(store, trial.sweep_key) as db:
        db.execute("DELETE FROM trial_reports WHERE trial_key = ? AND rung > ?", (trial.key, report.rung))
        _insert_report(db, trial.key, report)
        if state is not None:
            db.execute("UPDATE trials SET sampler_state = ? WHERE key = ?", (_json(state), trial.key))


def _insert_report(db: sqlite3.Connection, trial_key: int, report: TrialReport) -> None:
    db.execute(
        "INSERT OR REPLACE INTO trial_reports (trial_key, rung, step, epoch, value, at) VALUES (?, ?, ?, ?, ?, ?)",
        (trial_key, report.rung, report.step, report.epoch, *_finite((report.value,)), time.time()),
    )


def end_trial(
    store: Store,
    trial: Trial,
    status: Status,
    cause: str | None = None,
    objective_values: Sequence[float | None] | None = None,
    latency_ms: tuple[float, float] | None = None,
) -> None:
    """It has come to this end, for now. Values that are no finite numbers count as not measured.

    A trial that was killed did not fail: the attempt does not count.
    """
    with write_sweep(store, trial.sweep_key) as db:
        db.execute(
            "UPDATE trials SET status = ?, cause = ?, ended_at = ?, objective_values = ?, latency_low = ?,"
            " latency_high = ?, n_attempts = max(0, n_attempts - (? = 'killed')) WHERE key = ?",
            (
                status,
                cause,
                time.time(),
                _json(_finite(objective_values)),
                *(latency_ms or (None, None)),
                status,
                trial.key,
            ),
        )


def _finite(values: Sequence[float | None] | None) -> list[float | None]:
    return [] if values is None else [v if v is not None and math.isfinite(v) else None for v in values]


def _json(value: object) -> str | None:
    return None if value is None or value == [] else json.dumps(value, ensure_ascii=False, allow_nan=False)


def _trial(row: tuple[Any, ...]) -> Trial:
    values = dict(zip(_COLUMNS.split(", "), row, strict=True))
    low, high = values.pop("latency_low"), values.pop("latency_high")
    found, state = values["objective_values"], values["sampler_state"]
    return Trial(
        **{
            **values,
            "parameters": json.loads(values["parameters"]),
            "status": Status(values["status"]),
            "is_reused": bool(values["is_reused"]),
            "objective_values": tuple(json.loads(found)) if found else None,
            "sampler_state": json.loads(state) if state else None,
            "latency_ms": None if low is None or high is None else (low, high),
        }
    )
