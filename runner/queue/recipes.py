"""The recipe in a job: frozen when the job is queued, thawed when it is carried out.

A train or sweep job has the arguments
    recipe_text   the recipe's TOML, complete in itself (a page of the dashboard knows no more than this)
    resolved      what it meant when it was queued; absent: the text is resolved when the job begins
    overrides     what `--set` had changed        path   the file the text was read from
    folder        where relative paths start, and where the job runs; absent: beside the store

More of a sweep in the store has instead
    recipe        the sweep's id                  recipe_device   its recipe's training.device
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runner.recipe import LoadedRecipe


def recipe_arguments(loaded: "LoadedRecipe") -> dict[str, Any]:
    """The arguments of a job for that recipe, queued from this folder."""
    from runner.recipe.frozen import freeze

    return {**freeze(loaded), "folder": str(Path.cwd())}


def write_recipe(arguments: Mapping[str, Any], folder: Path, file: Path) -> "LoadedRecipe":
    """Put the job's recipe into a file that `load_recipe` reads, and check it. Raises RecipeError."""
    from runner.recipe.frozen import freeze, thaw

    loaded = thaw(arguments, folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(freeze(loaded), ensure_ascii=False), encoding="utf-8")
    return loaded
