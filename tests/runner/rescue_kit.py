"""A store of one's own with a real run and its checkpoints, to break or to add to."""

from collections.abc import Callable
from pathlib import Path

from runner.copying import copy_all
from store import Checkpoint, Run, Store, backup_store, delete_run, get_run, list_checkpoints, list_runs, open_store
from tests.runner.conftest import Trained


def own_copy(trained: Callable[[str], Trained], folder: Path, method: str = "head") -> tuple[Store, Run]:
    """A copy of the shared store with nothing but a run of that method, its files included."""
    shared = trained(method)
    files = folder / "assay-files"
    backup_store(shared.store, folder / "assay.db", also=lambda copy: _copy(shared.store, copy, files))
    store = open_store(folder / "assay.db", create=False)
    run = get_run(store, shared.run.id)
    for key in list_runs(store)["key"]:
        if key != run.key:
            delete_run(store, get_run(store, int(key)))
    return store, run


def _copy(store: Store, copy: Store, files: Path) -> None:
    assert copy_all(store, copy, files, lambda text: None).problems == []


def checkpoints(store: Store, run: Run) -> list[Checkpoint]:
    found = list_checkpoints(store, run.key, existing=True)
    assert found
    return found
