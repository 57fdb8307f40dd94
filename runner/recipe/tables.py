"""Nested TOML tables as plain dictionaries: look up, set, merge. Nothing is changed in place."""

from collections.abc import Mapping
from typing import Any, Final

from runner.recipe.errors import Keys

RawTable = dict[str, Any]

_WHOLES: Final = frozenset({("data", "source"), ("training", "class_weights"), ("model", "lora", "target_modules")})


def is_whole(keys: tuple[str, ...]) -> bool:
    """True for a value that is one choice, not a table of independent keys.

    A child recipe that writes `data.source`, `training.class_weights` or one entry of `[sweep.space]`
    replaces what it inherits: half of one alternative and half of another make neither.
    """
    return keys in _WHOLES or (len(keys) == 3 and keys[:2] == ("sweep", "space"))


def value_at(table: Mapping[str, Any], keys: Keys) -> Any:
    """The value at `keys`, or None where there is none."""
    value: Any = table
    for key in keys:
        if isinstance(value, Mapping):
            value = value.get(key)
        elif isinstance(value, (list, tuple)) and isinstance(key, int) and key < len(value):
            value = value[key]
        else:
            return None
    return value


def nested(keys: tuple[str, ...], value: Any) -> RawTable:
    """
    >>> nested(("training", "epochs"), 3)
    {'training': {'epochs': 3}}
    """
    for key in reversed(keys):
        value = {key: value}
    return dict(value)


def with_value(table: Mapping[str, Any], keys: Keys, value: Any) -> RawTable:
    """The table with one value replaced; tables on the way are made, positions in lists have to be there."""
    return dict(_with_value(table, keys, value))


def _with_value(old: Any, keys: Keys, value: Any) -> Any:
    if not keys:
        return value
    key, rest = keys[0], keys[1:]
    if isinstance(key, int):
        return [*old[:key], _with_value(old[key], rest, value), *old[key + 1 :]]
    table = old if isinstance(old, Mapping) else {}
    return {**table, key: _with_value(table.get(key), rest, value)}


def without(table: Mapping[str, Any], keys: tuple[str, ...]) -> RawTable:
    """The table without the value at `keys`, if it has one."""
    key, rest = keys[0], keys[1:]
    if not rest:
        return {name: value for name, value in table.items() if name != key}
    inner = table.get(key)
    return {**table, key: without(inner, rest)} if isinstance(inner, Mapping) else dict(table)


def merge(
    parent: Mapping[str, Any],
    child: Mapping[str, Any],
    *,
    inside: tuple[str, ...] = (),
    at: tuple[str, ...] = (),
) -> RawTable:
    """The child over the parent: tables merge, anything else and whole values (`is_whole`) replace.

    `inside` is the path of a `--set`, which may reach into a whole value: `data.source.test=more.csv`.
    """
    merged = dict(parent)
    for key, value in child.items():
        here = (*at, key)
        old = merged.get(key)
        is_on_the_way = len(here) < len(inside) and inside[: len(here)] == here
        is_open = is_on_the_way or not is_whole(here)
        if is_open and isinstance(old, Mapping) and isinstance(value, Mapping):
            value = merge(old, value, inside=inside, at=here)
        merged[key] = value
    return merged
