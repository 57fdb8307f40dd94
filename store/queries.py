"""Which rows of a dataset are of one query."""

from __future__ import annotations

from store.connection import Store
from store.records import Dataset


def read_queries(store: Store, dataset: Dataset, split: str) -> list[str]:
    """What is equal for rows of one query, in position order: the id that the data came with, else the query's text,
    else all that a row has."""
    rows = store.db.execute(
        "SELECT coalesce((SELECT m.value FROM json_each(w.metadata) m WHERE m.key = ?),"
        " json_extract(x.inputs, '$.query'), x.text)"
        " FROM dataset_rows w JOIN examples x ON x.key = w.example_key"
        " WHERE w.dataset_key = ? AND w.split = ? ORDER BY w.position",
        (dataset.source.get("query_id"), dataset.key, split),
    )
    return [str(value) for (value,) in rows]
