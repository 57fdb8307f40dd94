"""Findings: reasons to look at examples, one by one or as groups that share something."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from store.connection import Store
from store.frames import read_frame
from store.packed import Positions, pack_splits, unpack_splits
from store.plain import to_numbers
from store.standing import DECIDED

if TYPE_CHECKING:
    import pandas as pd

FINDING_COLUMNS = ("kind", "split", "position", "risk", "evidence")
GROUP_COLUMNS = ("kind", "name", "risk", "evidence", "members")


def write_findings(db: sqlite3.Connection, triage_key: int, findings: pd.DataFrame) -> None:
    """Within a transaction: findings as `record_step` takes them, the highest risk of each kind first."""
    ordered = findings.sort_values("risk", ascending=False, kind="stable", na_position="last")
    places = ordered.groupby("kind").cumcount()
    suggested = ordered["suggested"] if "suggested" in ordered else [None] * len(ordered)

    def rows() -> Iterator[tuple[object, ...]]:
        for kind, place, split, position, risk, each, evidence in zip(
            ordered["kind"], places, ordered["split"], ordered["position"], ordered["risk"], suggested,
            ordered["evidence"], strict=True,
        ):  # fmt: skip
            yield triage_key, kind, int(place), split, int(position), _number(risk), _suggestion(each), _json(evidence)

    db.executemany(
        "INSERT INTO findings (triage_key, kind, place, split, position, risk, suggested, evidence)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows(),
    )


def write_groups(db: sqlite3.Connection, triage_key: int, groups: pd.DataFrame) -> None:
    """Within a transaction: groups as `record_step` takes them."""

    def rows() -> Iterator[tuple[object, ...]]:
        for kind, name, risk, evidence, members in zip(*(groups[column] for column in GROUP_COLUMNS), strict=True):
            splits, positions = pack_splits(members)
            yield triage_key, kind, name, _number(risk), len(positions) // 4, _json(evidence), splits, positions

    db.executemany(
        "INSERT INTO finding_groups (triage_key, kind, name, risk, n, evidence, splits, positions)"
        " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
        rows(),
    )


def count_findings(store: Store, triage_key: int) -> pd.DataFrame:
    """How many findings there are: columns kind, split, n, n_decided (whose example somebody decided on)."""
    frame = read_frame(
        store.db,
        "SELECT kind, split, count(*) AS n FROM findings WHERE triage_key = ? GROUP BY kind, split"
        " ORDER BY kind, split",
        (triage_key,),
    )
    decided = {
        (kind, split): n
        for kind, split, n in store.db.execute(
            "SELECT f.kind, f.split, count(*) FROM triages t"
            " CROSS JOIN standing_decisions s ON s.dataset_key = t.dataset_key AND s.is_current"
            f"  AND s.action IN ({DECIDED})"
            " CROSS JOIN findings f ON f.triage_key = t.key AND f.split = s.split AND f.position = s.position"
            " WHERE t.key = ? GROUP BY f.kind, f.split",
            (triage_key,),
        )
    }
    frame["n_decided"] = [decided.get(place, 0) for place in zip(frame["kind"], frame["split"], strict=True)]
    return frame


def list_findings(
    store: Store,
    triage_key: int,
    *,
    kind: str | None = None,
    split: str | None = None,
    position: int | None = None,
    positions: Mapping[str, Sequence[int]] | None = None,
    limit: int = 100,
    offset: int = 0,
) -> pd.DataFrame:
    """Findings of a kind, of a split, of one example (split and position), of many (positions by split): the highest
    risk of each kind first.

    Columns kind, place (from 0 within its kind), split, position, risk, suggested (a label index or a text),
    suggested_label (its name), evidence (a dict).
    """
    conditions = {"f.kind = ?": kind, "f.split = ?": split, "f.position = ?": position}
    given: dict[str, object] = {condition: value for condition, value in conditions.items() if value is not None}
    if positions is not None:
        among = "(f.split, f.position) IN (SELECT s.key, c.value FROM json_each(?) s, json_each(s.value) c)"
        given[among] = json.dumps({name: [int(each) for each in some] for name, some in positions.items()})
    frame = read_frame(
        store.db,
        "SELECT f.kind, f.place, f.split, f.position, f.risk, f.suggested,"
        " iif(typeof(f.suggested) = 'integer', json_extract(d.label_names, '$[' || f.suggested || ']'), NULL)"
        "  AS suggested_label, f.evidence"
        " FROM findings f JOIN triages t ON t.key = f.triage_key JOIN datasets d ON d.key = t.dataset_key"
        f" WHERE {' AND '.join(['f.triage_key = ?', *given])} ORDER BY f.kind, f.place LIMIT ? OFFSET ?",
        (triage_key, *given.values(), limit, offset),
    )
    frame["evidence"] = [json.loads(text) for text in frame["evidence"]]
    return frame


def list_groups(store: Store, triage_key: int, kind: str | None = None) -> pd.DataFrame:
    """Columns key, kind, name, risk, n (members), evidence (a dict); of each kind the worst first."""
    frame = read_frame(
        store.db,
        "SELECT key, kind, name, risk, n, evidence FROM finding_groups WHERE triage_key = ?1"
        " AND (?2 IS NULL OR kind = ?2) ORDER BY kind, risk DESC NULLS LAST, key",
        (triage_key, kind),
    )
    frame["evidence"] = [json.loads(text) for text in frame["evidence"]]
    return frame


def group_members(store: Store, group_key: int) -> dict[str, Positions]:
    """The positions of a group's members, rising, by split; nothing where there is no such group."""
    row = store.db.execute("SELECT splits, positions FROM finding_groups WHERE key = ?", (group_key,)).fetchone()
    return unpack_splits(*row) if row else {}


def _number(value: Any) -> float | None:
    number = float(value)
    return None if number != number else number


def _suggestion(value: Any) -> int | float | str | None:
    plain = to_numbers(value)
    if plain is None or isinstance(plain, str):
        return plain
    if isinstance(plain, float) and plain.is_integer():  # a column of labels and nothing is one of floats
        plain = int(plain)
    return None if plain == -1 else plain


def _json(evidence: object) -> str:
    return json.dumps(to_numbers(evidence), ensure_ascii=False)
