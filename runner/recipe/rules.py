"""Rules between the fields of a recipe. They read the raw tables, so that they speak up beside field errors."""

import difflib
import math
from collections.abc import Iterator, Mapping
from typing import Any, Final, TypeGuard

from runner.recipe.check import check_fields
from runner.recipe.errors import Keys, Problem, shown
from runner.recipe.fields import nearest_path, node_at
from runner.recipe.file import Layers, parse_keys
from runner.recipe.models import METHOD_DEFAULTS
from runner.recipe.tables import RawTable, merge, nested, value_at, without

_METHOD: Final = ("model", "method")
_BASE: Final = ("model", "base")
_ONLY_WITH_METHOD: Final[Mapping[tuple[str, ...], str]] = {
    ("model", "lora"): "lora",
    ("model", "top_layers"): "top-layers",
}
_CONFIG: Final = ("model", "config")
_SCRATCH: Final = "scratch:"
_NOT_SWEPT: Final = frozenset({"name", "task", "notes", "tags", "sweep", "checkpoints", "recording"})


def active(raw: Mapping[str, Any]) -> RawTable:
    """The recipe without the values that its method and base, swept ones included, never look at."""
    table = dict(raw)
    for keys, method in _ONLY_WITH_METHOD.items():
        if method not in _candidates(raw, _METHOD, "full"):
            table = without(table, keys)
    if not _has_scratch(raw):
        table = without(table, _CONFIG)
    return table


def drop_inherited(raw: RawTable, layers: Layers) -> RawTable:
    """Leaves out what another method or base needed, where a later layer chose this one.

    `--set model.method=head` over a recipe with `[model.lora]` is no mistake; writing both in one file is.
    """
    kept = active(raw)
    for keys, chooser in (*((keys, _METHOD) for keys in _ONLY_WITH_METHOD), (_CONFIG, _BASE)):
        is_dropped = value_at(raw, keys) is not None and value_at(kept, keys) is None
        if is_dropped and layers.writer(keys) < layers.writer(chooser):
            raw = without(raw, keys)
    return raw


def check_rules(raw: Mapping[str, Any]) -> list[Problem]:
    """Every broken rule between fields; a rule whose fields are wrong in themselves stays silent."""
    return [*_model_rules(raw), *_data_rules(raw), *_training_rules(raw), *_sweep_rules(raw)]


def _candidates(raw: Mapping[str, Any], keys: tuple[str, ...], default: Any) -> list[Any]:
    """The recipe's own value and those that its sweep would try."""
    own = value_at(raw, keys)
    swept = value_at(raw, ("sweep", "space", ".".join(keys)))
    return [default if own is None else own, *(swept if isinstance(swept, (list, tuple)) else ())]


def _has_scratch(raw: Mapping[str, Any]) -> bool:
    return any(isinstance(base, str) and base.startswith(_SCRATCH) for base in _candidates(raw, _BASE, ""))


def _model_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    methods = _candidates(raw, _METHOD, "full")
    are_known = all(isinstance(method, str) and method in METHOD_DEFAULTS for method in methods)
    for keys, method in _ONLY_WITH_METHOD.items():
        value = value_at(raw, keys)
        if value is not None and are_known and method not in methods:
            given = methods[0] if value_at(raw, _METHOD) is not None else f"{methods[0]}, the default"
            message = f"belongs to method {method}, and the method is {given}"
            yield Problem(keys, value, message, f'set model.method = "{method}", or leave {keys[-1]} out')
    base, config = value_at(raw, _BASE), value_at(raw, _CONFIG)
    if config and isinstance(base, str) and not _has_scratch(raw):
        hint = "leave it out: weights that are loaded bring their own configuration"
        yield Problem(_CONFIG, config, f"goes with base = scratch:TYPE only, and the base is {shown(base)}", hint)
    if _has_scratch(raw) and value_at(raw, ("model", "tokenizer")) is None:
        hint = 'name the folder or hub model whose tokenizer to use, such as tokenizer = "gpt2"'
        yield Problem(("model", "tokenizer"), None, "missing: random weights have no tokenizer of their own", hint)


def _data_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    split = {part: value_at(raw, ("data", "split", part)) for part in ("validation", "test")}
    fractions = {part: 0.1 if value is None else value for part, value in split.items()}
    if all(_is_number(value) and 0 < value < 1 for value in fractions.values()):
        total = sum(fractions.values())
        if total > 1 - 1e-9:
            given = {part: fractions[part] for part in ("validation", "test")}
            message = f"must leave something to train on: the fractions add up to {total:g}, not below 1"
            yield Problem(("data", "split"), given, message)
    columns = value_at(raw, ("data", "columns"))
    if isinstance(columns, Mapping):
        names = {"text": "text", "label": "label", **columns}
        if isinstance(names["text"], str) and names["text"] == names["label"]:
            message = "text and label must be two columns"
            yield Problem(("data", "columns"), dict(columns), message, f"both are {shown(names['text'])}")


def _training_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    labels = value_at(raw, ("data", "labels"))
    weights = value_at(raw, ("training", "class_weights"))
    if not isinstance(labels, (list, tuple)) or not isinstance(weights, Mapping):
        return
    names = [label for label in labels if isinstance(label, str)]
    for label, weight in weights.items():
        if label not in names:
            near = difflib.get_close_matches(label, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"labels are {', '.join(names)}"
            yield Problem(("training", "class_weights", label), weight, "is no label of data.labels", hint)


def _sweep_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    space = value_at(raw, ("sweep", "space"))
    sampler = value_at(raw, ("sweep", "sampler"))
    for name, choices in space.items() if isinstance(space, Mapping) else ():
        here: Keys = ("sweep", "space", name)
        keys = parse_keys(name)
        if keys is None or node_at(keys) is None:
            yield Problem(here, choices, "is no path of a recipe", nearest_path(keys or (name,)))
            continue
        if keys[0] in _NOT_SWEPT:
            yield Problem(here, choices, "is no choice to search over", "sweep model, data, training, evaluation")
            continue
        method = _ONLY_WITH_METHOD.get(keys[:2])
        if method and method not in _candidates(raw, _METHOD, "full"):
            hint = f'add "model.method" = [..., "{method}"] to the space'
            yield Problem(here, choices, f"belongs to method {method}, which no trial would use", hint)
        if isinstance(choices, Mapping):
            yield from _range_rules(here, keys, choices, sampler)
        yield from _value_rules(raw, here, keys, choices)


def _range_rules(here: Keys, keys: Keys, choices: Mapping[str, Any], sampler: Any) -> Iterator[Problem]:
    low, high, step = (choices.get(key) for key in ("low", "high", "step"))
    log = choices.get("log", False)
    if _is_number(low) and _is_number(high) and low >= high:
        yield Problem(here, dict(choices), "low must be below high")
    if log is True and _is_number(low) and low <= 0:
        yield Problem((*here, "low"), low, "must be a number > 0 on a logarithmic scale")
    if log is True and step is not None:
        yield Problem((*here, "step"), step, "has no meaning on a logarithmic scale", "leave step or log out")
    if sampler == "grid" and step is None:
        yield Problem(here, dict(choices), "a grid needs a list of values, or a range with a step")
    is_whole = (node_at(keys) or {}).get("type") == "integer"
    if is_whole and _is_number(step) and not isinstance(step, int):
        yield Problem((*here, "step"), step, f"must be an integer, as {'.'.join(map(str, keys))} is")


def _value_rules(raw: Mapping[str, Any], here: Keys, keys: tuple[str, ...], choices: Any) -> Iterator[Problem]:
    """Each value that the sweep would try has to be one that the field takes."""
    if isinstance(choices, Mapping):
        values: dict[str | int, Any] = {key: choices[key] for key in ("low", "high") if _is_number(choices.get(key))}
    elif isinstance(choices, (list, tuple)):
        values = {**dict(enumerate(choices))}
    else:
        return
    plain = without(raw, ("sweep",))
    for place, value in values.items():
        _, problems = check_fields(merge(plain, nested(keys, value), inside=keys))
        for problem in problems:
            if problem.keys[: len(keys)] == keys:
                inner = problem.keys[len(keys) :]
                yield Problem((*here, place, *inner), problem.value, problem.message, problem.hint)


def _is_number(value: Any) -> TypeGuard[int | float]:
    return (isinstance(value, int) and not isinstance(value, bool)) or (
        isinstance(value, float) and math.isfinite(value)
    )
