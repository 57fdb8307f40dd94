"""The recipe: the TOML file that a person writes, checked as a whole and resolved into one experiment.

    loaded = load_recipe(Path("recipe.toml"), ["training.epochs=5"])
    loaded.recipe.training.learning_rate

A recipe may inherit (`base = "other.toml"`), `--set` overrides what the files say, `${NAME}` comes from
the environment. What is wrong with it comes as one `RecipeError` that names every problem.
"""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

import tomli_w

from runner.recipe.check import check_fields
from runner.recipe.errors import Problem, RecipeError
from runner.recipe.file import Layer, Layers, read_file_layers, read_override, read_text
from runner.recipe.models import Recipe
from runner.recipe.paths import locate
from runner.recipe.rules import active, check_rules, drop_inherited
from runner.recipe.sweep_rules import command_rules
from runner.recipe.tables import RawTable, value_at, without

_NOT_HASHED: Final = ("name", "notes", "tags", "sweep", "triage", "card")

_ADDED: Final[Mapping[tuple[str, ...], object]] = {
    ("model", "attention"): "auto",
    ("model", "lora", "use_dora"): False,
    ("model", "lora", "use_rslora"): False,
    ("model", "lora", "init"): "default",
    ("training", "compile"): False,
    ("data", "split", "group"): None,
    ("data", "clean"): {"unicode": None, "controls": False, "lemmatize": None, "lowercase": False, "whitespace": False},
    ("data", "columns", "input"): None,
    ("training", "memory"): ...,
    ("evaluation", "metrics"): [],
}
"""Fields that came later, with the value that means what there was before, so that recipes keep their hashes; ... is
any value."""


@dataclass(frozen=True)
class LoadedRecipe:
    """A recipe as it was written and as it runs.

    `text` is the file verbatim, without the files it inherits from; `resolved` is JSON with every default
    filled in, paths absolute and variables expanded; `hash` is equal for two recipes that are the same
    experiment, whatever they are called. `written` is what its files and overrides say together, without defaults
    ({} for a recipe that comes from a stored run).
    """

    text: str
    recipe: Recipe
    resolved: dict[str, Any]
    hash: str
    path: Path | None
    overrides: tuple[str, ...]
    written: RawTable = field(default_factory=dict)


def load_recipe(path: Path, overrides: Sequence[str] = (), *, for_sweep: bool = False) -> LoadedRecipe:
    """Reads, checks and resolves a recipe file; `overrides` are `a.b=value`, the later ones win.

    A `.json` file is a frozen recipe, as a queued job keeps it (`runner.recipe.frozen`). `for_sweep` also asks for
    what a search needs.

    Raises:
        RecipeError: all that is wrong, at once; also when the file cannot be read or is no TOML.
    """
    text = read_text(path)
    if path.suffix.lower() == ".json":
        from runner.recipe.frozen import read_frozen

        return read_frozen(path, text, overrides)
    return _load(text, path.absolute().parent, overrides, str(path), path, for_sweep=for_sweep)


def parse_recipe(
    text: str, *, folder: Path, overrides: Sequence[str] = (), source: str = "<recipe>", for_sweep: bool = False
) -> LoadedRecipe:
    """As `load_recipe`, from text; relative paths start from `folder`, messages call it `source`.

    >>> loaded = parse_recipe('''
    ... name = "tweets"
    ... task = "text-classification"
    ... model = { base = "builtin:minilm", method = "head" }
    ... data = { source = "builtin:docstrings" }
    ... ''', folder=Path("."))
    >>> loaded.recipe.training.epochs, loaded.recipe.training.learning_rate
    (30, 0.001)
    """
    return _load(text, folder.absolute(), overrides, source, None, for_sweep=for_sweep)


def _load(
    text: str, folder: Path, overrides: Sequence[str], source: str, path: Path | None, *, for_sweep: bool
) -> LoadedRecipe:
    read = [read_override(override, Path.cwd()) for override in overrides]
    problems = [item for item in read if isinstance(item, Problem)]
    files = read_file_layers(text, folder, source, path)
    layers = Layers((*files, *(item for item in read if isinstance(item, Layer))))
    raw = drop_inherited(layers.merged(), layers)
    raw, unfilled = locate(raw, layers, os.environ, source)
    recipe, wrong_fields = check_fields(raw)
    found = [*unfilled, *wrong_fields, *check_rules(raw), *(command_rules(raw) if for_sweep else ())]
    problems += [layers.attributed(problem) for problem in found]
    if recipe is None or problems:
        raise RecipeError(source, sorted(problems, key=_table_order))
    resolved = resolved_form(recipe)
    return LoadedRecipe(text, recipe, resolved, recipe_hash(resolved), path, tuple(overrides), raw)


def _table_order(problem: Problem) -> int:
    """Problems stand in the order of the tables; those of the file as a whole and of unknown tables first."""
    tables = list(Recipe.model_fields)
    return tables.index(str(problem.keys[0])) if problem.keys and problem.keys[0] in tables else -1


def resolved_form(recipe: Recipe) -> dict[str, Any]:
    """The recipe as JSON, without the tables that its method and base do not use."""
    return active(recipe.model_dump(mode="json"))


def recipe_hash(resolved: Mapping[str, Any]) -> str:
    """32 hex digits (blake2b-128 of canonical JSON) of all that makes the experiment.

    Name, notes, tags, sweep, triage and card do not count, nor does the order of keys.
    """
    experiment = active({key: value for key, value in resolved.items() if key not in _NOT_HASHED})
    for keys, before in _ADDED.items():
        if before is ... or value_at(experiment, keys) == before:
            experiment = without(experiment, keys)
    canonical = json.dumps(experiment, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return blake2b(canonical.encode(), digest_size=16).hexdigest()


def recipe_from_resolved(resolved: Mapping[str, Any]) -> Recipe:
    """The recipe of a stored run; nothing is expanded or made absolute again.

    Raises:
        RecipeError: when this version no longer knows a field or value of it.
    """
    recipe, problems = check_fields(resolved)
    problems += check_rules(resolved)
    if recipe is None or problems:
        raise RecipeError("stored recipe", problems)
    return recipe


def toml_text(recipe: Mapping[str, Any] | Recipe) -> str:
    """A recipe, or its resolved form, as TOML that parses to the same experiment; unset values are left out."""
    table = resolved_form(recipe) if isinstance(recipe, Recipe) else recipe
    return tomli_w.dumps(_without_none(table))


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_none(item) for key, item in value.items() if item is not None}
    if isinstance(value, (list, tuple)):
        return [_without_none(item) for item in value]
    return value
