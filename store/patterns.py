"""Regular expressions over the texts of a dataset version, within a time that is known.

A pattern may take for ever on one text (nested repetitions), and a match that has begun cannot be stopped in Python's
own `re`. The package `regex` takes a time limit for each match, so the whole scan has one. A dataset version never
changes: what a pattern found is kept for the next page.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import regex

from store.connection import Store
from store.errors import PatternRefused
from store.packed import Positions
from store.records import Dataset

SCAN_SECONDS = 5.0
"""For one pattern over all texts."""
MATCH_SECONDS = 0.25
"""For one text."""
_BATCH = 2_000
_KEPT = 8
# What the last patterns found, by file, dataset, when that was made, split and pattern: a page turned is not scanned.
_found: OrderedDict[tuple[Path, int, float, str, str], Positions] = OrderedDict()
_lock = threading.Lock()


def check_pattern(pattern: str) -> regex.Pattern[str]:
    """The compiled pattern; case counts unless it begins with (?i). Raises PatternRefused where it cannot be read."""
    try:
        return regex.compile(pattern)
    except regex.error as error:
        raise PatternRefused(f"the regular expression {pattern!r} cannot be read: {error}.") from error


def pattern_positions(store: Store, dataset: Dataset, pattern: str, splits: Sequence[str]) -> dict[str, Positions]:
    """Positions of the texts in which the pattern is found, by split.

    Raises PatternRefused where it cannot be read, or takes longer than `MATCH_SECONDS` for a text or `SCAN_SECONDS` for
    all; then it says how far it came.
    """
    compiled = check_pattern(pattern)
    deadline = time.monotonic() + SCAN_SECONDS
    found = {}
    for split in splits:
        key = (store.path, dataset.key, dataset.created_at, split, pattern)
        with _lock:
            known = _found.get(key)
            if known is not None:
                _found.move_to_end(key)
        if known is None:
            known = _scan(store, dataset, compiled, split, deadline)
            with _lock:
                _found[key] = known
                while len(_found) > _KEPT:
                    _found.popitem(last=False)
        found[split] = known
    return found


def forget_patterns() -> None:
    """Scan anew what was scanned before, as a process that begins does."""
    with _lock:
        _found.clear()


def _scan(store: Store, dataset: Dataset, pattern: regex.Pattern[str], split: str, deadline: float) -> Positions:
    matching: list[int] = []
    cursor = store.db.execute(
        "SELECT w.position, x.text FROM dataset_rows w CROSS JOIN examples x ON x.key = w.example_key"
        " WHERE w.dataset_key = ? AND w.split = ? ORDER BY w.position",
        (dataset.key, split),
    )
    n = dataset.n_rows.get(split, 0)
    while rows := cursor.fetchmany(_BATCH):
        for position, text in rows:
            try:
                if pattern.search(text, timeout=MATCH_SECONDS) is not None:
                    matching.append(position)
            except TimeoutError as error:
                raise PatternRefused(
                    f"the regular expression {pattern.pattern!r} takes longer than {MATCH_SECONDS} seconds on"
                    f" {split} {position}. Repetitions inside repetitions, like (a+)+, do that; write it without."
                ) from error
        if time.monotonic() > deadline:
            raise PatternRefused(
                f"the regular expression {pattern.pattern!r} was stopped after {SCAN_SECONDS:.0f} seconds, at"
                f" {rows[-1][0]:,} of {n:,} texts of {split}. Search for a word, or choose one split."
            )
    return np.array(matching, dtype=np.int32)
