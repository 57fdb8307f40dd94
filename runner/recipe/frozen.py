"""A recipe frozen into JSON that depends on no other file: what was written, and what it meant then.

A queued job keeps its recipe so, that editing, moving or deleting the file changes nothing. `load_recipe` reads a
frozen recipe (`….json`) as it reads one in TOML; the run then has the user's own text, as if the file had been there.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.recipe.errors import Problem, RecipeError
from runner.recipe.load import LoadedRecipe, parse_recipe, recipe_from_resolved, recipe_hash, resolved_form


def freeze(loaded: LoadedRecipe) -> dict[str, Any]:
    """The recipe as JSON values."""
    return {
        "recipe_text": loaded.text,
        "resolved": loaded.resolved,
        "written": loaded.written,
        "overrides": list(loaded.overrides),
        "path": str(loaded.path.absolute()) if loaded.path else None,
    }


def thaw(frozen: Mapping[str, Any], folder: Path) -> LoadedRecipe:
    """The recipe that was frozen. Where only its text was kept, that is resolved now, with paths relative to `folder`.

    Raises RecipeError: the text is no good recipe, or this version no longer knows a field of the resolved one.
    """
    text, overrides = str(frozen["recipe_text"]), tuple(frozen.get("overrides") or ())
    path = Path(frozen["path"]) if frozen.get("path") else None
    if not frozen.get("resolved"):
        return parse_recipe(text, folder=folder, overrides=overrides)
    recipe = recipe_from_resolved(frozen["resolved"])
    resolved = resolved_form(recipe)
    written = dict(frozen.get("written") or {})
    return LoadedRecipe(text, recipe, resolved, recipe_hash(resolved), path, overrides, written)


def read_frozen(path: Path, text: str, overrides: Sequence[str]) -> LoadedRecipe:
    """The recipe in a frozen file. Raises RecipeError."""
    try:
        frozen = json.loads(text)
    except ValueError as error:
        raise RecipeError(str(path), [Problem((), None, f"the file is no JSON: {error}")]) from error
    if not isinstance(frozen, dict) or not isinstance(frozen.get("recipe_text"), str):
        raise RecipeError(str(path), [Problem((), None, "the file is JSON, but no frozen recipe", "recipes are .toml")])
    if overrides:
        raise RecipeError(str(path), [Problem((), None, "a frozen recipe takes no --set", "change the .toml")])
    return thaw(frozen, path.absolute().parent)
