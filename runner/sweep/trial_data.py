"""The data that trials train on: one version for all of them, or one for each [data] that the space allows."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice

from runner.data.problems import DataError
from runner.recipe import Recipe, RecipeError
from runner.sweep.samplers import shuffled
from runner.sweep.search import Search
from runner.sweep.space import Dimension, Numbers, Space, Values, canonical
from store import Dataset, Store

_MOST_READ = 64
"""Versions that are looked at before the first trial; further ones are read when a trial needs them."""


@dataclass(frozen=True)
class TrialData:
    """What the trials of a search train on.

    Args:
        dataset: the version that all train on; None: each what its own recipe says (`read_first` reads that).
        is_only_looked_up: nothing is written: versions that the store does not have count as unknown.
    """

    store: Store
    search: Search
    dataset: Dataset | None
    is_only_looked_up: bool = False
    _found: dict[str, Dataset | None] = field(default_factory=dict, init=False)
    """A recipe's [data] → its version; None for data that cannot be used, or that the store does not have."""

    def read_first(self, say: Callable[[str], None]) -> None:
        """Read what trials may train on, so that the search can be told from one on other data.

        Raises DataError where none of it can be used; of the rest `say` hears.
        """
        problems: list[DataError] = []
        n_read = 0
        for recipe in _recipes(self.search):
            try:
                self._read(recipe, say)
                n_read += 1
            except DataError as error:
                problems.append(error)
        if problems and not n_read:
            raise DataError(dict.fromkeys(text for problem in problems for text in problem.problems))
        for problem in problems:
            say(f"warning: trials with these data will fail: {problem}")

    def fingerprint(self) -> str | dict[str, str | None]:
        """Of the data of all trials, or of those that `read_first` read, as JSON."""
        if self.dataset is not None:
            return self.dataset.fingerprint
        return {key: None if each is None else each.fingerprint for key, each in sorted(self._found.items())}

    @property
    def title(self) -> str:
        """What all train on, in words."""
        if self.dataset is not None:
            return str(self.dataset)
        return "as each trial says" if self.search.sweeps_data else "a version that the store does not have yet"

    def of(self, recipe: Recipe) -> int | None:
        """The key of the version that a trial of this recipe trains on; None where the data cannot be used, and the
        trial will say why."""
        if self.dataset is not None:
            return self.dataset.key
        try:
            dataset = self._read(recipe, lambda text: None)
        except DataError:
            return None
        return None if dataset is None else dataset.key

    def _read(self, recipe: Recipe, say: Callable[[str], None]) -> Dataset | None:
        key = _key(recipe)
        if key not in self._found:
            from runner.data import find_data, prepare_data

            try:
                if self.is_only_looked_up:
                    self._found[key] = find_data(self.store, recipe)
                    return self._found[key]
                data = prepare_data(self.store, recipe)
            except DataError:
                self._found[key] = None
                raise
            self._found[key] = data.dataset
            for text in data.warnings:
                say(f"warning: {text}")
        return self._found[key]


def _key(recipe: Recipe) -> str:
    return canonical(recipe.data.model_dump(mode="json"))


def _recipes(search: Search) -> Iterator[Recipe]:
    """Recipes with every [data] of the space, of ranges both ends; of very many some by chance, always the same."""
    space = Space(tuple(_ends(dimension) for dimension in _data_dimensions(search.space)))
    of_data = replace(search, space=space)
    seen = set()
    for place in islice(shuffled(space.size() or 0, 0), 100 * _MOST_READ):
        parameters = space.at(place)
        try:
            recipe = of_data.trial_recipe(0, search.seed(0), parameters).recipe
        except RecipeError:  # what makes no recipe together: the trial says so
            continue
        if _key(recipe) not in seen:
            seen.add(_key(recipe))
            yield recipe
        if len(seen) == _MOST_READ:
            return


def _data_dimensions(space: Space) -> list[Dimension]:
    """Those in [data], and those that their conditions look at, in their order."""
    wanted: set[str] = set()
    todo = [dimension.path for dimension in space.dimensions if dimension.keys[0] == "data"]
    while todo:
        path = todo.pop()
        if path not in wanted:
            wanted.add(path)
            todo += [name for dimension in space.dimensions if dimension.path == path for name in dimension.when]
    return [dimension for dimension in space.dimensions if dimension.path in wanted]


def _ends(dimension: Dimension) -> Dimension:
    domain = dimension.domain
    if not isinstance(domain, Numbers):
        return dimension
    top = domain.nearest(domain.high)
    return replace(dimension, domain=Values((domain.low, top) if domain.low < top else (domain.low,)))
