"""A recipe as a whole: the worked example, its resolved form, its hash, and the way back to TOML."""

import doctest
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from runner.recipe import (
    LoadedRecipe,
    Problem,
    Recipe,
    RecipeError,
    errors,
    fields,
    file,
    load,
    load_recipe,
    parse_recipe,
    paths,
    recipe_from_resolved,
    recipe_hash,
    resolved_form,
    toml_text,
)
from runner.recipe import tables as tables_module

DESIGN = """
name = "tweet-sentiment"
task = "text-classification"

[model]
base = "gpt2"                    # hub name, local folder, or builtin:minilm
method = "lora"
[model.lora]
r = 16
target_modules = "all-linear"

[data]
source = "hub:mteb/tweet_sentiment_extraction"
columns = { text = "text", label = "label_text" }
split = { validation = 0.1, seed = 0 }

[training]
epochs = 3
learning_rate = 2e-4
batch_size = 32

[evaluation]
select = "validation/macro_f1"   # best checkpoint by this metric

[sweep]
trials = 20
sampler = "tpe"
pruner = "asha"
[sweep.space]
"training.learning_rate" = { low = 1e-5, high = 1e-3, log = true }
"model.method" = ["full", "lora", "head"]
"""

SMALL = """
name = "small"
task = "text-classification"
model = { base = "gpt2" }
data = { source = "hub:some/data" }
"""


def parse(text: str, *overrides: str) -> LoadedRecipe:
    return parse_recipe(text, folder=Path("/nowhere"), overrides=overrides)


def problems(text: str, *overrides: str) -> tuple[Problem, ...]:
    with pytest.raises(RecipeError) as caught:
        parse(text, *overrides)
    return caught.value.problems


def test_the_worked_example_parses_as_a_whole() -> None:
    loaded = parse(DESIGN)
    recipe = loaded.recipe
    assert loaded.text == DESIGN
    assert (recipe.name, recipe.task) == ("tweet-sentiment", "text-classification")
    assert (recipe.model.base, recipe.model.method, recipe.model.lora.r) == ("gpt2", "lora", 16)
    assert (recipe.data.columns.text, recipe.data.columns.label) == ("text", "label_text")
    assert (recipe.data.split.validation, recipe.data.split.test) == (0.1, 0.1)
    assert (recipe.training.epochs, recipe.training.learning_rate) == (3, 2e-4)
    assert recipe.sweep is not None
    assert recipe.sweep.trials == 20
    assert recipe.sweep.space["model.method"] == ("full", "lora", "head")
    assert recipe_from_resolved(loaded.resolved) == recipe


@pytest.mark.parametrize(
    ("method", "epochs", "learning_rate"),
    [("full", 3, 5e-5), ("top-layers", 3, 1e-4), ("lora", 3, 5e-4), ("head", 30, 1e-3)],
)
def test_epochs_and_learning_rate_follow_the_method(method: str, epochs: int, learning_rate: float) -> None:
    loaded = parse(SMALL, f"model.method={method}")
    assert loaded.recipe.training.epochs == epochs
    assert loaded.recipe.training.learning_rate == learning_rate
    assert loaded.resolved["training"]["epochs"] == epochs
    assert loaded.resolved["training"]["learning_rate"] == learning_rate


def test_what_is_written_wins_over_the_default_of_the_method() -> None:
    training = parse(SMALL, "model.method=head", "training.epochs=2").recipe.training
    assert (training.epochs, training.learning_rate) == (2, 1e-3)


def test_the_resolved_form_has_every_default_and_no_table_that_is_not_used() -> None:
    resolved = parse(SMALL).resolved
    assert json.loads(json.dumps(resolved)) == resolved
    assert resolved["checkpoints"] == {"keep": "best+last"}
    assert resolved["sweep"] is None
    assert {"lora", "top_layers", "config"}.isdisjoint(resolved["model"])
    assert parse(SMALL, "model.method=top-layers").resolved["model"]["top_layers"] == 2
    assert parse(SMALL, "model.method=lora").resolved["model"]["lora"]["alpha"] == 32.0


def test_a_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        parse(SMALL).recipe.training.epochs = 5


@pytest.mark.parametrize(
    "override",
    ["name=renamed", "notes=why", 'tags=["a"]', 'card.licence="MIT"', 'sweep={space={"training.batch_size"=[1,2]}}'],
)
def test_a_rename_is_not_another_experiment(override: str) -> None:
    assert parse(SMALL, override).hash == parse(SMALL).hash


@pytest.mark.parametrize(
    "override",
    ["training.seed=1", "model.method=head", "data.split.seed=1", "model.base=bert", "recording.dynamics=false"],
)
def test_another_value_is_another_experiment(override: str) -> None:
    assert parse(SMALL, override).hash != parse(SMALL).hash


def test_the_hash_counts_what_holds_not_how_it_is_written() -> None:
    turned = """
[data]
source = "hub:some/data"
[training]
warmup = 0.06
max_grad_norm = 1
[model]
method = "full"
base = "gpt2"
"""
    assert parse('task = "text-classification"\nname = "x"\n' + turned).hash == parse(SMALL).hash


def test_the_hash_is_the_same_in_every_process_and_version() -> None:
    assert parse(SMALL).hash == "c1a14faecdf464f37ac4c9502c2eab14"


def test_a_sweep_over_methods_keeps_the_tables_of_all_but_hashes_its_own() -> None:
    swept = SMALL + '[sweep.space]\n"model.method" = ["full", "lora"]\n'
    loaded = parse(swept, "model.lora.r=8")
    assert loaded.recipe.model.lora.r == 8
    assert loaded.resolved["model"]["lora"]["r"] == 8
    assert loaded.hash == parse(SMALL).hash


def test_toml_text_takes_a_recipe_or_its_resolved_form() -> None:
    loaded = parse(DESIGN)
    assert toml_text(loaded.recipe) == toml_text(loaded.resolved)
    again = parse(toml_text(loaded.recipe))
    assert (again.recipe, again.resolved, again.hash) == (loaded.recipe, loaded.resolved, loaded.hash)


words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=8)
plain = st.text("abcXYZ 0äπ", min_size=1, max_size=8).filter(lambda text: text == text.strip())
shares = st.floats(0, 1, exclude_max=True)
toml_values = st.recursive(
    st.one_of(st.booleans(), st.integers(-(2**60), 2**60), st.floats(allow_nan=False, allow_infinity=False), words),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Any]:
    """Valid recipes, as TOML tables."""
    method = draw(st.sampled_from(["full", "head", "top-layers", "lora"]))
    model: dict[str, Any] = {"method": method, "dropout": draw(shares)}
    if draw(st.booleans()):
        model |= {
            "base": "scratch:bert",
            "tokenizer": "gpt2",
            "config": draw(st.dictionaries(words, toml_values, max_size=3)),
        }
    else:
        model["base"] = draw(st.sampled_from(["gpt2", "builtin:minilm", "org/name", "/abs/folder"]))
    if method == "lora":
        model["lora"] = {"r": draw(st.integers(1, 99)), "target_modules": draw(st.lists(words, min_size=1, max_size=3))}
    if method == "top-layers":
        model["top_layers"] = draw(st.integers(1, 9))
    labels = draw(st.lists(words, min_size=2, max_size=4, unique=True))
    weights = st.dictionaries(st.sampled_from(labels), st.floats(0, 99, exclude_min=True), min_size=1)
    training: dict[str, Any] = {
        "learning_rate": draw(st.floats(0, 1, exclude_min=True)),
        "class_weights": draw(st.sampled_from(["none", "balanced"]) | weights),
        "seed": draw(st.integers(0, 2**32 - 1)),
    }
    if draw(st.booleans()):
        training["max_steps"] = draw(st.integers(1, 10**9))
    data: dict[str, Any] = {
        "source": draw(st.sampled_from(["/a.csv", "hub:x:y", "dataset:a@1", {"train": "/a.csv", "test": "/b.csv"}])),
        "labels": labels,
        "metadata": draw(st.lists(words, max_size=2, unique=True)),
    }
    space: dict[str, Any] = {"training.epochs": {"low": 1, "high": draw(st.integers(2, 9))}}
    space["model.dropout"] = draw(st.lists(shares, min_size=1, max_size=3))
    return {
        "name": draw(plain),
        "task": "text-classification",
        "notes": draw(words),
        "model": model,
        "data": data,
        "training": training,
        "evaluation": {"every": draw(st.just("epoch") | st.integers(1, 999))},
        "sweep": {"space": space},
    }


@settings(max_examples=150, deadline=None)
@given(tables())
def test_resolved_to_toml_and_back_is_the_same_experiment(table: dict[str, Any]) -> None:
    written = parse(toml_text(table))
    again = parse(toml_text(written.resolved))
    assert again.resolved == written.resolved
    assert again.recipe == written.recipe
    assert again.hash == written.hash
    stored = json.loads(json.dumps(written.resolved))
    assert recipe_from_resolved(stored) == written.recipe
    assert recipe_hash(stored) == written.hash
    assert resolved_form(recipe_from_resolved(stored)) == written.resolved


def test_a_stored_recipe_of_another_version_says_what_it_does_not_know() -> None:
    resolved = parse(SMALL).resolved
    resolved["training"]["warp"] = 9
    with pytest.raises(RecipeError) as caught:
        recipe_from_resolved(resolved)
    assert [problem.path for problem in caught.value.problems] == ["training.warp"]
    assert str(caught.value).startswith("stored recipe: 1 problem\n")


def test_a_file_is_kept_verbatim(tmp_path: Path) -> None:
    path = tmp_path / "r.toml"
    path.write_bytes(b"\xef\xbb\xbf" + SMALL.replace("\n", "\r\n").encode())
    loaded = load_recipe(path, ["training.epochs=7"])
    assert loaded.text == SMALL.replace("\n", "\r\n")
    assert (loaded.path, loaded.overrides) == (path, ("training.epochs=7",))
    assert loaded.recipe.training.epochs == 7


def test_a_recipe_built_by_hand_gets_the_defaults_of_its_method() -> None:
    raw = {"name": "x", "task": "text-classification", "model": {"base": "gpt2"}, "data": {"source": "/a.csv"}}
    assert Recipe.model_validate(raw).training.epochs == 3


def test_the_module_is_light() -> None:
    code = "import sys, runner.recipe; print(sorted({'torch', 'pandas', 'numpy', 'transformers'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize("module", [load, errors, fields, file, paths, tables_module])
def test_the_examples_in_the_docstrings(module: Any) -> None:
    result = doctest.testmod(module)
    assert result.attempted > 0
    assert result.failed == 0
