"""The schema for editors and the field table of the reference, both derived from the models."""

import tomllib
from typing import Any

import jsonschema
import pytest

from runner.recipe import recipe_fields, recipe_schema, toml_text
from runner.recipe.fields import accepts, node_at
from runner.recipe.spaces import ONLY_WITH_METHOD, ONLY_WITH_TASKS
from tests.runner.recipe.test_recipe import DESIGN, SMALL, parse


@pytest.fixture(scope="module")
def validator() -> Any:
    schema = recipe_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    return jsonschema.Draft202012Validator(schema)


GOOD = [
    DESIGN,
    SMALL,
    'base = "other.toml"',
    'base = "other.toml"\n[model]\nmethod = "head"\n[data]\nencoding = "latin-1"',
    SMALL + '[training]\nclass_weights = { a = 1 }\ndevice = "cuda:1"\n[evaluation]\nevery = 5',
    SMALL.replace('"hub:some/data"', '{ train = "a.csv" }'),
    SMALL.replace('"gpt2"', '"gpt2", method = "lora", lora = { target_modules = ["q", "v"] }'),
]
BAD = [
    "",
    SMALL + "learning_rate = 1",
    SMALL + "[training]\nepochs = 0",
    SMALL + '[training]\nepochs = "3"',
    SMALL + '[training]\nclass_weights = { a = 0 }\ndevice = "gpu"',
    SMALL + '[evaluation]\nselect = "test/accuracy"',
    SMALL + "[sweep]\ntrials = 3",
    SMALL.replace('"hub:some/data"', '{ test = "a.csv" }'),
    SMALL.replace('base = "gpt2"', 'method = "full"'),
    SMALL.replace('name = "small"', 'name = "sm\\tall"'),
]


@pytest.mark.parametrize("text", GOOD)
def test_the_schema_takes_good_recipes(validator: Any, text: str) -> None:
    assert [error.message for error in validator.iter_errors(tomllib.loads(text))] == []


@pytest.mark.parametrize("text", BAD)
def test_the_schema_refuses_bad_recipes(validator: Any, text: str) -> None:
    assert not validator.is_valid(tomllib.loads(text))


def test_the_schema_takes_what_toml_text_writes(validator: Any) -> None:
    for text in (DESIGN, SMALL):
        assert validator.is_valid(tomllib.loads(toml_text(parse(text).recipe)))


def test_every_property_is_described_and_nothing_is_null() -> None:
    schema = recipe_schema()
    seen = 0
    for table in (schema, *schema["$defs"].values()):
        for name, node in table["properties"].items():
            assert node.get("description"), name
            seen += 1
    assert seen > 60
    assert "null" not in str(schema)
    assert "x-words" not in str(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_the_field_table_names_every_field_once() -> None:
    rows = {row.path: row for row in recipe_fields()}
    assert len(rows) == len(recipe_fields())
    assert all(row.description and row.type and row.default for row in rows.values() if "PATH" not in row.path)
    assert (rows["training.epochs"].type, rows["training.epochs"].default) == ("an integer ≥ 1", "by method")
    assert (rows["model.base"].default, rows["model.revision"].default) == ("required", "not set")
    assert rows["model.method"].type == "full, head, top-layers, lora, qlora or peft"
    assert rows["model.method"].default == '"full"'
    assert rows["model.lora.r"].default == "16"
    assert rows["data.source"].type == "a non-empty string or a table"
    assert rows["data.source.train"].default == "required"
    assert rows["sweep.space.PATH.log"].default == "false"
    assert {"model", "model.lora", "sweep"}.isdisjoint(rows)


def test_every_scalar_default_of_the_table_is_the_one_that_holds() -> None:
    resolved: Any = parse(SMALL).resolved
    checked = 0
    for row in recipe_fields():
        keys = row.path.split(".")
        is_of_method = tuple(keys[:2]) in ONLY_WITH_METHOD
        if keys[0] in ("card", "sweep") or is_of_method or row.default in {"required", "by method"}:
            continue
        tasks = [ONLY_WITH_TASKS[path] for n in (1, 2, 3) if (path := tuple(keys[:n])) in ONLY_WITH_TASKS]
        if any("text-classification" not in each for each in tasks):
            continue
        value = resolved
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        if row.default != "not set" and row.path not in {"model.top_layers", "model.config"}:
            assert tomllib.loads(f"x = {row.default}")["x"] == value, row.path
            checked += 1
    assert checked > 35


def test_nodes_are_found_through_tables_unions_and_free_keys() -> None:
    assert node_at(("training", "class_weights", "any label")) is not None
    assert node_at(("model", "config", "a", "b")) is not None
    assert node_at(("data", "source", "tran")) is None
    assert node_at(("training", "epochs", "x")) is None
    assert accepts(("training", "learning_rate"), "integer")
    assert not accepts(("model", "revision"), "integer")
    assert accepts(("evaluation", "every"), "integer")
