"""Checkpoints of trials that were stopped early: they stay so that more trials can take them up, and can be removed."""

import shutil
from collections.abc import Iterable

from store import Checkpoint, Status, Store, Trial, list_checkpoints, mark_deleted


def stopped_checkpoints(store: Store, trials: Iterable[Trial]) -> list[Checkpoint]:
    """What is on disk of the sweep's own stopped trials."""
    keys = [t.run_key for t in trials if t.status == Status.PRUNED and t.run_key is not None and not t.is_reused]
    return [checkpoint for key in keys for checkpoint in list_checkpoints(store, key, existing=True)]


def total_bytes(store: Store, checkpoints: Iterable[Checkpoint]) -> int:
    """Bytes that they take, with all that it takes to go on from them."""
    folders = [store.files / checkpoint.path for checkpoint in checkpoints]
    return sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())


def remove(store: Store, checkpoints: list[Checkpoint]) -> int:
    """Remove them; returns the bytes that were freed. A trial that is taken up later starts again."""
    freed = total_bytes(store, checkpoints)
    for checkpoint in checkpoints:
        shutil.rmtree(store.files / checkpoint.path, ignore_errors=True)
    mark_deleted(store, checkpoints)
    return freed
