"""What the models say about each field: the JSON Schema, the words for allowed values, the field table."""

import difflib
import json
from copy import deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, Final, cast

from runner.recipe.errors import Keys, dotted
from runner.recipe.models import Recipe

Node = dict[str, Any]
"""A part of the JSON Schema."""

_TABLES: Final = "$defs"
_BY_METHOD: Final = frozenset({"training.epochs", "training.learning_rate"})
_ALIASES: Final = {
    "lr": "learning_rate",
    "num_train_epochs": "epochs",
    "num_epochs": "epochs",
    "per_device_train_batch_size": "batch_size",
    "per_device_eval_batch_size": "batch_size",
    "gradient_accumulation_steps": "gradient_accumulation",
    "lr_scheduler_type": "schedule",
    "warmup_ratio": "warmup",
    "label_smoothing_factor": "label_smoothing",
    "metric_for_best_model": "select",
    "eval_strategy": "every",
    "eval_steps": "every",
    "logging_steps": "log_every",
    "save_strategy": "keep",
    "model_name": "base",
    "model_name_or_path": "base",
    "max_seq_length": "max_length",
    "lora_alpha": "alpha",
    "lora_r": "r",
    "lora_dropout": "dropout",
    "rank": "r",
    "dataset": "source",
    "path": "source",
    "metric": "select",
    "patience": "early_stopping",
}
"""Names that other tools give to our fields."""


@dataclass(frozen=True)
class FieldRow:
    """One line of the reference: `default` is TOML text, "required", "not set" or "by method"."""

    path: str
    type: str
    default: str
    description: str


@cache
def _schema() -> Node:
    return Recipe.model_json_schema()


def recipe_schema() -> Node:
    """JSON Schema (draft 2020-12) of a recipe file, for editors.

    A recipe with `base` may leave out what the other file says, so required keys are asked for only
    without it. TOML has no null: what is optional is left out.
    """
    schema: Node = _for_editors(deepcopy(_schema()))
    required = {"": schema.pop("required"), "model": ["base"], "data": ["source"]}
    for table in ("Model", "Data"):
        schema[_TABLES][table].pop("required")
    schema["properties"] = {
        "base": {"type": "string", "minLength": 1, "description": "Another recipe file to inherit from."},
        **schema["properties"],
    }
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **schema,
        "title": "Recipe",
        "if": {"required": ["base"]},
        "else": {
            "required": required[""],
            "properties": {table: {"required": required[table]} for table in ("model", "data")},
        },
    }


def _for_editors(node: Any) -> Any:
    if isinstance(node, list):
        return [_for_editors(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: item for key, item in node.items() if key != "x-words"}
    if node.get("default", ...) is None:
        del node["default"]
    if isinstance(node.get("title"), str):
        del node["title"]
    options = [option for option in node.get("anyOf", ()) if option != {"type": "null"}]
    if len(options) == 1:
        del node["anyOf"]
        return cast(Node, _for_editors({**options[0], **node}))
    return {key: _for_editors(item) for key, item in node.items()}


def node_at(keys: Keys) -> Node | None:
    """The schema of the field at `keys`, or None when no recipe has such a field."""
    return _descend(_schema(), keys)


def _descend(node: Node, keys: Keys) -> Node | None:
    node = _plain(node)
    if not keys:
        return node
    for option in _options(node):
        child = _child(option, keys[0])
        found = None if child is None else _descend(child, keys[1:])
        if found is not None:
            return found
    return None


def _child(node: Node, key: str | int) -> Node | None:
    if isinstance(key, int):
        items: Node | None = node.get("items")
        return items
    if key in node.get("properties", {}):
        child: Node = node["properties"][key]
        return child
    others = node.get("additionalProperties", "type" not in node)  # without a type it may be any value
    return {} if others is True else others or None


def _plain(node: Node) -> Node:
    """The node with its reference followed; what stands beside the reference wins."""
    if "$ref" not in node:
        return node
    target = _schema()[_TABLES][node["$ref"].removeprefix(f"#/{_TABLES}/")]
    return {**target, **{key: item for key, item in node.items() if key != "$ref"}}


def _options(node: Node) -> list[Node]:
    """The members of a union without null; the node itself when it is none."""
    options = node.get("oneOf") or node.get("anyOf")
    if not options:
        return [node]
    members = [member for option in options for member in _members(_plain(option))]
    return [member for member in members if member.get("type") != "null"]


def _members(node: Node) -> list[Node]:
    return [node] if "x-words" in node else _options(node)


def accepts(keys: Keys, kind: str) -> bool:
    """True if the field may hold a value of this JSON Schema type; a number field accepts integers."""
    node = node_at(keys)
    types = {option.get("type") for option in _options(node)} if node is not None else set()
    return None in types or kind in types or (kind == "integer" and "number" in types)


def allowed(node: Node) -> str:
    """The allowed values in words, as they follow "must be".

    >>> allowed({"type": "integer", "minimum": 1})
    'an integer ≥ 1'
    """
    if "x-words" in node:
        return str(node["x-words"])
    options = _options(node)
    if options != [node]:
        return " or ".join(allowed(option) for option in options)
    if "enum" in node or "const" in node:
        return _one_of(node.get("enum") or [node["const"]])
    match node.get("type"):
        case "integer":
            return f"an integer{_bounds(node)}"
        case "number":
            return f"a number{_bounds(node)}"
        case "boolean":
            return "true or false"
        case "string":
            return "a non-empty string" if node.get("minLength") else "a string"
        case "array":
            items = "strings" if node.get("items", {}).get("type") == "string" else "values"
            at_least = node.get("minItems", 0)
            if at_least > 1:
                return f"a list of at least {at_least} {items}"
            return f"a {'non-empty ' if at_least else ''}list of {items}"
        case "object":
            return "a table with at least one entry" if node.get("minProperties") else "a table"
        case _:
            return "any value"


def _one_of(values: list[Any]) -> str:
    texts = [str(value) for value in values]
    return texts[0] if len(texts) == 1 else f"{', '.join(texts[:-1])} or {texts[-1]}"


def _bounds(node: Node) -> str:
    signs = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
    bounds = [
        f"{sign} {node[key]:g}" if node[key] < 10**6 else f"{sign} {node[key]}"
        for key, sign in signs.items()
        if key in node
    ]
    return f" {' and '.join(bounds)}" if bounds else ""


def recipe_fields() -> list[FieldRow]:
    """Every field of a recipe in the order of the models; `PATH` and `NAME` stand for keys of your own."""
    return [
        FieldRow(dotted(keys), allowed(node), _default(keys, node, is_required), node.get("description", ""))
        for keys, node, is_required in _leaves()
    ]


def _leaves() -> list[tuple[Keys, Node, bool]]:
    return [row for row in _walk(_schema(), (), False) if not _is_table(row[1])]


def _is_table(node: Node) -> bool:
    return all("properties" in option for option in _options(node))


def _walk(node: Node, keys: Keys, is_required: bool) -> list[tuple[Keys, Node, bool]]:
    node = _plain(node)
    rows = [(keys, node, is_required)] if keys else []
    for option in _options(node):
        for key, child in option.get("properties", {}).items():
            rows += _walk(child, (*keys, key), key in option.get("required", ()))
        others = option.get("additionalProperties")
        if isinstance(others, dict) and any("properties" in each for each in _options(_plain(others))):
            rows += _walk(others, (*keys, "PATH"), False)
    return list({dotted(row[0]): row for row in reversed(rows)}.values())[::-1]  # members of a union share fields


def _default(keys: Keys, node: Node, is_required: bool) -> str:
    if dotted(keys) in _BY_METHOD:
        return "by method"
    if is_required:
        return "required"
    default = node.get("default")
    if default is None:
        return "{}" if node.get("type") == "object" else "not set"
    return json.dumps(default, ensure_ascii=False)


@cache
def known_keys() -> tuple[tuple[str, ...], ...]:
    """All tables and fields with fixed names, as tuples of keys."""
    return tuple(tuple(str(key) for key in keys) for keys, _, _ in _walk(_schema(), (), False) if "PATH" not in keys)


def unknown_key_hint(keys: Keys) -> str:
    """The next step for an unknown key: the nearest one, the table it belongs in, or all there are."""
    table, key = keys[:-1], str(keys[-1])
    here = node_at(table) or {}
    siblings = [name for option in _options(here) for name in option.get("properties", {})]
    elsewhere = _homes(key, table)
    if elsewhere:
        return f"{key} belongs {elsewhere}"
    alias = _ALIASES.get(key.lower().replace("-", "_"))
    if alias:
        return f"did you mean {alias}{'' if alias in siblings else f', {_homes(alias, table)}'}?"
    near = difflib.get_close_matches(key.lower().replace("-", "_"), siblings, 1)
    if near:
        return f"did you mean {near[0]}?"
    names = list(dict.fromkeys(known[-1] for known in known_keys()))
    far = difflib.get_close_matches(key.lower(), names, 1, 0.75)
    if far:
        return f"did you mean {far[0]}, {_homes(far[0], table)}?"
    return f"known here: {', '.join(siblings)}" if siblings else ""


def _homes(key: str, besides: Keys) -> str:
    homes = [known[:-1] for known in known_keys() if known[-1] == key and known[:-1] != besides]
    top = "at the top of the file, before the first [table]"
    return " or ".join(f"in [{dotted(home)}]" if home else top for home in homes)


def nearest_path(keys: Keys) -> str:
    """The hint for an unknown path that stands as one text, such as a key of `[sweep.space]`."""
    paths = [dotted(known) for known in known_keys() if len(known) > 1 and known[0] != "sweep"]
    homes = [path for path in paths if path.rpartition(".")[2] == keys[-1]]
    near = homes[:1] or difflib.get_close_matches(dotted(keys), paths, 1)
    return f"did you mean {near[0]}?" if near else "write it as table.key, such as training.learning_rate"
