"""What was decided, as it stands: one row an example, and how far people have come."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from store.connection import Store
from store.frames import read_frame
from store.labelled import label_name, name_of
from store.records import Dataset
from store.standing import DECIDED

if TYPE_CHECKING:
    import pandas as pd

PAUSE_SECONDS = 300.0
"""Whoever decides nothing for longer than this was away; it does not count for the rate."""
RECENT = 50
"""Clicks that the rate is taken over: a bulk decision is one."""


@dataclass(frozen=True)
class Progress:
    """How far the review of a dataset version is."""

    n_examples: int
    n_decided: int
    """Examples that somebody decided on: relabelled, kept, dropped or edited."""
    n_found: int
    """Of those the ones that were not right: everything but kept."""
    n_earlier: int
    """Of those decided the ones that were in an earlier version: what was found there is mended here."""
    n_found_earlier: int
    n_skipped: int
    n_disputed: int
    """Examples of which two authors want different things."""
    by_action: dict[str, int]
    by_author: pd.DataFrame
    """Columns author, n_decided, n_found, n_disputed, last_at, per_minute (nan: too few to tell)."""


def decision_version(store: Store, dataset: Dataset) -> int:
    """A number that moves with every decision anywhere: microseconds to read, made for cache keys.

    It also moves when a decision is undone. What stands in this version moves only with it.
    """
    (version,) = store.db.execute("SELECT coalesce(max(key), 0) FROM decisions").fetchone()
    return int(version)


def current_decisions(store: Store, dataset: Dataset, *, author: str | None = None) -> pd.DataFrame:
    """What stands: one row for each example that anybody decided on, skipped or wrote a note to.

    Where authors differ the newest decision is shown, and is_disputed is True; with `author` that one's alone. Rows are
    in the order of split and position. Columns split, position, example_id, text, given (label name), target (index),
    action, label (name of what it is to be, the given one where nothing else was decided), label_index, new_text
    (missing: as it is), note, author, at, n_authors (who decided), is_disputed, decided_in (name@version, of this
    version or an earlier one), finding, seconds, decision_id.
    """
    which = "s.is_current" if author is None else "s.author = :author"
    return _standing(store, dataset, which, {"author": author})


def list_views(store: Store, dataset: Dataset, split: str, position: int) -> pd.DataFrame:
    """What every author wants of one row, the newest last: a row an author, columns as of `current_decisions`."""
    views = _standing(
        store, dataset, "s.split = :split AND s.position = :position", {"split": split, "position": position}
    )
    return views.sort_values("at", kind="stable", ignore_index=True)


def _standing(store: Store, dataset: Dataset, which: str, values: Mapping[str, object]) -> pd.DataFrame:
    frame = read_frame(
        store.db,
        "SELECT s.split, s.position, lower(hex(x.id)) AS example_id, x.text,"
        f" {name_of('w.target')} AS given, w.target, e.action,"
        f" coalesce({label_name('w.target', 'coalesce(own.label, w.target)')},"
        "  coalesce(own.label, w.target)) AS label, coalesce(own.label, w.target) AS label_index,"
        " own.text AS new_text, e.note, e.author, e.at, s.n_authors, s.is_disputed,"
        " o.name || '@' || o.version AS decided_in, e.finding, e.seconds, e.id AS decision_id"
        " FROM standing_decisions s CROSS JOIN decisions e ON e.key = s.decision_key"
        " CROSS JOIN datasets d ON d.key = s.dataset_key CROSS JOIN datasets o ON o.key = e.dataset_key"
        " CROSS JOIN dataset_rows w ON w.dataset_key = s.dataset_key AND w.split = s.split AND w.position = s.position"
        " CROSS JOIN examples x ON x.key = w.example_key"
        # what was decided in an earlier version is done here
        " LEFT JOIN decisions own ON own.key = e.key AND own.dataset_key = s.dataset_key"
        f" WHERE s.dataset_key = :dataset AND {which} ORDER BY s.split, s.position",
        {"dataset": dataset.key, **values},
    )
    frame["is_disputed"] = frame["is_disputed"].astype(bool)
    return frame


def decision_progress(store: Store, dataset: Dataset) -> Progress:
    """How far the review is, in all and by author; decisions of earlier versions that speak for this one included."""
    db = store.db
    rows = db.execute(
        "SELECT s.action, count(*), sum(s.is_disputed), sum(e.dataset_key <> s.dataset_key)"
        " FROM standing_decisions s JOIN decisions e ON e.key = s.decision_key"
        " WHERE s.dataset_key = ? AND s.is_current GROUP BY s.action",
        (dataset.key,),
    ).fetchall()
    by_action = {action: n for action, n, _, _ in rows}
    earlier = {action: n for action, _, _, n in rows}
    by_author = read_frame(
        db,
        f"SELECT s.author, count(iif(s.action IN ({DECIDED}), 1, NULL)) AS n_decided,"
        f" count(iif(s.action IN ({DECIDED}) AND s.action <> 'keep', 1, NULL)) AS n_found,"
        " sum(s.is_disputed) AS n_disputed, max(e.at) AS last_at"
        " FROM standing_decisions s JOIN decisions e ON e.key = s.decision_key WHERE s.dataset_key = ?"
        " GROUP BY s.author ORDER BY n_decided DESC, s.author",
        (dataset.key,),
    )
    by_author["per_minute"] = [_per_minute(store, dataset, author) for author in by_author["author"]]
    decided = ("relabel", "keep", "drop", "edit")
    n_decided = sum(by_action.get(action, 0) for action in decided)
    n_earlier = sum(earlier.get(action, 0) for action in decided)
    return Progress(
        n_examples=sum(dataset.n_rows.values()),
        n_decided=n_decided,
        n_found=n_decided - by_action.get("keep", 0),
        n_earlier=n_earlier,
        n_found_earlier=n_earlier - earlier.get("keep", 0),
        n_skipped=by_action.get("skip", 0),
        n_disputed=sum(n for _, _, n, _ in rows),
        by_action=by_action,
        by_author=by_author,
    )


def _per_minute(store: Store, dataset: Dataset, author: str) -> float:
    """Clicks a minute over the last ones, pauses left out; nan for fewer than three."""
    times = [
        at
        for (at,) in store.db.execute(
            "SELECT at FROM decisions WHERE dataset_key = ? AND author = ? AND action <> 'undo'"
            " GROUP BY at ORDER BY at DESC LIMIT ?",
            (dataset.key, author, RECENT),
        )
    ]
    gaps = [later - earlier for later, earlier in pairwise(times)]
    worked = [gap for gap in gaps if gap <= PAUSE_SECONDS]
    return 60 * len(worked) / sum(worked) if len(worked) >= 2 else float("nan")
