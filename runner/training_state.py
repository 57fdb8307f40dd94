"""The training state: what lies beside the model in a checkpoint, so that training goes on as if it had never stopped.

training/
    manifest.json        format, run id, step, the sha256 of the files below and of itself
    trainer_state.json   the Trainer's own counters, as transformers reads them
    state.json           our counters; optimizer, schedule, gradient scaler, random numbers; the unfinished epoch
    state.safetensors    its tensors
"""

import json
import random
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from hashlib import blake2b, sha256
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from runner.files import file_hashes, wrong_files
from runner.trees import put_together, take_apart

FORMAT = 1
"""Also of the order of the examples (`runner.order`): a place in it is meant by epoch and step."""

FOLDER = "training"
_MARK_VALUES = 64


@dataclass(frozen=True)
class Counters:
    """Where a training stood."""

    step: int
    n_epochs: int
    """Epochs whose dynamics were recorded as a whole; the next one is in the state as far as it got."""
    n_examples: int
    """Training examples that went through the model, each epoch counted again."""
    best_step: int | None
    best_value: float | None
    untrained_value: float | None
    seconds: float
    """Of work, from the first start to here."""
    is_complete: bool
    """Nothing was left to train: the last step was done, or early stopping had spoken."""


@dataclass(frozen=True)
class TrainingState:
    """Everything of the folder. `parts`: optimizer, scheduler, scaler, random, others, loss, dynamics, base, pieces."""

    counters: Counters
    parts: dict[str, Any]


def write_training_state(
    folder: Path, run_id: str, counters: Counters, parts: Mapping[str, Any], trainer_state: Mapping[str, Any]
) -> None:
    """Fill a new folder. Raises TypeError for a part that is more than numbers, texts and tensors."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    plain, tensors = take_apart(dict(parts))
    save_file(tensors, folder / "state.safetensors")
    tensors.clear()  # copies, that the recursion in `take_apart` would keep until garbage is collected
    (folder / "state.json").write_text(json.dumps({"counters": asdict(counters), "parts": plain}))
    (folder / "trainer_state.json").write_text(json.dumps(trainer_state))
    manifest = {"format": FORMAT, "run_id": run_id, "step": counters.step, "files": file_hashes(folder)}
    (folder / "manifest.json").write_text(json.dumps({**manifest, "sha256": _own_hash(manifest)}, indent=2))


def read_training_state(folder: Path) -> TrainingState:
    """What `write_training_state` was given, tensors on the CPU. The folder has been checked before."""
    from safetensors.torch import load_file

    content = json.loads((folder / "state.json").read_text())
    tensors = load_file(folder / "state.safetensors")
    return TrainingState(Counters(**content["counters"]), put_together(content["parts"], tensors))


def training_damage(folder: Path, run_id: str, step: int) -> list[str]:
    """What is wrong with a training folder, a sentence each; [] when nothing is."""
    try:
        manifest = json.loads((folder / "manifest.json").read_text())
        if manifest["format"] > FORMAT:
            return [f"{folder} was written by a newer Assay (format {manifest['format']})"]
        if manifest.pop("sha256") != _own_hash(manifest):
            raise ValueError
        if (manifest["run_id"], manifest["step"]) != (run_id, step):
            return [f"{folder} belongs to step {manifest['step']} of run {manifest['run_id']}"]
        return wrong_files(folder, manifest["files"])
    except FileNotFoundError:
        return [f"{folder / 'manifest.json'} is missing"]
    except (OSError, ValueError, KeyError, TypeError):
        return [f"{folder / 'manifest.json'} was altered"]


def _own_hash(manifest: Mapping[str, Any]) -> str:
    return sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


# random numbers ------------------------------------------------------------------------------------------------------


def random_state() -> dict[str, Any]:
    """All generators that training draws from: Python's, NumPy's, torch's, and those of the devices."""
    version, words, gauss = random.getstate()
    name, keys, *rest = np.random.get_state(legacy=True)
    state: dict[str, Any] = {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), *rest],
        "torch": torch.get_rng_state(),
    }
    if torch.cuda.is_available():
        state["cuda"] = torch.cuda.get_rng_state_all()
    if torch.backends.mps.is_available():
        state["mps"] = torch.mps.get_rng_state()
    return state


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put all generators where `random_state` saw them; those of devices that are not here are left out."""
    version, words, gauss = state["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = state["numpy"]
    np.random.set_state((name, np.array(keys, dtype=np.uint32), *rest))
    torch.set_rng_state(state["torch"])
    cuda: list[Tensor] = state.get("cuda", [])
    if torch.cuda.is_available():
        for device, generator in enumerate(cuda[: torch.cuda.device_count()]):
            torch.cuda.set_rng_state(generator, device)
    if "mps" in state and torch.backends.mps.is_available():
        torch.mps.set_rng_state(state["mps"])


# the model below -----------------------------------------------------------------------------------------------------


def weights_mark(tensors: Iterable[Tensor]) -> str:
    """A quick mark of frozen weights, which no checkpoint holds: blake2b of shapes and of 64 values of each tensor.

    No proof that they are the same (`runner.backbone.fingerprint` is one, and takes its time), but what another
    revision or another model has in those places differs.
    """
    digest = blake2b(digest_size=16)
    for tensor in tensors:
        flat = tensor.detach().flatten()
        places = torch.from_numpy(np.linspace(0, len(flat), min(len(flat), _MARK_VALUES), endpoint=False, dtype=int))
        digest.update(f"{tuple(tensor.shape)}{tensor.dtype}".encode())
        digest.update(flat[places.to(flat.device)].cpu().contiguous().view(torch.uint8).numpy().data)
    return digest.hexdigest()
