"""Checkpoints on disk: written beside their place and moved there whole, hashed, and kept as the recipe says."""

import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path

from runner.errors import UserError
from store import Recorder
from store.runs import run_files

# Free space that stays free: a file system without any left breaks more than this run.
_SPARE_BYTES = 64 * 1024 * 1024


class DiskFull(UserError):
    """There is no room for the next checkpoint; its text says how much is missing where."""


class CheckpointFolder:
    """The checkpoints of one run: `runs/<id>/checkpoints/step-<n>/` in the store's files folder."""

    def __init__(self, recorder: Recorder, keep: str) -> None:
        self._recorder = recorder
        self._root = recorder.store.files
        self._folder = run_files(recorder.store, recorder.run) / "checkpoints"
        self._keep = keep
        self._size = 0
        self.steps: list[int] = []

    def path(self, step: int) -> Path:
        return self._folder / f"step-{step:08d}"

    def save(self, step: int, epoch: float | None, write: Callable[[Path], None], *, expected_bytes: int) -> Path:
        """Have `write` fill a new folder, then put it in place and record it. Nothing half-written is ever in place."""
        self._folder.mkdir(parents=True, exist_ok=True)
        require_room(self._folder, max(expected_bytes, self._size))
        target = self.path(step)
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)
        try:
            write(partial)
            manifest = file_hashes(partial)
            self._size = folder_bytes(partial)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
            self._recorder.checkpoint(
                step,
                epoch=epoch,
                path=target.relative_to(self._root).as_posix(),
                size_bytes=self._size,
                sha256=hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
                manifest=manifest,
            )
            self.steps.append(step)
        except BaseException:  # an interrupt too: what is in place is whole and recorded, or is not there
            shutil.rmtree(partial, ignore_errors=True)
            if step not in self.steps:
                shutil.rmtree(target, ignore_errors=True)
                self._recorder.checkpoint_deleted(step)
            raise
        return target

    def prune(self, best_step: int | None) -> None:
        """Remove what `keep` does not keep, and say so in the store."""
        last = max(self.steps, default=None)
        best = last if best_step is None else best_step
        # With "last" the best stays until `finish`: it is loaded at the end of training.
        kept = {best} if self._keep == "best" else {best, last}
        self._remove([] if self._keep == "all" else [step for step in self.steps if step not in kept])

    def finish(self, best_step: int | None) -> None:
        """At the end of the run: exactly what `keep` names."""
        if self._keep == "last":
            self._remove(self.steps[:-1])
        else:
            self.prune(best_step)

    def _remove(self, steps: list[int]) -> None:
        for step in list(steps):
            shutil.rmtree(self.path(step), ignore_errors=True)
            self._recorder.checkpoint_deleted(step)
            self.steps.remove(step)


def require_room(folder: Path, n_bytes: int) -> None:
    """Raise DiskFull unless a checkpoint of `n_bytes` and some spare fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    needed = n_bytes + _SPARE_BYTES
    if free < needed:
        raise DiskFull(
            f"disk nearly full: the next checkpoint needs {needed / 1e6:,.0f} MB in {folder}, where "
            f"{free / 1e6:,.0f} MB are free. Free some space (`runner rm` shows what runs take), or set "
            'checkpoints.keep = "none".'
        )


def file_hashes(folder: Path) -> dict[str, str]:
    """Relative path → sha256 of every file, in name order."""
    hashes: dict[str, str] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                hashes[path.relative_to(folder).as_posix()] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
