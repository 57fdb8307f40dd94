"""What methods ask of a recipe: the tables of adapters and few bits, their rules, and hashes that stay."""

from pathlib import Path
from typing import Any

import pytest

from runner.recipe import RecipeError, parse_recipe, recipe_from_resolved, recipe_schema
from runner.recipe.load import LoadedRecipe
from tests.runner.recipe.test_errors import only
from tests.runner.recipe.test_recipe import SMALL, parse


@pytest.mark.parametrize(
    ("overrides", "expected"),
    [
        (["model.method=lora"], "7786ccb94228501f364cb1ff208e56bc"),
        (
            ["model.method=lora", "model.lora.r=4", 'model.lora.target_modules=["q"]'],
            "a7c90c303fde7f30974ad14ec3447583",
        ),
        (["model.method=head"], "373f9eaa8603cda76bfc5a816987efa6"),
        (["model.method=top-layers"], "0f8a7b5dcf0e30f89e1f01c16d17c7fe"),
    ],
)
def test_recipes_from_before_keep_their_hash(overrides: list[str], expected: str) -> None:
    assert parse(SMALL, *overrides).hash == expected


def test_a_recipe_of_prompts_from_before_there_was_an_input_keeps_its_hash() -> None:
    text = 'name = "a"\ntask = "instruction"\n[model]\nbase = "gpt2"\n[data]\nsource = "hub:chats"\n'
    assert parse_recipe(text, folder=Path("/")).hash == "e22ceadb1fa35d3bc477cbf275ee51bd"
    named = parse_recipe(f'{text}columns = {{ input = "context" }}', folder=Path("/"))
    assert named.hash != "e22ceadb1fa35d3bc477cbf275ee51bd"
    with pytest.raises(RecipeError, match="cannot go with messages"):
        parse_recipe(f'{text}columns = {{ input = "context", messages = "chat" }}', folder=Path("/"))


def test_what_came_later_counts_where_it_is_set() -> None:
    lora = parse(SMALL, "model.method=lora").hash
    for override in ("model.lora.use_dora=true", "model.lora.init=pissa", "model.attention=eager"):
        assert parse(SMALL, "model.method=lora", override).hash != lora
    for override in ("model.lora.use_dora=false", "model.lora.init=default", "training.memory=refuse"):
        assert parse(SMALL, "model.method=lora", override).hash == lora


@pytest.mark.parametrize(
    "overrides",
    [
        ("model.method=qlora", "model.lora.r=8"),
        ("model.method=qlora", "model.quantization.bits=8"),
        ("model.method=qlora", "model.lora.init=loftq", "model.quantization.type=fp4"),
        ("model.method=peft", "model.peft.type=prefix-tuning", "model.peft.num_virtual_tokens=4"),
        ("model.method=peft", "model.peft.type=IA3", 'model.peft.target_modules=["a","b"]'),
    ],
)
def test_what_is_resolved_is_the_same_experiment(overrides: tuple[str, ...]) -> None:
    loaded: LoadedRecipe = parse(SMALL, *overrides)
    assert recipe_from_resolved(loaded.resolved) == loaded.recipe
    resolved: Any = loaded.resolved["model"]
    tables = {"lora", "quantization", "peft", "top_layers"} & set(resolved)
    assert tables == ({"peft"} if "model.method=peft" in overrides else {"lora", "quantization"})
    if "peft" in tables:
        assert resolved["peft"]["type"] in ("PREFIX_TUNING", "IA3")
        assert len(resolved["peft"]) == 2


@pytest.mark.parametrize(
    ("overrides", "path", "words"),
    [
        (["model.method=qlora", "model.lora.init=pissa"], "model.lora.init", "which qlora has quantised"),
        (["model.method=lora", "model.lora.init=loftq"], "model.lora.init", "this base has all its bits"),
        (
            ["model.method=qlora", "model.lora.init=loftq", "model.quantization.bits=8"],
            "model.lora.init",
            "and this base has 8",
        ),
        (["model.method=lora", "model.lora.init=pissa", "model.lora.use_dora=true"], "model.lora.use_dora", "such a"),
        (["model.method=lora", "model.lora.init=orthogonal", "model.lora.r=3"], "model.lora.r", "must be even"),
        (["model.method=lora", "model.lora.init=pisa"], "model.lora.init", "must be default, gaussian"),
        (["model.method=qlora", "model.quantization.bits=3"], "model.quantization.bits", "must be 4 or 8"),
        (
            ["model.method=qlora", "model.quantization.bits=8", "model.quantization.type=fp4"],
            "model.quantization.type",
            "belongs to 4 bits",
        ),
        (["model.method=lora", "model.quantization.bits=8"], "model.quantization", "belongs to method qlora"),
        (["model.method=peft"], "model.peft", "needs to know which adapter"),
        (["model.method=peft", "model.peft.type=IA4"], "model.peft.type", "did you mean IA3?"),
        (["model.method=peft", "model.peft.type=LORA"], "model.peft.type", 'set model.method = "lora"'),
        (["model.method=peft", "model.peft.type=adalora"], "model.peft.type", "a schedule of its own"),
        (["model.peft.type=IA3"], "model.peft", "belongs to method peft"),
        (
            ["model.method=peft", "model.peft.type=PREFIX_TUNING", "training.gradient_checkpointing=true"],
            "training.gradient_checkpointing",
            "without the keys and values",
        ),
        (
            [
                "model.method=peft",
                "model.peft.type=PROMPT_TUNING",
                "task=masked-lm",
                "evaluation.select=validation/loss",
            ],
            "model.peft.type",
            "the task masked-lm cannot tell",
        ),
        (["model.method=head", "training.compile=true"], "training.compile", "nothing to compile"),
        (["model.attention=flash"], "model.attention", "must be auto, sdpa, eager or flash_attention_2"),
        (
            ["model.method=qlora", "model.base=scratch:bert", "model.tokenizer=gpt2"],
            "model.base",
            "nothing to quantise in random ones",
        ),
        (
            [
                "task=pair-classification",
                "data.columns.text_pair=b",
                "model.method=peft",
                "model.peft.type=P_TUNING",
            ],
            "model.peft.type",
            "which of two texts",
        ),
    ],
)
def test_what_does_not_go_together_is_said(overrides: list[str], path: str, words: str) -> None:
    problem = only(SMALL, *overrides)
    assert problem.path == path
    assert words in f"{problem.message}; {problem.hint}"


def test_a_sweep_may_have_both_methods_that_use_a_table() -> None:
    swept = SMALL + '[sweep.space]\n"model.method" = ["full", "lora", "qlora"]\n"model.lora.r" = [4, 8]\n'
    assert parse(swept).recipe.sweep is not None
    with pytest.raises(RecipeError, match="belongs to method lora or qlora, which no trial would use"):
        parse(SMALL + '[sweep.space]\n"model.method" = ["full", "head"]\n"model.lora.r" = [4, 8]\n')
    many = SMALL + '[sweep.space]\n"model.method" = ["full", "peft"]\n"model.peft.type" = ["IA3", "VERA"]\n'
    assert parse(many).recipe.sweep is not None


def test_editors_are_told_of_every_type() -> None:
    schema: Any = recipe_schema()
    assert "PREFIX_TUNING" in schema["$defs"]["Peft"]["properties"]["type"]["enum"]
    assert schema["$defs"]["Peft"]["additionalProperties"] is True
