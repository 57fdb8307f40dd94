"""Adapters and bases of few bits, on tiny real models: what is saved predicts as what was trained, and goes on."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.torch import load_file

from benchmarks.tiny import BERT
from runner.adapters import fold, load_adapter, save_adapter, takes_from_base
from runner.backbone import load_backbone
from runner.classifier import count_parameters, load_classifier, trained_body
from runner.errors import ModelError
from runner.predict import load_predictor
from runner.quantization import dequantize, full_weight, is_quantized
from runner.recipe import Model, RecipeError
from runner.recipe.methods import LAYER_TYPES, NOT_SERVED, PROMPT_TYPES
from runner.shared import Shared
from store import (
    Run,
    Store,
    get_dataset,
    get_evaluation,
    get_run,
    iter_texts,
    list_checkpoints,
    list_metrics,
    read_predictions,
)
from tests.runner.conftest import Kit
from tests.runner.sameness import differences, everything
from tests.runner.test_commands import Runner, runner
from tests.runner.test_resume import STEPS, before, go_on, killed

__all__ = ["runner"]  # the fixture

LORA: dict[str, dict[str, Any]] = {
    "dora": {"model__lora.use_dora": True},
    "rslora": {"model__lora.use_rslora": True, "model__lora.alpha": 8.0},
    "gaussian": {"model__lora.init": "gaussian"},
    "orthogonal": {"model__lora.init": "orthogonal"},
    "pissa": {"model__lora.init": "pissa", "model__lora.r": 4},
    "pissa, rslora": {"model__lora.init": "pissa_niter_16", "model__lora.r": 4, "model__lora.use_rslora": True},
    "olora": {"model__lora.init": "olora", "model__lora.r": 4},
}
FEW_BITS: dict[str, dict[str, Any]] = {
    "4 bits": {},
    "4 bits, loftq": {"model__lora.init": "loftq", "model__lora.use_rslora": True},
    "4 bits, dora, 8-bit moments": {"model__lora.use_dora": True, "training__optimizer": "adamw_8bit"},
    "8 bits": {"model__quantization.bits": 8},
}
OTHERS: dict[str, dict[str, Any]] = {
    "IA3": {"model__peft.type": "ia3", "training__learning_rate": 3e-2},
    "VERA": {"model__peft.type": "VERA", "model__peft.r": 8, "model__peft.target_modules": ["query", "value"]},
    "LN_TUNING": {"model__peft.type": "LN_TUNING", "model__peft.target_modules": ["LayerNorm"]},
    "PROMPT_TUNING": {"model__peft.type": "prompt-tuning", "model__peft.num_virtual_tokens": 4},
    "P_TUNING": {"model__peft.type": "P_TUNING", "model__peft.num_virtual_tokens": 4},
    "PREFIX_TUNING": {
        "model__peft.type": "PREFIX_TUNING", "model__peft.num_virtual_tokens": 4, "model__peft.prefix_projection": True,
    },
}  # fmt: skip
ALL = [
    *(pytest.param("lora", settings, id=name) for name, settings in LORA.items()),
    *(pytest.param("qlora", settings, id=name) for name, settings in FEW_BITS.items()),
    *(pytest.param("peft", settings, id=name) for name, settings in OTHERS.items()),
]


def best(store: Store, run: Run) -> Path:
    return store.files / next(c.path for c in list_checkpoints(store, run.key) if c.is_best)


@pytest.mark.parametrize(("method", "settings"), ALL)
def test_it_learns_goes_on_and_predicts_as_it_did(
    kit: Kit, store: Store, method: str, settings: dict[str, Any]
) -> None:
    """Killed in the middle of an epoch, it ends bit for bit as one that was not; its checkpoint says what it said."""
    settings = {**STEPS, "training__epochs": 4, "model__method": method, **settings}
    whole = kit.train(store, **settings)
    assert whole.status == "finished", whole.cause
    losses = list(list_metrics(store, [whole.key], ["train/loss"])["value"])
    assert losses[-1] < losses[0]
    ended = go_on(store, killed(kit, store, before("training_step", 5), **settings))
    assert ended.status == "finished", ended.cause
    assert differences(everything(store, ended), everything(store, whole)) == []

    recorded = get_evaluation(store, whole.key, "test")
    assert recorded is not None
    assert whole.dataset_key is not None
    texts = next(iter_texts(store, get_dataset(store, whole.dataset_key), "test", 100))
    probs, _ = load_predictor(store, whole, device="cpu").predict(texts)
    assert np.allclose(probs.max(1), read_predictions(store, recorded).p_predicted, atol=2e-3)  # stored in 16 bits
    assert (probs.argmax(1) == read_predictions(store, recorded).predicted).all()
    alone, _, info = load_classifier(best(store, whole))  # by the folder alone
    assert is_quantized(alone) == (method == "qlora")
    assert (info.quantization is not None) == (method == "qlora")


def spec(kit: Kit, method: str, base: str = "bert", **tables: Any) -> Model:
    return Model.model_validate({"base": str(getattr(kit, base)), "method": method, "max_length": 16, **tables})


def hidden(model: Any, n: int = 12) -> torch.Tensor:
    ids = torch.arange(3, 3 + n)[None]
    with torch.inference_mode():
        return model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state[:, -n:]  # type: ignore[no-any-return]  # transformers


def nudged(body: Any) -> Any:
    """As if it had been trained."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in body.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn_like(parameter)
    return body.eval()


@pytest.mark.parametrize("base", ["bert", "gpt2"])
@pytest.mark.parametrize("init", ["pissa", "pissa_niter_16", "olora"])
def test_what_was_taken_from_the_base_is_saved_as_plain_lora(kit: Kit, tmp_path: Path, base: str, init: str) -> None:
    wanted = spec(kit, "lora", base, lora={"r": 4, "init": init})
    assert takes_from_base(wanted)
    if (base, init) == ("gpt2", "olora"):
        with pytest.raises(ModelError, match="lie transposed"):
            trained_body(load_backbone(wanted), wanted)
        return
    plain = hidden(load_backbone(wanted).model.eval())
    body = trained_body(load_backbone(wanted), wanted).eval()
    assert torch.allclose(hidden(body), plain, atol=1e-3), "it starts as the base is"
    said = hidden(nudged(body))
    assert not torch.allclose(said, plain, atol=1e-2)
    save_adapter(tmp_path / "adapter", body)
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert (config["r"], config["lora_alpha"], config["init_lora_weights"]) == (8, 64.0, True)

    from peft import PeftModel

    again = PeftModel.from_pretrained(load_backbone(wanted).model, tmp_path / "adapter").eval()
    assert torch.allclose(hidden(again), said, atol=1e-3)
    folded = fold(again).eval()
    assert torch.allclose(hidden(folded), said, atol=1e-3)

    # where another machine cuts the weights a little otherwise, the base becomes what the checkpoint was trained on
    other = trained_body(load_backbone(wanted), wanted)
    initial = other.assay_initial
    name = next(name for name in initial if ".lora_A." in name)
    layer: Any = other.get_submodule(name.partition(".lora_A.")[0])
    pair = name.replace(".lora_A.", ".lora_B.")
    with torch.no_grad():  # the same sum, cut in another way
        weight, change = layer.get_base_layer().weight, 0.5 * layer.scaling["default"] * initial[pair] @ initial[name]
        weight += change.T if layer.fan_in_fan_out else change
        initial[pair] = initial[pair] * 0.5
    load_adapter(tmp_path / "adapter", other)
    assert torch.allclose(hidden(other.eval()), said, atol=1e-3)


@pytest.mark.parametrize("name", [*LAYER_TYPES, *PROMPT_TYPES])
def test_every_type_that_is_served_trains_and_comes_back(kit: Kit, tmp_path: Path, name: str) -> None:
    small: dict[str, Any] = {
        "C3A": {"block_size": 16}, "MISS": {"r": 8}, "SHIRA": {"r": 4}, "ROAD": {"group_size": 16},
        "VBLORA": {"vector_length": 16, "num_vectors": 4, "topk": 2}, "WAVEFT": {"n_frequency": 64}, "IA3": {},
    }.get(name, {})  # fmt: skip
    if name not in ("IA3", "LN_TUNING", *PROMPT_TYPES):
        small["target_modules"] = ["query", "value"]
    wanted = spec(kit, "peft", peft={"type": name, **small})
    body = nudged(trained_body(load_backbone(wanted), wanted))
    said = hidden(body)
    save_adapter(tmp_path / "adapter", body)
    assert not torch.allclose(said, hidden(load_backbone(wanted).model.eval()), atol=1e-4)
    torch.manual_seed(5)
    again = trained_body(load_backbone(wanted), wanted).eval()
    load_adapter(tmp_path / "adapter", again)
    assert torch.allclose(hidden(again), said, atol=1e-5)


@pytest.mark.parametrize("base", ["bert", "gpt2"])
def test_ln_tuning_trains_the_norms_of_any_model(kit: Kit, base: str) -> None:
    wanted = spec(kit, "peft", base, peft={"type": "LN_TUNING"})
    body = trained_body(load_backbone(wanted), wanted)
    trained = {n.removesuffix(".weight").removesuffix(".bias") for n, p in body.named_parameters() if p.requires_grad}
    norms = {n for n, m in body.named_modules() if isinstance(m, torch.nn.LayerNorm) and ".ln_tuning_layers." in n}
    assert len(norms) == 5  # two in each of two layers, and one of the embeddings or at the end
    assert trained == norms


def test_the_names_are_those_of_peft() -> None:
    from peft import PeftType

    known = {str(kind.value) for kind in PeftType}
    assert {*LAYER_TYPES, *PROMPT_TYPES, *NOT_SERVED} <= known
    assert not {*LAYER_TYPES, *PROMPT_TYPES} & {*NOT_SERVED}


# few bits ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("base", ["bert", "gpt2"])
@pytest.mark.parametrize("bits", [4, 8])
def test_a_base_of_few_bits_folds_into_full_weights(kit: Kit, tmp_path: Path, base: str, bits: int) -> None:
    wanted = spec(kit, "qlora", base, quantization={"bits": bits})
    body = nudged(trained_body(load_backbone(wanted), wanted))
    said = hidden(body)
    folded = fold(body).eval()
    assert not is_quantized(folded)
    # 4-bit layers compute with the very weights that they stand for; those of 8 bits round what they are given too
    assert torch.allclose(hidden(folded), said, atol=1e-4 if bits == 4 else 0.3)
    folded.save_pretrained(tmp_path / "folded")

    from transformers import AutoModel

    assert "quant" not in (tmp_path / "folded" / "config.json").read_text()
    assert torch.allclose(hidden(AutoModel.from_pretrained(tmp_path / "folded").eval()), hidden(folded), atol=1e-5)


@pytest.mark.parametrize("base", ["bert", "gpt2"])
def test_loftq_starts_nearer_to_the_full_weights(kit: Kit, base: str) -> None:
    wanted = spec(kit, "qlora", base, lora={"r": 8, "init": "loftq"})
    whole = load_file(Path(wanted.base) / "model.safetensors")
    body: Any = trained_body(load_backbone(wanted), wanted)
    n = 0
    for name, module in body.named_modules():
        if hasattr(module, "lora_A"):
            kept = full_weight(module.get_base_layer())
            true = whole[f"{name.removeprefix('base_model.model.')}.weight"]
            true = true.T if base == "gpt2" else true
            before_, after = (true - kept).norm(), (true - kept - module.get_delta_weight("default")).norm()
            assert after < 0.8 * before_
            n += 1
    assert n >= 8


def test_few_bits_are_fewer_bytes_and_evaluating_changes_none(kit: Kit) -> None:
    wanted = spec(kit, "qlora")
    model: Any = load_backbone(wanted).model
    packed = {name: p.clone() for name, p in model.named_parameters() if p.dtype == torch.uint8}
    assert len(packed) == 12
    assert all(p.shape[0] * 2 == model.get_submodule(name.removesuffix(".weight")).in_features
               * model.get_submodule(name.removesuffix(".weight")).out_features
               for name, p in packed.items())  # fmt: skip
    assert count_parameters(model)[1] == count_parameters(load_backbone(spec(kit, "full")).model)[1]
    hidden(model.eval())
    assert all(torch.equal(packed[name], p) for name, p in model.named_parameters() if name in packed)
    assert {p.dtype for p in dequantize(model).parameters()} == {torch.float32}


def test_a_model_without_a_linear_layer_is_refused(kit: Kit, monkeypatch: pytest.MonkeyPatch) -> None:
    import runner.quantization as quantization

    model = load_backbone(spec(kit, "full")).model
    with pytest.raises(ModelError, match=r"no linear layer to quantise.*Use model.method"):
        quantization.require_quantized(model, "tiny")


def test_nothing_can_be_adapted_where_nothing_is_linear(kit: Kit) -> None:
    config = {**BERT, "num_hidden_layers": 0}
    wanted = Model.model_validate(
        {"base": "scratch:bert", "tokenizer": str(kit.tokenizer), "config": config, "method": "lora"}
    )
    with pytest.raises(ModelError, match=r"'lora': none of the layers of scratch:bert is linear"):
        trained_body(load_backbone(wanted), wanted)


def test_shared_lends_every_base_as_it_was(kit: Kit) -> None:
    """After a run that changed the weights, after one of few bits, and after learnt tokens."""
    shared = Shared()
    full = spec(kit, "full")
    expected = hidden(shared.backbone(full, 0).model.eval())
    for other in (
        spec(kit, "lora", lora={"r": 4, "init": "pissa"}),
        spec(kit, "qlora"),
        spec(kit, "peft", peft={"type": "LN_TUNING", "target_modules": ["LayerNorm"]}),
    ):
        nudged(trained_body(shared.backbone(other, 0), other))
        assert torch.equal(hidden(shared.backbone(full, 0).model.eval()), expected)
    assert is_quantized(shared.backbone(spec(kit, "qlora"), 0).model)


# bad input -----------------------------------------------------------------------------------------------------------


def test_unknown_settings_of_peft_are_all_named(kit: Kit) -> None:
    wanted = spec(kit, "peft", peft={"type": "VERA", "rr": 3, "target_module": ["a"], "peft_type": "LORA"})
    with pytest.raises(RecipeError) as caught:
        trained_body(load_backbone(wanted), wanted)
    found = [(p.path, p.message, p.hint) for p in caught.value.problems]
    assert [path for path, _, _ in found] == ["model.peft.rr", "model.peft.target_module", "model.peft.peft_type"]
    assert found[1][1:] == ("is no setting of VERA", "did you mean target_modules?")


def test_recipe_check_asks_peft(kit: Kit, tmp_path: Path) -> None:
    from runner.cli import cli

    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"model.method": "peft", "model.peft.type": "vera", "model.peft.rank": 3}))
    done = CliRunner().invoke(cli, ["recipe", "check", str(recipe), "--json"])
    assert done.exit_code == 2
    assert [problem["path"] for problem in json.loads(done.output)["problems"]] == ["model.peft.rank"]


@pytest.mark.parametrize(
    ("method", "tables", "words"),
    [
        ("lora", {"lora": {"r": 33, "init": "pissa"}}, "32 directions"),
        ("lora", {"lora": {"target_modules": ["nix"]}}, "fits no module of this model"),
        ("peft", {"peft": {"type": "MISS", "r": 64, "target_modules": ["query"]}}, "MISS cannot be put on this model"),
        ("peft", {"peft": {"type": "P_TUNING", "num_virtual_tokens": 0}}, "must be an integer ≥ 1"),
        ("peft", {"peft": {"type": "P_TUNING", "num_virtual_tokens": 64}}, "64 positions in all"),
        ("full", {"attention": "flash_attention_2"}, 'flash-attn is not installed; it needs a CUDA device.*Use "sdpa"'),
    ],
)
def test_what_does_not_fit_the_model_is_said(kit: Kit, method: str, tables: dict[str, Any], words: str) -> None:
    wanted = spec(kit, method, **tables)
    with pytest.raises(ModelError, match=words):
        trained_body(load_backbone(wanted), wanted)


def test_learnt_tokens_take_their_place_from_the_texts(kit: Kit) -> None:
    wanted = spec(kit, "peft", peft={"type": "PROMPT_TUNING", "num_virtual_tokens": 60})
    assert load_backbone(wanted).max_length == 4


def test_learnt_tokens_cannot_be_folded(kit: Kit) -> None:
    wanted = spec(kit, "peft", peft={"type": "PREFIX_TUNING", "num_virtual_tokens": 4})
    with pytest.raises(ModelError, match="no weights that it could be folded into"):
        fold(trained_body(load_backbone(wanted), wanted))


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_attention_is_computed_as_asked(kit: Kit, attention: str) -> None:
    backbones: Callable[[str], Any] = lambda asked: load_backbone(spec(kit, "full", attention=asked)).model.eval()  # noqa: E731  # used twice, here alone
    model = backbones(attention)
    assert model.config._attn_implementation == attention
    assert torch.allclose(hidden(model), hidden(backbones("auto")), atol=1e-4)


# for others ----------------------------------------------------------------------------------------------------------


def test_a_run_of_four_bits_becomes_a_model_for_others(kit: Kit, store: Store, runner: Runner, tmp_path: Path) -> None:
    run = kit.train(store, model__method="qlora", training__epochs=1, recording__embeddings=False)
    said = runner(store, "merge", run.id, "--fold", "--quiet", "--json")
    assert said.code == 0, said.err
    folded = get_run(store, said.json["id"])
    assert (folded.method, folded.status) == ("full", "finished")
    before_, after = (get_evaluation(store, each.key, "test") for each in (run, folded))
    assert before_ is not None
    assert after is not None
    ours, theirs = read_predictions(store, before_), read_predictions(store, after)
    assert np.allclose(ours.p_given, theirs.p_given, atol=2e-3)
    said = runner(store, "export", run.id, str(tmp_path / "out"))
    assert said.code == 0, said.err
    assert "quant" not in (tmp_path / "out" / "backbone" / "config.json").read_text()
    said = runner(store, "export", run.id, str(tmp_path / "adapter"), "--format", "adapter")
    assert said.code == 2
    assert "was trained on a base of 4 bits, and belongs on one" in said.err


def test_what_has_no_weights_of_its_own_is_not_handed_out(
    kit: Kit, store: Store, runner: Runner, tmp_path: Path
) -> None:
    eight = kit.train(store, model__method="qlora", training__epochs=1, **{"model__quantization.bits": 8})
    said = runner(store, "export", eight.id, str(tmp_path / "out"))
    assert said.code == 2
    assert "has a base of 8 bits" in said.err
    assert "--fold` makes a model of full weights" in said.err
    prompts = kit.train(
        store, training__epochs=1, model__method="peft", model__peft={"type": "P_TUNING", "num_virtual_tokens": 3}
    )
    assert prompts.status == "finished", prompts.cause
    said = runner(store, "export", prompts.id, str(tmp_path / "out"))
    assert said.code == 2
    assert "puts learnt tokens before each text (P_TUNING)" in said.err
    said = runner(store, "merge", prompts.id, eight.id, "--by", "cat")
    assert said.code == 2
    assert "only LoRA adapters can be combined" in said.err
    assert list(tmp_path.glob("out*")) == []
