"""Whether the checkpoints that the store knows are still what was written."""

from dataclasses import dataclass

from runner.files import folder_bytes, wrong_files
from runner.training_state import FOLDER as TRAINING
from runner.training_state import training_damage
from store import Checkpoint, Run, Status, Store, get_run, list_checkpoints, run_ids


@dataclass(frozen=True)
class CheckpointHealth:
    """What was found of the checkpoints whose files are all there, of runs that are not running.

    `wrong` names the files of each checkpoint that are not what was written; `bytes_read` is 0 where only sizes were
    compared.
    """

    n_checkpoints: int
    bytes_read: int
    wrong: tuple[tuple[Run, Checkpoint, tuple[str, ...]], ...]


def check_checkpoints(store: Store, *, thorough: bool) -> CheckpointHealth:
    """Compare sizes with what the store says, and, where `thorough`, the hash of every file, training state included.

    Checkpoints with files missing are left out: `runner.leftovers` has those.
    """
    n_checkpoints, bytes_read = 0, 0
    wrong: list[tuple[Run, Checkpoint, tuple[str, ...]]] = []
    for key, status in run_ids(store).values():
        if status == Status.RUNNING:  # its checkpoints come and go
            continue
        run = get_run(store, key)
        for checkpoint in list_checkpoints(store, key, existing=True):
            folder = store.files / checkpoint.path
            files = [folder / name for name in checkpoint.manifest]
            if "://" in checkpoint.path or not all(file.is_file() for file in files):
                continue
            n_checkpoints += 1
            found: list[str] = []
            if thorough:
                bytes_read += folder_bytes(folder)
                found += wrong_files(folder, checkpoint.manifest)
                if (folder / TRAINING).is_dir():
                    found += training_damage(folder / TRAINING, run.id, checkpoint.step)
            n_bytes = sum(file.stat().st_size for file in files)
            if not found and n_bytes != checkpoint.size_bytes:
                found.append(
                    f"{folder} holds {n_bytes:,} bytes of the model where {checkpoint.size_bytes:,} were written"
                )
            if found:
                wrong.append((run, checkpoint, tuple(found)))
    return CheckpointHealth(n_checkpoints, bytes_read, tuple(wrong))
