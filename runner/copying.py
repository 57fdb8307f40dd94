"""Copying checkpoints from one store's files to another's: whole, checked by their hashes, or not at all."""

import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from runner.files import folder_bytes, wrong_files
from store import Checkpoint, Run, Store, delete_checkpoints, get_run, list_checkpoints, run_ids


def copy_checkpoint(source: Path, target: Path, hashes: Mapping[str, str]) -> str | None:
    """Copy a checkpoint's folder and check the copy; returns what is wrong, None where it is there and right.

    One that is there already and right is left as it is. Nothing half-copied is ever in place.
    """
    if not source.is_dir():
        return f"its files are missing ({source})"
    if target.is_dir() and not wrong_files(target, hashes):
        return None
    partial = target.with_name(target.name + ".partial")
    try:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.copytree(source, partial, symlinks=True)  # a link is copied as one: it may lead anywhere
        if wrong_files(partial, hashes):
            wrong = wrong_files(source, hashes) or [f"{partial} is not what was copied; check the disk"]
            return "; ".join(wrong)
        shutil.rmtree(target, ignore_errors=True)
        os.replace(partial, target)
    except (OSError, shutil.Error) as error:
        return f"it cannot be copied: {error}"
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return None


@dataclass
class Copied:
    """What came along with a backup."""

    n_checkpoints: int = 0
    size_bytes: int = 0
    problems: list[str] = field(default_factory=list)


def saved_checkpoints(store: Store) -> Iterator[tuple[Run, Checkpoint]]:
    """Every checkpoint that has files in the store's own folder."""
    for key, _ in run_ids(store).values():
        run = get_run(store, key)
        for checkpoint in list_checkpoints(store, key, existing=True):
            if "://" not in checkpoint.path:
                yield run, checkpoint


def copy_all(store: Store, copy: Store, files: Path, say: Callable[[str], None]) -> Copied:
    """Copy the files of every checkpoint that a copy of the store knows into the folder `files`.

    A checkpoint that its run removed since the copy was made is noted as removed in the copy too.
    """
    copied = Copied()
    for run, checkpoint in list(saved_checkpoints(copy)):
        name = PurePosixPath(checkpoint.path).name
        say(f"{run.name} {name}")
        if PurePosixPath(checkpoint.path).parts[:2] != ("runs", run.id) or ".." in PurePosixPath(checkpoint.path).parts:
            copied.problems.append(f"{run.name} ({run.id}): the path {checkpoint.path!r} is not one that Assay gives")
            continue
        problem = copy_checkpoint(store.files / checkpoint.path, files / checkpoint.path, checkpoint.manifest)
        if problem is None:
            copied.n_checkpoints += 1
            copied.size_bytes += folder_bytes(files / checkpoint.path)
        elif _is_gone(store, run, checkpoint):
            delete_checkpoints(copy, run.key, [checkpoint.step])
        else:
            copied.problems.append(f"{run.name} ({run.id}), {name}: {problem}")
    return copied


def _is_gone(store: Store, run: Run, checkpoint: Checkpoint) -> bool:
    """Whether the run has removed the checkpoint meanwhile."""
    there = {c.key for c in list_checkpoints(store, run.key, existing=True)}
    return checkpoint.key not in there
