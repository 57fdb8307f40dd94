"""Removing runs: what that frees, and that nobody removes what is still being recorded."""

import json
import shutil
from collections.abc import Collection
from typing import NamedTuple

from store.connection import Store
from store.errors import RunHeld
from store.holders import HOLDER_COLUMNS, cause_of_death
from store.records import Holder, Run
from store.runs import run_files


class RunSize(NamedTuple):
    """Bytes that `delete_run` frees."""

    on_disk: int
    """Of files: the disk has them again."""
    in_store: int
    """Of blocks and rows (estimated) in the store's file, which keeps its size: later records fill the space."""


def run_size(store: Store, run: Run, *, after: Collection[int] = ()) -> RunSize:
    """What removing the run would free once the runs with the keys `after` are gone: embeddings are shared."""
    folder = run_files(store, run)
    on_disk = sum(f.stat().st_size for f in folder.rglob("*") if f.is_file()) if folder.is_dir() else 0
    (inside,) = store.db.execute(
        "SELECT coalesce((SELECT sum(length(block)) FROM dynamics WHERE run_key = :run), 0)"
        " + coalesce((SELECT sum(length(lengths) + length(log_probs) + length(best_other) + coalesce(length(alone), 0))"
        "  FROM target_tokens WHERE run_key = :run), 0)"
        " + coalesce((SELECT sum(length(text)) FROM run_logs WHERE run_key = :run), 0)"
        " + coalesce((SELECT sum(length(steps) + length(batches)) FROM flights WHERE run_key = :run), 0)"
        " + coalesce((SELECT sum(length(block)) FROM embeddings WHERE set_key IN"
        "  (SELECT set_key FROM run_embeddings WHERE run_key = :run) AND set_key NOT IN"
        "  (SELECT set_key FROM run_embeddings WHERE run_key NOT IN (SELECT value FROM json_each(:gone)))), 0)"
        " + 30 * (SELECT count(*) FROM metrics WHERE run_key = :run)"
        " + 45 * coalesce((SELECT sum(n_examples) FROM evaluations WHERE run_key = :run), 0)",
        {"run": run.key, "gone": json.dumps([run.key, *after])},
    ).fetchone()
    return RunSize(on_disk, int(inside))


def delete_run(store: Store, run: Run) -> None:
    """Remove a run, everything recorded about it, and its files. Datasets and examples stay.

    Raises RunHeld while a living process records it.
    """
    files = run_files(store, run)
    with store.write() as db:
        row = db.execute(f"SELECT {HOLDER_COLUMNS} FROM leases WHERE run_key = ?", (run.key,)).fetchone()
        if row is not None and cause_of_death(Holder(*row)) is None:
            host, _, pid, *_ = row
            raise RunHeld(f"run {run.id} ({run.name}) is being recorded by process {pid} on {host}; stop it first.")
        db.execute("DELETE FROM runs WHERE key = ?", (run.key,))
        db.execute("DELETE FROM embedding_sets WHERE key NOT IN (SELECT set_key FROM run_embeddings)")
    shutil.rmtree(files, ignore_errors=True)
