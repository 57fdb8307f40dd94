"""From what a form says to a recipe's text, and from a run's recipe to what the form says."""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from typing import Any

import tomli_w

from dashboard.formats import short
from dashboard.tasks import CLASSIFICATION, Task

SETTINGS = {
    "training.epochs": int,
    "training.learning_rate": float,
    "training.batch_size": int,
    "model.max_length": int,
    "training.seed": int,
}
"""Path of each plain setting of the form, and its type."""
SWEEP_TAG = "sweep:"
"""What begins the tag of a sweep's trials."""
METHODS = ("head", "lora", "top-layers", "full", "qlora")
"""Methods of the form, the quickest to try first; of those that need no more than their name."""
_FORM = {"model.base", "model.method", "data.source", "data.columns", "data.metadata", *SETTINGS}


@dataclass(frozen=True)
class Form:
    """What the page's widgets say. `source` as in a recipe; `settings` path → what was typed, "" for the default."""

    name: str
    source: str
    columns: Mapping[str, str | None] = field(default_factory=dict)
    """Field of the task → column."""
    task: Task = CLASSIFICATION
    dataset_name: str | None = None
    drops_empty: bool = False
    metadata: tuple[str, ...] = ()
    """Further columns to keep."""
    base: str = "builtin:minilm"
    method: str = "head"
    settings: Mapping[str, str] = field(default_factory=dict)
    kept: Mapping[str, Any] = field(default_factory=dict)
    """Nested tables that a cloned recipe says beyond the form."""


def recipe_table(form: Form) -> dict[str, Any]:
    """The recipe as nested tables. What was typed and is no number stays text, so that the check can say so."""
    kept = deepcopy({name: value for name, value in form.kept.items() if name not in ("name", "task")})
    table: dict[str, Any] = {"name": form.name, "task": form.task.name, **kept}
    table["model"] = {"base": form.base, "method": form.method, **_without(kept.get("model"), "base", "method")}
    is_stored = form.source.startswith("dataset:")
    data: dict[str, Any] = {"source": form.source, **_without(kept.get("data"), "source")}
    if is_stored:
        data = {"source": form.source}  # it is there as it is: columns and splits are what they were
    columns = form.task.of_stored() if is_stored else form.task.to_write(form.columns)
    if columns:
        data["columns"] = {**data.get("columns", {}), **columns}
    if form.dataset_name:
        data["name"] = form.dataset_name
    if form.metadata and not is_stored:
        data["metadata"] = list(form.metadata)
    if form.drops_empty:
        data["on_empty"] = "drop"
    table["data"] = data
    for path, typed in form.settings.items():
        if typed.strip():
            part, _, name = path.partition(".")
            table.setdefault(part, {})[name] = _number(typed.strip(), SETTINGS[path])
    order = ("name", "task", "notes", "tags", "model", "data", "training")
    return {name: table[name] for name in (*order, *table) if name in table}


def recipe_text(form: Form) -> str:
    """The recipe as TOML.

    >>> print(recipe_text(Form("mood-head", "/data/mood.csv", {"text": "tweet"}, settings={"training.epochs": "5"})))
    name = "mood-head"
    task = "text-classification"
    <BLANKLINE>
    [model]
    base = "builtin:minilm"
    method = "head"
    <BLANKLINE>
    [data]
    source = "/data/mood.csv"
    <BLANKLINE>
    [data.columns]
    text = "tweet"
    <BLANKLINE>
    [training]
    epochs = 5
    <BLANKLINE>
    """
    return tomli_w.dumps(recipe_table(form))


def default_text(task: Task, method: str) -> str:
    """A recipe that says nothing but task and method: what it resolves to are the defaults."""
    # a field that must be named is named like itself: nothing is read
    columns = {field.name: field.default or field.name for field in task.fields if not field.is_optional}
    return recipe_text(Form("defaults", "defaults.csv", columns, task, method=method))


def _without(table: Any, *names: str) -> dict[str, Any]:
    return {name: value for name, value in (table or {}).items() if name not in names}


def _number(typed: str, kind: type) -> Any:
    for read in (int, float) if kind is int else (float,):
        try:
            return read(typed)
        except ValueError:
            continue
    return typed


def beyond_defaults(recipe: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """The parts of a resolved recipe that differ from the defaults, as nested tables; unset values are left out.

    >>> beyond_defaults({"a": {"b": 1, "c": 2}, "d": None, "e": 5}, {"a": {"b": 1, "c": 3}, "d": 4})
    {'a': {'c': 2}, 'e': 5}
    """
    found: dict[str, Any] = {}
    for name, value in recipe.items():
        default = defaults.get(name)
        if isinstance(value, Mapping) and isinstance(default, Mapping):
            if inner := beyond_defaults(value, default):
                found[name] = inner
        elif value is not None and value != default:
            found[name] = _plain(value)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(item) for name, item in value.items() if item is not None}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


def settings_of(recipe: Mapping[str, Any]) -> dict[str, str]:
    """What the form's settings are in nested tables, as it would be typed; only those that are there.

    >>> settings_of({"training": {"learning_rate": 0.0002, "epochs": 3}})
    {'training.epochs': '3', 'training.learning_rate': '0.0002'}
    """
    found = {}
    for path in SETTINGS:
        part, _, name = path.partition(".")
        value = (recipe.get(part) or {}).get(name)
        if value is not None:
            found[path] = f"{value:g}" if isinstance(value, float) else str(value)
    return found


def kept_of(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What nested tables say that the form has no widget for; a trial's copy is no trial of its sweep."""
    kept: dict[str, Any] = {}
    for name, value in recipe.items():
        if name in ("name", "task", "sweep"):
            continue
        if isinstance(value, Mapping):
            value = {key: item for key, item in value.items() if f"{name}.{key}" not in _FORM}
        if name == "tags":
            value = [tag for tag in value if not str(tag).startswith(SWEEP_TAG)]
        if value not in ({}, [], (), "", None):
            kept[name] = value
    return kept


def free_name(name: str, taken: set[str]) -> str:
    """The name, with a number where it is taken.

    >>> free_name("tweets-lora", {"tweets-lora", "tweets-lora-2"}), free_name("mood", set())
    ('tweets-lora-3', 'mood')
    """
    stem = short(name, 90)
    return next(text for text in (stem, *(f"{stem}-{i}" for i in range(2, 10_000))) if text not in taken)
