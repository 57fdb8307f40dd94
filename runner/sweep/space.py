"""The space of a sweep: its dimensions with their conditions, the parameters they allow, a grid's configurations.

Parameters are plain: dotted recipe path → value, only of the dimensions whose conditions hold.
"""

import json
import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from functools import cached_property
from typing import Any

from runner.recipe import Recipe
from runner.recipe.errors import dotted, shown
from runner.recipe.fields import accepts
from runner.recipe.file import parse_keys
from runner.recipe.spaces import Part, needed_for, parts_of
from runner.recipe.types import is_number

Parameters = Mapping[str, Any]


def described(parameters: Parameters) -> str:
    """Parameters in a line.

    >>> described({"model.method": "lora", "training.learning_rate": 0.001})
    'model.method = "lora", training.learning_rate = 0.001'
    """
    return ", ".join(f"{path} = {shown(value)}" for path, value in parameters.items())


@dataclass(frozen=True)
class Numbers:
    """A range, ends included."""

    low: float
    high: float
    log: bool
    step: float | None
    """None: any number in between. Whole numbers have at least 1, but for those on a logarithmic scale."""
    is_whole: bool

    def count(self) -> int | None:
        """How many values there are, or None where they cannot be counted."""
        if self.step is None:
            return int(self.high) - int(self.low) + 1 if self.is_whole else None
        return int((_decimal(self.high) - _decimal(self.low)) / _decimal(self.step)) + 1

    def at(self, place: int) -> float:
        """Value number `place`, from 0, of a range that can be counted: the third step of 0.1 is 0.3."""
        if self.is_whole:
            return int(self.low) + place * int(self.step or 1)
        return float(_decimal(self.low) + place * _decimal(self.step or 0))

    def nearest(self, value: float) -> float:
        """The value that is next to it."""
        inside = min(max(value, self.low), self.high)
        n = self.count()
        return inside if n is None else self.at(min(round((inside - self.low) / (self.step or 1)), n - 1))

    def holds(self, value: Any) -> bool:
        """Whether it is one of the values, but for what is lost in binary."""
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            return False
        return bool(abs(self.nearest(value) - value) <= (0 if self.is_whole else 1e-6 * (self.step or 0)))


@dataclass(frozen=True)
class Values:
    """A list of values, each once."""

    given: tuple[Any, ...]

    def count(self) -> int:
        return len(self.given)

    def at(self, place: int) -> Any:
        return self.given[place]

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
        return self.may_be_active(parameters, ())

    def may_be_active(self, parameters: Parameters, to_come: Collection[str]) -> bool:
        """Whether its conditions hold, or may yet: about paths `to_come` nothing is known."""
        return self.path not in parameters and all(
            any(is_same(parameters[path], value) for value in values) if path in parameters else path in to_come
            for path, values in self.when.items()
        )


@dataclass(frozen=True)
class Space:
    """The dimensions; those that conditions look at come before those that have the conditions."""

    dimensions: tuple[Dimension, ...]

    def size(self) -> int | None:
        """How many configurations there are; None where a range cannot be counted."""
        if any(dimension.domain.count() is None for dimension in self.dimensions):
            return None
        return self._count(0, {})

    def at(self, place: int) -> dict[str, Any]:
        """Configuration number `place`, from 0, the last dimension fastest: found without making the ones before it.

        Raises ValueError for a range without steps.
        """
        self._require_counted()
        parameters: dict[str, Any] = {}
        for i, dimension in enumerate(self.dimensions):
            if not dimension.is_active(parameters):
                continue
            for first, n in self._alike(dimension):
                each = self._count(i + 1, {**parameters, dimension.path: dimension.domain.at(first)})
                if place < n * each:
                    parameters[dimension.path] = dimension.domain.at(first + place // each)
                    place %= each
                    break
                place -= n * each
        return parameters

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every configuration once. Raises ValueError for a range without steps."""
        self._require_counted()
        return (self.at(place) for place in range(self.size() or 0))

    def _require_counted(self) -> None:
        for dimension in self.dimensions:
            if dimension.domain.count() is None:
                raise ValueError(f"{dimension.path} is a range without a step: a grid cannot count its values.")

    def _count(self, place: int, parameters: Parameters) -> int:
        """How many ways there are to go on from the dimension at `place`; what matters is which may be active."""
        rest = self.dimensions[place:]
        if not rest:
            return 1
        to_come = {dimension.path for dimension in rest}
        key = (place, tuple(dimension.may_be_active(parameters, to_come) for dimension in rest))
        if key not in self._counts:
            if rest[0].is_active(parameters):
                self._counts[key] = sum(
                    n * self._count(place + 1, {**parameters, rest[0].path: rest[0].domain.at(first)})
                    for first, n in self._alike(rest[0])
                )
            else:
                self._counts[key] = self._count(place + 1, parameters)
        return self._counts[key]

    def _alike(self, dimension: Dimension) -> list[tuple[int, int]]:
        """(the first place, how many) of its values that other dimensions cannot tell apart."""
        n = dimension.domain.count() or 0
        is_condition = any(dimension.path in other.when for other in self.dimensions)
        return [(place, 1) for place in range(n)] if is_condition else [(0, n)]

    @cached_property
    def _counts(self) -> dict[tuple[int, tuple[bool, ...]], int]:
        return {}

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


def _decimal(number: float) -> Decimal:
    """As it is written: in binary three steps of 0.1 are more than 0.3."""
    return Decimal(str(number))


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
