"""Which rows are the same in two stores, and which columns hold keys that are not.

Integer keys are each store's own: a row is written with the keys that its owner, and whatever else it refers to, have
in this store. `TABLES` and `NOT_MERGED` together name every table of the schema, and `references` every column that
holds a key; a test holds them to it, so that no new table can be forgotten.
"""

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass, field

from store.holders import HOLDER_COLUMNS


@dataclass(frozen=True)
class Table:
    """How the rows of one table are merged. `owner` is the reference through which a row belongs to something else."""

    name: str
    references: Mapping[str, str] = field(default_factory=dict)
    """Column → the table whose key it holds."""
    owner: str | None = None
    identity: tuple[str, ...] = ()
    """For tables that others refer to: the columns that say which row it is, in any store."""
    written: Mapping[str, str] = field(default_factory=dict)
    """Column → what is written in place of its value: an expression in which `t` is the row in the other store."""


_FREE = dict.fromkeys(HOLDER_COLUMNS.split(", "), "NULL")

# In the order in which they are written. "Of a run" is what has such an owner, or an owner that has; of others too.
TABLES: tuple[Table, ...] = (
    Table("metric_keys", identity=("name",)),
    Table("examples", identity=("id",)),
    Table("datasets", {"parent_key": "datasets"}, identity=("fingerprint",)),
    Table("dataset_rows", {"dataset_key": "datasets", "example_key": "examples"}, owner="dataset_key"),
    Table("runs", {"dataset_key": "datasets"}, identity=("id",)),
    Table("segments", {"run_key": "runs"}, owner="run_key"),
    Table("checkpoints", {"run_key": "runs"}, owner="run_key"),
    Table("run_events", {"run_key": "runs"}, owner="run_key"),
    Table("run_logs", {"run_key": "runs"}, owner="run_key"),
    Table("run_costs", {"run_key": "runs"}, owner="run_key"),
    Table("system_samples", {"run_key": "runs"}, owner="run_key"),
    Table("metrics", {"run_key": "runs", "metric_key": "metric_keys"}, owner="run_key"),
    Table("metric_latest", {"run_key": "runs", "metric_key": "metric_keys"}, owner="run_key"),
    Table("steps", {"run_key": "runs"}, owner="run_key"),
    Table("evaluations", {"run_key": "runs"}, owner="run_key", identity=("run_key", "segment", "step", "split")),
    Table("scores", {"evaluation_key": "evaluations", "metric_key": "metric_keys"}, owner="evaluation_key"),
    Table("predictions", {"evaluation_key": "evaluations"}, owner="evaluation_key"),
    Table("responses", {"evaluation_key": "evaluations"}, owner="evaluation_key"),
    Table("dynamics", {"run_key": "runs"}, owner="run_key"),
    Table("flights", {"run_key": "runs"}, owner="run_key"),
    Table("embedding_sets", {"dataset_key": "datasets"}, identity=("fingerprint",)),
    Table("embeddings", {"set_key": "embedding_sets"}, owner="set_key"),
    Table("target_tokens", {"run_key": "runs"}, owner="run_key"),
    Table("run_embeddings", {"run_key": "runs", "set_key": "embedding_sets"}, owner="run_key"),
    Table(
        "sweeps",
        {"dataset_key": "datasets", "parent_key": "sweeps"},
        identity=("id",),
        written={**_FREE, "request": "NULL"},
    ),
    Table(
        "trials",
        {"sweep_key": "sweeps", "run_key": "runs"},
        owner="sweep_key",
        identity=("sweep_key", "number", "seed"),
    ),
    Table("trial_reports", {"trial_key": "trials"}, owner="trial_key"),
    Table("decisions", {"dataset_key": "datasets", "example_key": "examples"}, identity=("id",)),
    Table("version_decisions", {"decision_key": "decisions", "dataset_key": "datasets"}, owner="decision_key"),
    Table("triages", {"dataset_key": "datasets"}, identity=("id",), written=_FREE),
    Table("triage_steps", {"triage_key": "triages"}, owner="triage_key"),
    Table("triage_columns", {"triage_key": "triages"}, owner="triage_key"),
    Table("triage_queue", {"triage_key": "triages", "example_key": "examples"}, owner="triage_key"),
    Table("findings", {"triage_key": "triages"}, owner="triage_key"),
    Table("finding_groups", {"triage_key": "triages"}, owner="triage_key"),
    Table("opinions", {"dataset_key": "datasets"}, identity=("dataset_key", "fingerprint"), written=_FREE),
    Table("opinion_parts", {"opinion_key": "opinions"}, owner="opinion_key"),
    Table("opinion_blocks", {"opinion_key": "opinions"}, owner="opinion_key"),
)

# What stays behind, each with its reason.
NOT_MERGED = {
    "store_version": "counts this file's writes",
    "leases": "a run that is held by a process is not merged",
    "jobs": "a queue belongs to the workers of its store",
    "workers": "processes, not records",
    "trial_messages": "between processes that share the other store",
    "spools": "of files that lie beside the other store",
    "standing_decisions": "made again from the decisions of both stores",
    "profiles": "made again by `runner profile`, in seconds",
    "facets": "made again from the rows of their dataset",
}

BY_NAME = {table.name: table for table in TABLES}


def owned_by(root: str) -> list[Table]:
    """What belongs to a run (`runs`), a sweep, a dataset, a triage, an opinion or a decision, the nearest first."""
    found = [root]
    for table in TABLES:
        if table.owner is not None and table.references[table.owner] in found:
            found.append(table.name)
    return [BY_NAME[name] for name in found[1:]]


def columns(db: sqlite3.Connection, table: str) -> list[str]:
    """All columns but the surrogate key."""
    return [
        name
        for name, kind, pk in db.execute("SELECT name, type, pk FROM pragma_table_info(?)", (table,))
        if not (name == "key" and pk and kind == "INTEGER")
    ]


def insertion(db: sqlite3.Connection, table: Table, *, where: str = "1", verb: str = "INSERT") -> str:
    """The statement that copies rows of `other` here, with the keys that the tables `map_…` say.

    What has an owner comes along for every owner in that owner's map; `where` says more of the row `t`.
    """
    names = columns(db, table.name)
    values, joins = [], []
    source = f"other.{table.name} t"
    if table.owner is not None:  # the few owners first: without CROSS, SQLite may read all rows of the table for each
        source = f"temp.map_{table.references[table.owner]} m_{table.owner} CROSS JOIN {source}"
        where = f"m_{table.owner}.theirs = t.{table.owner} AND ({where})"
    for column, parent in table.references.items():
        if column != table.owner:
            joins.append(f"LEFT JOIN temp.map_{parent} m_{column} ON m_{column}.theirs = t.{column}")
    for name in names:
        if name in table.references:
            values.append(f"m_{name}.ours")
        else:
            values.append(table.written.get(name, f"t.{name}"))
    return (
        f"{verb} INTO main.{table.name} ({', '.join(names)}) SELECT {', '.join(values)}"
        f" FROM {source} {' '.join(joins)} WHERE {where}"
    )


def make_map(db: sqlite3.Connection, table: Table) -> None:
    """Fill `map_<table>` with the keys of rows that are in both stores, of the owners that are mapped."""
    empty_map(db, table.name)
    same = " AND ".join(
        f"o.{name} = {f'm_{name}.ours' if name in table.references else f't.{name}'}" for name in table.identity
    )
    source = f"other.{table.name} t"
    where = "1"
    if table.owner is not None:
        source = f"temp.map_{table.references[table.owner]} m_{table.owner} CROSS JOIN {source}"
        where = f"m_{table.owner}.theirs = t.{table.owner}"
    for name in table.identity:
        if name in table.references and name != table.owner:
            source += f" JOIN temp.map_{table.references[name]} m_{name} ON m_{name}.theirs = t.{name}"
    db.execute(
        f"INSERT INTO temp.map_{table.name} SELECT t.key, o.key FROM {source} JOIN main.{table.name} o ON {same}"
        f" WHERE {where}"
    )


def empty_map(db: sqlite3.Connection, name: str) -> None:
    db.execute(f"CREATE TEMP TABLE IF NOT EXISTS map_{name} (theirs INTEGER PRIMARY KEY, ours INTEGER NOT NULL)")
    db.execute(f"DELETE FROM temp.map_{name}")
