"""Doing what a plan says."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from store.connection import Store, explained
from store.errors import StoreUnreadable
from store.facets import refresh_facets
from store.merging.other import opened
from store.merging.plan import Candidate, DatasetMerge, Plan, make_plan, our_fingerprint
from store.merging.tables import BY_NAME, columns, empty_map, insertion, make_map, owned_by
from store.rescue.mending import LOST_TEXT
from store.rescue.swap import require_room
from store.standing import refresh_all, refresh_dataset

# Copies the files of one checkpoint: (source folder, target folder, hashes by name) → what went wrong, None if nothing.
CopyFiles = Callable[[Path, Path, Mapping[str, str]], str | None]

_HAS_DATASET = (
    "EXISTS (SELECT 1 FROM other.dataset_rows w JOIN other.datasets d ON d.key = w.dataset_key"
    " WHERE w.example_key = t.key AND d.version IS NOT NULL)"
)


@dataclass
class Merged:
    """What was done, or, with `is_dry`, what would be."""

    plan: Plan
    is_dry: bool
    n_files: int = 0
    """Checkpoints whose files were copied, or were here already."""
    problems: list[str] = field(default_factory=list)
    """Checkpoints whose files are missing, and why."""
    n_healed: int = 0
    """Examples whose text had been lost here and was found there."""


def merge_store(
    store: Store,
    path: Path,
    copy_files: CopyFiles,
    *,
    dry_run: bool = False,
    report: Callable[[str], None] | None = None,
) -> Merged:
    """Bring everything of the store at `path` into this one, once: what is here already is not written again.

    The other store is only read. What is at work there is left out. A run that went on there since it came here is
    replaced as a whole. `report` is told what is being written.

    Raises StoreNotFound, StoreUnreadable, StoreTooNew.
    """
    say = report or (lambda text: None)
    with opened(store, path) as readable, _attached(store, readable) as db:
        with explained(path):
            problem = next((text for (text,) in db.execute("PRAGMA other.quick_check(1)") if text != "ok"), None)
            if problem:
                raise StoreUnreadable(
                    f"the store {path} is damaged ({problem.splitlines()[-1]}); nothing was merged. "
                    f"Run `runner doctor --repair --store {path}` first."
                )
            plan = make_plan(db)
        merged = Merged(plan, is_dry=dry_run)
        if not dry_run:
            files = path.expanduser().absolute().with_name(path.stem + "-files")
            with explained(store.path):
                _Merge(store, files, copy_files, merged).all(say)
        return merged


@contextlib.contextmanager
def _attached(store: Store, path: Path) -> Iterator[sqlite3.Connection]:
    db = store.db
    db.execute("ATTACH ? AS other", (f"{path.as_uri()}?mode=ro",))
    try:
        yield db
    finally:
        for (name,) in db.execute("SELECT name FROM temp.sqlite_schema WHERE name LIKE 'map_%'").fetchall():
            db.execute(f"DROP TABLE temp.{name}")
        db.execute("DETACH other")


class _Merge:
    """The writing part of one merge. The store's connection has the other one attached as `other`."""

    def __init__(self, store: Store, files: Path, copy_files: CopyFiles, merged: Merged) -> None:
        self._store, self._db, self._files = store, store.db, files
        self._copy_files, self._merged, self._plan = copy_files, merged, merged.plan

    def all(self, say: Callable[[str], None]) -> None:
        require_room(self._store.path.parent, self._plan.file_bytes, "copying the checkpoints of what is merged")
        self._metric_keys()
        self._examples(say)
        self._datasets(say)
        for run in self._plan.runs:
            if run.is_written:
                say(f"run {run.name}")
                self._run(run)
            elif run.step == "kept" and run.reason is None:
                self._complete_files(run)
        make_map(self._db, BY_NAME["runs"])
        for sweep in self._plan.sweeps:
            if sweep.is_written:
                say(f"sweep {sweep.name}")
                self._sweep(sweep)
        make_map(self._db, BY_NAME["sweeps"])
        self._decisions(say)
        for triage in self._plan.triages:
            if triage.is_written:
                say(f"triage of {triage.name}")
                self._triage(triage)
        for opinion in self._plan.opinions:
            if opinion.is_written:
                say(f"opinion {opinion.name}")
                with self._store.write():
                    self._owned("opinions", opinion.key, self._root("opinions", opinion.key, opinion.our_key))
        self._links()

    # what runs share -------------------------------------------------------------------------------------------------

    def _metric_keys(self) -> None:
        new = "t.name NOT IN (SELECT name FROM main.metric_keys)"
        if self._db.execute(f"SELECT 1 FROM other.metric_keys t WHERE {new}").fetchone():
            with self._store.write() as db:
                db.execute(insertion(db, BY_NAME["metric_keys"], where=new))
        make_map(self._db, BY_NAME["metric_keys"])

    def _examples(self, say: Callable[[str], None]) -> None:
        """New examples; and texts that were lost here in a damaged page, if they are there."""
        lost = self._db.execute(
            "SELECT o.key, x.text FROM main.examples o JOIN other.examples x ON x.id = o.id"
            " WHERE o.text = ?1 AND x.text <> ?1",
            (LOST_TEXT,),
        ).fetchall()
        if lost or self._plan.n_rows["examples"]:
            say(f"{self._plan.n_rows['examples']:,} examples")
            new = f"NOT EXISTS (SELECT 1 FROM main.examples o WHERE o.id = t.id) AND {_HAS_DATASET}"
            with self._store.write() as db:
                (last,) = db.execute("SELECT coalesce(max(key), 0) FROM main.examples").fetchone()
                db.execute(insertion(db, BY_NAME["examples"], where=new))
                db.execute(
                    "INSERT INTO main.examples_fts (rowid, text) SELECT key, text FROM main.examples WHERE key > ?",
                    (last,),
                )
                for key, text in lost:
                    db.execute(
                        "INSERT INTO main.examples_fts (examples_fts, rowid, text) VALUES ('delete', ?, ?)",
                        (key, LOST_TEXT),
                    )
                    db.execute("UPDATE main.examples SET text = ? WHERE key = ?", (text, key))
                    db.execute("INSERT INTO main.examples_fts (rowid, text) VALUES (?, ?)", (key, text))
        self._merged.n_healed = len(lost)
        make_map(self._db, BY_NAME["examples"])

    def _datasets(self, say: Callable[[str], None]) -> None:
        ours = []
        for dataset in self._plan.datasets:
            key = dataset.our_key
            if key is None or dataset.is_healed:
                say(f"dataset {dataset.ours}")
                key = self._dataset(dataset)
            ours.append((dataset.key, key))
        empty_map(self._db, "datasets")
        self._db.executemany("INSERT INTO temp.map_datasets VALUES (?, ?)", ours)

    def _dataset(self, dataset: DatasetMerge) -> int:
        """One that is new, or one that lost rows here: then it gets them all, and is trusted again."""
        with self._store.write() as db:
            names = [name for name in columns(db, "datasets") if name not in ("name", "version", "parent_key")]
            key = dataset.our_key
            if key is None:
                (key,) = db.execute(
                    f"INSERT INTO main.datasets (name, version, {', '.join(names)})"
                    f" SELECT ?, ?, {', '.join(names)} FROM other.datasets WHERE key = ? RETURNING key",
                    (dataset.name, dataset.version, dataset.key),
                ).fetchone()
            else:
                db.execute("DELETE FROM main.dataset_rows WHERE dataset_key = ?", (key,))
                db.execute(
                    f"UPDATE main.datasets AS o SET {', '.join(f'{name} = t.{name}' for name in names)}"
                    " FROM other.datasets t WHERE o.key = ? AND t.key = ?",
                    (key, dataset.key),
                )
            self._owned("datasets", dataset.key, int(key))
            refresh_dataset(db, int(key))
        return int(key)

    # runs, sweeps, triages -------------------------------------------------------------------------------------------

    def _run(self, run: Candidate) -> None:
        """A run and everything of it, the files of its checkpoints first."""
        rows = self._db.execute(
            "SELECT path, manifest FROM other.checkpoints WHERE run_key = ? AND deleted_at IS NULL", (run.key,)
        ).fetchall()
        missing = [path for path, manifest in rows if not self._has_files(run, path, json.loads(manifest))]
        with self._store.write() as db:
            key = self._root("runs", run.key, run.our_key)
            self._embedding_set(run)
            self._owned("runs", run.key, key)
            db.executemany(
                "UPDATE main.checkpoints SET deleted_at = ? WHERE run_key = ? AND path = ?",
                [(time.time(), key, path) for path in missing],
            )

    def _sweep(self, sweep: Candidate) -> None:
        with self._store.write():
            self._owned("sweeps", sweep.key, self._root("sweeps", sweep.key, sweep.our_key))

    def _decisions(self, say: Callable[[str], None]) -> None:
        """Those that are not here; what stands of all of them is made again."""
        db, table = self._db, BY_NAME["decisions"]
        n, n_links = (self._plan.n_rows[name] for name in ("decisions", "version_decisions"))
        if n or n_links:
            say(f"{n:,} decisions")
            with self._store.write():
                new = "NOT EXISTS (SELECT 1 FROM main.decisions o WHERE o.id = t.id)"
                db.execute(insertion(db, table, where=new))
                make_map(db, table)
                db.execute(insertion(db, BY_NAME["version_decisions"], verb="INSERT OR IGNORE"))
                refresh_all(db)

    def _triage(self, triage: Candidate) -> None:
        with self._store.write() as db:
            key = self._root("triages", triage.key, triage.our_key)
            self._owned("triages", triage.key, key)
            (dataset_key,) = db.execute("SELECT dataset_key FROM main.triages WHERE key = ?", (key,)).fetchone()
            refresh_facets(db, dataset_key)

    def _root(self, table: str, their_key: int, our_key: int | None) -> int:
        """The row of a run or the like itself. One that is here keeps its key, and loses what belongs to it."""
        db, spec = self._db, BY_NAME[table]
        if our_key is None:
            empty_map(db, "sweeps")  # which sweep a sweep came from is written when all are here
            db.execute(insertion(db, spec, where=f"t.key = {int(their_key)}"))
            return int(db.execute("SELECT last_insert_rowid()").fetchone()[0])
        for owned in owned_by(table):
            if owned.references[str(owned.owner)] == table:
                db.execute(f"DELETE FROM main.{owned.name} WHERE {owned.owner} = ?", (our_key,))
        people = ("tags", "note") if table == "runs" else ()
        fixed = {"id", "version", "parent_key", *spec.written, *people}
        values = {
            name: f"coalesce((SELECT ours FROM temp.map_{spec.references[name]} WHERE theirs = t.{name}), o.{name})"
            if name in spec.references
            else f"t.{name}"
            for name in columns(db, table)
            if name not in fixed
        }
        if people:  # what people wrote here stays, and what they wrote there is not lost
            values["note"] = "iif(o.note = '', t.note, o.note)"
            values["tags"] = (
                "(SELECT json_group_array(value) FROM"
                " (SELECT value FROM json_each(o.tags) UNION SELECT value FROM json_each(t.tags)))"
            )
        db.execute(
            f"UPDATE main.{table} AS o SET {', '.join(f'{name} = {value}' for name, value in values.items())},"
            f" version = max(o.version + 1, t.version) FROM other.{table} t WHERE o.key = ? AND t.key = ?",
            (our_key, their_key),
        )
        return our_key

    def _owned(self, root: str, their_key: int, our_key: int) -> None:
        """All rows that belong to one run, sweep, dataset, triage or opinion."""
        db = self._db
        with _mapped(db, root, their_key, our_key):
            for table in owned_by(root):
                db.execute(insertion(db, table))
                if table.identity:
                    make_map(db, table)

    def _embedding_set(self, run: Candidate) -> None:
        """What the run's examples look like to its encoder, unless another run brought it already."""
        db = self._db
        empty_map(db, "embedding_sets")
        row = db.execute(
            "SELECT t.key, t.fingerprint, t.dataset_key, m.ours, t.n_dimensions, t.pooling FROM other.run_embeddings r"
            " JOIN other.embedding_sets t ON t.key = r.set_key JOIN temp.map_datasets m ON m.theirs = t.dataset_key"
            " WHERE r.run_key = ?",
            (run.key,),
        ).fetchone()
        if row is None:
            return
        their_key, fingerprint, their_dataset, our_dataset, *values = row
        fingerprint = our_fingerprint(fingerprint, their_dataset, our_dataset)
        there = db.execute("SELECT key FROM main.embedding_sets WHERE fingerprint = ?", (fingerprint,)).fetchone()
        if there is None:
            there = db.execute(
                "INSERT INTO main.embedding_sets (fingerprint, dataset_key, n_dimensions, pooling)"
                " VALUES (?, ?, ?, ?) RETURNING key",
                (fingerprint, our_dataset, *values),
            ).fetchone()
        db.execute("INSERT INTO temp.map_embedding_sets VALUES (?, ?)", (their_key, there[0]))
        db.execute(insertion(db, BY_NAME["embeddings"], verb="INSERT OR IGNORE"))

    def _links(self) -> None:
        """What could not be written before everything was here: parents, and runs of trials that came later."""
        db = self._db
        links = {
            f"UPDATE main.{table} SET parent_key = ? WHERE key = ?": f"SELECT p.ours, m.ours FROM other.{table} t"
            f" JOIN temp.map_{table} m ON m.theirs = t.key JOIN temp.map_{table} p ON p.theirs = t.parent_key"
            f" JOIN main.{table} o ON o.key = m.ours WHERE o.parent_key IS NULL"
            f" AND t.key IN (SELECT value FROM json_each('{json.dumps(new)}'))"
            for table, new in (
                ("datasets", [dataset.key for dataset in self._plan.datasets if dataset.our_key is None]),
                ("sweeps", [sweep.key for sweep in self._plan.sweeps if sweep.is_written]),
            )
        }
        links["UPDATE main.trials SET run_key = ? WHERE key = ?"] = (
            "SELECT r.ours, o.key FROM other.trials t JOIN temp.map_sweeps m ON m.theirs = t.sweep_key"
            " JOIN temp.map_runs r ON r.theirs = t.run_key JOIN main.trials o ON o.sweep_key = m.ours"
            " AND o.number = t.number AND o.seed = t.seed WHERE o.run_key IS NULL"
        )
        found = {update: db.execute(select).fetchall() for update, select in links.items()}
        if any(found.values()):
            with self._store.write():
                for update, rows in found.items():
                    db.executemany(update, rows)
                    if "main.datasets" in update:  # decisions of a parent speak for its children
                        for _, key in rows:
                            refresh_dataset(db, key)

    # files -----------------------------------------------------------------------------------------------------------

    def _has_files(self, run: Candidate, path: str, hashes: Mapping[str, str]) -> bool:
        """Whether the files of a checkpoint are here, copied now if they have to be."""
        if "://" in path:  # a URL is the same from everywhere
            return True
        parts = PurePosixPath(path).parts
        if parts[:2] != ("runs", run.id) or ".." in parts:  # no path is built from what a file of others says
            problem: str | None = f"the path {path!r} is not one that Assay gives"
        else:
            problem = self._copy_files(self._files / path, self._store.files / path, hashes)
        if problem:
            self._merged.problems.append(f"{run.name} ({run.id}), {PurePosixPath(path).name}: {problem}")
        else:
            self._merged.n_files += 1
        return problem is None

    def _complete_files(self, run: Candidate) -> None:
        """Checkpoints whose files were missing at an earlier merge and have been found since."""
        rows = self._db.execute(
            "SELECT o.key, t.path, t.manifest FROM main.checkpoints o JOIN other.checkpoints t ON t.run_key = ?"
            " AND t.segment = o.segment AND t.step = o.step AND t.path = o.path"
            " WHERE o.run_key = ? AND o.deleted_at IS NOT NULL AND t.deleted_at IS NULL",
            (run.key, run.our_key),
        ).fetchall()
        for key, path, manifest in rows:
            if (self._files / path).is_dir() and self._has_files(run, path, json.loads(manifest)):
                with self._store.write(run.our_key) as db:
                    db.execute("UPDATE main.checkpoints SET deleted_at = NULL WHERE key = ?", (key,))


@contextlib.contextmanager
def _mapped(db: sqlite3.Connection, table: str, theirs: int, ours: int) -> Iterator[None]:
    """One run, dataset or the like alone is in its map, so that only its rows come along."""
    empty_map(db, table)
    db.execute(f"INSERT INTO temp.map_{table} VALUES (?, ?)", (theirs, ours))
    yield
    empty_map(db, table)
