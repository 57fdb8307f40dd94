"""Checkpoints on disk: written beside their place and moved there whole, hashed, and kept as the recipe says.

    runs/<run id>/checkpoints/step-<n>/
        ...          the model (`runner.classifier`); its files and hashes are in the store
        training/    what training goes on from (`runner.training_state`), with hashes of its own

While a run has not finished, its two newest checkpoints hold the training state, so that one may be damaged. When it
has, exactly what `keep` names is left, without training state.
"""

import contextlib
import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from runner.errors import UserError
from runner.files import file_hashes, folder_bytes, is_disk_full, wrong_files
from runner.training_state import FOLDER as TRAINING
from runner.training_state import TrainingState, read_training_state, training_damage
from store import (
    Checkpoint,
    Recorder,
    Run,
    Store,
    StoreError,
    delete_checkpoints,
    get_run,
    list_checkpoints,
    list_runs,
    list_segments,
)
from store.runs import run_files

# Free space that stays free: a file system without any left breaks more than this run.
_SPARE_BYTES = 64 * 1024 * 1024

_ADVICE = 'Free some space (`runner rm` shows what runs take), or set checkpoints.keep = "none".'

_N_RESUMABLE = 2
"""So many of the newest checkpoints of an unfinished run hold the training state."""

_N_LOOKED_AT = 50  # finished runs, the newest: a kill in the last moment leaves something to tidy up in one of those


class DiskFull(UserError):
    """There is no room for the next checkpoint; its text says where, and what can be done."""


class CheckpointFolder:
    """The checkpoints of one run: `runs/<id>/checkpoints/step-<n>/` in the store's files folder."""

    def __init__(self, recorder: Recorder, keep: str) -> None:
        self._recorder = recorder
        self._root = recorder.store.files
        self._folder = checkpoints_folder(recorder.store, recorder.run)
        self._keep = keep
        self._size = 0
        self._segments = {c.step: c.segment for c in list_checkpoints(recorder.store, recorder.run.key, existing=True)}
        """Step → segment of each checkpoint that is there."""
        self._best_of: dict[int, int | None] = {}
        """Step of each of the newest → which was the best when it was saved."""

    @property
    def keep(self) -> str:
        """What is left when the run has finished: best+last, best, last or all."""
        return self._keep

    @property
    def steps(self) -> list[int]:
        """Those that are there, in order."""
        return sorted(self._segments)

    def segment(self, step: int) -> int:
        """In which the checkpoint of this step was saved."""
        return self._segments[step]

    def path(self, step: int) -> Path:
        return self._folder / folder_name(step)

    def save(
        self,
        step: int,
        epoch: float | None,
        write: Callable[[Path], None],
        write_training: Callable[[Path], None],
        *,
        expected_bytes: int,
    ) -> Path:
        """Have a new folder filled, put it in place and record it. Nothing half-written is ever in place.

        Raises DiskFull where there is no room for it, or none is left while it is written.

        `write` makes the folder with the model in it, `write_training` the folder with the training state.
        """
        target = self.path(step)
        partial = target.with_name(target.name + ".partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            shutil.rmtree(partial, ignore_errors=True)
            require_room(self._folder, max(expected_bytes, self._size))
            write(partial)
            manifest = file_hashes(partial)
            size = folder_bytes(partial)
            write_training(partial / TRAINING)
            self._size = folder_bytes(partial)
            shutil.rmtree(target, ignore_errors=True)
            os.replace(partial, target)
            self._recorder.checkpoint(
                step,
                epoch=epoch,
                path=target.relative_to(self._root).as_posix(),
                size_bytes=size,
                sha256=hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest(),
                manifest=manifest,
            )
            self._segments[step] = self._recorder.segment
        except BaseException as error:  # an interrupt too: what is in place is whole and recorded, or is not there
            shutil.rmtree(partial, ignore_errors=True)
            if step not in self._segments:
                shutil.rmtree(target, ignore_errors=True)
                self._recorder.checkpoint_deleted(step)
            if is_disk_full(error):
                raise DiskFull(f"disk full: the checkpoint does not fit in {self._folder}. {_ADVICE}") from error
            raise
        return target

    def prune(self, best_step: int | None) -> None:
        """While the run goes on: keep the newest two with their training state, and the best as each of them knows it.

        Nothing goes before it is on record what makes it superfluous, a newer checkpoint or a better one: after a kill
        the run would be left with neither. Where that takes too long it goes the next time.
        """
        older, newest = self.steps[:-_N_RESUMABLE], self.steps[-_N_RESUMABLE:]
        self._best_of = {step: self._best_of.get(step) for step in newest[:-1]} | dict.fromkeys(newest[-1:], best_step)
        bests = {best_step, *self._best_of.values()}
        dropped = [step for step in older if self._keep != "all" and step not in bests]
        bare = [step for step in older if step not in dropped and (self.path(step) / TRAINING).is_dir()]
        if (dropped or bare) and self._recorder.settle():
            for step in bare:
                _remove(self.path(step) / TRAINING)
            for step in dropped:
                try:
                    _remove(self.path(step))
                finally:
                    self._recorder.checkpoint_deleted(step, segment=self._segments.pop(step))

    def finish(self, best_step: int | None) -> None:
        """When the run is known as finished: exactly what `keep` names, and no training state.

        In that order, because a run killed in between has lost nothing: it keeps too much, until `tidy_finished`.
        """
        _leave_kept(self._recorder.store, self._recorder.run, self.steps, self._keep, best_step)


class FollowedCheckpoints(CheckpointFolder):
    """The same of a process that follows another: it knows which there are, and writes none."""

    def save(
        self,
        step: int,
        epoch: float | None,
        write: Callable[[Path], None],
        write_training: Callable[[Path], None],
        *,
        expected_bytes: int,
    ) -> Path:
        self._segments[step] = self._recorder.segment
        return self.path(step)

    def prune(self, best_step: int | None) -> None:
        """The other process does that."""

    def finish(self, best_step: int | None) -> None:
        """The other process does that."""


def _remove(folder: Path) -> None:
    """Take a folder away, from its name at once: cut off half-way, what is left is not taken for a checkpoint."""
    partial = folder.with_name(folder.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    with contextlib.suppress(FileNotFoundError):
        os.replace(folder, partial)
    try:
        shutil.rmtree(partial, ignore_errors=True)
    except BaseException:  # an interrupt
        shutil.rmtree(partial, ignore_errors=True)
        raise


def tidy_finished(store: Store) -> list[Run]:
    """Give runs that finished lately, and were killed before they had tidied up, what `keep` names. Returns them."""
    tidied = []
    for key in list_runs(store, status=["finished"], limit=_N_LOOKED_AT)["key"]:
        rows = list_checkpoints(store, int(key), existing=True)
        if any((store.files / row.path / TRAINING).is_dir() for row in rows):
            run = get_run(store, int(key))
            keep = ((run.recipe or {}).get("checkpoints") or {}).get("keep", "all")  # type: ignore[attr-defined]  # JSON
            best = next((row.step for row in rows if row.is_best), None)
            _leave_kept(store, run, [row.step for row in rows], keep, best)
            tidied.append(run)
    return tidied


def _leave_kept(store: Store, run: Run, steps: Sequence[int], keep: str, best_step: int | None) -> None:
    folder, last = checkpoints_folder(store, run), max(steps, default=None)
    best = last if best_step is None else best_step
    named: dict[str, set[int | None]] = {"best": {best}, "last": {last}, "all": {*steps}}
    kept = named.get(keep, {best, last})
    dropped = [step for step in steps if step not in kept]
    with contextlib.suppress(StoreError):  # a store that cannot be written now: then they stay, and are known to
        delete_checkpoints(store, run.key, dropped)
        for step in dropped:
            shutil.rmtree(folder / folder_name(step), ignore_errors=True)
    for step in steps:
        shutil.rmtree(folder / folder_name(step) / TRAINING, ignore_errors=True)


def checkpoints_folder(store: Store, run: Run) -> Path:
    return run_files(store, run) / "checkpoints"


def folder_name(step: int) -> str:
    return f"step-{step:08d}"


# going on from one ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Intact:
    """A checkpoint that training can go on from."""

    folder: Path
    checkpoint: Checkpoint
    state: TrainingState


def find_intact(store: Store, run: Run) -> tuple[Intact | None, list[str]]:
    """The newest checkpoint whose every file is what was written, and what is wrong with each newer one.

    The best checkpoint up to there must be intact as well: the run ends with its weights. Where nothing is found and
    nothing is wrong, the run saved none.
    """
    wrong: list[str] = []
    visible = {s.number: s.visible_until for s in list_segments(store, run.key)}
    rows: dict[int, Checkpoint] = {}
    for row in list_checkpoints(store, run.key):  # by step, then segment: of one step the newest stays
        until = visible[row.segment]
        if (until is None or row.step <= until) and row.deleted_at is None:
            rows[row.step] = row
    for step in sorted(rows, reverse=True):
        folder = store.files / rows[step].path
        if step not in sorted(rows)[-_N_RESUMABLE:] and not (folder / TRAINING).is_dir():
            continue  # it only holds a model, as the older ones do
        damage = _damage(store, rows[step]) or training_damage(folder / TRAINING, run.id, step)
        if damage:
            wrong += damage
            continue
        state = read_training_state(folder / TRAINING)
        best = state.counters.best_step
        if best is not None and best != step:
            damage = _damage(store, rows[best]) if best in rows else [f"the best checkpoint, step {best}, is gone"]
            if damage:
                wrong += [f"{text} (the best so far, which the run from step {step} may end with)" for text in damage]
                continue
        return Intact(folder, rows[step], state), wrong
    return None, wrong


def _damage(store: Store, checkpoint: Checkpoint) -> list[str]:
    folder = store.files / checkpoint.path
    return wrong_files(folder, checkpoint.manifest) if folder.is_dir() else [f"{folder} is missing"]


def remove_strays(store: Store, run: Run) -> None:
    """Remove checkpoint folders that the store does not count as there: half-written ones, abandoned ones."""
    known = {store.files / c.path for c in list_checkpoints(store, run.key, existing=True)}
    for folder in _subfolders(checkpoints_folder(store, run)):
        if folder not in known:
            shutil.rmtree(folder, ignore_errors=True)


def _subfolders(folder: Path) -> Iterable[Path]:
    return [path for path in folder.iterdir() if path.is_dir()] if folder.is_dir() else []


def require_room(folder: Path, n_bytes: int) -> None:
    """Raise DiskFull unless a checkpoint of `n_bytes` and some spare fit on the disk of `folder`."""
    free = shutil.disk_usage(folder).free
    if free < n_bytes + _SPARE_BYTES:
        raise DiskFull(
            f"disk nearly full: the next checkpoint takes {n_bytes / 1e6:,.1f} MB and "
            f"{_SPARE_BYTES / 1e6:,.0f} MB more are to stay free in {folder}, "
            f"where {free / 1e6:,.0f} MB are free. {_ADVICE}"
        )
