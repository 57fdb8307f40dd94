"""The tasks and their columns as plain values, for programs that let a person choose among them."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from runner.recipe.data import Columns
from runner.recipe.errors import RecipeError
from runner.recipe.load import parse_recipe
from runner.recipe.methods import METHOD_DEFAULTS
from runner.recipe.shapes import NOUNS, SHAPES, Shape

_BASES = {
    "causal-lm": "gpt2",
    "masked-lm": "distilbert-base-uncased",
    "instruction": "Qwen/Qwen3-0.6B",
    "seq2seq": "google-t5/t5-small",
}
"""A small model to begin with where the built-in one, which says no tokens, cannot do the task."""
_ALONE = ("messages",)  # a chat holds what is asked and what is answered


def outline(only: Collection[str] | None = None) -> list[dict[str, Any]]:
    """One table a task, in the order in which they are shown: name, kind (of its target), methods that can train it
    with no more said than their name, base (a model to begin with), and fields.

    A field has name (in `data.columns`), noun (what a person calls it), default (the column where a recipe names none;
    None: it must be named), is_target, is_optional, stands_alone (goes with no other column), and may_be_empty (a row
    need not have it). only: the names of the tasks wanted; None: all.

    >>> regression, = outline(["regression"])
    >>> regression["kind"], [field["name"] for field in regression["fields"] if not field["is_optional"]]
    ('number', ['text', 'score'])
    """
    defaults = Columns().model_dump()
    return [
        {
            "name": name,
            "kind": shape.kind,
            "methods": [method for method in METHOD_DEFAULTS if _can_train(name, shape, method)],
            "base": _BASES.get(name, "builtin:minilm"),
            "fields": [
                {
                    "name": field,
                    "noun": NOUNS[field],
                    "default": defaults.get(field),
                    "is_target": field == shape.target,
                    "is_optional": field in shape.optional,
                    "stands_alone": field in _ALONE,
                    "may_be_empty": field in shape.may_be_empty,
                }
                for field in shape.fields
            ],
        }
        for name, shape in SHAPES.items()
        if only is None or name in only
    ]


def _can_train(task: str, shape: Shape, method: str) -> bool:
    columns = "".join(f'{field} = "{field}"\n' for field in shape.fields if field not in shape.optional)
    text = (
        f'name = "a"\ntask = "{task}"\n[model]\nbase = "base"\nmethod = "{method}"\n[data]\nsource = "hub:a"\n'
        f"[data.columns]\n{columns}"
    )
    try:
        parse_recipe(text, folder=Path())
    except RecipeError as error:
        return not any(problem.path.startswith("model") for problem in error.problems)
    return True
