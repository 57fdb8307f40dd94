"""Where a run computes, and in which number format."""

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from runner.errors import UserError

if TYPE_CHECKING:
    from runner.recipe import Training

_VISIBLE_AT_START = [name for name in os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",") if name.strip()]


class DeviceError(UserError):
    """The device or number format cannot be had here; its text says what can."""


@dataclass(frozen=True)
class Device:
    """`type` is cpu, cuda or mps; `dtype` is the autocast format, None for plain float32."""

    type: str
    dtype: torch.dtype | None

    @property
    def precision(self) -> str:
        return {None: "fp32", torch.float16: "fp16", torch.bfloat16: "bf16"}[self.dtype]


def choose_device(spec: "Training") -> Device:
    """What `training.device` and `training.precision` mean on this machine. Raises DeviceError.

    `auto` takes a CUDA device, else Apple's, else the CPU; bf16 where the GPU has it, else fp16, and float32 on a CPU,
    where half precision is slower than none (15 times, measured).
    """
    wanted, _, index = spec.device.partition(":")
    if index:
        _show_only(spec.device, int(index))
    has_cuda, has_mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    there = ["cpu", *(["cuda"] if has_cuda else []), *(["mps"] if has_mps else [])]
    kind = ("cuda" if has_cuda else "mps" if has_mps else "cpu") if wanted == "auto" else wanted
    if kind not in there:
        raise DeviceError(f"training.device = {spec.device!r}, but this machine has: {', '.join(there)}.")
    if kind == "cuda":
        has_bf16 = torch.cuda.is_bf16_supported()
        if spec.precision == "bf16" and not has_bf16:
            raise DeviceError('training.precision = "bf16", but this GPU has none; use "fp16" or "auto".')
        if spec.precision == "fp32":
            return Device(kind, None)
        return Device(kind, torch.bfloat16 if has_bf16 and spec.precision != "fp16" else torch.float16)
    if spec.precision == "fp16":
        raise DeviceError(f'training.precision = "fp16" needs a CUDA device; on {kind} use "fp32" or "auto".')
    return Device(kind, torch.bfloat16 if spec.precision == "bf16" else None)


def _show_only(wanted: str, index: int) -> None:
    """Let this process see one CUDA device, counted among those it was started with: the Trainer takes all it sees."""
    if _VISIBLE_AT_START and index >= len(_VISIBLE_AT_START):
        n = len(_VISIBLE_AT_START)
        raise DeviceError(
            f"training.device = {wanted!r}, but CUDA_VISIBLE_DEVICES shows this process only {n} of them."
        )
    name = _VISIBLE_AT_START[index] if _VISIBLE_AT_START else str(index)
    is_awake: bool = torch.cuda.is_initialized()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    if is_awake and os.environ.get("CUDA_VISIBLE_DEVICES") != name:  # it would be read no more
        raise DeviceError(f"training.device = {wanted!r}, but this process already uses another; start a new one.")
    os.environ["CUDA_VISIBLE_DEVICES"] = name
