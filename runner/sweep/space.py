"""The space of a sweep: its dimensions with their conditions, the parameters they allow, a grid's configurations.

Parameters are plain: dotted recipe path → value, only of the dimensions whose conditions hold.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

from runner.recipe import Recipe
from runner.recipe.errors import dotted
from runner.recipe.fields import accepts
from runner.recipe.file import parse_keys
from runner.recipe.spaces import Part, needed_for, parts_of
from runner.recipe.types import is_number

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class Numbers:
    """A range, ends included."""

    low: float
    high: float
    log: bool
    step: float | None
    """None: any number in between. Whole numbers have at least 1, but for those on a logarithmic scale."""
    is_whole: bool

    def values(self) -> Iterator[float] | None:
        """All values from low to high, or None where they cannot be counted."""
        if self.step is None:
            return iter(range(int(self.low), int(self.high) + 1)) if self.is_whole else None
        n = math.floor((self.high - self.low) / self.step + 1e-9) + 1
        numbers = (self.low + i * self.step for i in range(n))
        return (int(x) for x in numbers) if self.is_whole else (round(x, 12) for x in numbers)

    def holds(self, value: Any) -> bool:
        """Whether it is one of the values."""
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not self.low <= value <= self.high:
            return False
        steps = None if self.step is None else (value - self.low) / self.step
        return (steps is None or abs(steps - round(steps)) < 1e-6) and not (self.is_whole and value != int(value))


@dataclass(frozen=True)
class Values:
    """A list of values, each once."""

    given: tuple[Any, ...]

    def values(self) -> Iterator[Any]:
        return iter(self.given)

    def holds(self, value: Any) -> bool:
        return any(is_same(value, each) for each in self.given)


@dataclass(frozen=True)
class Dimension:
    """One part of the space; a path with alternatives has several."""

    name: str
    """Of its own: the path, with a number from the second alternative on."""
    path: str
    keys: tuple[str, ...]
    domain: Numbers | Values
    when: Mapping[str, tuple[Any, ...]]
    """Path → values, all of which have to hold."""

    def is_active(self, parameters: Parameters) -> bool:
        """Whether its conditions hold; a path that has a value already has no second one."""
        return self.path not in parameters and all(
            path in parameters and any(is_same(parameters[path], value) for value in values)
            for path, values in self.when.items()
        )


@dataclass(frozen=True)
class Space:
    """The dimensions; those that conditions look at come before those that have the conditions."""

    dimensions: tuple[Dimension, ...]

    def size(self, limit: int = 100_000) -> int | None:
        """How many configurations there are; None for more than `limit` or for more than can be counted."""
        if any(dimension.domain.values() is None for dimension in self.dimensions):
            return None
        n = sum(1 for _ in islice(self.grid(), limit + 1))
        return n if n <= limit else None

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every configuration once, the last dimension fastest. Raises ValueError for a range without steps."""
        for dimension in self.dimensions:
            if dimension.domain.values() is None:
                raise ValueError(f"{dimension.path} is a range without a step: a grid cannot count its values.")
        yield from self._extend({}, 0)

    def _extend(self, parameters: dict[str, Any], place: int) -> Iterator[dict[str, Any]]:
        if place == len(self.dimensions):
            yield parameters
            return
        dimension = self.dimensions[place]
        if not dimension.is_active(parameters):
            yield from self._extend(parameters, place + 1)
            return
        for value in dimension.domain.values() or ():
            yield from self._extend({**parameters, dimension.path: value}, place + 1)

    def active(self, parameters: Parameters) -> dict[str, Dimension] | None:
        """Path → dimension that a configuration takes its value from; None where it is none of this space."""
        found: dict[str, Any] = {}
        chosen: dict[str, Dimension] = {}
        for dimension in self.dimensions:
            if not dimension.is_active(found):
                continue
            if dimension.path not in parameters or not dimension.domain.holds(parameters[dimension.path]):
                return None
            found[dimension.path] = parameters[dimension.path]
            chosen[dimension.path] = dimension
        return chosen if set(found) == set(parameters) else None


def canonical(parameters: Parameters) -> str:
    """One text for equal parameters, whatever their order.

    >>> canonical({"b": 1.0, "a": "x"}) == canonical({"a": "x", "b": 1})
    True
    """
    return json.dumps(_plain(parameters), sort_keys=True, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Whole floats as integers, as TOML readers take them for the same."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def is_same(one: Any, other: Any) -> bool:
    """Whether two values of a recipe mean the same: 1 and 1.0 do, 1 and true do not."""
    if isinstance(one, str) or isinstance(other, str):
        return bool(one == other)
    if is_number(one) and is_number(other):
        return one == other
    return canonical({"": one}) == canonical({"": other})


def read_space(recipe: Recipe) -> Space:
    """The space of a recipe whose rules were checked."""
    assert recipe.sweep is not None
    parts = list(parts_of(recipe.sweep.model_dump(mode="json")["space"]))
    values_of: dict[tuple[str, ...], list[Any]] = {}
    for part in parts:
        values_of.setdefault(part.keys or (), []).extend(part.values.values())
    seen: dict[str, int] = {}
    dimensions = [_dimension(part, values_of, seen) for part in parts]
    return Space(tuple(_ordered(dimensions)))


def _dimension(part: Part, values_of: Mapping[tuple[str, ...], list[Any]], seen: dict[str, int]) -> Dimension:
    keys = part.keys or ()
    path = dotted(keys)
    seen[path] = seen.get(path, 0) + 1
    when = {dotted(key): tuple(values) for key, values in needed_for(keys, values_of).items()}
    for name, wanted in part.when.items():
        target = dotted(parse_keys(name) or (name,))
        given = tuple(wanted) if isinstance(wanted, list) else (wanted,)
        when[target] = tuple(v for v in given if target not in when or any(is_same(v, w) for w in when[target]))
    name = path if seen[path] == 1 else f"{path} #{seen[path]}"
    return Dimension(name, path, keys, _domain(part, keys), when)


def _domain(part: Part, keys: tuple[str, ...]) -> Numbers | Values:
    if part.range is None:
        return Values(tuple({canonical({"": value}): value for value in part.values.values()}.values()))
    low, high, step, log = (part.range[key] for key in ("low", "high", "step", "log"))
    if part.range["int"] or not accepts(keys, "number"):
        low, high = math.ceil(low), math.floor(high)
        return Numbers(low, high, log, None if log else int(step or 1), is_whole=True)
    return Numbers(float(low), float(high), log, step, is_whole=False)


def _ordered(dimensions: list[Dimension]) -> list[Dimension]:
    """As they are written, but after what their conditions look at. There are no circles: the rules see to that."""
    ordered: list[Dimension] = []
    waiting = list(dimensions)
    while waiting:
        open_paths = {dimension.path for dimension in waiting}
        ready = next((d for d in waiting if not open_paths & set(d.when)), waiting[0])
        waiting.remove(ready)
        ordered.append(ready)
    return ordered
