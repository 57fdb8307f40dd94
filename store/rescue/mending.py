"""Making rows that were saved from a damaged store fit together again.

A row whose page was lost may be what thousands of saved rows refer to. Its key, and the columns that some index holds,
are often still known: such rows are **rebuilt** from those, and the rest says that it was lost. Rows that refer to
something that cannot be rebuilt are **dropped**. What can be derived is derived again.
"""

import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from store.facets import refresh_facets
from store.ids import new_run_id
from store.metrics import refresh_summary
from store.standing import refresh_all

DAMAGED = "damaged:"
"""In front of the fingerprint of a dataset that is not what it was any more."""
LOST_TEXT = "(this text was on a damaged page of the store)"
LOST_DECISION = "(this decision was on a damaged page of the store)"
CAUSE = "the record of this run was on a damaged page of the store; what else was kept about it is here"

# Table → keys that are wanted → what indexes still say of those rows, column by column.
Known = Callable[[str, set[int]], Mapping[int, Mapping[str, object]]]

# For tables that others refer to: what their required columns say when no index does. SQL expressions of the new store;
# :key is the row's, :now the time of the rescue, :id a new id, :cause as above. A required column that is missing here
# (and in every index) makes the row impossible to rebuild.
REBUILT: dict[str, dict[str, str]] = {
    "datasets": {
        "name": "'rescued-' || :key",
        "version": "1",
        "fingerprint": "'rescued:' || :key",
        "source": """'{"kind": "rescued"}'""",
        "n_rows": "(SELECT json_group_object(split, n) FROM"
        " (SELECT split, count(*) AS n FROM dataset_rows WHERE dataset_key = :key GROUP BY split))",
        "created_at": ":now",
    },
    "examples": {"id": "randomblob(16)", "text": f"'{LOST_TEXT}'"},
    "runs": {"id": ":id", "name": "'rescued'", "status": "'failed'", "cause": ":cause", "created_at": ":now"},
    "metric_keys": {"name": "'rescued-' || :key"},
    "evaluations": {
        "n_examples": "(SELECT max(n) FROM (SELECT n FROM scores WHERE evaluation_key = :key"
        " UNION ALL SELECT count(*) FROM predictions WHERE evaluation_key = :key))",
        "at": ":now",
    },
    "embedding_sets": {
        "fingerprint": "'rescued:' || :key",
        "dataset_key": "(SELECT r.dataset_key FROM run_embeddings e JOIN runs r ON r.key = e.run_key"
        " WHERE e.set_key = :key AND r.dataset_key IS NOT NULL)",
        "n_dimensions": "(SELECT length(block) / 2 / n_examples FROM embeddings WHERE set_key = :key)",
        "pooling": "'unknown'",
    },
    "sweeps": {
        "id": ":id",
        "name": "'rescued'",
        "status": "'failed'",
        "cause": ":cause",
        "recipe_text": "''",
        "recipe": "'{}'",
        "fingerprint": "'rescued:' || :key",
        "objectives": "'[]'",
        "created_at": ":now",
    },
    "trials": {
        "parameters": "'{}'",
        "status": "'failed'",
        "cause": ":cause",
        "recipe_hash": "'rescued:' || :key",
        "created_at": ":now",
    },
    "decisions": {
        "id": ":id",
        "batch": ":id",
        "action": "'note'",
        "note": f"'{LOST_DECISION}'",
        "author": "'unknown'",
        "at": ":now",
    },
    "triages": {
        "id": ":id",
        "status": "'failed'",
        "cause": "'the record of this triage was on a damaged page of the store'",
        "fingerprint": "'rescued:' || :key",
        "versions": "'{}'",
        "sources": "'[]'",
        "created_at": ":now",
    },
    "opinions": {
        "id": ":id",
        "fingerprint": "'rescued:' || :key",
        "kind": "'rescued'",
        "name": "'rescued'",
        "status": "'failed'",
        "n_classes": "(SELECT length(block) / 2 / n_examples FROM opinion_blocks WHERE opinion_key = :key)",
        "created_at": ":now",
    },
    "jobs": {
        "id": ":id",
        "kind": "'rescued'",
        "name": "'rescued'",
        "arguments": "'{}'",
        "status": "'failed'",
        "cause": ":cause",
        "place": "0",
        "created_at": ":now",
    },
}


@dataclass
class Mended:
    """What it took: rows rebuilt by table, and of those the keys; rows dropped by table."""

    n_rebuilt: Counter[str] = field(default_factory=Counter)
    n_dropped: Counter[str] = field(default_factory=Counter)
    keys: dict[str, set[int]] = field(default_factory=dict)


def mend(db: sqlite3.Connection, known: Known, damaged: set[str]) -> Mended:
    """Make rows fit that came from a file in which the tables `damaged` lost some, in a transaction of the caller's."""
    mended = Mended()
    without_labels = _rebuild_dataset_rows(db, known) if "dataset_rows" in damaged else Counter[int]()
    mended.n_rebuilt["dataset_rows"] = without_labels.total()
    while _mend_references(db, known, mended):  # a rebuilt row may refer to another that was lost
        pass
    if db.execute("SELECT 1 FROM store_version").fetchone() is None:
        db.execute("INSERT INTO store_version VALUES (1, ?)", (int(time.time()),))  # beyond any count of writes
    _mend_segments(db)
    if damaged & {"metrics", "metric_latest", "metric_keys", "segments", "runs"}:
        _mend_summaries(db)
    _mend_derived(db, damaged)
    _mark_incomplete_datasets(db, set(without_labels), mended.keys.get("examples", set()))
    db.execute("INSERT INTO examples_fts (examples_fts) VALUES ('rebuild')")
    return mended


def _mend_references(db: sqlite3.Connection, known: Known, mended: Mended) -> bool:
    """One pass over everything that refers to something; whether it changed anything."""
    has_changed = False
    tables = [name for (name,) in db.execute("SELECT name FROM sqlite_schema WHERE type = 'table'").fetchall()]
    for table in tables:
        for parent, column, nullable in references(db, table):
            missing = {
                key
                for (key,) in db.execute(
                    f"SELECT DISTINCT {column} FROM {table} c WHERE {column} IS NOT NULL"
                    f" AND NOT EXISTS (SELECT 1 FROM {parent} p WHERE p.key = c.{column})"
                )
            }
            if not missing:
                continue
            has_changed = True
            rebuilt = _rebuild(db, parent, missing, known)
            mended.n_rebuilt[parent] += len(rebuilt)
            mended.keys.setdefault(parent, set()).update(rebuilt)
            for key in missing - rebuilt:
                if nullable:
                    db.execute(f"UPDATE {table} SET {column} = NULL WHERE {column} = ?", (key,))
                else:
                    mended.n_dropped[table] += db.execute(f"DELETE FROM {table} WHERE {column} = ?", (key,)).rowcount
    return has_changed


def references(db: sqlite3.Connection, table: str) -> list[tuple[str, str, bool]]:
    """(parent table, column that holds its key, whether that may be NULL) of everything that a table refers to."""
    return [
        (parent, column, not not_null and not is_key)
        for parent, column, not_null, is_key in db.execute(
            'SELECT f."table", f."from", c."notnull", c.pk FROM pragma_foreign_key_list(:table) f'
            ' JOIN pragma_table_info(:table) c ON c.name = f."from" ORDER BY c.cid',
            {"table": table},
        )
    ]


def _rebuild(db: sqlite3.Connection, table: str, keys: set[int], known: Known) -> set[int]:
    """Put rows with these keys back, as far as they are known; returns the keys of those that could be."""
    fill = REBUILT.get(table)
    if fill is None:
        return set()
    columns = [name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table,))]
    done = set()
    for key, values in {**{key: {} for key in keys}, **known(table, keys)}.items():
        given = {name: value for name, value in values.items() if name in columns and name != "key"}
        filled = [name for name in fill if name in columns and name not in given]
        bound = {"key": key, "now": time.time(), "id": new_run_id(), "cause": CAUSE}
        bound |= {f"given_{name}": value for name, value in given.items()}
        names = ["key", *given, *filled]
        expressions = [":key", *(f":given_{name}" for name in given), *(fill[name] for name in filled)]
        made = db.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(names)}) SELECT {', '.join(expressions)}", bound)
        if made.rowcount:
            done.add(key)
    return done


def _rebuild_dataset_rows(db: sqlite3.Connection, known: Known) -> Counter[int]:
    """Rows without their labels: positions stay what they are, and which example stands there. Dataset key → rows."""
    made: Counter[int] = Counter()
    for values in known("dataset_rows", set()).values():
        made[int(str(values["dataset_key"]))] += db.execute(
            "INSERT OR IGNORE INTO dataset_rows (dataset_key, split, position, example_key)"
            " VALUES (:dataset_key, :split, :position, :example_key)",
            values,
        ).rowcount
    return +made


def _mend_segments(db: sqlite3.Connection) -> None:
    """Every segment that something was recorded in has a row; else no view would show it."""
    made = db.execute(
        "INSERT OR IGNORE INTO segments (run_key, number, start_step, started_at)"
        " SELECT run_key, segment, iif(segment = 1, 0, max(min(step) - 1, 0)), :now FROM ("
        "  SELECT run_key, segment, step FROM metrics UNION ALL SELECT run_key, segment, step FROM steps"
        "  UNION ALL SELECT run_key, segment, step FROM evaluations"
        "  UNION ALL SELECT run_key, segment, step FROM checkpoints"
        "  UNION ALL SELECT run_key, segment, step FROM dynamics"
        " ) GROUP BY run_key, segment",
        {"now": time.time()},
    )
    if made.rowcount:
        db.execute(
            "UPDATE segments SET visible_until = (SELECT n.start_step FROM segments n"
            "  WHERE n.run_key = segments.run_key AND n.number = segments.number + 1)"
            " WHERE visible_until IS NULL AND EXISTS (SELECT 1 FROM segments n"
            "  WHERE n.run_key = segments.run_key AND n.number = segments.number + 1)"
        )
    db.execute(
        "INSERT OR IGNORE INTO segments (run_key, number, start_step, started_at)"
        " SELECT key, 1, 0, created_at FROM runs WHERE NOT EXISTS (SELECT 1 FROM segments s WHERE s.run_key = runs.key)"
    )


def _mend_summaries(db: sqlite3.Connection) -> None:
    """`metric_latest` says what the visible rows of `metrics` say."""
    pairs = db.execute(
        "SELECT run_key, metric_key FROM metric_latest UNION SELECT DISTINCT run_key, metric_key FROM metrics"
    ).fetchall()
    for run_key, metric_key in pairs:
        refresh_summary(db, run_key, metric_key)


def _mend_derived(db: sqlite3.Connection, damaged: set[str]) -> None:
    """What stands of decisions, and which examples have which metadata; nothing in a store older than these."""
    if db.execute("SELECT 1 FROM sqlite_schema WHERE name = 'standing_decisions'").fetchone() is None:
        return
    if damaged & {"decisions", "standing_decisions", "datasets", "dataset_rows", "examples"}:
        refresh_all(db)
    if damaged & {"facets", "dataset_rows"}:
        for (key,) in db.execute("SELECT DISTINCT dataset_key FROM triages").fetchall():
            refresh_facets(db, key)


def _mark_incomplete_datasets(db: sqlite3.Connection, without_labels: set[int], lost_examples: set[int]) -> None:
    """A dataset that lost texts, labels or rows is not what its fingerprint says: no training may take it for that."""
    incomplete = set(without_labels)
    for key in lost_examples:
        rows = db.execute("SELECT DISTINCT dataset_key FROM dataset_rows WHERE example_key = ?", (key,))
        incomplete.update(dataset for (dataset,) in rows)
    short = db.execute(
        "SELECT key FROM datasets d WHERE version IS NOT NULL AND (SELECT sum(value) FROM json_each(d.n_rows))"
        " IS NOT (SELECT count(*) FROM dataset_rows w WHERE w.dataset_key = d.key)"
    )
    incomplete.update(key for (key,) in short)
    db.executemany(
        f"UPDATE datasets SET fingerprint = '{DAMAGED}' || fingerprint WHERE key = ?"
        f" AND fingerprint NOT LIKE '{DAMAGED}%' AND fingerprint NOT LIKE 'rescued:%'",
        [(key,) for key in sorted(incomplete)],
    )
