"""The memory of a recipe, told from files: held against the models themselves."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner

from benchmarks.tiny import GPT2
from evals.memory import training_memory
from runner.backbone import load_backbone
from runner.builtin import builtin_folder
from runner.classifier import build_classifier, count_parameters
from runner.errors import ModelError
from runner.footprint import footprint, model_folder, read_shape
from runner.recipe import Model, parse_recipe
from store import Store, list_runs
from tests.runner.conftest import Kit

METHODS = ("full", "top-layers", "lora", "head")


def spec(base: Path | str, method: str) -> Model:
    return Model(base=str(base), method=method, top_layers=1)  # type: ignore[arg-type]  # one of METHODS


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("kind", ["bert", "gpt2"])
def test_parameters_are_those_of_the_model(kit: Kit, kind: str, method: str) -> None:
    wanted = spec(getattr(kit, kind), method)
    model = build_classifier(load_backbone(wanted), 3, wanted)
    trained, total = count_parameters(model)
    n_head = sum(p.numel() for p in model.head.parameters())
    shape, positions = read_shape(Path(wanted.base), wanted)
    adapters = shape.n_trained if method == "lora" else 0
    assert shape.n_trained == trained - n_head
    assert shape.n_parameters + adapters == total - n_head
    assert shape.n_layers == len(getattr(model.backbone, "encoder", model.backbone).layer) if kind == "bert" else True
    assert positions


def saved_bytes(model: torch.nn.Module, forward: Callable[[], torch.Tensor]) -> int:
    """Bytes that the backward pass will need, without the parameters."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: dict[int, torch.Tensor] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        forward()
    return sum(tensor.untyped_storage().nbytes() for tensor in kept.values())


@pytest.mark.parametrize("method", ["full", "top-layers", "lora"])
@pytest.mark.parametrize(("batch_size", "length"), [(8, 64), (2, 256)])
def test_activations_are_what_torch_keeps(method: str, batch_size: int, length: int) -> None:
    """Within a tenth for MiniLM, which is large enough that the small things do not count."""
    wanted = spec("builtin:minilm", method)
    backbone = load_backbone(wanted)
    model = build_classifier(backbone, 3, wanted).train()
    ids, mask = torch.full((batch_size, length), 1000), torch.ones(batch_size, length, dtype=torch.long)
    measured = saved_bytes(model, lambda: model(ids, mask))
    shape, _ = read_shape(Path(backbone.location), wanted)
    took = training_memory(shape, method=wanted.method, n_classes=3, batch_size=batch_size, length=length)
    passing = 2 * batch_size * length * shape.intermediate * 4
    assert took.activations - passing == pytest.approx(measured, rel=0.1)


def test_a_recipe_says_what_it_takes(kit: Kit, tmp_path: Path) -> None:
    from runner.cli import cli

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"model.method": "full"}))
    said = json.loads(CliRunner().invoke(cli, ["recipe", "check", str(recipe), "--json"]).output)
    assert said["problems"] == []
    assert said["memory"]["device"] == "cpu"
    assert said["memory"]["available_bytes"] > 1e6
    parts = said["memory"]["bytes"]
    assert parts["total"] == sum(parts[name] for name in ("weights", "gradients", "optimizer", "activations"))
    assert parts["most"] == parts["total"] + parts["activations"]  # on a CPU
    n = count_parameters(load_backbone(spec(kit.bert, "full")).model)[1] + 2 * 33
    assert parts["weights"] == 4 * n


def test_problems_come_as_json_too(kit: Kit, tmp_path: Path) -> None:
    from runner.cli import cli

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"training.epoch": 3, "training.batch_size": "many"}))
    done = CliRunner().invoke(cli, ["recipe", "check", str(recipe), "--json"])
    said = json.loads(done.output)
    assert done.exit_code == 2
    assert {(p["path"], p["value"]) for p in said["problems"]} == {
        ("training.epoch", "3"),
        ("training.batch_size", '"many"'),
    }
    assert all(p["message"] for p in said["problems"])
    assert (said["hash"], said["resolved"], said["memory"]) == (None, None, None)


def test_few_bits_are_what_is_kept() -> None:
    """Within a twentieth: the packed weights, their scales, and what stays whole."""
    wanted = spec("builtin:minilm", "qlora")
    backbone = load_backbone(wanted)
    states = [getattr(p, "quant_state", None) for p in backbone.model.parameters()]
    scales = sum(
        s.absmax.nbytes + s.state2.absmax.nbytes for s in states if s is not None
    )  # fmt: skip
    held = sum(p.numel() * p.element_size() for p in backbone.model.parameters()) + scales
    shape, _ = read_shape(Path(backbone.location), wanted)
    took = training_memory(shape, method="qlora", n_classes=3, batch_size=1, length=8)
    adapters = 4 * shape.n_trained + 4 * 3 * (shape.hidden + 1)
    assert took.weights - adapters == pytest.approx(held, rel=0.05)


def test_training_says_what_it_needs_and_may_refuse(
    kit: Kit, store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import runner.footprint as module

    kit.train(store, model__method="lora", training__epochs=1)
    assert "warning" not in capsys.readouterr().err
    monkeypatch.setattr(module, "host_bytes", lambda: 1_000)
    scratch = {"model__base": "scratch:gpt2", "model__tokenizer": str(kit.tokenizer), "model__config": GPT2}
    for base in ({}, scratch):
        run = kit.train(store, training__epochs=1, **base)
        assert run.status == "finished"
        said = capsys.readouterr()
        assert "training needs about" in said.err + said.out
        assert "0.0 MB there; try a smaller training.batch_size (it is 32)" in said.err + said.out
        with pytest.raises(ModelError, match=r'there, and training.memory = "refuse"; try a smaller'):
            kit.train(store, training__memory="refuse", **base)
    assert len(list_runs(store)) == 3


@pytest.mark.parametrize(
    ("base", "reason"),
    [("scratch:bert", "not on this machine yet"), ("someone/never-downloaded", "not on this machine yet")],
)
def test_what_is_not_there_cannot_be_told(kit: Kit, base: str, reason: str) -> None:
    text = kit.text({"model.base": base, "model.tokenizer": str(kit.tokenizer)})
    found = footprint(parse_recipe(text, folder=kit.folder).recipe)
    assert found.estimate is None
    assert reason in str(found.reason)


@pytest.mark.parametrize("broken", ["no config", "config without sizes", "no weights", "not safetensors"])
def test_a_folder_that_does_not_say(kit: Kit, tmp_path: Path, broken: str) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    config = (kit.bert / "config.json").read_text() if broken != "config without sizes" else "{}"
    if broken != "no config":
        (folder / "config.json").write_text(config)
    if broken != "no weights":
        weights = (kit.bert / "model.safetensors").read_bytes() if broken != "not safetensors" else b"\xff" * 64
        (folder / "model.safetensors").write_bytes(weights)
    found = footprint(parse_recipe(kit.text({"model.base": str(folder)}), folder=kit.folder).recipe)
    assert found.estimate is None
    assert str(folder) in str(found.reason)


def test_builtin_is_found_without_hashing_it() -> None:
    folder = model_folder(spec("builtin:minilm", "full"))
    assert folder is not None
    assert (folder / "config.json").is_file()
    assert builtin_folder("nothing") is None
