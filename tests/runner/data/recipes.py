"""Recipes and files for the tests of data reading."""

import csv
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from runner.recipe.models import Recipe


def recipe_of(source: object, **data: Any) -> Recipe:
    """A recipe with this `[data]`; a mapping of paths, or of lists of paths, becomes a table of files."""

    def named_one(path: object) -> object:
        return tuple(str(part) for part in path) if isinstance(path, list) else str(path)

    named = {split: named_one(path) for split, path in source.items()} if isinstance(source, dict) else str(source)
    return Recipe.model_validate(
        {
            "name": "test",
            "task": "text-classification",
            "model": {"base": "builtin:minilm"},
            "data": {"source": named, **data},
        }
    )


def write_csv(path: Path, rows: Iterable[tuple[Any, ...]], header: tuple[str, ...] = ("text", "label")) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def toy_rows(n: int = 40, labels: tuple[str, ...] = ("good", "bad")) -> list[tuple[str, str]]:
    """`n` different texts with the labels in turn."""
    return [(f"text number {i}", labels[i % len(labels)]) for i in range(n)]
