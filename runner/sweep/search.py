"""A search: what a recipe's [sweep] means, and the recipe of each of its configurations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from runner.recipe import LoadedRecipe, Problem, Recipe, RecipeError, recipe_hash, resolved_form, toml_text
from runner.recipe.check import check_fields
from runner.recipe.objectives import objectives_of
from runner.recipe.rules import active, check_rules
from runner.recipe.search import Sweep as SweepSpec
from runner.recipe.tables import RawTable, merge, nested, with_value, without
from runner.sweep.rungs import rungs_of
from runner.sweep.space import Parameters, Space, read_space
from store import Objective


@dataclass(frozen=True)
class Search:
    """Everything about a sweep that its recipe says."""

    recipe: Recipe
    written: RawTable
    """What the recipe says without defaults: a trial's method brings its own."""
    spec: SweepSpec
    space: Space
    objectives: tuple[Objective, ...]
    rungs: tuple[float, ...]

    @property
    def name(self) -> str:
        return self.recipe.name

    @property
    def sweeps_data(self) -> bool:
        """Whether trials may differ in the data they train on."""
        return any(dimension.keys[0] == "data" for dimension in self.space.dimensions)

    def seed(self, place: int) -> int:
        """The seed of a configuration's trial number `place`, from 0."""
        return self.recipe.training.seed + place

    def trial_name(self, number: int, seed: int) -> str:
        """The name of a trial's run: the sweep's with the number, and the seed where it is another than the first.

        What does not fit into a recipe's name is cut from the sweep's.
        """
        end = f"-{number}" + ("" if seed == self.seed(0) else f"-s{seed}")
        return self.name[: 100 - len(end)].rstrip() + end

    def trial_recipe(self, number: int, seed: int, parameters: Parameters) -> LoadedRecipe:
        """The resolved recipe of a trial, without [sweep].

        Raises RecipeError where the parameters make no recipe together, although each alone does.
        """
        raw = without(self.written, ("sweep",))
        for dimension in (self.space.active(parameters) or {}).values():
            raw = merge(raw, nested(dimension.keys, parameters[dimension.path]), inside=dimension.keys)
        name = self.trial_name(number, seed)
        raw = active({**with_value(raw, ("training", "seed"), seed), "name": name})
        raw["tags"] = [*dict.fromkeys((*self.recipe.tags, f"sweep:{self.name}"))]
        recipe, problems = check_fields(raw)
        problems += check_rules(raw)
        if recipe is None or problems:
            raise RecipeError(f"trial {number} of {self.name}", problems)
        resolved = resolved_form(recipe)
        return LoadedRecipe(toml_text(resolved), recipe, resolved, recipe_hash(resolved), None, (), raw)


def read_search(recipe: Recipe, written: Mapping[str, Any]) -> Search:
    """The search of a recipe with a [sweep].

    Raises RecipeError where no configuration is left, as when all conditions exclude each other.
    """
    spec = recipe.sweep
    if spec is None:
        hint = "add one, such as sampler, trials and [sweep.space]; see docs/sweeps.md"
        raise RecipeError(recipe.name, [Problem(("sweep",), None, "missing: there is nothing to search", hint)])
    names = spec.objectives or (recipe.evaluation.select,)
    directions = objectives_of(recipe.task)
    objectives = tuple(Objective(name, directions[name]) for name in names)
    plain = dict(written) or resolved_form(recipe)
    return Search(recipe, plain, spec, read_space(recipe), objectives, rungs_of(spec))
