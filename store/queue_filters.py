"""Filters of the triage queue, as SQL.

A filter that few rows pass is looked up by an index and gives the places to read (a driver); otherwise the queue is
read in its order, and each row is asked, until the page is full.
"""

from __future__ import annotations

import json
import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from store.connection import Store
from store.errors import DecisionRefused
from store.evaluations import match_query
from store.facets import facet_positions
from store.findings import group_members
from store.packed import Positions
from store.patterns import pattern_positions
from store.records import Dataset
from store.standing import DECIDED
from store.targets import Label, label_value
from store.triages import Triage

FEW = 20_000
"""Rows that are looked up and sorted, for a page, rather than met on the way through the queue."""
FEW_TO_COUNT = 200_000
"""The same, to count them, where nothing ends the way early."""


@dataclass(frozen=True)
class QueueFilter:
    """Which rows of a queue; what is empty or None asks for nothing, and all that is asked for must be so."""

    kinds: tuple[str, ...] = ()
    """Any of these kinds of finding."""
    labels: tuple[Label | None, ...] = ()
    """Given labels, by name or index; None: without a label."""
    suggested: tuple[Label, ...] = ()
    pair: tuple[Label, Label] | None = None
    """(given, suggested)."""
    splits: tuple[str, ...] = ()
    search: str = ""
    """Words that the text holds, the last maybe only its beginning; any text is safe."""
    regex: str = ""
    metadata: tuple[tuple[str, object], ...] = ()
    """(field, value) pairs; values of one field are alternatives."""
    decided: bool | None = None
    """Whether anybody decided on it; with an author, whether that one did."""
    author: str | None = None
    """Alone: rows that this author decided on, skipped or wrote a note to."""
    skipped: bool | None = None
    disputed: bool | None = None
    group: int | None = None
    """The key of a group of findings: its members."""
    positions: Mapping[str, Sequence[int]] | Sequence[int] | None = None
    """Rows chosen otherwise, by split; a plain sequence is of the training split."""
    min_risk: float | None = None
    """Of the one kind of finding that is asked for, else of the label."""


@dataclass
class _Condition:
    """`sql` asks a row q of the queue; `driver` selects the places of all rows of which it is true, n of them."""

    sql: str
    driver: str | None = None
    n: float = math.inf


@dataclass(frozen=True)
class Selection:
    """The rows q of the queue that pass, in parts of a statement: FROM (`source`), WHERE, and what to order them by."""

    source: str
    where: str
    values: dict[str, Any]
    risk: str
    order: str


@dataclass
class _Builder:
    store: Store
    triage: Triage
    dataset: Dataset
    few: int
    values: dict[str, Any] = field(default_factory=dict)
    conditions: list[_Condition] = field(default_factory=list)
    chosen: dict[str, Positions] | None = None

    @property
    def db(self) -> sqlite3.Connection:
        return self.store.db

    def ask(self, sql: str, *, rows: str | None = None, driver: str | None = None, **values: object) -> None:
        """Add a condition. `rows`: a query of one row for each row it finds, to see whether they are few."""
        self.values |= values
        n = math.inf
        if rows is not None and driver is not None:
            found = self.db.execute(f"SELECT count(*) FROM ({rows} LIMIT {self.few + 1})", self._used(rows))
            n = int(found.fetchone()[0])
        self.conditions.append(_Condition(sql, driver if n <= self.few else None, n))

    def choose(self, positions: Mapping[str, Positions]) -> None:
        """Only these rows; of several choices those that are in all."""
        if self.chosen is None:
            self.chosen = dict(positions)
        else:
            both = [split for split in positions if split in self.chosen]
            self.chosen = {split: np.intersect1d(self.chosen[split], positions[split]) for split in both}

    def _used(self, sql: str) -> dict[str, Any]:
        return {name: value for name, value in self.values.items() if f":{name}" in sql}


def select_rows(
    store: Store, triage: Triage, dataset: Dataset, filters: QueueFilter, *, to_count: bool = False
) -> Selection:
    """The filters as parts of a statement that reads a page, or counts.

    Raises PatternRefused, and DecisionRefused for labels that the dataset has not.
    """
    few = FEW_TO_COUNT if to_count else FEW
    build = _Builder(store, triage, dataset, few, {"triage": triage.key, "dataset": dataset.key})
    _ask_labels(build, filters)
    _ask_findings(build, filters)
    _ask_decisions(build, filters)
    _ask_texts(build, filters)
    if filters.splits:
        found = (  # with a range of positions SQLite takes the index that has them
            "FROM json_each(:splits) s CROSS JOIN triage_queue p ON p.triage_key = :triage AND p.split = s.value"
            " AND p.position >= 0"
        )
        build.ask(
            "+q.split IN (SELECT value FROM json_each(:splits))",
            rows=f"SELECT 1 {found}",
            driver=f"SELECT p.place {found}",
            splits=json.dumps(filters.splits),
        )
    if filters.min_risk is not None:
        build.ask(f"{'q' if len(filters.kinds) != 1 else 'k'}.risk >= :min_risk", min_risk=filters.min_risk)
    if filters.group is not None:
        build.choose(group_members(store, filters.group))
    if filters.positions is not None:
        build.choose(_by_split(filters.positions))
    for name in dict.fromkeys(name for name, _ in filters.metadata):
        values = [value for other, value in filters.metadata if other == name]
        build.choose(facet_positions(store, dataset, name, values))
    if filters.regex:
        splits = filters.splits or tuple(dataset.n_rows)
        build.choose(pattern_positions(store, dataset, filters.regex, splits))
    if build.chosen is not None:
        _ask_chosen(build, build.chosen)
    return _put_together(build, filters.kinds)


def _put_together(build: _Builder, kinds: Sequence[str]) -> Selection:
    """Of one kind of finding the rows come in the order of its risk, else in that of the queue."""
    drivers = [condition for condition in build.conditions if condition.driver is not None]
    driving = min(drivers, key=lambda condition: condition.n, default=None)
    parts = [condition.sql for condition in build.conditions if condition is not driving]
    if driving is not None:
        parts.insert(0, f"q.place IN ({driving.driver})")
    queue, finding = "triage_queue q", "findings k"
    queued = "q.triage_key = :triage"
    if len(kinds) != 1:
        scanned = "" if driving else " NOT INDEXED"
        return Selection(f"FROM {queue}{scanned}", " AND ".join([queued, *parts]), build.values, "q.risk", "q.place")
    build.values["kind"] = kinds[0]
    found = "k.triage_key = :triage AND k.kind = :kind AND k.split = q.split AND k.position = q.position"
    first, second = (queue, finding) if driving else (finding, queue)
    where = " AND ".join([queued, found, *parts])
    return Selection(f"FROM {first} CROSS JOIN {second}", where, build.values, "k.risk", "k.place")


def _ask_labels(build: _Builder, filters: QueueFilter) -> None:
    problems: list[str] = []

    def index(label: Label | None) -> object:
        try:
            return label_value(build.dataset, label)
        except ValueError as error:
            problems.append(str(error))
            return None

    pair = None if filters.pair is None else tuple(index(label) for label in filters.pair)
    given = [index(label) for label in filters.labels if label is not None]
    suggested = [index(label) for label in filters.suggested]
    if problems:
        raise DecisionRefused(" ".join(problems))
    of_queue = "FROM triage_queue p WHERE p.triage_key = :triage AND"
    if pair is not None:
        condition = "{0}.given = :pair_given AND {0}.suggested = :pair_suggested"
        found = f"{of_queue} {condition.format('p')}"
        build.ask(
            "+q.given = :pair_given AND +q.suggested = :pair_suggested",
            rows=f"SELECT 1 {found}",
            driver=f"SELECT p.place {found}",
            pair_given=pair[0],
            pair_suggested=pair[1],
        )
    if filters.labels:
        is_any = "IN (SELECT value FROM json_each(:labels))"
        or_none = None in filters.labels
        found = f"{of_queue} (p.given {is_any}{' OR p.given IS NULL' if or_none else ''})"
        build.ask(
            f"(+q.given {is_any}{' OR +q.given IS NULL' if or_none else ''})",
            rows=f"SELECT 1 {found}",
            driver=f"SELECT p.place {found}",
            labels=json.dumps(given),
        )
    if filters.suggested:
        found = f"{of_queue} p.suggested IN (SELECT value FROM json_each(:suggested))"
        build.ask(
            "+q.suggested IN (SELECT value FROM json_each(:suggested))",
            rows=f"SELECT 1 {found}",
            driver=f"SELECT p.place {found}",
            suggested=json.dumps(suggested),
        )


def _ask_findings(build: _Builder, filters: QueueFilter) -> None:
    if len(filters.kinds) > 1:
        found = "FROM findings f WHERE f.triage_key = :triage AND f.kind IN (SELECT value FROM json_each(:kinds))"
        build.ask(
            "EXISTS (SELECT 1 FROM findings f WHERE f.triage_key = :triage AND f.split = q.split"
            " AND f.position = q.position AND f.kind IN (SELECT value FROM json_each(:kinds)))",
            rows=f"SELECT 1 {found}",
            driver="SELECT p.place FROM findings f CROSS JOIN triage_queue p ON p.triage_key = :triage"
            " AND p.split = f.split AND p.position = f.position"
            " WHERE f.triage_key = :triage AND f.kind IN (SELECT value FROM json_each(:kinds))",
            kinds=json.dumps(filters.kinds),
        )


def _ask_decisions(build: _Builder, filters: QueueFilter) -> None:
    asked: list[tuple[str, bool]] = []
    if filters.author is not None:
        build.values["author"] = filters.author
        decided = "" if filters.decided is None else f" AND s.action IN ({DECIDED})"
        asked.append((f"s.author = :author{decided}", filters.decided is not False))
    elif filters.decided is not None:
        asked.append((f"s.is_current AND s.action IN ({DECIDED})", filters.decided))
    if filters.skipped is not None:
        asked.append(("s.is_current AND s.action = 'skip'", filters.skipped))
    if filters.disputed is not None:
        asked.append(("s.is_current AND s.is_disputed", filters.disputed))
    for condition, is_so in asked:
        of_row = (
            "EXISTS (SELECT 1 FROM standing_decisions s WHERE s.dataset_key = :dataset AND s.split = q.split"
            f" AND s.position = q.position AND {condition})"
        )
        if not is_so:
            build.ask(f"NOT {of_row}")
            continue
        found = f"FROM standing_decisions s WHERE s.dataset_key = :dataset AND {condition}"
        build.ask(
            of_row,
            rows=f"SELECT 1 {found}",
            driver="SELECT p.place FROM standing_decisions s CROSS JOIN triage_queue p ON p.triage_key = :triage"
            f" AND p.split = s.split AND p.position = s.position WHERE s.dataset_key = :dataset AND {condition}",
        )


def _ask_texts(build: _Builder, filters: QueueFilter) -> None:
    if filters.search.strip():
        build.ask(
            "q.example_key IN (SELECT rowid FROM examples_fts WHERE examples_fts MATCH :search)",
            rows="SELECT 1 FROM examples_fts WHERE examples_fts MATCH :search",
            driver="SELECT p.place FROM examples_fts x CROSS JOIN triage_queue p ON p.example_key = x.rowid"
            " AND p.triage_key = :triage WHERE examples_fts MATCH :search",
            search=match_query(filters.search),
        )


def _ask_chosen(build: _Builder, chosen: Mapping[str, Positions]) -> None:
    """Few rows are looked up; of many a row is asked whether it is one of them."""
    n = sum(len(positions) for positions in chosen.values())
    if n <= build.few:
        build.values["chosen"] = json.dumps({split: positions.tolist() for split, positions in chosen.items()})
        rows = "FROM json_each(:chosen) s CROSS JOIN json_each(s.value) c"
        build.conditions.append(
            _Condition(
                f"(q.split, q.position) IN (SELECT s.key, c.value {rows})",
                f"SELECT p.place {rows} CROSS JOIN triage_queue p ON p.triage_key = :triage AND p.split = s.key"
                " AND p.position = c.value",
                n,
            )
        )
        return
    marks = {}
    for split, positions in chosen.items():
        marked = np.zeros(build.dataset.n_rows.get(split, 0), dtype=np.uint8)
        marked[positions[positions < len(marked)]] = 1
        marks[split] = marked.tobytes()

    def is_chosen(split: str, position: int) -> int:
        return marks[split][position] if split in marks else 0

    build.db.create_function("is_chosen", 2, is_chosen)
    build.ask("is_chosen(q.split, q.position)")


def _by_split(positions: Mapping[str, Sequence[int]] | Sequence[int]) -> dict[str, Positions]:
    given = positions if isinstance(positions, Mapping) else {"train": positions}
    return {split: np.unique(np.asarray(rows, dtype=np.int32)) for split, rows in given.items()}
