"""Checks a merged recipe table against the models: a `Recipe`, or everything that is wrong with its fields."""

import difflib
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from runner.recipe.errors import Keys, Problem
from runner.recipe.fields import Node, allowed, node_at, unknown_key_hint
from runner.recipe.models import Recipe
from runner.recipe.types import CHOICE


def check_fields(raw: Mapping[str, Any]) -> tuple[Recipe | None, list[Problem]]:
    """The recipe and no problems, or None and each field that is unknown, missing or out of its bounds."""
    undecoded = list(_undecoded(raw))
    if undecoded:
        return None, undecoded
    try:
        # A missing table is reported as the keys that it needs.
        return Recipe.model_validate({"model": {}, "data": {}, **raw}), []
    except ValidationError as error:
        return None, [_problem(detail) for detail in error.errors(include_url=False)]


def _undecoded(value: object, keys: Keys = ()) -> Iterator[Problem]:
    """Text from the command line or the environment that is not UTF-8: it could not be stored."""
    match value:
        case str() if any("\ud800" <= character <= "\udfff" for character in value):
            yield Problem(keys, value, "must be valid text: it holds bytes that are not UTF-8")
        case dict():
            for key, item in value.items():
                yield from _undecoded(key, keys)
                yield from _undecoded(item, (*keys, key))
        case list() | tuple():
            for place, item in enumerate(value):
                yield from _undecoded(item, (*keys, place))


def _problem(detail: ErrorDetails) -> Problem:
    keys = _keys(detail["loc"])
    value, kind = detail["input"], detail["type"]
    node = node_at(keys) or {}
    match kind:
        case "extra_forbidden":
            return Problem(keys, value, "unknown key", unknown_key_hint(keys))
        case "missing":
            return Problem(keys, None, f"missing: {_wanted(node)}")
        case "recipe":
            return Problem(keys, value, detail["ctx"]["message"])
        case "finite_number":
            return Problem(keys, value, f"must be finite: {allowed(node)}")
        case _:
            return Problem(keys, value, f"must be {allowed(node)}", _next_step(value, node))


def _keys(location: tuple[int | str, ...]) -> Keys:
    """The error location without the marks that pydantic adds for unions and for keys of dictionaries."""
    return tuple(key for key in location if key != "[key]" and not str(key).startswith(f"{CHOICE}:"))


def _wanted(node: Node) -> str:
    """Choices and numbers are named; of free text the description says more than its type."""
    is_free_text = "enum" not in node and "const" not in node and "x-words" not in node
    return str(node["description"]).rstrip(".") if is_free_text and "description" in node else allowed(node)


def _next_step(value: object, node: Node) -> str:
    if not isinstance(value, str):
        return ""
    choices = [
        str(choice)
        for option in (node, *node.get("oneOf", ()))
        for choice in option.get("enum", [option["const"]] if "const" in option else [])
    ]
    near = difflib.get_close_matches(value.lower(), choices, 1)
    if near:
        return f"did you mean {near[0]}?"
    kind = node.get("type") or next((option.get("type") for option in node.get("anyOf", ())), None)
    if (kind in {"integer", "number"} and _is_number(value)) or (kind == "boolean" and value in {"true", "false"}):
        return "write it without quotes"
    if value.startswith(("[", "{")):
        return "not valid TOML, so it was taken as text: strings inside lists and tables need quotes"
    return ""


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
