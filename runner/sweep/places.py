"""Where the trials of a sweep run on this machine: how many at once, on which device, with how many threads."""

import os
from typing import NamedTuple

from runner.recipe import Recipe


class Places(NamedTuple):
    """A slot each: the CUDA device that its worker may see, None for whatever this process sees."""

    devices: tuple[str | None, ...]
    threads: int | None
    """CPU threads of each worker; None: as torch chooses."""


def find_places(recipe: Recipe, n_parallel: int | None) -> Places:
    """One slot for each CUDA device, or one on the CPU; `n_parallel` slots if that is given, sharing what there is."""
    wanted = recipe.training.device
    cuda = _cuda_names() if wanted in ("auto", "cuda") else ()
    n_slots = n_parallel or max(1, len(cuda))
    devices = tuple(cuda[i % len(cuda)] if cuda else None for i in range(n_slots))
    threads = None if n_slots == 1 else max(1, _n_cores() // n_slots)
    return Places(devices, threads)


def _cuda_names() -> tuple[str, ...]:
    """The devices as CUDA_VISIBLE_DEVICES names them."""
    from runner.queue.devices import list_devices

    visible = [name.strip() for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
    n = sum(device.startswith("cuda") for device in list_devices())
    return tuple(visible[i] if i < len(visible) else str(i) for i in range(n))


def _n_cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
