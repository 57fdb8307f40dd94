"""Which weights train, and that a saved classifier comes back with the same logits."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from runner.backbone import load_backbone
from runner.classifier import (
    FORMAT,
    CheckpointInfo,
    ClassifierHead,
    TextClassifier,
    build_classifier,
    count_parameters,
    load_classifier,
    load_weights,
    read_info,
    save_model,
)
from runner.errors import ModelError
from runner.recipe import Lora, Model
from store import list_checkpoints
from tests.runner.conftest import Kit, Trained

IDS = torch.tensor([[2, 5, 6, 3], [2, 7, 3, 0]])
MASK = torch.tensor([[1, 1, 1, 1], [1, 1, 1, 0]])


def spec(kit: Kit, method: str, **settings: Any) -> Model:
    return Model(base=str(kit.bert), method=method, max_length=16, **settings)  # type: ignore[arg-type]  # a literal


def built(kit: Kit, method: str, **settings: Any) -> tuple[TextClassifier, Any]:
    model = spec(kit, method, **settings)
    backbone = load_backbone(model)
    return build_classifier(backbone, 3, model), backbone.tokenizer


def info(kit: Kit, method: str) -> CheckpointInfo:
    return CheckpointInfo("R", "text-classification", method, str(kit.bert), ("a", "b", "c"), "cls", 16, 3, 1.0)


def stepped(model: nn.Module) -> dict[str, torch.Tensor]:
    """Weights before; the model takes two large steps on everything that may train."""
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    optimizer = torch.optim.SGD([p for p in model.parameters() if p.requires_grad], lr=0.5)
    for _ in range(2):  # LoRA's A has no gradient until B has moved
        optimizer.zero_grad()
        model(IDS, MASK)[:, 0].sum().backward()
        optimizer.step()
    return before


def changed(model: nn.Module, before: dict[str, torch.Tensor]) -> set[str]:
    return {name for name, p in model.named_parameters() if not torch.equal(p, before[name])}


@pytest.mark.parametrize(
    ("method", "trains"),
    [
        ("full", lambda name: True),
        ("head", lambda name: name.startswith("head.")),
        ("top-layers", lambda name: name.startswith(("head.", "backbone.encoder.layer.1."))),
        ("lora", lambda name: name.startswith("head.") or "lora_" in name),
    ],
)
def test_exactly_the_named_weights_train(kit: Kit, method: str, trains: Callable[[str], bool]) -> None:
    model, _ = built(kit, method, **({"top_layers": 1} if method == "top-layers" else {}))
    names = dict(model.named_parameters())
    assert {name for name, p in names.items() if p.requires_grad} == {name for name in names if trains(name)}
    assert count_parameters(model)[0] == sum(p.numel() for name, p in names.items() if trains(name))
    moved = changed(model, stepped(model))
    assert moved <= {name for name in names if trains(name)}
    # a bias of the keys has no gradient: the softmax does not feel it
    assert {name for name in names if trains(name)} - moved <= {n for n in names if "key.bias" in n or "key.lora" in n}


def test_the_norm_above_the_last_layer_belongs_to_the_top(kit: Kit) -> None:
    model = Model(base=str(kit.gpt2), method="top-layers", top_layers=1)
    made = build_classifier(load_backbone(model), 3, model)
    trains = {name for name, p in made.named_parameters() if p.requires_grad}
    assert {"backbone.ln_f.weight", "backbone.ln_f.bias"} <= trains
    assert not any(name.startswith(("backbone.h.0.", "backbone.wte")) for name in trains)


def test_heads_have_a_bias_where_classifiers_of_their_kind_have_one(kit: Kit, tmp_path: Path) -> None:
    sizes = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}

    def made(base: str, method: str = "full", **settings: Any) -> TextClassifier:
        config = sizes if base.startswith("scratch:") else {}
        model = Model.model_validate({"base": base, "tokenizer": str(kit.bert), "config": config, "method": method})
        return build_classifier(load_backbone(model), 3, model, **settings)

    def trains(*what: str, **settings: Any) -> bool:
        return made(*what, **settings).head.linear.bias.requires_grad

    llama = "scratch:llama"
    assert [trains(str(kit.gpt2)), trains(str(kit.bert)), trains(llama), trains(llama, "lora")] == [
        True,
        True,
        False,
        False,
    ]
    assert trains(llama, "head"), "centred features make one"
    assert trains(llama, has_bias=True), "numbers and taggers"
    earlier, new = made(llama, has_bias=True), made(llama)
    tokenizer = load_backbone(spec(kit, "full")).tokenizer
    save_model(tmp_path / "none", earlier, tokenizer, info(kit, "full"))
    load_weights(tmp_path / "none", new)
    assert not new.head.linear.bias.requires_grad
    nn.init.ones_(earlier.head.linear.bias)
    save_model(tmp_path / "one", earlier, tokenizer, info(kit, "full"))
    load_weights(tmp_path / "one", new)
    assert new.head.linear.bias.requires_grad, "a checkpoint that has one goes on to learn it"


def test_lora_adds_b_times_a_times_scale(kit: Kit, tmp_path: Path) -> None:
    model, tokenizer = built(kit, "lora", lora=Lora(r=4, alpha=12.0, dropout=0.0))
    stepped(model)
    save_model(tmp_path / "saved", model, tokenizer, info(kit, "lora"))
    from safetensors.torch import load_file

    adapter = load_file(tmp_path / "saved" / "adapter" / "adapter_model.safetensors")
    plain = dict(load_backbone(spec(kit, "full")).model.named_parameters())
    merged = dict(model.backbone.merge_and_unload().named_parameters())  # type: ignore[operator]  # peft's own method
    name = "encoder.layer.0.attention.self.query"
    a, b = (adapter[f"base_model.model.{name}.lora_{x}.weight"] for x in "AB")
    assert a.shape == (4, 32)
    assert b.abs().max() > 0
    assert torch.allclose(merged[f"{name}.weight"], plain[f"{name}.weight"] + b @ a * (12 / 4), atol=1e-6)


@pytest.mark.parametrize("method", ["full", "head", "top-layers", "lora"])
def test_a_saved_classifier_gives_the_same_logits(kit: Kit, tmp_path: Path, method: str) -> None:
    model, tokenizer = built(kit, method)
    if method == "head":
        model.head.fit_scaling(torch.randn(50, 32))
    stepped(model)
    model.eval()
    expected = model(IDS, MASK)
    save_model(tmp_path / "saved", model if method != "head" else model.head, tokenizer, info(kit, method))
    again, loaded_tokenizer, told = load_classifier(tmp_path / "saved")
    assert torch.allclose(again(IDS, MASK), expected, atol=1e-6)
    assert loaded_tokenizer("the ball")["input_ids"] == tokenizer("the ball")["input_ids"]
    assert told == info(kit, method)
    fresh, _ = built(kit, method)
    load_weights(tmp_path / "saved", fresh if method != "head" else fresh.head)
    assert torch.allclose(fresh.eval()(IDS, MASK), expected, atol=1e-6)
    assert not [p for p in tmp_path.rglob("*") if p.suffix in {".bin", ".pt", ".pth"}]


@pytest.mark.parametrize("method", ["full", "head", "top-layers", "lora"])
def test_a_checkpoint_of_a_run_predicts_what_the_run_predicted(trained: Callable[[str], Trained], method: str) -> None:
    from runner.encoding import encode_split
    from runner.inference import predict_logits
    from store import get_dataset, get_evaluation, read_predictions

    store, run = (made := trained(method)).store, made.run
    (best,) = (c for c in list_checkpoints(store, run.key, existing=True) if c.is_best)
    model, tokenizer, told = load_classifier(store.files / best.path)
    split = encode_split(store, get_dataset(store, run.dataset_key), "test", tokenizer, told.max_length)
    logits = torch.from_numpy(predict_logits(model, split, tokenizer.pad_token_id, 16))
    recorded = read_predictions(store, get_evaluation(store, run.key, "test", best.step))
    assert logits.argmax(1).tolist() == recorded.predicted.tolist()
    assert logits.softmax(1).amax(1).numpy() == pytest.approx(recorded.p_predicted, abs=1e-5)


def test_head_scaling_is_the_identity_until_it_is_fitted() -> None:
    head = ClassifierHead(2, 3, 0.0)
    features = torch.tensor([[1.0, 5.0], [3.0, 5.0]])
    assert torch.equal(head(features), head.linear(features))
    head.fit_scaling(features)
    assert torch.isfinite(head(features)).all(), "a constant feature has no deviation"
    assert torch.allclose(head(features.mean(0, keepdim=True)), head.linear.bias)


def test_a_folder_that_is_no_checkpoint_or_too_new(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="is not an Assay checkpoint"):
        read_info(tmp_path)
    (tmp_path / "assay.json").write_text(f'{{"format": {FORMAT + 1}}}')
    with pytest.raises(ModelError, match="newer Assay"):
        read_info(tmp_path)


def test_weights_of_another_model_are_refused(kit: Kit, tmp_path: Path) -> None:
    model, tokenizer = built(kit, "full")
    save_model(tmp_path / "saved", model, tokenizer, info(kit, "full"))
    other = Model(base=str(kit.gpt2))
    with pytest.raises(ModelError, match="do not fit"):
        load_weights(tmp_path / "saved", build_classifier(load_backbone(other), 3, other))


def test_an_adapter_above_random_weights_cannot_come_back(kit: Kit, tmp_path: Path) -> None:
    model, tokenizer = built(kit, "lora")
    told = CheckpointInfo("R", "text-classification", "lora", "scratch:bert", ("a", "b", "c"), "cls", 16, 3, 1.0)
    save_model(tmp_path / "saved", model, tokenizer, told)
    with pytest.raises(ModelError, match="scratch:bert, whose random weights are nowhere"):
        load_classifier(tmp_path / "saved")
