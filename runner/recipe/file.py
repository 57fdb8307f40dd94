"""Reads a recipe into layers: the files it inherits from, the recipe itself, then each `--set`."""

import difflib
import os
import re
import tomllib
from dataclasses import dataclass, replace
from datetime import date, datetime, time
from pathlib import Path
from typing import Any, Final

from runner.recipe.errors import Keys, Problem, RecipeError
from runner.recipe.fields import accepts
from runner.recipe.tables import RawTable, merge, nested, value_at

_QUOTED: Final = re.compile(r""""(?:[^"\\]|\\.)*"|'[^']*'""")
_OVERRIDE: Final = re.compile(rf"""((?:{_QUOTED.pattern}|[^="'])+)=(.*)""", re.DOTALL)
_NO_KEY: Final = re.compile(r"[=#\[\n]")


@dataclass(frozen=True)
class Layer:
    """What one file or one `--set` says; `folder` is what its relative paths start from."""

    table: RawTable
    folder: Path
    where: str
    inside: tuple[str, ...] = ()
    """The path of a `--set`; () for a file."""


@dataclass(frozen=True)
class Layers:
    """The layers of a recipe, the later ones over the earlier ones."""

    layers: tuple[Layer, ...]

    def merged(self) -> RawTable:
        table: RawTable = {}
        for layer in self.layers:
            table = merge(table, layer.table, inside=layer.inside)
        return table

    def writer(self, keys: Keys) -> int:
        """Which layer wrote the value at `keys`; -1 when none did and the default holds."""
        written = [i for i, layer in enumerate(self.layers) if value_at(layer.table, keys) is not None]
        return written[-1] if written else -1

    def attributed(self, problem: Problem) -> Problem:
        """The problem with the name of the file or `--set` that wrote the value, if not the recipe itself."""
        writer = self.writer(problem.keys) if problem.keys else -1
        return replace(problem, where=self.layers[writer].where) if writer >= 0 else problem


def read_text(path: Path) -> str:
    """The text of a recipe file, as it is; raises `RecipeError` when it cannot be read."""
    try:
        return path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = difflib.get_close_matches(path.name, [file.name for file in path.parent.glob("*.toml")], 1)
        hint = f"did you mean {path.parent / near[0]}?" if near else "check the path"
        raise RecipeError(str(path), [Problem((), None, "no such file", hint)]) from None
    except IsADirectoryError:
        raise RecipeError(str(path), [Problem((), None, "is a folder, not a recipe file")]) from None
    except UnicodeDecodeError as error:
        message = f"is not UTF-8 text (byte {error.start}); save it as UTF-8"
        raise RecipeError(str(path), [Problem((), None, message)]) from None
    except OSError as error:
        raise RecipeError(str(path), [Problem((), None, f"cannot be read: {error.strerror}")]) from None


def read_file_layers(text: str, folder: Path, source: str, path: Path | None) -> list[Layer]:
    """The recipe's own layer after those of its bases, the farthest first; raises `RecipeError`."""
    chain = [path.resolve()] if path is not None else []
    layers: list[Layer] = []
    where, name = "", source
    while True:
        table = _parse(text, name)
        base = table.pop("base", None)
        layers.insert(0, Layer(table, folder, where))
        if base is None:
            return layers
        if not isinstance(base, str) or not base:
            raise RecipeError(source, [Problem(("base",), base, "must be the path of another recipe", "", where)])
        parent = folder / os.path.expanduser(base)
        if not os.path.isfile(parent):
            hint = 'a model is named by base in [model], below the line "[model]"'
            problem = Problem(("base",), base, f"no such recipe file: {parent}", hint, where)
            raise RecipeError(source, [problem])
        if parent.resolve() in chain:
            start = chain.index(parent.resolve())
            circle = " → ".join(file.name for file in (*chain[start:], parent.resolve()))
            problem = Problem(("base",), base, f"recipes inherit in a circle: {circle}", "", where)
            raise RecipeError(source, [problem])
        chain.append(parent.resolve())
        text, folder, where, name = read_text(parent), parent.parent, base, str(parent)


def _parse(text: str, source: str) -> RawTable:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise RecipeError(source, [_syntax_problem(text, str(error))]) from None
    except ValueError as error:  # an integer with more digits than Python reads
        raise RecipeError(source, [Problem((), None, f"not valid TOML: {error}")]) from None
    except RecursionError:
        raise RecipeError(source, [Problem((), None, "not valid TOML: nested too deeply")]) from None


def _syntax_problem(text: str, message: str) -> Problem:
    lines = text.split("\n")  # as tomllib counts lines
    place = re.search(r" \(at line (\d+), column (\d+)\)$", message)
    # tomllib says "at end of document" without a number
    line, column = (int(place[1]), int(place[2])) if place else (len(lines), len(lines[-1]) + 1)
    what = re.sub(r" \(at .*\)$", "", message)
    shown = lines[line - 1].strip() if line <= len(lines) else ""
    hint = f"the line is: {shown[:80]}" if shown else ""
    return Problem((), None, f"line {line}, column {column}: not valid TOML: {what}", hint)


def read_override(text: str, folder: Path) -> Layer | Problem:
    """The layer of one `--set a.b=value`, or what is wrong with it."""
    parts = _OVERRIDE.match(text)
    keys = parse_keys(parts[1]) if parts else None
    if parts is None or keys is None:
        return Problem((), None, f"--set {text}: must be KEY=VALUE, such as training.epochs=3")
    return Layer(nested(keys, _override_value(keys, parts[2].strip())), folder, "--set", keys)


def parse_keys(name: str) -> tuple[str, ...] | None:
    """The segments of a dotted key, quoted ones included; None when it is no key.

    >>> parse_keys('training.class_weights."very good"')
    ('training', 'class_weights', 'very good')
    """
    if _NO_KEY.search(_QUOTED.sub("", name)):
        return None
    try:
        table: Any = tomllib.loads(f"{name} = 0")
    except ValueError:
        return None
    keys: list[str] = []
    while isinstance(table, dict):
        if len(table) != 1:
            return None
        ((key, table),) = table.items()
        keys.append(key)
    return tuple(keys)


def _override_value(keys: tuple[str, ...], text: str) -> Any:
    """The text as a TOML value, or as itself where that is no TOML or where the field holds only text."""
    try:
        table = tomllib.loads(f"value = {text}")
    except (ValueError, RecursionError):
        return text
    if list(table) != ["value"]:
        return text
    value = table["value"]
    kinds = {bool: "boolean", int: "integer", float: "number"}
    if isinstance(value, (date, datetime, time)):
        return text
    kind = kinds.get(type(value))
    return text if kind and not accepts(keys, kind) and accepts(keys, "string") else value
