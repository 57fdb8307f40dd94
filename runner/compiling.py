"""Compiling the model with `torch.compile`, in its place: names of weights and checkpoints stay what they were."""

import os
import shutil

from torch import nn

from runner.devices import Device, DeviceError

_COMPILERS = ("c++", "g++", "clang++")


def compile_model(body: nn.Module, device: Device) -> None:
    """Have the model's forward compiled when it is first called, for texts of any number and length.

    Raises DeviceError where there is nothing to compile with.
    """
    if device.type == "mps":
        raise DeviceError("training.compile = true: Apple's devices are not compiled for; leave it out.")
    if device.type == "cpu":
        named = os.environ.get("CXX")
        if not any(shutil.which(name) for name in ([named] if named else _COMPILERS)):
            raise DeviceError(
                "training.compile = true: on a CPU it needs a C++ compiler, and there is none "
                f"({named or ', '.join(_COMPILERS)}); install one, or leave it out."
            )
    body.compile(dynamic=True)
