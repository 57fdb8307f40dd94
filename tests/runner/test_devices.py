"""Which device and number format a recipe gets, on machines of every kind."""

import pytest
import torch

import runner.devices
from runner.devices import Device, DeviceError, choose_device
from runner.recipe import Training


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch):
    def make(*, cuda: bool = False, bf16: bool = False, mps: bool = False, visible: str | None = None) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
        monkeypatch.setattr(torch.cuda, "is_initialized", lambda: False)
        monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
        monkeypatch.setattr(runner.devices, "_VISIBLE_AT_START", visible.split(",") if visible else [])

    return make


@pytest.mark.parametrize(
    ("here", "device", "precision", "expected"),
    [
        ({}, "auto", "auto", ("cpu", "fp32")),
        ({}, "cpu", "bf16", ("cpu", "bf16")),
        ({"mps": True}, "auto", "auto", ("mps", "fp32")),
        ({"cuda": True, "bf16": True, "mps": True}, "auto", "auto", ("cuda", "bf16")),
        ({"cuda": True}, "auto", "auto", ("cuda", "fp16")),
        ({"cuda": True, "bf16": True}, "cuda", "fp16", ("cuda", "fp16")),
        ({"cuda": True, "bf16": True}, "cuda", "fp32", ("cuda", "fp32")),
        ({"cuda": True, "bf16": True}, "cpu", "auto", ("cpu", "fp32")),
    ],
)
def test_choice(machine, here, device, precision, expected) -> None:
    machine(**here)
    chosen = choose_device(Training(device=device, precision=precision))
    assert (chosen.type, chosen.precision) == expected


@pytest.mark.parametrize(
    ("here", "device", "precision", "said"),
    [
        ({}, "cuda", "auto", "training.device = 'cuda', but this machine has: cpu"),
        ({"mps": True}, "cuda:1", "auto", "this machine has: cpu, mps"),
        ({}, "cpu", "fp16", 'training.precision = "fp16" needs a CUDA device; on cpu'),
        ({"cuda": True}, "cuda", "bf16", "this GPU has none"),
    ],
)
def test_refusals(machine, here, device, precision, said) -> None:
    machine(**here)
    with pytest.raises(DeviceError, match=said):
        choose_device(Training(device=device, precision=precision))


@pytest.mark.parametrize(("visible", "name"), [(None, "1"), ("5,7", "7"), ("GPU-a,GPU-b", "GPU-b")])
def test_a_numbered_device_counts_among_the_visible(machine, visible, name) -> None:
    import os

    machine(cuda=True, bf16=True, visible=visible)
    for _ in range(2):  # a second run in the same process means the same device
        assert choose_device(Training(device="cuda:1")) == Device("cuda", torch.bfloat16)
        assert os.environ["CUDA_VISIBLE_DEVICES"] == name


def test_a_number_beyond_the_visible_and_a_change_too_late(machine, monkeypatch) -> None:
    machine(cuda=True, visible="5,7")
    with pytest.raises(DeviceError, match="shows this process only 2"):
        choose_device(Training(device="cuda:2"))
    choose_device(Training(device="cuda:1"))
    monkeypatch.setattr(torch.cuda, "is_initialized", lambda: True)
    choose_device(Training(device="cuda:1"))
    with pytest.raises(DeviceError, match="start a new one"):
        choose_device(Training(device="cuda:0"))
