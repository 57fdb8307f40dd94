"""Values that name something outside the recipe: `${NAME}` from the environment, relative paths made absolute."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from runner.recipe.errors import Keys, Problem
from runner.recipe.file import Layers
from runner.recipe.spaces import parts_of
from runner.recipe.tables import RawTable, value_at, with_value

_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)(?::-([^{}]*))?\}")
_MODEL_FILES: Final = ("config.json", "*.safetensors", "*.bin")
_TOKENIZER_FILES: Final = ("tokenizer.json", "tokenizer_config.json", "config.json")


class Expanded(NamedTuple):
    """A value with its variables filled in."""

    text: str
    unset: tuple[str, ...]
    """Names without a value and without a fallback, which stand unfilled in `text`."""
    starts_in_environment: bool
    """True when the first part came from the environment, not from the recipe."""


def expand(text: str, environment: Mapping[str, str]) -> Expanded:
    """Fills `${NAME}` and `${NAME:-fallback}`; an empty variable counts as unset, as in a shell.

    >>> expand("${DATA}/train.csv", {"DATA": "/data"}).text
    '/data/train.csv'
    """
    unset: list[str] = []

    def fill(match: re.Match[str]) -> str:
        name, fallback = match[1], match[2]
        if environment.get(name):
            return environment[name]
        if fallback is None:
            unset.append(name)
            return match[0]
        return fallback

    first = _VARIABLE.match(text)
    starts = first is not None and bool(environment.get(first[1]))
    return Expanded(_VARIABLE.sub(fill, text), tuple(unset), starts)


def locate_data(text: str, folder: Path) -> str:
    """The absolute path of a data source; a source with a prefix stays as it is."""
    is_named = text.startswith(("hub:", "dataset:", "builtin:")) or "://" in text
    return text if is_named else _absolute(text, folder)


def locate_model(text: str, folder: Path) -> str:
    """The absolute path of a model folder, whole or not; the name of a hub model stays as it is."""
    if text.startswith(("builtin:", "scratch:", "run:")):
        return text
    return _locate_named(text, folder, _MODEL_FILES)


def locate_tokenizer(text: str, folder: Path) -> str:
    """The absolute path of a tokenizer folder; the name of a hub tokenizer stays as it is."""
    return _locate_named(text, folder, _TOKENIZER_FILES)


def locate_metric(text: str, folder: Path) -> str:
    """The absolute path of a metric module; the name of one of ours or of the hub stays as it is."""
    is_path = text.startswith((".", "~")) or text.endswith(".py") or Path(text).is_absolute()
    return _absolute(text, folder) if is_path or (folder / text / f"{Path(text).name}.py").is_file() else text


def _locate_named(text: str, folder: Path, files: tuple[str, ...]) -> str:
    is_path = text.startswith((".", "~")) or Path(text).is_absolute()
    holds_one = os.path.isdir(folder / text) and any(any((folder / text).glob(file)) for file in files)
    return _absolute(text, folder) if is_path or holds_one else text


def _absolute(text: str, folder: Path) -> str:
    return os.path.abspath(folder / os.path.expanduser(text))


_METRICS: Final = ("evaluation", "metrics")
_LOCATORS: Final[Mapping[tuple[str, ...], Callable[[str, Path], str]]] = {
    ("data", "source"): locate_data,
    ("data", "source", "train"): locate_data,
    ("data", "source", "validation"): locate_data,
    ("data", "source", "test"): locate_data,
    ("model", "base"): locate_model,
    ("model", "tokenizer"): locate_tokenizer,
    _METRICS: locate_metric,
}


def locate(
    raw: RawTable, layers: Layers, environment: Mapping[str, str], source: str
) -> tuple[RawTable, list[Problem]]:
    """The recipe with absolute paths and filled variables, in `[sweep.space]` too, and what could not be filled.

    A path is relative to where it was written: to the file of its layer; to the current folder when it
    stands in a `--set` or begins with a variable that the shell has set.
    """
    problems: list[Problem] = []
    for keys, field in list(_places(raw)):
        value = value_at(raw, keys)
        parts = value if isinstance(value, list) else [value]
        located = [_located(part, keys, field, layers, environment, source) for part in parts]
        problems += [part for part in located if isinstance(part, Problem)]
        if value is not None:
            kept = [old if isinstance(new, Problem) else new for old, new in zip(parts, located, strict=True)]
            raw = with_value(raw, keys, kept if isinstance(value, list) else kept[0])
    return raw, problems


def _located(
    value: Any, keys: Keys, field: tuple[str, ...], layers: Layers, environment: Mapping[str, str], source: str
) -> Any:
    """One value filled and made absolute; a Problem where it could not be; what is no text as it is."""
    if not isinstance(value, str) or not value:
        return value
    expanded = expand(value, environment)
    if expanded.unset or "${" in expanded.text:
        return _unfilled(value, expanded, keys, source)
    folder = Path.cwd() if expanded.starts_in_environment else layers.layers[layers.writer(keys)].folder
    return _LOCATORS[field](expanded.text, folder)


def _places(raw: RawTable) -> Iterator[tuple[Keys, tuple[str, ...]]]:
    """Where located values may stand, each with the field whose rule holds there."""
    for field in _LOCATORS:
        yield field, field
    metrics = value_at(raw, _METRICS)
    for i, metric in enumerate(metrics if isinstance(metrics, list) else []):
        if isinstance(metric, dict):
            yield (*_METRICS, i, "use"), _METRICS
    for part in parts_of(value_at(raw, ("sweep", "space"))):
        for place in part.values if part.keys is not None else ():
            for field in _LOCATORS:
                if field[: len(part.keys or ())] == part.keys:
                    yield (*place, *field[len(part.keys) :]), field


def _unfilled(value: str, expanded: Expanded, keys: Keys, source: str) -> Problem:
    if not expanded.unset:
        return Problem(keys, value, "must write a variable as ${NAME} or ${NAME:-fallback}")
    names = list(dict.fromkeys(expanded.unset))
    settings = " ".join(f"{name}=..." for name in names)
    message = f"{' and '.join(names)} {'is' if len(names) == 1 else 'are'} not set in the environment"
    option = "" if keys[0] == "sweep" else f", or --set {'.'.join(str(key) for key in keys)}=..."
    return Problem(keys, value, message, f"set it: {settings} runner train {source}{option}")
