"""What a command asks for: the recipe from a file or from a sweep in the store, with the budget that is wanted now."""

import difflib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.location import check_locations
from runner.recipe import LoadedRecipe, RecipeError, load_recipe, recipe_from_resolved, recipe_hash, resolved_form
from runner.recipe.sweep_rules import command_rules
from runner.sweep.search import Search
from runner.sweep.space import Values
from runner.sweep.trial_data import TrialData
from store import Store, Sweep, SweepNotFound, get_dataset, get_sweep, list_sweeps

_MOST_LISTED = 5


@dataclass(frozen=True)
class Budget:
    """What the command line says of the budget; None: what the recipe says."""

    trials: int | None = None
    seeds: int | None = None
    max_hours: float | None = None
    max_gpu_hours: float | None = None


def find_recipe(
    recipe: Path, overrides: Sequence[str], budget: Budget, store: Store | None
) -> tuple[LoadedRecipe, Sweep | None]:
    """The recipe of a file, or that of a sweep in the store (by id, id prefix, name or @latest), which comes too.

    Raises RecipeError, all problems at once, or UserError for a `--set` on a sweep of the store, and for what is
    neither a file nor a sweep.
    """
    wanted = {name: value for name, value in asdict(budget).items() if value is not None}
    stored = None if recipe.exists() or store is None else _stored(store, str(recipe))
    if stored is None and not recipe.exists():
        raise UserError(_nothing_like(recipe, store))
    if stored is None and recipe.suffix != ".json":
        given = [*overrides, *(f"sweep.{name}={value}" for name, value in wanted.items())]
        return _checked(load_recipe(recipe, given, for_sweep=True)), None
    if stored is None:
        loaded = load_recipe(recipe, overrides)
    elif overrides:
        raise UserError(
            f"{recipe} is a sweep in the store: --set would make it another search. Change its recipe file."
        )
    else:
        loaded = _loaded(stored)
    spec = loaded.resolved["sweep"]
    resolved = {**loaded.resolved, "sweep": {**spec, **wanted} if isinstance(spec, dict) else spec}
    problems = list(command_rules(resolved))
    if problems:
        raise RecipeError(str(recipe), problems)
    parsed = recipe_from_resolved(resolved)
    return _checked(replace(loaded, recipe=parsed, resolved=resolved_form(parsed))), stored


def _loaded(sweep: Sweep) -> LoadedRecipe:
    resolved = dict(sweep.recipe)
    path = None if sweep.recipe_path is None else Path(sweep.recipe_path)
    recipe = recipe_from_resolved(resolved)
    return LoadedRecipe(sweep.recipe_text, recipe, resolved, recipe_hash(resolved), path, (), dict(sweep.written))


def _stored(store: Store, selector: str) -> Sweep | None:
    try:
        return get_sweep(store, selector)
    except SweepNotFound:
        return None


def _nothing_like(recipe: Path, store: Store | None) -> str:
    """That there is no such recipe and no such sweep, with what comes nearest of both, or else what there is."""
    files = sorted({*recipe.parent.glob("*.toml"), *recipe.parent.glob("recipes/*.toml")})
    sweeps = [] if store is None else list_sweeps(store)["name"].drop_duplicates().tolist()
    start = f"{recipe}: there is no such recipe file"
    start += "." if store is None else f", and no sweep of that name or id in {store.path}."
    near_files = _near(recipe.stem, {file.stem: file for file in files})
    near = [str(file) for file in near_files] + [f"the sweep {name}" for name in _near(str(recipe), sweeps)]
    if near:
        return f"{start} Did you mean {' or '.join(near)}?"
    known = [("recipes here", [str(file) for file in files]), ("the newest sweeps", sweeps)]
    listed = [f"{what}: {', '.join(names[:_MOST_LISTED])}" for what, names in known if names]
    return f"{start} {'; '.join(listed) or 'Check the path'}."


def _near(word: str, known: Iterable[str] | Mapping[str, Path]) -> list[Any]:
    """The one that is nearest, if any is near; upper and lower case are the same."""
    by_lower = {name.lower(): known[name] if isinstance(known, Mapping) else name for name in known}
    return [by_lower[name] for name in difflib.get_close_matches(word.lower(), by_lower, 1)]


def _checked(loaded: LoadedRecipe) -> LoadedRecipe:
    """The recipe, once everything it names was found."""
    check_locations(loaded.recipe)
    return loaded


def check_bases(search: Search) -> None:
    """Raise one UserError about everything that is not there of the models that the search would try."""
    problems = []
    for dimension in search.space.dimensions:
        if dimension.path == "model.base" and isinstance(dimension.domain, Values):
            for base in dimension.domain.given:
                model = search.recipe.model.model_copy(update={"base": base})
                try:
                    check_locations(search.recipe.model_copy(update={"model": model}))
                except UserError as error:
                    problems.append(str(error))
    if problems:
        raise UserError("\n".join(dict.fromkeys(problems)))


def check_sources(search: Search) -> None:
    """Raise the UserError or DataError about what the trials would need, before there is a store."""
    from runner.data import check_data

    check_bases(search)
    if not search.sweeps_data:
        check_data(search.recipe)


def find_data(
    store: Store, search: Search, stored: Sweep | None, *, say: Callable[[str], None], is_only_looked_up: bool = False
) -> TrialData:
    """What trials train on, read once for all of them; a sweep of the store goes on with the version it has.

    Raises DataError for data that cannot be used.
    """
    check_bases(search)
    if stored is not None and stored.dataset_key is not None:
        return TrialData(store, search, get_dataset(store, stored.dataset_key), is_only_looked_up)
    if is_only_looked_up:
        data = TrialData(store, search, None, is_only_looked_up)
        data.read_first(say)
        key = None if search.sweeps_data else data.of(search.recipe)
        return data if key is None else replace(data, dataset=get_dataset(store, key))
    if search.sweeps_data:
        data = TrialData(store, search, None)
        data.read_first(say)
        return data
    from runner.data import prepare_data

    prepared = prepare_data(store, search.recipe)
    for text in prepared.warnings:
        say(f"warning: {text}")
    return TrialData(store, search, prepared.dataset)
