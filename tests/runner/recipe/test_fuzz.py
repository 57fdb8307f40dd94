"""Whatever a person writes, the answer is a recipe or a `RecipeError`: never another exception."""

import tomllib
from pathlib import Path
from typing import Any

import pytest
import tomli_w
from hypothesis import given, settings
from hypothesis import strategies as st

from runner.recipe import RecipeError, parse_recipe
from runner.recipe.fields import known_keys
from runner.recipe.tables import with_value
from tests.runner.recipe.test_recipe import DESIGN


def without_none(value: Any) -> Any:
    match value:
        case None:
            return {}
        case dict():
            return {key: without_none(item) for key, item in value.items()}
        case list():
            return [without_none(item) for item in value]
    return value


SPACE = ("sweep", "space", "training.epochs")
paths = st.sampled_from([*known_keys(), SPACE, (*SPACE, "low"), ("base",), ("model", "config", "x")])
texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=6) | st.sampled_from(
    ["hub:", "scratch:bert", "dataset:@", "${X", "${}", "~", ".", "a=b", "full", "none", "validation/loss", "\x00"]
)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.dates(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=5,
).map(without_none)


def outcome(text: str, *overrides: str) -> str:
    """The error's text, or "" for a recipe."""
    try:
        parse_recipe(text, folder=Path("/nowhere"), overrides=overrides)
    except RecipeError as error:
        failure = error
    else:
        return ""
    str(failure).encode()
    assert failure.problems
    assert all(problem.as_dict()["message"] for problem in failure.problems)
    return str(failure)


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(paths, values), min_size=1, max_size=4))
def test_any_value_anywhere(changes: list[tuple[tuple[str, ...], Any]]) -> None:
    table: dict[str, Any] = tomllib.loads(DESIGN)
    for keys, value in changes:
        table = with_value(table, keys, value)
    outcome(tomli_w.dumps(table))


@settings(max_examples=300, deadline=None)
@given(st.lists(st.tuples(paths, st.text(max_size=12)), max_size=3), st.text(max_size=12))
def test_any_override(changes: list[tuple[tuple[str, ...], str]], wild: str) -> None:
    overrides = [f"{'.'.join(keys)}={value}" for keys, value in changes if '"' not in keys]
    outcome(DESIGN, *overrides, wild)


@pytest.mark.parametrize("value", ["x" * 5000, "~nobody-of-this-name/x", "\\u0000", "x\\u0000/y", "1/" * 3000])
@pytest.mark.parametrize("field", ["base", "model.base", "model.tokenizer", "data.source", "name", "notes"])
def test_names_that_no_file_system_takes(field: str, value: str) -> None:
    if field == "base":
        assert "no such recipe file" in outcome(f'base = "{value}"')
    else:
        outcome(DESIGN, f'{field}="{value}"')


@pytest.mark.parametrize("key", ["training.learning_rate", "training.epochs", "training.seed", "data.split.test"])
def test_numbers_beyond_any_float(key: str) -> None:
    outcome(DESIGN, f"{key}=1{'0' * 400}")
    outcome(DESIGN, f'sweep.space."{key}"={{low=0, high=1{"0" * 400}, log=true}}')


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=40))
def test_any_text(text: str) -> None:
    assert outcome(text)
