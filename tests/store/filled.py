"""A store in which every table of the schema has rows over many pages, some of them too long for a page."""

import json
import random
import re
import sqlite3
from pathlib import Path
from typing import Any

from store import Store, open_store
from store.ids import example_id, new_run_id
from store.metrics import refresh_summary
from store.rescue.layout import read_layout
from tests.store.filled_triages import fill_triages

WORDS = ("rain", "sun", "grey", "cold", "fine", "late", "Straße", "日本", "bus", "tea")
# Tables that are filled on purpose below; all others get rows made up from their columns.
_MEANT = {
    "store_version", "examples", "datasets", "dataset_rows", "runs", "segments", "metric_keys", "metrics",
    "metric_latest", "steps", "evaluations", "scores", "predictions", "dynamics", "embedding_sets", "embeddings",
    "run_embeddings", "leases", "triages", "triage_steps", "triage_columns", "triage_queue", "findings",
    "finding_groups", "facets", "decisions", "standing_decisions", "version_decisions", "opinions", "opinion_parts",
    "opinion_blocks",
}  # fmt: skip


def filled_store(path: Path, *, n_runs: int = 12, n_steps: int = 150, n_examples: int = 700, seed: int = 0) -> Store:
    """A sound store: nothing dangles, summaries and counts are right, no run is live."""
    store = open_store(path)
    dice = random.Random(seed)
    with store.write() as db:
        _fill_data(db, dice, n_examples, seed)
        for number in range(n_runs):
            _fill_run(db, dice, number, n_steps, n_examples)
        for run_key, metric_key in db.execute("SELECT DISTINCT run_key, metric_key FROM metrics").fetchall():
            refresh_summary(db, run_key, metric_key)
        fill_triages(db, dice)
        tables = [stored.name for stored in read_layout(db.execute("PRAGMA user_version").fetchone()[0]).tables]
        for table in tables:
            if table not in _MEANT:
                make_up(db, dice, table, 25 * n_runs, n_steps)
        db.execute("INSERT INTO examples_fts (examples_fts) VALUES ('rebuild')")
    return store


def text(dice: random.Random, n_words: int = 12) -> str:
    """Some words; one in forty goes on over several pages."""
    n = n_words * 120 if dice.random() < 0.025 else n_words
    return " ".join(dice.choice(WORDS) + str(dice.randrange(1000)) for _ in range(n))


def _fill_data(db: sqlite3.Connection, dice: random.Random, n_examples: int, seed: int) -> None:
    texts = sorted({text(dice) for _ in range(n_examples)})
    db.executemany("INSERT INTO examples (id, text) VALUES (?, ?)", [(example_id({"text": t}), t) for t in texts])
    for version in (1, 2):
        n_rows = {"train": len(texts) * 4 // 5, "test": len(texts) // 5}
        (key,) = db.execute(
            "INSERT INTO datasets (name, version, fingerprint, parent_key, label_names, source, n_rows, created_at)"
            " VALUES ('weather', ?, ?, ?, '[\"bad\", \"good\"]', '{}', ?, 1e9) RETURNING key",
            (version, f"{seed:016x}{version:016x}", version - 1 or None, json.dumps(n_rows)),
        ).fetchone()
        order = dice.sample(range(1, len(texts) + 1), len(texts))
        rows = [("train", i, order[i]) for i in range(n_rows["train"])]
        rows += [("test", i, order[-1 - i]) for i in range(n_rows["test"])]
        db.executemany(
            "INSERT INTO dataset_rows VALUES (?, ?, ?, ?, ?, ?)",
            [(key, *row, dice.randrange(2), None if dice.random() < 0.5 else '{"from": "here"}') for row in rows],
        )
    db.executemany("INSERT INTO metric_keys (name) VALUES (?)", [(f"train/metric{i}",) for i in range(40)])


def _fill_run(db: sqlite3.Connection, dice: random.Random, number: int, n_steps: int, n_examples: int) -> None:
    dataset_key = 1 + number % 2
    (run,) = db.execute(
        "INSERT INTO runs (id, name, task, status, recipe_text, recipe, recipe_hash, dataset_key, provenance, tags,"
        " created_at, started_at, ended_at, select_metric, version)"
        " VALUES (?, ?, 'text-classification', 'finished', ?, '{}', ?, ?, ?, '[\"kept\"]', ?, 1.5, 2.5, 'test/metric1',"
        " ?) RETURNING key",
        (
            new_run_id(),
            f"run {number}",
            text(dice, 60),
            f"{number % 5:064x}",
            dataset_key,
            json.dumps({"packages": text(dice, 200)}),
            1e9 + number,
            number,
        ),
    ).fetchone()
    db.execute("INSERT INTO segments VALUES (?, 1, 0, ?, 1e9), (?, 2, ?, NULL, 2e9)", (run, n_steps, run, n_steps))
    for segment, first in ((1, 0), (2, n_steps)):
        steps = range(first + 1, first + n_steps + 1)
        db.executemany(
            "INSERT INTO steps VALUES (?, ?, ?, ?, ?, ?)",
            [(run, segment, step, step * 0.5, step / 100, 100 * step) for step in steps],
        )
        for metric in dice.sample(range(1, 41), 4):
            values = [(step, None if dice.random() < 0.02 else dice.gauss(0, 1)) for step in steps]
            db.executemany(
                "INSERT INTO metrics VALUES (?, ?, ?, ?, ?, ?)",
                [(run, metric, segment, step, v, "nan" if v is None else None) for step, v in values],
            )
        n_test = n_examples // 5
        for step in (first + n_steps // 2, first + n_steps):
            (evaluation,) = db.execute(
                "INSERT INTO evaluations (run_key, segment, step, epoch, split, n_examples, is_best, at)"
                " VALUES (?, ?, ?, ?, 'test', ?, ?, 1e9) RETURNING key",
                (run, segment, step, step / 100, n_test, step == 2 * n_steps),
            ).fetchone()
            db.executemany(
                "INSERT INTO scores VALUES (?, ?, ?, ?, ?, ?)",
                [(evaluation, metric, dice.random(), None, 1.0, n_test) for metric in dice.sample(range(1, 41), 5)],
            )
            db.executemany(
                "INSERT INTO predictions VALUES (?, ?, ?, ?, ?, ?, ?)",
                [(evaluation, i, dice.randrange(2), *(dice.random() for _ in range(4))) for i in range(n_test)],
            )
        for epoch in (1, 2):
            db.execute(
                "INSERT INTO dynamics (run_key, segment, epoch, step, first_position, n_examples, n_classes, block)"
                " VALUES (?, ?, ?, ?, 0, ?, 2, ?)",
                (run, segment, epoch + 2 * segment, first + epoch, 800, dice.randbytes(3200)),
            )
    if number % 3 == 0:
        (embedded,) = db.execute(
            "INSERT INTO embedding_sets (fingerprint, dataset_key, n_dimensions, pooling) VALUES (?, ?, 8, 'mean')"
            " RETURNING key",
            (f"{number:032x}-{dataset_key}", dataset_key),
        ).fetchone()
        for first in range(0, 2000, 500):
            db.execute("INSERT INTO embeddings VALUES (?, 'train', ?, 500, ?)", (embedded, first, dice.randbytes(8000)))
        db.execute("INSERT INTO run_embeddings VALUES (?, ?)", (run, embedded))


def make_up(db: sqlite3.Connection, dice: random.Random, table: str, n: int, n_steps: int) -> None:
    """Rows of a table that fit its columns, checks and references, whatever they mean."""
    (sql,) = db.execute("SELECT sql FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    columns = db.execute('SELECT name, type, "notnull", pk FROM pragma_table_info(?)', (table,)).fetchall()
    alone = sum(bool(pk) for *_, pk in columns) == 1
    refers = dict(db.execute('SELECT "from", "table" FROM pragma_foreign_key_list(?)', (table,)).fetchall())
    parents = {column: [key for (key,) in db.execute(f"SELECT key FROM {parent}")] for column, parent in refers.items()}
    unique = {
        column
        for (index,) in db.execute('SELECT name FROM pragma_index_list(?) WHERE "unique"', (table,)).fetchall()
        for (column,) in db.execute("SELECT name FROM pragma_index_info(?)", (index,))
    }
    for number in range(n):
        values: dict[str, Any] = {}
        for column, kind, not_null, pk in columns:
            (line,) = re.findall(rf"\b{column} (?:{kind})[^\n]*", sql)[:1] or [""]
            check = re.search(rf"{column} IN \(([^)]*)\)", sql)
            if pk and alone and kind == "INTEGER" and column not in refers:
                continue
            if not not_null and not pk and (dice.random() < 0.3 or (column in refers and refers[column] == table)):
                values[column] = None
            elif column in refers:
                values[column] = dice.choice(parents[column])
            elif check:
                values[column] = dice.choice(sorted({*re.findall(r"'(\w+)'", check[1])} - {"running", "queued"}))
            elif column == "objectives":
                values[column] = '[{"metric": "test/f1", "direction": "maximize"}]'
            elif column == "objective_values":
                values[column] = "[0.5]"
            elif "json_valid" in line:
                values[column] = json.dumps({"a": text(dice, 5)})
            elif column == "id":
                values[column] = new_run_id()
            elif column == "size_bytes":
                values[column] = dice.randrange(1000)
            elif column == "path":
                (run,) = db.execute("SELECT id FROM runs WHERE key = ?", (values["run_key"],)).fetchone()
                values[column] = f"runs/{run}/checkpoints/step-{values['step']}"
            elif column == "segment":
                values[column] = dice.choice([1, 2])
            elif column == "step" and "segment" in values:
                values[column] = (values["segment"] - 1) * n_steps + dice.randrange(1, n_steps)
            elif kind == "INTEGER":
                values[column] = (
                    number if pk or column in unique else dice.choice([0, 1, -7, 300, 70_000, 2**40, number])
                )
            elif kind == "REAL":
                values[column] = float(number) if pk else dice.choice([0.0, 1e9, dice.random()])
            elif kind == "BLOB":
                values[column] = dice.randbytes(dice.choice([20, 300, 5000]))
            else:
                values[column] = f"{text(dice, 4)} {number}"
        marks = ", ".join(f":{name}" for name in values)
        db.execute(f"INSERT OR IGNORE INTO {table} ({', '.join(values)}) VALUES ({marks})", values)
    assert db.execute(f"SELECT count(*) > 0 FROM {table}").fetchone() == (1,), table
