"""Triages, decisions and opinions over the datasets of a filled store, whatever they mean."""

import json
import random
import sqlite3

from store.facets import refresh_facets
from store.ids import example_id, new_run_id
from store.packed import pack_splits
from store.standing import refresh_all

_KINDS = ("label_error", "outlier", "near_duplicate")
_AUTHORS = ("ann", "bob")


def fill_triages(db: sqlite3.Connection, dice: random.Random) -> None:
    """Three triages and two opinions of each dataset, decisions on a third of the rows, some of them undone."""
    datasets = db.execute("SELECT key, n_rows FROM datasets WHERE version IS NOT NULL").fetchall()
    for dataset_key, n_rows in datasets:
        n = json.loads(n_rows)["train"]
        rows = db.execute(
            "SELECT split, position, example_key, target FROM dataset_rows WHERE dataset_key = ?", (dataset_key,)
        ).fetchall()
        for number in range(3):
            _fill_triage(db, dice, dataset_key, number, rows, n)
        for number in range(2):
            _fill_opinion(db, dice, dataset_key, number, n)
        _decide(db, dice, dataset_key, dice.sample(rows, len(rows) // 3))
        refresh_facets(db, dataset_key)
    first, last = datasets[0][0], datasets[-1][0]
    db.execute(
        "INSERT INTO version_decisions SELECT ?, key FROM decisions WHERE dataset_key = ? AND action = 'relabel'",
        (last, first),
    )
    refresh_all(db)


def _fill_triage(
    db: sqlite3.Connection,
    dice: random.Random,
    dataset_key: int,
    number: int,
    rows: list[tuple[str, int, int, int]],
    n: int,
) -> None:
    (key,) = db.execute(
        "INSERT INTO triages (id, dataset_key, status, fingerprint, versions, sources, summary, created_at, ended_at,"
        " version) VALUES (?, ?, 'finished', ?, '{\"outlier\": 1}', ?, ?, 1.5, 2.5, 3) RETURNING key",
        (
            new_run_id(),
            dataset_key,
            f"{dice.randrange(16**8):08x}",
            json.dumps([{"kind": "run", "id": new_run_id()}]),
            json.dumps({"n": n, "curve": [dice.random() for _ in range(400)]}),
        ),
    ).fetchone()
    db.executemany(
        "INSERT INTO triage_steps VALUES (?, ?, ?, 1e9, '{}')",
        [(key, step, dice.random()) for step in ("labels", "map")],
    )
    db.executemany(
        "INSERT INTO triage_columns (triage_key, split, name, first_position, dtype, width, n_examples, block)"
        " VALUES (?, 'train', ?, 0, '<f4', ?, ?, ?)",
        [(key, name, width, n, dice.randbytes(4 * n * max(width, 1))) for name, width in (("risk", 0), ("map", 2))],
    )
    db.executemany(
        "INSERT INTO triage_queue (triage_key, place, split, position, example_key, given, suggested, risk,"
        " suggested_probability, n_doubting, n_voices) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 8)",
        [
            (
                key,
                place,
                split,
                position,
                example,
                target,
                dice.choice([None, 0, 1]),
                dice.random(),
                dice.random(),
                place % 8,
            )
            for place, (split, position, example, target) in enumerate(dice.sample(rows, len(rows)))
        ],
    )
    for kind in _KINDS:
        found = dice.sample(rows, len(rows) // 4)
        db.executemany(
            "INSERT INTO findings (triage_key, kind, place, split, position, risk, suggested, evidence)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (
                    key,
                    kind,
                    place,
                    split,
                    position,
                    dice.random(),
                    dice.choice([None, 1, "a text"]),
                    f'{{"n": {number}}}',
                )
                for place, (split, position, _, _) in enumerate(found)
            ],
        )
        splits, positions = pack_splits({"train": dice.sample(range(n), n // 2)})
        db.execute(
            "INSERT INTO finding_groups (triage_key, kind, name, risk, n, splits, positions)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (key, kind, f"region {number}", dice.random(), n // 2, splits, positions),
        )


def _fill_opinion(db: sqlite3.Connection, dice: random.Random, dataset_key: int, number: int, n: int) -> None:
    (key,) = db.execute(
        "INSERT INTO opinions (id, dataset_key, fingerprint, kind, name, status, n_classes, n_folds, seed, created_at)"
        " VALUES (?, ?, ?, 'crossval', ?, 'finished', 2, 3, 0, 1e9) RETURNING key",
        (new_run_id(), dataset_key, f"opinion {dice.randrange(16**8):08x}", f"opinion {number}"),
    ).fetchone()
    db.executemany(
        "INSERT INTO opinion_parts VALUES (?, ?, ?, '{\"wall_seconds\": 1.5}', 1e9)",
        [(key, part, n // 3) for part in range(3)],
    )
    for first in range(0, n, 100):
        size = min(100, n - first)
        db.execute(
            "INSERT INTO opinion_blocks VALUES (?, ?, ?, ?, ?)", (key, first, size, size, dice.randbytes(4 * size))
        )


def _decide(
    db: sqlite3.Connection, dice: random.Random, dataset_key: int, rows: list[tuple[str, int, int, int]]
) -> None:
    batches = []
    for number, (split, position, example_key, target) in enumerate(rows):
        action = dice.choice(["relabel", "keep", "drop", "edit", "skip", "note"])
        (own,) = db.execute("SELECT id FROM examples WHERE key = ?", (example_key,)).fetchone()
        text = f"edited {number} {dice.random()}" if action == "edit" else None
        result = example_id({"text": text}) if text else own if action in ("relabel", "keep") else None
        for author in dice.choice([_AUTHORS, _AUTHORS[:1], _AUTHORS[1:]]):
            batches.append(new_run_id())
            db.execute(
                "INSERT INTO decisions (id, batch, dataset_key, split, position, example_key, action, label, text,"
                " result_id, note, author, at, seconds, finding, triage_id)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 2.5, 'label_error', ?)",
                (
                    batches[-1], batches[-1], dataset_key, split, position, example_key, action,
                    1 - target if action == "relabel" else None, text, result,
                    "why" if action == "note" else None, author, 1e9 + number, new_run_id(),
                ),
            )  # fmt: skip
    for batch in dice.sample(batches, len(batches) // 5):
        identity = new_run_id()
        db.execute(
            "INSERT INTO decisions (id, batch, dataset_key, action, author, at, undoes)"
            " VALUES (?, ?, ?, 'undo', 'ann', 2e9, ?)",
            (identity, identity, dataset_key, batch),
        )
