"""The queue of a triage: which examples to look at, in which order, a page at a time."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Literal

from store.connection import Store
from store.frames import read_frame
from store.labelled import name_of
from store.queue_filters import QueueFilter, Selection, select_rows
from store.records import Dataset
from store.triages import Triage

if TYPE_CHECKING:
    import pandas as pd

Sort = Literal["risk", "position", "surest"]

_SPLIT_RANK = "CASE q.split WHEN 'train' THEN 0 WHEN 'validation' THEN 1 WHEN 'test' THEN 2 ELSE 3 END"
_SORTS = {
    "position": f"{_SPLIT_RANK}, q.split, q.position",
    "surest": "q.suggested_probability DESC NULLS LAST, q.place",
}


def list_queue(
    store: Store,
    triage: Triage,
    dataset: Dataset,
    *,
    filters: QueueFilter | None = None,
    sort: Sort = "risk",
    offset: int = 0,
    limit: int = 50,
) -> pd.DataFrame:
    """One page of the queue.

    sort: risk (the highest first), position, surest (the most probable suggestion first). Where the filter asks for
    exactly one kind of finding, risk is that of the finding: in the order, in min_risk and in the column.
    Columns place, split, position, example_id, text, given (index), label (its name), suggested, suggested_label,
    suggested_probability, risk, n_doubting, n_voices, kinds (a list), action (missing: nobody did anything), new_label
    (name of what it is to be; missing: as it is), new_text, note, author, at, n_authors, is_disputed, decided_in
    (name@version, where an earlier version speaks).

    Raises PatternRefused, and DecisionRefused for labels that the dataset does not have.
    """
    chosen = select_rows(store, triage, dataset, filters or QueueFilter())
    page = _page(
        chosen, sort, "q.*, {risk} AS own_risk, {order} AS nth" if sort == "risk" else "q.*, {risk} AS own_risk"
    )
    frame = read_frame(
        store.db,
        "SELECT q.place, q.split, q.position, lower(hex(x.id)) AS example_id, x.text, q.given,"
        " json_extract(d.label_names, '$[' || q.given || ']') AS label, q.suggested,"
        " json_extract(d.label_names, '$[' || q.suggested || ']') AS suggested_label, q.suggested_probability,"
        " q.own_risk AS risk, q.n_doubting, q.n_voices,"
        " (SELECT json_group_array(f.kind) FROM findings f WHERE f.triage_key = :triage AND f.split = q.split"
        "  AND f.position = q.position) AS kinds,"
        f" e.action, iif(e.dataset_key = d.key, {name_of('e.label')},"
        "  NULL) AS new_label, iif(e.dataset_key = d.key, e.text, NULL) AS new_text, e.note, e.author, e.at,"
        " s.n_authors, s.is_disputed,"
        " (SELECT o.name || '@' || o.version FROM datasets o WHERE o.key = e.dataset_key AND o.key <> d.key)"
        "  AS decided_in"
        f" FROM ({page}) q CROSS JOIN datasets d ON d.key = :dataset CROSS JOIN examples x ON x.key = q.example_key"
        " LEFT JOIN standing_decisions s ON s.dataset_key = :dataset AND s.split = q.split"
        "  AND s.position = q.position AND s.is_current"
        f" LEFT JOIN decisions e ON e.key = s.decision_key ORDER BY {_SORTS.get(sort, 'q.nth')}",
        {**chosen.values, "limit": limit, "offset": offset},
    )
    frame["kinds"] = [json.loads(kinds) for kinds in frame["kinds"]]
    frame["is_disputed"] = frame["is_disputed"].fillna(0).astype(bool)
    return frame


def list_places(
    store: Store,
    triage: Triage,
    dataset: Dataset,
    *,
    filters: QueueFilter | None = None,
    sort: Sort = "risk",
    offset: int = 0,
    limit: int = 1_000_000,
) -> pd.DataFrame:
    """As `list_queue`, without texts: columns place, split, position, given, suggested, suggested_probability, risk.

    Made for what is done to a whole filter at once.
    """
    chosen = select_rows(store, triage, dataset, filters or QueueFilter())
    columns = "q.place, q.split, q.position, q.given, q.suggested, q.suggested_probability, {risk} AS risk"
    return read_frame(store.db, _page(chosen, sort, columns), {**chosen.values, "limit": limit, "offset": offset})


def count_queue(store: Store, triage: Triage, dataset: Dataset, filters: QueueFilter | None = None) -> int:
    """How many rows of the queue pass the filters. Raises what `list_queue` raises."""
    chosen = select_rows(store, triage, dataset, filters or QueueFilter(), to_count=True)
    (n,) = store.db.execute(f"SELECT count(*) {chosen.source} WHERE {chosen.where}", chosen.values).fetchone()
    return int(n)


def _page(chosen: Selection, sort: Sort, columns: str) -> str:
    """The statement that finds one page; `{risk}` and `{order}` in the columns stand for those of the selection."""
    if sort != "risk" and sort not in _SORTS:
        raise ValueError(f"sort is {sort!r}; allowed are risk, {', '.join(_SORTS)}.")
    return (
        f"SELECT {columns.format(risk=chosen.risk, order=chosen.order)} {chosen.source} WHERE {chosen.where}"
        f" ORDER BY {_SORTS.get(sort, chosen.order)} LIMIT :limit OFFSET :offset"
    )
