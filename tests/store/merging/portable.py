"""What a store holds, said without its own integer keys."""

import sqlite3
from collections import Counter
from typing import Any

from store.merging.tables import BY_NAME, TABLES, columns

# Of these the merge writes something else, on purpose.
_CHANGED = {
    "datasets": {"name", "version", "parent_key"},
    "checkpoints": {"deleted_at"},
    "embedding_sets": {"fingerprint"},
    "runs": {"version"},
    "sweeps": {"version", *BY_NAME["sweeps"].written},
    "triages": {"version", *BY_NAME["triages"].written},
    "opinions": {"version", *BY_NAME["opinions"].written},
}


def portable(db: sqlite3.Connection) -> dict[str, Counter[Any]]:
    """Table → its rows, every key replaced by what identifies the row that it is of."""
    named: dict[str, dict[int, Any]] = {}
    content: dict[str, Counter[Any]] = {}
    for table in TABLES:
        names = columns(db, table.name)
        has_key = "key" in {name for (name,) in db.execute("SELECT name FROM pragma_table_info(?)", (table.name,))}
        found = db.execute(f"SELECT {'key' if has_key else 0}, {', '.join(names)} FROM {table.name}").fetchall()
        rows, named[table.name] = [], {}
        for key, *values in found:
            row = dict(zip(names, values, strict=True))
            for column, parent in table.references.items():
                if row[column] is not None and column not in _CHANGED.get(table.name, ()):
                    row[column] = named[parent].get(row[column], "later")
            named[table.name][key] = (table.name, *(row[name] for name in table.identity))
            rows.append(tuple(repr(row[name]) for name in names if name not in _CHANGED.get(table.name, ())))
        if table.name == "embedding_sets":
            named[table.name] = {key: fingerprint.split("-")[0] for key, fingerprint, *_ in found}
        content[table.name] = Counter(rows)
    return content
