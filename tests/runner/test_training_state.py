"""The training state comes back from JSON and safetensors as it went in, bit for bit."""

import doctest
import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import runner.trees
from runner.training_state import (
    Counters,
    random_state,
    read_training_state,
    set_random_state,
    training_damage,
    weights_mark,
    write_training_state,
)
from runner.trees import put_together, take_apart

COUNTERS = Counters(6, 2, 192, 4, 0.1 + 0.2, None, 1.5, False)


def same(a: Any, b: Any) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if type(a) is not type(b):
        return False
    if isinstance(a, dict):
        return list(a) == list(b) and all(same(a[key], b[key]) for key in a)
    if isinstance(a, list | tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    return bool(a == b or (a != a and b != b))


def test_doctests() -> None:
    assert doctest.testmod(runner.trees).failed == 0


@pytest.mark.parametrize(
    "tree",
    [
        {"a": 1, "b": [1.5, None, True, "text"], "c": (1, (2, 3))},
        {0: {"step": torch.tensor(3.0)}, 1: {"$odd": ()}, "x": {}},
        {"low": 5e-324, "third": 1 / 3, "inf": float("inf"), "nan": float("nan"), "large": 2**80},
        {
            "half": torch.ones(2, dtype=torch.bfloat16),
            "bytes": torch.arange(5, dtype=torch.uint8),
            "none": torch.empty(0),
        },
    ],
)
def test_any_nest_comes_back(tree: Any) -> None:
    plain, tensors = take_apart(tree)
    assert same(put_together(json.loads(json.dumps(plain)), tensors), tree)


def test_numpy_numbers_become_numbers() -> None:
    plain, _ = take_apart({"a": np.float64(0.1), "b": np.int64(3), "c": np.bool_(True)})
    assert plain == {"a": 0.1, "b": 3, "c": True}
    assert [type(value) for value in plain.values()] == [float, int, bool]


def test_shared_and_strided_tensors_are_apart(tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    whole = torch.arange(12.0).reshape(3, 4)
    plain, tensors = take_apart([whole, whole, whole.T, whole[1]])
    save_file(tensors, tmp_path / "t.safetensors")  # refuses shared memory
    again = put_together(plain, load_file(tmp_path / "t.safetensors"))
    assert same(again, [whole, whole, whole.T, whole[1]])


def test_anything_else_is_named() -> None:
    with pytest.raises(TypeError, match=r"state\.a\[1\]\.b is a set"):
        take_apart({"a": [0, {"b": {1}}]})


OPTIMIZERS = {
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.1),
    "fused": lambda p: torch.optim.AdamW(p, lr=0.1, fused=True),
    "amsgrad": lambda p: torch.optim.AdamW(p, lr=0.1, amsgrad=True),
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_an_optimizer_goes_on_where_it_was(name: str, tmp_path: Path) -> None:
    def step(weights: torch.nn.Parameter, optimizer: torch.optim.Optimizer) -> None:
        weights.grad = torch.sin(weights.detach() * 7)
        optimizer.step()

    first = torch.nn.Parameter(torch.linspace(-1, 1, 5))
    optimizer = OPTIMIZERS[name]([first])
    step(first, optimizer)
    write_training_state(tmp_path / "t", "R", COUNTERS, {"optimizer": optimizer.state_dict()}, {})
    second = torch.nn.Parameter(first.detach().clone())
    other = OPTIMIZERS[name]([second])
    other.load_state_dict(read_training_state(tmp_path / "t").parts["optimizer"])
    for _ in range(3):
        step(first, optimizer)
        step(second, other)
    assert torch.equal(first, second)


def test_all_random_numbers_go_on(tmp_path: Path) -> None:
    def draw() -> list[Any]:
        return [random.random(), random.gauss(0, 1), np.random.rand(), np.random.randn(), torch.rand(3).tolist()]

    random.gauss(0, 1)  # Python and NumPy hold back the second number of a pair
    np.random.randn()
    write_training_state(tmp_path / "t", "R", COUNTERS, {"random": random_state()}, {})
    expected = draw()
    assert draw() != expected
    set_random_state(read_training_state(tmp_path / "t").parts["random"])
    assert draw() == expected


def test_counters_come_back(tmp_path: Path) -> None:
    write_training_state(tmp_path / "t", "R", COUNTERS, {}, {"global_step": 6})
    assert read_training_state(tmp_path / "t").counters == COUNTERS
    assert json.loads((tmp_path / "t" / "trainer_state.json").read_text()) == {"global_step": 6}
    assert {path.suffix for path in (tmp_path / "t").iterdir()} == {".json", ".safetensors"}


def test_damage_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "t"
    write_training_state(folder, "R", COUNTERS, {"x": torch.ones(3)}, {})
    assert training_damage(folder, "R", 6) == []
    assert training_damage(folder, "R", 7) == [f"{folder} belongs to step 6 of run R"]
    assert training_damage(folder, "S", 6) == [f"{folder} belongs to step 6 of run R"]
    manifest = (folder / "manifest.json").read_text()
    for broken in ("", "[]", "{}", manifest.replace("state.json", "state.jsom"), manifest[:-4]):
        (folder / "manifest.json").write_text(broken)
        assert training_damage(folder, "R", 6) == [f"{folder}/manifest.json was altered"]
    (folder / "manifest.json").unlink()
    assert training_damage(folder, "R", 6) == [f"{folder}/manifest.json is missing"]


def test_marks_of_weights() -> None:
    weights = [torch.zeros(3), torch.arange(1000.0), torch.tensor(1.0), torch.empty(0)]
    mark = weights_mark(weights)
    assert weights_mark([tensor.clone() for tensor in weights]) == mark
    assert weights_mark([tensor + 1e-6 for tensor in weights]) != mark
    assert weights_mark([weights[0].reshape(1, 3), *weights[1:]]) != mark
    assert weights_mark([tensor.double() for tensor in weights]) != mark
