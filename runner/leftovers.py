"""What lies in and beside a store that nothing will ever use again, or that belongs to it and is not in it.

Killed processes leave such things. What the store can say for certain is put right; what may be somebody's is listed,
and removed only when that is asked for.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from runner.files import file_hashes, folder_bytes
from runner.training_state import FOLDER as TRAINING
from store import (
    Checkpoint,
    Run,
    Status,
    Store,
    count_stale_rows,
    delete_stale_leases,
    get_run,
    list_checkpoints,
    mark_deleted,
    register_checkpoint,
    run_ids,
)

# A feature cache that nobody read for so long is not worth its room: it is made again when it is wanted.
_CACHE_SECONDS = 30 * 24 * 3600.0
# A half-written file that was touched so lately may be written still.
_PARTIAL_SECONDS = 3600.0

Kind = Literal["unrecorded", "orphaned", "missing", "unmounted", "damaged", "half-written", "cache", "lease", "draft"]

# Kind → what it is, and what `--repair` does about it.
_TEXTS: dict[Kind, tuple[str, str]] = {
    "unrecorded": ("checkpoint that the store does not know, of a run that it knows", "records it"),
    "orphaned": ("folder that belongs to no run or checkpoint of the store", "leaves it; --remove-orphans removes it"),
    "missing": ("checkpoint whose files are gone", "marks it as removed"),
    "unmounted": (
        "folder of all checkpoints, which is not there",
        "leaves it; mount or copy it back (checkpoints are marked as removed once the folder is there)",
    ),
    "damaged": ("checkpoint with files missing", "leaves it; `runner resume` takes the one before"),
    "half-written": ("half-written file or folder of a process that is gone", "removes it"),
    "cache": ("cached features that nobody read for 30 days", "removes them"),
    "lease": ("lease of a run that is not running", "removes it"),
    "draft": ("dataset that was never written to its end", "leaves it; after a day the next start removes it"),
}


@dataclass(frozen=True)
class Leftover:
    """One thing that was left; `n_bytes` is what it takes on disk."""

    kind: Kind
    name: str
    n_bytes: int
    path: Path | None = None
    run: Run | None = None
    checkpoint: Checkpoint | None = None

    @property
    def what(self) -> str:
        return _TEXTS[self.kind][0]

    @property
    def remedy(self) -> str:
        """What a repair does about it."""
        return _TEXTS[self.kind][1]


def find_leftovers(store: Store) -> list[Leftover]:
    """Everything that was left. Runs that are running, and what is theirs, are not looked at."""
    runs = {run: key for run, (key, status) in run_ids(store).items()}
    live = {run for run, (_, status) in run_ids(store).items() if status == Status.RUNNING}
    found = list(_of_folders(store, runs, live))
    of_rows = [left for run, key in runs.items() if run not in live for left in _of_rows(store, get_run(store, key))]
    if of_rows and not (store.files / "runs").is_dir():
        of_rows = [Leftover("unmounted", f"{store.files / 'runs'}, with {len(of_rows):,} checkpoints", 0)]
    found += of_rows
    found += _half_written(store)
    stale = count_stale_rows(store)
    found += [Leftover("lease", f"{stale.n_leases} of them", 0)] if stale.n_leases else []
    found += [Leftover("draft", f"{stale.n_drafts} of them", 0)] if stale.n_drafts else []
    return found


def clear(store: Store, leftover: Leftover, *, remove_orphans: bool) -> bool:
    """Do what `remedy` says; returns whether anything was done."""
    match leftover:
        case Leftover(kind="unrecorded", path=Path() as path, run=Run() as run):
            _record(store, run, path)
        case Leftover(kind="missing", checkpoint=Checkpoint() as checkpoint):
            mark_deleted(store, [checkpoint])
        case Leftover(kind="lease"):
            delete_stale_leases(store)
        case Leftover(kind="half-written" | "cache", path=Path() as path):
            _remove(path)
        case Leftover(kind="orphaned", path=Path() as path) if remove_orphans:
            _remove(path)
        case _:
            return False
    return True


# finding -------------------------------------------------------------------------------------------------------------


def _of_folders(store: Store, runs: dict[str, int], live: set[str]) -> Iterator[Leftover]:
    """Folders of runs and checkpoints that are not what the store says."""
    root = store.files / "runs"
    for folder in sorted(root.iterdir()) if root.is_dir() else ():
        if folder.name in live:
            continue
        if folder.name not in runs:
            yield Leftover("orphaned", str(folder), _bytes(folder), folder)
            continue
        run = get_run(store, runs[folder.name])
        rows = {store.files / c.path: c for c in list_checkpoints(store, run.key)}
        there = {store.files / c.path for c in list_checkpoints(store, run.key, existing=True)}
        checkpoints = folder / "checkpoints"
        for path in sorted(checkpoints.iterdir()) if checkpoints.is_dir() else ():
            if path in there:
                continue
            if path.name.endswith(".partial"):
                yield Leftover("half-written", str(path), _bytes(path), path)
            elif path not in rows and _is_whole(path, run):
                yield Leftover("unrecorded", str(path), _bytes(path), path, run)
            else:
                yield Leftover("orphaned", str(path), _bytes(path), path)


def _of_rows(store: Store, run: Run) -> Iterator[Leftover]:
    """Checkpoints whose files are not there."""
    for checkpoint in list_checkpoints(store, run.key, existing=True):
        path = store.files / checkpoint.path
        name = f"{run.name} ({run.id}), step {checkpoint.step:,}"
        if "://" in checkpoint.path:
            continue
        if not path.is_dir():
            yield Leftover("missing", name, 0, checkpoint=checkpoint)
        elif gone := [file for file in checkpoint.manifest if not (path / file).is_file()]:
            yield Leftover("damaged", f"{name}: {', '.join(gone[:3])}", 0, checkpoint=checkpoint)


def _half_written(store: Store) -> Iterator[Leftover]:
    now = time.time()
    cache = store.files / "cache"
    for path in sorted(cache.rglob("*")) if cache.is_dir() else ():
        if not path.is_file():
            continue
        used = max(path.stat().st_atime, path.stat().st_mtime)
        if path.name.endswith(".partial") and now - used > _PARTIAL_SECONDS:
            yield Leftover("half-written", str(path), _bytes(path), path)
        elif now - used > _CACHE_SECONDS:
            yield Leftover("cache", str(path), _bytes(path), path)
    for kind in ("repair", "merge"):  # where one was killed at work
        for path in sorted(store.path.parent.glob(f"{store.path.name}.{kind}-*")):
            if now - path.stat().st_mtime > _PARTIAL_SECONDS:
                yield Leftover("half-written", str(path), _bytes(path), path)


def _is_whole(folder: Path, run: Run) -> bool:
    """Whether it is a checkpoint of this run, moved to its place whole, with weights that can be read."""
    from safetensors import SafetensorError, safe_open

    info = _info(folder)
    if info.get("run_id") != run.id or not isinstance(info.get("step"), int):
        return False
    weights = list(folder.rglob("*.safetensors"))
    try:
        for path in weights:
            with safe_open(path, framework="numpy"):
                pass
    except (SafetensorError, OSError):
        return False
    return bool(weights)


def _info(folder: Path) -> dict[str, Any]:
    """What `assay.json` says; nothing where there is none, or none that can be read."""
    try:
        info = json.loads((folder / "assay.json").read_text())
    except (OSError, ValueError):
        return {}
    return info if isinstance(info, dict) else {}


# clearing ------------------------------------------------------------------------------------------------------------


def _record(store: Store, run: Run, folder: Path) -> None:
    info = _info(folder)
    manifest = {name: value for name, value in file_hashes(folder).items() if not name.startswith(f"{TRAINING}/")}
    register_checkpoint(
        store,
        run,
        step=info["step"],
        epoch=info.get("epoch"),
        path=folder.relative_to(store.files).as_posix(),
        size_bytes=sum((folder / name).stat().st_size for name in manifest),
        sha256=hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
        manifest=manifest,
        created_at=(folder / "assay.json").stat().st_mtime,
    )


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _bytes(path: Path) -> int:
    return folder_bytes(path) if path.is_dir() else path.stat().st_size
