"""The steps of a triage: each is written in one transaction, and replaces what it wrote before."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from store.connection import Store
from store.findings import FINDING_COLUMNS, GROUP_COLUMNS, write_findings, write_groups
from store.packed import split_rank
from store.triage_columns import column_problem, write_column
from store.triages import merge_summary, write_triage

if TYPE_CHECKING:
    import pandas as pd

QUEUE_COLUMNS = ("split", "position", "risk", "suggested", "suggested_probability", "n_doubting", "n_voices")


def record_step(
    store: Store,
    triage_key: int,
    step: str,
    *,
    seconds: float | None,
    columns: Mapping[tuple[str, str], npt.NDArray[Any]] | None = None,
    findings: pd.DataFrame | None = None,
    groups: pd.DataFrame | None = None,
    queue: pd.DataFrame | None = None,
    summary: Mapping[str, object] | None = None,
) -> None:
    """Write what a step of a triage found out.

    columns: (split, name) → array `(n,)` or `(n, width)` in position order, of float16, float32, int16, int32 or uint8.
    findings: columns kind, split, position, risk (nan: not known), evidence (a dict), and, where there are any,
    suggested (a label index or a text, None: none). groups: kind, name, risk, evidence, members ({split: positions}).
    queue: split, position, risk, suggested (-1: none), suggested_probability, n_doubting, n_voices (-1: not known);
    all but the first three may be missing. A kind of finding is written by one step, and the queue by one.
    summary: its keys become those of the triage's summary; numbers that are not finite become null.

    Raises ValueError, naming every problem, before anything is written.
    """
    columns = columns or {}
    n_rows = _n_rows(store, triage_key)
    problems = _problems(n_rows, columns, findings, groups, queue)
    if problems:
        raise ValueError(f"step {step} of the triage cannot be written: {' '.join(problems)}")
    kinds = sorted({str(kind) for frame in (findings, groups) if frame is not None for kind in frame["kind"]})
    wrote = {"columns": [list(place) for place in columns], "kinds": kinds, "queue": queue is not None}
    with write_triage(store, triage_key) as db:
        _replace(db, triage_key, step, kinds)
        for (split, name), array in columns.items():
            write_column(db, triage_key, split, name, array)
        if findings is not None:
            write_findings(db, triage_key, findings)
        if groups is not None:
            write_groups(db, triage_key, groups)
        if queue is not None:
            _write_queue(db, triage_key, queue)
        if summary is not None:
            merge_summary(db, triage_key, summary)
        db.execute(
            "INSERT OR REPLACE INTO triage_steps (triage_key, name, seconds, at, wrote) VALUES (?, ?, ?, ?, ?)",
            (triage_key, step, seconds, time.time(), json.dumps(wrote, ensure_ascii=False)),
        )
        db.execute(  # a step that was written is a sign of life
            "UPDATE triages SET heartbeat_at = ? WHERE key = ? AND heartbeat_at IS NOT NULL", (time.time(), triage_key)
        )


def finished_steps(store: Store, triage_key: int) -> dict[str, float | None]:
    """The steps that are written, in the order in which they were: name → seconds."""
    rows = store.db.execute("SELECT name, seconds FROM triage_steps WHERE triage_key = ? ORDER BY at", (triage_key,))
    return dict(rows.fetchall())


def _replace(db: sqlite3.Connection, triage_key: int, step: str, kinds: Sequence[str]) -> None:
    """Remove what the step wrote before, and findings of its kinds whoever wrote them."""
    row = db.execute("SELECT wrote FROM triage_steps WHERE triage_key = ? AND name = ?", (triage_key, step)).fetchone()
    before: dict[str, Any] = json.loads(row[0]) if row else {"columns": [], "kinds": [], "queue": False}
    db.executemany(
        "DELETE FROM triage_columns WHERE triage_key = ? AND split = ? AND name = ?",
        [(triage_key, split, name) for split, name in before["columns"]],
    )
    for kind in {*before["kinds"], *kinds}:
        for table in ("findings", "finding_groups"):
            db.execute(f"DELETE FROM {table} WHERE triage_key = ? AND kind = ?", (triage_key, kind))
    if before["queue"]:
        db.execute("DELETE FROM triage_queue WHERE triage_key = ?", (triage_key,))


def _write_queue(db: sqlite3.Connection, triage_key: int, queue: pd.DataFrame) -> None:
    db.execute("DELETE FROM triage_queue WHERE triage_key = ?", (triage_key,))
    n = len(queue)
    risk = queue["risk"].to_numpy(dtype=np.float64)
    positions = queue["position"].to_numpy(dtype=np.int64)
    splits = queue["split"].tolist()
    ranks = {split: rank for rank, split in enumerate(sorted(set(splits), key=split_rank))}
    by_split = np.array([ranks[split] for split in splits], dtype=np.int64)
    order = np.lexsort((positions, by_split, -np.nan_to_num(risk, nan=-1.0)))

    def column(name: str) -> Sequence[object]:
        """In queue order; what is not known (nan, -1 of a count or a label) is None."""
        if name not in queue:
            return [None] * n
        values = queue[name].to_numpy(dtype=np.float64)[order]
        if name == "suggested_probability":
            return [None if value != value else value for value in values.tolist()]
        return [None if not value >= 0 else int(value) for value in values.tolist()]

    rows: Iterator[tuple[object, ...]] = zip(
        [triage_key] * n,
        range(n),
        [splits[at] for at in order.tolist()],
        positions[order].tolist(),
        [None if value != value else value for value in risk[order].tolist()],
        column("suggested"),
        column("suggested_probability"),
        column("n_doubting"),
        column("n_voices"),
        strict=True,
    )
    db.execute(
        "CREATE TEMP TABLE new_queue (triage_key, place INTEGER PRIMARY KEY, split, position, risk, suggested, p,"
        " n_doubting, n_voices)"
    )
    db.executemany(
        "INSERT INTO new_queue (triage_key, place, split, position, risk, suggested, p, n_doubting, n_voices)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
        rows,
    )
    db.execute(
        "INSERT INTO triage_queue (triage_key, place, split, position, example_key, given, suggested, risk,"
        "  suggested_probability, n_doubting, n_voices)"
        " SELECT n.triage_key, n.place, n.split, n.position, w.example_key,"
        "  iif(typeof(w.target) = 'integer', w.target, NULL), n.suggested, n.risk, n.p, n.n_doubting, n.n_voices"
        " FROM new_queue n JOIN triages t ON t.key = n.triage_key"
        " CROSS JOIN dataset_rows w ON w.dataset_key = t.dataset_key AND w.split = n.split AND w.position = n.position"
        " ORDER BY n.place",
    )
    db.execute("DROP TABLE new_queue")


def _n_rows(store: Store, triage_key: int) -> dict[str, int]:
    (n_rows,) = store.db.execute(
        "SELECT d.n_rows FROM triages t JOIN datasets d ON d.key = t.dataset_key WHERE t.key = ?", (triage_key,)
    ).fetchone()
    return dict(json.loads(n_rows))


def _problems(
    n_rows: Mapping[str, int],
    columns: Mapping[tuple[str, str], npt.NDArray[Any]],
    findings: pd.DataFrame | None,
    groups: pd.DataFrame | None,
    queue: pd.DataFrame | None,
) -> list[str]:
    problems = []
    for (split, name), array in columns.items():
        if split not in n_rows:
            problems.append(f"column {name}: there is no split {split!r}.")
        elif problem := column_problem(f"{name} of {split}", array, n_rows[split]):
            problems.append(problem)
    for what, frame, needed, key in (
        ("findings", findings, FINDING_COLUMNS, ["kind", "split", "position"]),
        ("queue", queue, QUEUE_COLUMNS[:3], ["split", "position"]),
    ):
        if frame is not None:
            problems += _frame_problems(what, frame, needed, key, n_rows)
    if groups is not None:
        if lacks := [name for name in GROUP_COLUMNS if name not in groups]:
            problems.append(f"groups lack {', '.join(lacks)}.")
        else:
            for name, members in zip(groups["name"], groups["members"], strict=True):
                problems += _member_problems(f"group {name!r}", members, n_rows)
    return problems


def _frame_problems(
    what: str, frame: pd.DataFrame, needed: Sequence[str], key: Sequence[str], n_rows: Mapping[str, int]
) -> list[str]:
    if lacks := [name for name in needed if name not in frame]:
        return [f"{what} lack {', '.join(lacks)}."]
    problems = []
    risk = frame["risk"].to_numpy(dtype=np.float64)
    if bool(((risk < 0) | (risk > 1)).any()):
        problems.append(
            f"{what}: a risk is {np.nanmin(risk)} to {np.nanmax(risk)}; allowed is 0 to 1, nan = not known."
        )
    if frame.duplicated(list(key)).any():
        problems.append(f"{what}: a row comes twice, by {', '.join(key)}.")
    for split, positions in frame.groupby("split")["position"]:
        problems += _member_problems(what, {str(split): positions.to_numpy()}, n_rows)
    return problems


def _member_problems(what: str, members: Mapping[str, npt.ArrayLike], n_rows: Mapping[str, int]) -> list[str]:
    problems = []
    for split, positions in members.items():
        array = np.asarray(positions)
        if split not in n_rows:
            problems.append(f"{what}: there is no split {split!r}.")
        elif array.size and not 0 <= array.min() <= array.max() < n_rows[split]:
            problems.append(
                f"{what}: positions {array.min()} to {array.max()} of {split}; it has 0 to {n_rows[split] - 1}."
            )
    return problems
