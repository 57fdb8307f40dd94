"""What stands of all the decisions: each author's last word on each row of a dataset version.

`standing_decisions` is made from `decisions`, in the transaction that adds to them. A decision also speaks for later
versions of its dataset: for rows of the same split whose example and label are what was decided. Later versions are
those made from it, and those of the same name with a higher number, and theirs.

Of a row on which several decided the newest decision is current. It is disputed unless more than half of them want what
that decision wants: two who differ, and a third who is of neither's mind or alone against both. A third who agrees with
one of two settles it.
"""

import json
import sqlite3
from collections.abc import Iterable

from store.labelled import name_of

DECIDED = "'relabel', 'keep', 'drop', 'edit'"
"""Actions after which nobody needs to look at the row again, as SQL writes them."""

# :dataset and all versions that came before it; the same, with those that came after.
_EARLIER = (
    "WITH RECURSIVE line (key) AS (SELECT :dataset UNION SELECT e.key FROM line l JOIN datasets d ON d.key = l.key"
    " JOIN datasets e ON e.key = d.parent_key OR (e.name = d.name AND e.version < d.version))"
)
_LATER = (
    "WITH RECURSIVE line (key) AS (SELECT :dataset UNION SELECT e.key FROM line l JOIN datasets d ON d.key = l.key"
    " JOIN datasets e ON e.parent_key = d.key OR (e.name = d.name AND e.version > d.version))"
)
# What decisions leave behind, and the rows of :target in which it stands (their labels are looked at later).
_SPOKEN_FOR = (
    "WITH results AS MATERIALIZED (SELECT DISTINCT d.result_id, d.split {decisions})"
    " SELECT w.split, w.position FROM results r CROSS JOIN examples x ON x.id = r.result_id"
    " CROSS JOIN dataset_rows w ON w.example_key = x.key AND w.dataset_key = :target AND w.split = r.split"
)
_OF_TOUCHED = _SPOKEN_FOR.format(
    decisions="FROM temp.touched t CROSS JOIN decisions d ON d.dataset_key = :dataset AND d.split = t.split"
    " AND d.position = t.position"
)
_OF_EARLIER = _SPOKEN_FOR.format(
    decisions="FROM decisions d WHERE d.dataset_key IN (SELECT value FROM json_each(:line))"
)

# Each decision that counts for the rows in temp.touched, with what it makes of the row: those of this version, and of
# earlier ones the last word of each author on each text with each label (a text may be there thousands of times).
_CANDIDATES = f"""
wanted AS MATERIALIZED (
    SELECT DISTINCT x.id, t.split
    FROM temp.touched t
    CROSS JOIN dataset_rows w ON w.dataset_key = :dataset AND w.split = t.split AND w.position = t.position
    CROSS JOIN examples x ON x.key = w.example_key),
earlier AS MATERIALIZED (
    SELECT d.result_id, d.split, d.author, d.action, d.key, max(d.at) AS at,
           {name_of("v.target", "coalesce(d.label, v.target)", names="o.label_names")} AS label
    FROM wanted i
    CROSS JOIN counted_decisions d ON d.result_id = i.id AND d.split = i.split AND d.dataset_key <> :dataset
        AND d.dataset_key IN (SELECT value FROM json_each(:line))
    CROSS JOIN datasets o ON o.key = d.dataset_key
    CROSS JOIN dataset_rows v ON v.dataset_key = d.dataset_key AND v.split = d.split AND v.position = d.position
    GROUP BY d.result_id, d.split, d.author, 7),
candidates AS (
    SELECT t.split, t.position, d.key, d.author, d.action, d.at,
           iif(d.action = 'drop', 'drop', json_array(coalesce(d.label, w.target), d.text)) AS outcome
    FROM temp.touched t
    CROSS JOIN dataset_rows w ON w.dataset_key = :dataset AND w.split = t.split AND w.position = t.position
    CROSS JOIN counted_decisions d ON d.dataset_key = :dataset AND d.split = t.split AND d.position = t.position
    UNION ALL
    SELECT t.split, t.position, e.key, e.author, e.action, e.at, json_array(w.target, NULL)
    FROM temp.touched t
    CROSS JOIN dataset_rows w ON w.dataset_key = :dataset AND w.split = t.split AND w.position = t.position
    CROSS JOIN datasets n ON n.key = :dataset
    CROSS JOIN examples x ON x.key = w.example_key
    CROSS JOIN earlier e ON e.result_id = x.id AND e.split = t.split
        AND e.label IS {name_of("w.target", names="n.label_names")})
"""
_RANKED = f"""
    SELECT *, CASE WHEN action IN ({DECIDED}) THEN 0 WHEN action = 'skip' THEN 1 ELSE 2 END AS rank
    FROM candidates
"""
_REFRESH = f"""
INSERT INTO standing_decisions
    (dataset_key, split, position, author, decision_key, action, is_current, is_disputed, n_authors)
WITH {_CANDIDATES}, ranked AS ({_RANKED}), last AS (
    SELECT * FROM (
        SELECT *, row_number() OVER (PARTITION BY split, position, author ORDER BY rank, at DESC, key DESC) AS nth
        FROM ranked)
    WHERE nth = 1),
compared AS (
    SELECT *, row_number() OVER newest AS age, rank = 0 AND outcome = first_value(outcome) OVER newest AS agrees
    FROM last WINDOW newest AS (PARTITION BY split, position ORDER BY rank, at DESC, key DESC))
SELECT :dataset, split, position, author, key, action, age = 1,
       2 * sum(agrees) OVER row <= sum(rank = 0) OVER row AND sum(rank = 0) OVER row > 0,
       sum(rank = 0) OVER row
FROM compared WINDOW row AS (PARTITION BY split, position)
"""


def refresh_rows(db: sqlite3.Connection, dataset_key: int, rows: Iterable[tuple[str, int]]) -> None:
    """Within a transaction: what stands for these rows (split, position), here and in later versions."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS touched (split TEXT, position INTEGER, PRIMARY KEY (split, position))")
    db.execute("DELETE FROM temp.touched")
    db.executemany("INSERT OR IGNORE INTO temp.touched VALUES (?, ?)", rows)
    later = [key for key in _line(db, _LATER, dataset_key) if key != dataset_key]
    of_later = {key: db.execute(_OF_TOUCHED, {"dataset": dataset_key, "target": key}).fetchall() for key in later}
    _refresh(db, dataset_key)
    for key, places in of_later.items():
        if places:
            db.execute("DELETE FROM temp.touched")
            db.executemany("INSERT OR IGNORE INTO temp.touched VALUES (?, ?)", places)
            _refresh(db, key)


def refresh_dataset(db: sqlite3.Connection, dataset_key: int) -> None:
    """Within a transaction: what stands for all rows of a dataset version, by its own decisions and earlier ones."""
    db.execute("CREATE TEMP TABLE IF NOT EXISTS touched (split TEXT, position INTEGER, PRIMARY KEY (split, position))")
    db.execute("DELETE FROM temp.touched")
    db.execute(
        "INSERT OR IGNORE INTO temp.touched SELECT split, position FROM standing_decisions WHERE dataset_key = :dataset"
        " UNION SELECT split, position FROM decisions WHERE dataset_key = :dataset AND position IS NOT NULL",
        {"dataset": dataset_key},
    )
    line = [key for key in _line(db, _EARLIER, dataset_key) if key != dataset_key]
    db.execute(
        f"INSERT OR IGNORE INTO temp.touched {_OF_EARLIER}",
        {"target": dataset_key, "line": json.dumps(line)},
    )
    _refresh(db, dataset_key)


def refresh_all(db: sqlite3.Connection) -> None:
    """Within a transaction: what stands in every dataset version, where anybody decided anything."""
    db.execute("DELETE FROM standing_decisions")
    for (key,) in db.execute("SELECT key FROM datasets WHERE version IS NOT NULL").fetchall():
        refresh_dataset(db, key)


def _refresh(db: sqlite3.Connection, dataset_key: int) -> None:
    """What stands for the rows in temp.touched."""
    db.execute(
        "DELETE FROM standing_decisions"
        " WHERE dataset_key = ? AND (split, position) IN (SELECT split, position FROM temp.touched)",
        (dataset_key,),
    )
    line = json.dumps(_line(db, _EARLIER, dataset_key))
    db.execute(_REFRESH, {"dataset": dataset_key, "line": line})


def _line(db: sqlite3.Connection, query: str, dataset_key: int) -> list[int]:
    rows = db.execute(
        f"{query} SELECT key FROM line JOIN datasets USING (key) WHERE version IS NOT NULL OR key = :dataset",
        {"dataset": dataset_key},
    )
    return [key for (key,) in rows]
