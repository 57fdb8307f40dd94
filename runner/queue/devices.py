"""Which devices there are, found without loading torch here: a worker is small and stays so."""

import contextlib
import os
import platform
import subprocess
import sys
from pathlib import Path

from runner.errors import UserError
from store import job_device

_ASK_SECONDS = 120.0


class NoSuchDevice(UserError):
    """The device is not on this machine; the text names those that are."""


def list_devices() -> tuple[str, ...]:
    """The devices that torch can use here, best first: cuda:0, cuda:1, …, mps, cpu."""
    cuda = tuple(f"cuda:{i}" for i in range(_count_cuda())) if _may_have_cuda() else ()
    has_mps = platform.system() == "Darwin" and platform.machine() == "arm64"
    return (*cuda, *(("mps",) if has_mps else ()), "cpu")


def choose_worker_device(wanted: str | None) -> str:
    """The device of a worker: what was asked for, or the best there is. `cuda` means cuda:0. Raises NoSuchDevice."""
    if wanted == "cpu":  # there always is one, and the others need not be looked for
        return wanted
    there = list_devices()
    if wanted is None:
        return there[0]
    device = "cuda:0" if wanted == "cuda" else wanted
    if device not in there:
        raise NoSuchDevice(f"--device {wanted}: this machine has no such device; it has {', '.join(there)}.")
    return device


def show_only(device: str, recipe_device: str) -> None:
    """Let this process see its worker's device alone, so that `auto` means it. Call before torch is loaded.

    A recipe that names a device by its number finds it by itself. Raises NoSuchDevice where that is another one.
    """
    wanted = job_device(recipe_device)
    if wanted is not None and wanted not in (device, device.partition(":")[0]):
        raise NoSuchDevice(
            f"training.device = {recipe_device!r}, and this worker has {device}. Queue the job for {recipe_device} and "
            f"start `runner worker --device {recipe_device}`."
        )
    if ":" in recipe_device:
        return
    kind, _, index = device.partition(":")
    if kind == "cpu":
        os.environ["CUDA_VISIBLE_DEVICES"] = ""
    elif kind == "cuda":
        visible = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]
        os.environ["CUDA_VISIBLE_DEVICES"] = visible[int(index)] if int(index) < len(visible) else index


def _may_have_cuda() -> bool:
    """Whether there is a GPU that torch might know; asks the driver, in milliseconds."""
    if os.environ.get("CUDA_VISIBLE_DEVICES", "unset").strip() == "":
        return False
    if Path("/dev/kfd").exists():  # AMD's, which torch calls cuda too
        return True
    with contextlib.suppress(Exception):  # no driver, or one that does not answer: then there is none for torch either
        import pynvml

        pynvml.nvmlInit()
        try:
            return bool(pynvml.nvmlDeviceGetCount())
        finally:
            pynvml.nvmlShutdown()
    return False


def _count_cuda() -> int:
    """How many torch can use. It is asked in a process of its own, which takes some seconds and then is gone."""
    code = "import torch; print(torch.cuda.device_count() if torch.cuda.is_available() else 0)"
    try:
        answer = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, timeout=_ASK_SECONDS, check=True
        )
        return int(answer.stdout.split()[-1])
    except (subprocess.SubprocessError, OSError, ValueError, IndexError):
        return 0
