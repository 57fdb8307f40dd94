"""Flights: the last steps of a training before something went wrong, and the examples that were in their batches."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from store.connection import Store
from store.errors import FlightNotFound
from store.frames import read_frame
from store.labelled import named
from store.records import Run
from store.ring import STEP, RingFile, Steps, read_ring
from store.runs import record_event, run_files

if TYPE_CHECKING:
    import pandas as pd


class FlightKind(StrEnum):
    """What the steps were kept for."""

    SPIKE = "spike"
    NOT_FINITE = "not finite"
    OUT_OF_MEMORY = "out of memory"
    FAILED = "failed"
    KILLED = "killed"


@dataclass(frozen=True)
class Flight:
    """The last steps before something went wrong."""

    key: int
    run_key: int
    segment: int
    at: float
    kind: FlightKind
    step: int | None
    """At which it went wrong; None where that is not known better than by the last step."""
    reason: str
    """In a sentence."""
    steps: Steps


def ring_path(store: Store, run: Run, segment: int) -> Path:
    """Where a running run keeps its ring. Each segment has its own: who removes an old one never removes a new one."""
    return run_files(store, run) / f"flight-{segment}.ring"


def write_flight(
    db: sqlite3.Connection,
    run_key: int,
    segment: int,
    *,
    at: float,
    kind: str,
    step: int | None,
    reason: str,
    steps: Steps,
) -> None:
    """Keep a flight, inside a transaction of the caller's; one that is there already is not kept twice."""
    rows = steps.rows.astype(STEP).tobytes()
    db.execute(
        "INSERT INTO flights (run_key, segment, at, kind, step, reason, n_steps, steps, batches)"
        " SELECT ?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9"
        " WHERE NOT EXISTS (SELECT 1 FROM flights WHERE run_key = ?1 AND segment = ?2 AND kind = ?4 AND steps = ?8)",
        (run_key, segment, at, kind, step, reason, len(steps.rows), rows, steps.positions.astype("<u4").tobytes()),
    )


class LeftRing(NamedTuple):
    """A ring that somebody left behind: what it says, or why it cannot be read."""

    path: Path
    ring: RingFile | None
    problem: str


def find_rings(store: Store, run: Run) -> list[LeftRing]:
    """The rings in the run's folder, by segment. Never raises for what is in them."""
    found = []
    for path in sorted(run_files(store, run).glob("flight-*.ring")):
        try:
            ring = read_ring(path)
        except (OSError, ValueError) as error:
            found.append(LeftRing(path, None, str(error)))
        else:
            is_ours = ring.run_id == run.id
            found.append(LeftRing(path, ring if is_ours else None, "" if is_ours else f"it is of run {ring.run_id}"))
    return found


def take_rings(db: sqlite3.Connection, run: Run, rings: Sequence[LeftRing], reason: str) -> None:
    """Keep them as flights of a run whose process is gone, inside a transaction of the caller's."""
    kind = FlightKind.OUT_OF_MEMORY if reason.startswith("out of memory") else FlightKind.KILLED
    for path, ring, problem in rings:
        if ring is None:
            record_event(db, run.key, "warning", f"the last steps of training are lost ({path.name}): {problem}")
        elif len(ring.steps.rows) and not _is_kept(db, run.key, ring):
            at = float(ring.steps.rows["at"][-1])
            write_flight(db, run.key, ring.segment, at=at, kind=kind, step=None, reason=reason, steps=ring.steps)


def _is_kept(db: sqlite3.Connection, run_key: int, ring: RingFile) -> bool:
    """Whether these very steps were kept before the process ended, for whatever reason."""
    rows = ring.steps.rows.astype(STEP).tobytes()
    sql = "SELECT 1 FROM flights WHERE run_key = ? AND segment = ? AND steps = ?"
    return db.execute(sql, (run_key, ring.segment, rows)).fetchone() is not None


def remove_rings(rings: Sequence[LeftRing]) -> None:
    """Once they are in the store. A ring that the run has begun since, in a later segment, stays."""
    for left in rings:
        with contextlib.suppress(OSError):
            left.path.unlink(missing_ok=True)


def list_flights(store: Store, run_key: int) -> pd.DataFrame:
    """Columns key, segment, at, kind, step, reason, n_steps, n_bytes; in the order they happened."""
    return read_frame(
        store.db,
        "SELECT key, segment, at, kind, step, reason, n_steps, length(steps) + length(batches) AS n_bytes"
        " FROM flights WHERE run_key = ? ORDER BY at, key",
        (run_key,),
    )


def get_flight(store: Store, key: int) -> Flight:
    """Raises FlightNotFound."""
    row = store.db.execute(
        "SELECT run_key, segment, at, kind, step, reason, steps, batches FROM flights WHERE key = ?", (key,)
    ).fetchone()
    if row is None:
        raise FlightNotFound(f"no flight {key} in {store.path}; `list_flights` names those of a run.")
    run_key, segment, at, kind, step, reason, steps, batches = row
    both = Steps(np.frombuffer(steps, dtype=STEP), np.frombuffer(batches, dtype="<u4"))
    return Flight(key, run_key, segment, at, FlightKind(kind), step, reason, both)


def list_flight_examples(store: Store, flight: Flight, step: int, *, limit: int = 100, offset: int = 0) -> pd.DataFrame:
    """The examples that one step of a flight trained on, in the order of its batches, a page at a time.

    Columns place (from 0), position, example_id, text, target, label; no rows where the run has no dataset.
    """
    places = list(enumerate(flight.steps.of(step).tolist()))[offset : offset + limit]
    frame = read_frame(
        store.db,
        "SELECT json_extract(j.value, '$[0]') AS place, w.position, lower(hex(x.id)) AS example_id, x.text, w.target,"
        " d.label_names FROM json_each(?) j JOIN runs r ON r.key = ? JOIN datasets d ON d.key = r.dataset_key"
        " JOIN dataset_rows w ON w.dataset_key = d.key AND w.split = 'train'"
        " AND w.position = json_extract(j.value, '$[1]')"
        " JOIN examples x ON x.key = w.example_key ORDER BY place",
        (json.dumps(places), flight.run_key),
    )
    texts = frame.pop("label_names").tolist()
    names = json.loads(texts[0]) if texts and texts[0] else None
    return frame.assign(label=[named(target, names or None) for target in frame["target"]])
