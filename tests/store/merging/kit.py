"""Merging in tests: with files copied plainly, and the store checked afterwards."""

import hashlib
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

from store import (
    Store,
    check_store,
)
from store.merging import Merged, merge_store
from store.merging.tables import TABLES
from tests.store.filled import filled_store


def copy_files(source: Path, target: Path, hashes: Mapping[str, str]) -> str | None:
    if not source.is_dir():
        return "its files are missing"
    if any(hashlib.sha256((source / name).read_bytes()).hexdigest() != wanted for name, wanted in hashes.items()):
        return "a file was altered"
    shutil.copytree(source, target, dirs_exist_ok=True)
    return None


def merge(store: Store, path: Path, **options: bool) -> Merged:
    merged = merge_store(store, path, copy_files, **options)
    assert check_store(store).problems == ()
    return merged


def filled(path: Path, seed: int) -> Store:
    return filled_store(path, n_runs=3, n_steps=20, n_examples=60, seed=seed)


def counts(store: Store) -> Counter[str]:
    return Counter(
        {t.name: store.db.execute(f"SELECT count(*) FROM {t.name}").fetchone()[0] for t in TABLES}
    )  # fmt: skip
