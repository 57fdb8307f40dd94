"""`[sweep.space]` as it is written: its parts, the values that each would try, and what has to hold for them.

Works on raw tables, so that rules can speak about a space whose other parts are wrong.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from runner.recipe.errors import Keys
from runner.recipe.file import parse_keys
from runner.recipe.shapes import SHAPES
from runner.recipe.tables import value_at
from runner.recipe.types import CHOICE, search_kind

METHOD: Final = ("model", "method")
BASE: Final = ("model", "base")
CONFIG: Final = ("model", "config")
SCRATCH: Final = "scratch:"
ONLY_WITH_METHOD: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    ("model", "lora"): ("lora", "qlora"),
    ("model", "quantization"): ("qlora",),
    ("model", "peft"): ("peft",),
    ("model", "top_layers"): ("top-layers",),
}
"""Tables and fields that some methods alone look at."""
TASK: Final = ("task",)
_LABEL_TASKS: Final = tuple(task for task, shape in SHAPES.items() if shape.kind == "label")
_TAG_TASKS: Final = tuple(task for task, shape in SHAPES.items() if shape.kind == "spans")
WITHOUT_HEAD: Final = ("causal-lm", "masked-lm", "instruction", "seq2seq")
"""Tasks whose models say tokens with the layer that they came with."""
WRITES: Final = ("instruction", "seq2seq")
"""Tasks whose models write answers in evaluations."""
COMPARED: Final = (
    "text-classification", "pair-classification", "multi-label-classification", "regression", "rerank",
    "token-classification", *WRITES,
)  # fmt: skip
"""Tasks whose models say what a metric module can hold against what is right."""
ONLY_WITH_TASKS: Final[Mapping[tuple[str, ...], tuple[str, ...]]] = {
    **{
        ("data", "columns", name): tuple(task for task, shape in SHAPES.items() if name in shape.fields)
        for name in dict.fromkeys(name for shape in SHAPES.values() for name in shape.fields)
    },
    ("data", "labels"): tuple(task for task, shape in SHAPES.items() if shape.kind in ("label", "labels", "spans")),
    ("data", "tag_rules"): _TAG_TASKS,
    ("model", "tag_scheme"): _TAG_TASKS,
    ("training", "label_pieces"): _TAG_TASKS,
    ("training", "class_weights"): (*_LABEL_TASKS, *_TAG_TASKS),
    ("training", "label_smoothing"): (*_LABEL_TASKS, *_TAG_TASKS),
    ("training", "packing"): ("causal-lm", "instruction"),
    ("masked_lm",): ("masked-lm",),
    ("instruction",): ("instruction",),
    ("seq2seq",): ("seq2seq",),
    ("generation",): ("instruction", "seq2seq"),
    ("recording", "target_tokens"): ("instruction", "seq2seq"),
}
"""Fields that some tasks alone look at."""


@dataclass(frozen=True)
class Part:
    """One range or one list of values of a space; a path with alternatives has several parts."""

    name: str
    """The path as it is written."""
    keys: tuple[str, ...] | None
    """The path's segments; None where it is no path."""
    here: Keys
    """Where the part stands in the recipe."""
    range: Mapping[str, Any] | None
    """The table with low and high, or None where there are values."""
    values: Mapping[Keys, Any]
    """Where each value stands → the value; of a range nothing."""
    when: Mapping[str, Any]
    """What is written as `when`."""


def parts_of(space: object) -> Iterator[Part]:
    """The parts of a raw `[sweep.space]`, in the order they are written; what is no entry at all is left out."""
    for name, written in space.items() if isinstance(space, Mapping) else ():
        here: Keys = ("sweep", "space", name)
        if search_kind(written) == f"{CHOICE}:alternatives":
            for place, alternative in enumerate(written):
                yield _part(name, (*here, place), alternative)
        else:
            yield _part(name, here, written)


def _part(name: str, here: Keys, written: Any) -> Part:
    keys, when = parse_keys(name), {}
    values: dict[Keys, Any] = {}
    match search_kind(written).removeprefix(f"{CHOICE}:"):
        case "fixed":
            values = {here: written}
        case "list":
            values = {(*here, place): value for place, value in enumerate(written)}
        case "values":
            listed = written["values"]
            if isinstance(listed, (list, tuple)):
                values = {(*here, "values", place): value for place, value in enumerate(listed)}
            when = written.get("when")
        case _:
            when = written.get("when")
    is_range = search_kind(written) == f"{CHOICE}:range"
    return Part(name, keys, here, written if is_range else None, values, when if isinstance(when, Mapping) else {})


def candidates(raw: Mapping[str, Any], keys: tuple[str, ...], default: Any) -> list[Any]:
    """The recipe's own value and those that its sweep would try."""
    own = value_at(raw, keys)
    swept = [
        value for part in parts_of(value_at(raw, ("sweep", "space"))) if part.keys == keys
        for value in part.values.values()
    ]  # fmt: skip
    return [default if own is None else own, *swept]


def needed_for(
    keys: tuple[str, ...], values_of: Mapping[tuple[str, ...], list[Any]]
) -> dict[tuple[str, ...], list[Any]]:
    """What has to hold for a path to mean anything: swept path → the values it needs. `values_of` are the swept ones.

    >>> needed_for(("model", "lora", "r"), {("model", "method"): ["full", "lora"]})
    {('model', 'method'): ['lora']}
    """
    for only, methods in ONLY_WITH_METHOD.items():
        if keys[: len(only)] == only and METHOD in values_of:
            return {METHOD: [method for method in methods if method in values_of[METHOD]] or list(methods)}
    if keys[:2] == CONFIG and BASE in values_of:
        return {BASE: [base for base in values_of[BASE] if str(base).startswith(SCRATCH)]}
    return {}
