"""What a merge would do: which datasets, runs and so on are new here, are the same, or have gone on over there."""

import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from store.merging.tables import owned_by
from store.rescue.mending import CAUSE, DAMAGED

Step = Literal["added", "replaced", "kept", "left out"]

# Rows that are only ever added to a run: who has more of them has gone on with it. (Going on may remove others.)
_GROWING = ("segments", "steps", "metrics", "evaluations", "predictions", "checkpoints", "run_events", "run_logs")


@dataclass(frozen=True)
class DatasetMerge:
    """A dataset of the other store, `theirs` there and `ours` here. `our_key` is None where it is not here yet."""

    key: int
    our_key: int | None
    theirs: str
    name: str
    version: int
    is_healed: bool = False
    """It is here, but lost rows when the store was damaged: it is made whole."""

    @property
    def is_written(self) -> bool:
        return self.our_key is None or self.is_healed

    @property
    def ours(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True)
class Candidate:
    """A run, sweep, triage or opinion of the other store. `reason`: why it is left out, or kept as it is here."""

    key: int
    our_key: int | None
    id: str
    name: str
    step: Step
    reason: str | None = None

    @property
    def is_written(self) -> bool:
        return self.step in ("added", "replaced")


@dataclass(frozen=True)
class Plan:
    """Everything there is to do. `n_rows` counts the rows that are to be written, table by table."""

    datasets: tuple[DatasetMerge, ...]
    runs: tuple[Candidate, ...]
    sweeps: tuple[Candidate, ...]
    triages: tuple[Candidate, ...]
    """Those that have finished there; others can be computed again."""
    opinions: tuple[Candidate, ...]
    n_rows: Counter[str]
    file_bytes: int
    """Of the checkpoints of the runs that are to be written."""
    n_jobs: int
    """Jobs that wait or are at work there; a queue is not merged."""


def make_plan(db: sqlite3.Connection) -> Plan:
    """Compare the attached store `other` with `main`; reads only."""
    datasets, runs, sweeps = _datasets(db), _runs(db), _sweeps(db)
    triages, opinions = _triages(db), _opinions(db, datasets)
    (n_examples,) = db.execute(
        "SELECT count(*) FROM other.examples x WHERE NOT EXISTS (SELECT 1 FROM main.examples o WHERE o.id = x.id)"
        " AND EXISTS (SELECT 1 FROM other.dataset_rows w JOIN other.datasets d ON d.key = w.dataset_key"
        "  WHERE w.example_key = x.key AND d.version IS NOT NULL)"
    ).fetchone()
    n_rows: Counter[str] = Counter(examples=n_examples)
    written = [run.key for run in runs if run.is_written]
    for root, keys in (
        ("datasets", [dataset.key for dataset in datasets if dataset.is_written]),
        ("runs", written),
        ("sweeps", [sweep.key for sweep in sweeps if sweep.is_written]),
        ("triages", [triage.key for triage in triages if triage.is_written]),
        ("opinions", [opinion.key for opinion in opinions if opinion.is_written]),
    ):
        n_rows[root] += len(keys)
        n_rows += count_owned(db, root, keys)
    n_rows += _count_embeddings(db, datasets, written) + _count_decisions(db, datasets)
    (file_bytes,) = db.execute(
        "SELECT coalesce(sum(size_bytes), 0) FROM other.checkpoints"
        " WHERE deleted_at IS NULL AND run_key IN (SELECT value FROM json_each(?))",
        (json.dumps(written),),
    ).fetchone()
    (n_jobs,) = db.execute("SELECT count(*) FROM other.jobs WHERE status IN ('queued', 'paused', 'running')").fetchone()
    return Plan(datasets, runs, sweeps, triages, opinions, +n_rows, file_bytes, n_jobs)


def our_fingerprint(fingerprint: str, their_dataset: int, our_dataset: int) -> str:
    """An embedding set is known by its encoder and, by its key in the store, its dataset (`runner.train`).

    >>> our_fingerprint("0f3a-12", 12, 4)
    '0f3a-4'
    """
    encoder, dash, dataset = fingerprint.rpartition("-")
    return f"{encoder}-{our_dataset}" if dash and dataset == str(their_dataset) else fingerprint


def _count_embeddings(db: sqlite3.Connection, datasets: Sequence[DatasetMerge], runs: Sequence[int]) -> Counter[str]:
    """Embedding sets of these runs that are not here, and their blocks."""
    ours = {dataset.key: dataset.our_key for dataset in datasets}
    counts: Counter[str] = Counter()
    for fingerprint, dataset, n_blocks in db.execute(
        "SELECT s.fingerprint, s.dataset_key, (SELECT count(*) FROM other.embeddings e WHERE e.set_key = s.key)"
        " FROM other.embedding_sets s WHERE s.key IN (SELECT set_key FROM other.run_embeddings"
        "  WHERE run_key IN (SELECT value FROM json_each(?)))",
        (json.dumps(list(runs)),),
    ).fetchall():
        our_dataset = ours.get(dataset)
        known = our_fingerprint(fingerprint, dataset, our_dataset) if our_dataset is not None else None
        if db.execute("SELECT 1 FROM main.embedding_sets WHERE fingerprint = ?", (known,)).fetchone() is None:
            counts += Counter(embedding_sets=1, embeddings=n_blocks)
    return counts


def count_owned(db: sqlite3.Connection, root: str, keys: Sequence[int], schema: str = "other") -> Counter[str]:
    """Rows of each table that belong to these runs, sweeps or datasets."""
    counts: Counter[str] = Counter()
    for table in owned_by(root):
        assert table.owner is not None
        parent = table.references[table.owner]
        for key in keys:
            if parent == root:
                sql = f"SELECT count(*) FROM {schema}.{table.name} WHERE {table.owner} = ?"
            else:  # of something that is owned: a prediction of an evaluation of a run
                owner = next(other for other in owned_by(root) if other.name == parent)
                sql = (
                    f"SELECT count(*) FROM {schema}.{parent} p CROSS JOIN {schema}.{table.name} t"
                    f" ON t.{table.owner} = p.key WHERE p.{owner.owner} = ?"
                )
            counts[table.name] += int(db.execute(sql, (key,)).fetchone()[0])
    return counts


def _run_rows(db: sqlite3.Connection, run_key: int, schema: str) -> Counter[str]:
    """Rows of each table that belong to a run; and what of its evaluations is more than their key (see `mending`)."""
    (n,) = db.execute(
        f"SELECT count(epoch) + coalesce(sum(is_best), 0) FROM {schema}.evaluations WHERE run_key = ?", (run_key,)
    ).fetchone()
    return count_owned(db, "runs", [run_key], schema) + Counter(known_evaluations=n)


def _datasets(db: sqlite3.Connection) -> tuple[DatasetMerge, ...]:
    """Same content is the same dataset, whatever it is called; other content under a taken version gets a new one.

    Content is the fingerprint with the metadata. One without metadata has all it wants in one of the same fingerprint.
    """
    columns = "key, fingerprint, json_extract(source, '$.extras'), name, version"
    ours = db.execute(f"SELECT {columns} FROM main.datasets WHERE version IS NOT NULL").fetchall()
    taken = {(name, version) for _, _, _, name, version in ours}
    by_content: dict[tuple[str, str | None], list[tuple[str, int, int]]] = {}
    damaged: dict[str, tuple[str, int, int]] = {}
    for key, fingerprint, extras, name, version in ours:
        for content in {(fingerprint, extras), (fingerprint, None)}:
            by_content.setdefault(content, []).append((name, version, key))
        if fingerprint.startswith(DAMAGED):
            damaged[fingerprint.removeprefix(DAMAGED)] = (name, version, key)
    merges: list[DatasetMerge] = []
    for key, fingerprint, extras, name, version in db.execute(
        f"SELECT {columns} FROM other.datasets WHERE version IS NOT NULL ORDER BY key"
    ).fetchall():
        theirs = f"{name}@{version}"
        same = by_content.get((fingerprint, extras), [])
        if same:
            called = max(same, key=lambda place: (place[:2] == (name, version), place[0] == name, place[1]))
            merges.append(DatasetMerge(key, called[2], theirs, *called[:2]))
            continue
        if fingerprint in damaged:
            name, version, our_key = damaged.pop(fingerprint)
            merges.append(DatasetMerge(key, our_key, theirs, name, version, is_healed=True))
            continue
        if (name, version) in taken:
            version = 1 + max(number for other, number in taken if other == name)
        taken.add((name, version))
        merges.append(DatasetMerge(key, None, theirs, name, version))
    return tuple(merges)


def _runs(db: sqlite3.Connection) -> tuple[Candidate, ...]:
    ours = {row[0]: row[1:] for row in db.execute("SELECT id, key, status, version, cause FROM main.runs")}
    merges: list[Candidate] = []
    for key, identity, name, status, version in db.execute(
        "SELECT key, id, name, status, version FROM other.runs ORDER BY created_at, key"
    ).fetchall():
        if status in ("running", "queued"):
            merges.append(Candidate(key, None, identity, name, "left out", f"it is {status} there"))
            continue
        if identity not in ours:
            merges.append(Candidate(key, None, identity, name, "added"))
            continue
        our_key, our_status, our_version, our_cause = ours[identity]
        step: Step = "kept"
        reason = None
        if our_cause == CAUSE:
            step = "replaced"
        elif our_status in ("running", "queued"):
            reason = f"it is {our_status} here"
        else:
            here, there = (_run_rows(db, k, schema) for k, schema in ((our_key, "main"), (key, "other")))
            has_more = any(there[table] > here[table] for table in _GROWING)
            has_less = any(there[table] < here[table] for table in _GROWING)
            if has_more and has_less:
                reason = "both stores went on with it"
            elif not has_less:
                is_later = status != our_status and version > our_version
                is_fuller = there > here  # rows that were lost here are there
                step = "replaced" if has_more or is_later or is_fuller else "kept"
        merges.append(Candidate(key, our_key, identity, name, step, reason))
    return tuple(merges)


def _sweeps(db: sqlite3.Connection) -> tuple[Candidate, ...]:
    ours = {row[0]: row[1:] for row in db.execute("SELECT id, key, status, version FROM main.sweeps")}
    merges: list[Candidate] = []
    for key, identity, name, status, version in db.execute(
        "SELECT key, id, name, status, version FROM other.sweeps ORDER BY created_at, key"
    ).fetchall():
        our_key, our_status, our_version = ours.get(identity, (None, None, -1))
        step: Step = "added" if our_key is None else "replaced" if version > our_version else "kept"
        reason = None
        if status in ("running", "queued"):
            step, reason = "left out", f"it is {status} there"
        elif our_status in ("running", "queued"):
            step, reason = "kept", f"it is {our_status} here"
        merges.append(Candidate(key, our_key, identity, name, step, reason))
    return tuple(merges)


def _triages(db: sqlite3.Connection) -> tuple[Candidate, ...]:
    ours = {row[0]: row[1:] for row in db.execute("SELECT id, key, status FROM main.triages")}
    merges: list[Candidate] = []
    for key, identity, name, status in db.execute(
        "SELECT t.key, t.id, d.name || '@' || d.version, t.status FROM other.triages t"
        " JOIN other.datasets d ON d.key = t.dataset_key WHERE t.status IN ('finished', 'running') ORDER BY t.key"
    ).fetchall():
        our_key, our_status = ours.get(identity, (None, None))
        step: Step = "added" if our_key is None else "kept" if our_status == "finished" else "replaced"
        reason = None
        if status == "running":
            step, reason = "left out", "it is running there"
        elif our_status == "running":
            step, reason = "kept", "it is running here"
        merges.append(Candidate(key, our_key, identity, name, step, reason))
    return tuple(merges)


def _opinions(db: sqlite3.Connection, datasets: Sequence[DatasetMerge]) -> tuple[Candidate, ...]:
    """One of the same fingerprint about the same dataset is the same; who has more parts has gone on with it."""
    columns = "key, dataset_key, fingerprint, id, name, status"
    n_parts = "(SELECT count(*) FROM {0}.opinion_parts p WHERE p.opinion_key = o.key)"
    ours = {
        (dataset, fingerprint): (key, status, n)
        for key, dataset, fingerprint, _, _, status, n in db.execute(
            f"SELECT {columns}, {n_parts.format('main')} FROM main.opinions o"
        )
    }
    here = {dataset.key: dataset.our_key for dataset in datasets}
    added: set[tuple[int | None, str]] = set()
    merges: list[Candidate] = []
    for key, dataset, fingerprint, identity, name, status, n in db.execute(
        f"SELECT {columns}, {n_parts.format('other')} FROM other.opinions o ORDER BY key"
    ).fetchall():
        place = (here.get(dataset), fingerprint)
        our_key, our_status, our_n = ours.get(place, (None, None, -1))
        step: Step = "added" if our_key is None else "replaced" if n > our_n else "kept"
        reason = None
        if status == "running":
            step, reason = "left out", "it is running there"
        elif our_status == "running":
            step, reason = "kept", "it is running here"
        if step == "added" and here.get(dataset) is not None:
            if place in added:  # of two datasets there that are one here
                continue
            added.add(place)
        merges.append(Candidate(key, our_key, identity, name, step, reason))
    return tuple(merges)


def _count_decisions(db: sqlite3.Connection, datasets: Sequence[DatasetMerge]) -> Counter[str]:
    """Decisions that are not here, and what says which versions were made of them."""
    pairs = json.dumps([[dataset.key, dataset.our_key] for dataset in datasets])
    (n_decisions,) = db.execute(
        "SELECT count(*) FROM other.decisions t WHERE NOT EXISTS (SELECT 1 FROM main.decisions o WHERE o.id = t.id)"
    ).fetchone()
    (n_links,) = db.execute(
        "SELECT count(*) FROM other.version_decisions v JOIN other.decisions t ON t.key = v.decision_key"
        " WHERE NOT EXISTS (SELECT 1 FROM main.decisions o JOIN main.version_decisions w ON w.decision_key = o.key"
        "  JOIN json_each(?) p ON json_extract(p.value, '$[0]') = v.dataset_key"
        "   AND json_extract(p.value, '$[1]') = w.dataset_key WHERE o.id = t.id)",
        (pairs,),
    ).fetchone()
    return Counter(decisions=n_decisions, version_decisions=n_links)
