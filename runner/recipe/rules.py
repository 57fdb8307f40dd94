"""Rules between the fields of a recipe. They read the raw tables, so that they speak up beside field errors."""

import difflib
from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from typing import Any

from evals.metrics import TASKS as TASK_METRICS
from evals.tags import entity_types
from runner.recipe.errors import Problem, shown
from runner.recipe.file import Layers
from runner.recipe.method_rules import method_rules
from runner.recipe.methods import METHOD_DEFAULTS
from runner.recipe.shapes import SHAPES, shape_of
from runner.recipe.spaces import (
    BASE,
    COMPARED,
    CONFIG,
    METHOD,
    ONLY_WITH_METHOD,
    ONLY_WITH_TASKS,
    SCRATCH,
    TASK,
    WITHOUT_HEAD,
    WRITES,
    candidates,
)
from runner.recipe.sweep_rules import sweep_rules
from runner.recipe.tables import RawTable, value_at, without
from runner.recipe.types import is_number

_OF_WHAT_IS_WRITTEN = tuple(
    f"validation/{metric}" for metric in TASK_METRICS["seq2seq"] if metric not in TASK_METRICS["causal-lm"]
)


def active(raw: Mapping[str, Any]) -> RawTable:
    """The recipe without the values that its task, method and base, swept ones included, never look at."""
    table = dict(raw)
    task = raw.get("task")
    for keys, tasks in ONLY_WITH_TASKS.items():
        if shape_of(task) is not None and task not in tasks:
            table = without(table, keys)
    for keys, methods in ONLY_WITH_METHOD.items():
        if not any(method in candidates(raw, METHOD, "full") for method in methods):
            table = without(table, keys)
    if not _has_scratch(raw):
        table = without(table, CONFIG)
    return table


def drop_inherited(raw: RawTable, layers: Layers) -> RawTable:
    """Leaves out what another method or base needed, where a later layer chose this one.

    `--set model.method=head` over a recipe with `[model.lora]` is no mistake; writing both in one file is.
    """
    kept = active(raw)
    choosers = {**dict.fromkeys(ONLY_WITH_TASKS, TASK), **dict.fromkeys(ONLY_WITH_METHOD, METHOD), CONFIG: BASE}
    for keys, chooser in choosers.items():
        is_dropped = value_at(raw, keys) is not None and value_at(kept, keys) is None
        if is_dropped and layers.writer(keys) < layers.writer(chooser):
            raw = without(raw, keys)
    return raw


def check_rules(raw: Mapping[str, Any]) -> list[Problem]:
    """Every broken rule between fields; a rule whose fields are wrong in themselves stays silent."""
    return [
        *_task_rules(raw), *_model_rules(raw), *method_rules(raw), *_data_rules(raw), *_training_rules(raw),
        *sweep_rules(raw),
    ]  # fmt: skip


def _has_scratch(raw: Mapping[str, Any]) -> bool:
    return any(isinstance(base, str) and base.startswith(SCRATCH) for base in candidates(raw, BASE, ""))


def _task_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    task = raw.get("task")
    shape = shape_of(task)
    if shape is None or not isinstance(task, str):
        return
    for keys, tasks in ONLY_WITH_TASKS.items():
        value = value_at(raw, keys)
        if value is not None and task not in tasks:
            fields = [name for name in shape.fields if name not in SHAPES[tasks[0]].fields]
            hint = f"leave {keys[-1]} out" + (f"; {task} reads {' and '.join(fields)}" if fields else "")
            yield Problem(keys, value, f"belongs to {_listed(tasks)}, and the task is {task}", hint)
    if shape.kind == "spans" and "head" in candidates(raw, METHOD, "full"):
        message = f"trains on one vector of each text, and {task} needs one of each word"
        yield Problem(METHOD, "head", message, 'take method = "top-layers" or "lora"')
    if "text_pair" in shape.inputs and "text_pair" not in shape.optional:
        keys = ("data", "columns", "text_pair")
        if value_at(raw, keys) is None and value_at(raw, ("data", "source")) is not None:
            yield Problem(keys, None, f"missing: {task} reads two texts", "name the column of the second one")
    if task in WITHOUT_HEAD and "head" in candidates(raw, METHOD, "full"):
        message = f"{task} trains no head: its models say tokens with the layer that they came with"
        yield Problem(METHOD, "head", message, "take full, top-layers or lora")
    yield from _metric_rules(raw, task)
    select = value_at(raw, ("evaluation", "select"))
    if value_at(raw, ("generation", "examples")) == 0 and select in _OF_WHAT_IS_WRITTEN:
        message = "is measured of what the model writes, and generation.examples is 0"
        yield Problem(("evaluation", "select"), select, message, "raise generation.examples, or select validation/loss")
    known = [f"validation/{metric}" for metric in TASK_METRICS[task]]
    if isinstance(select, str) and select.startswith("validation/") and select not in known:
        near = difflib.get_close_matches(select, known, 1)
        hint = f"did you mean {near[0]}?" if near else ""
        yield Problem(("evaluation", "select"), select, f"must be {_listed(known)}", hint)


def _metric_rules(raw: Mapping[str, Any], task: str) -> Iterator[Problem]:
    """Metrics of others compare what a model says with what is right."""
    keys = ("evaluation", "metrics")
    metrics = value_at(raw, keys)
    if not metrics:
        return
    if task not in COMPARED:
        message = f"{task} says nothing that a metric module could compare"
        yield Problem(keys, None, message, "leave it out; the task's own metrics are always there")
    elif task in WRITES and value_at(raw, ("generation", "examples")) == 0:
        message = "are measured of what the model writes, and generation.examples is 0"
        yield Problem(keys, None, message, "raise generation.examples")


def _listed(names: Sequence[str]) -> str:
    """Names as a choice.

    >>> _listed(["a", "b", "c"])
    'a, b or c'
    """
    return " or ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _model_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    methods = candidates(raw, METHOD, "full")
    are_known = all(isinstance(method, str) and method in METHOD_DEFAULTS for method in methods)
    for keys, only in ONLY_WITH_METHOD.items():
        value = value_at(raw, keys)
        if value is not None and are_known and not any(method in methods for method in only):
            given = methods[0] if value_at(raw, METHOD) is not None else f"{methods[0]}, the default"
            message = f"belongs to method {' or '.join(only)}, and the method is {given}"
            yield Problem(keys, value, message, f'set model.method = "{only[0]}", or leave {keys[-1]} out')
    base, config = value_at(raw, BASE), value_at(raw, CONFIG)
    if config and isinstance(base, str) and not _has_scratch(raw):
        hint = "leave it out: weights that are loaded bring their own configuration"
        yield Problem(CONFIG, config, f"goes with base = scratch:TYPE only, and the base is {shown(base)}", hint)
    if _has_scratch(raw) and value_at(raw, ("model", "tokenizer")) is None:
        hint = 'name the folder or hub model whose tokenizer to use, such as tokenizer = "gpt2"'
        yield Problem(("model", "tokenizer"), None, "missing: random weights have no tokenizer of their own", hint)


def _data_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    shape, group = shape_of(raw.get("task")), ("data", "split", "group")
    if shape is not None and shape.group and value_at(raw, group) is not None:
        hint = f"leave it out, or name data.columns.{shape.group}"
        message = f"{raw['task']} keeps the rows of a {shape.inputs[0]} together already"
        yield Problem(group, value_at(raw, group), message, hint)
    split = {part: value_at(raw, ("data", "split", part)) for part in ("validation", "test")}
    fractions = {part: 0.1 if value is None else value for part, value in split.items()}
    if all(is_number(value) and 0 < value < 1 for value in fractions.values()):
        total = sum(fractions.values())
        if total > 1 - 1e-9:
            given = {part: fractions[part] for part in ("validation", "test")}
            message = f"must leave something to train on: the fractions add up to {total:g}, not below 1"
            yield Problem(("data", "split"), given, message)
    columns = value_at(raw, ("data", "columns"))
    if isinstance(columns, Mapping):
        shape = shape_of(raw.get("task")) or SHAPES["text-classification"]
        names = {
            name: columns.get(name, None if name in ("text_pair", "input", "messages", "query_id") else name)
            for name in shape.fields
        }
        if names.get("messages") is not None:
            for name, usual in (("prompt", "prompt"), ("input", None), ("completion", "completion")):
                if columns.get(name, usual) != usual:  # the default stands in resolved recipes
                    hint = f"leave {name} out, or leave messages out"
                    yield Problem(("data", "columns", name), columns[name], "cannot go with messages", hint)
                names[name] = None
        for first, second in combinations(shape.fields, 2):
            if isinstance(names[first], str) and names[first] == names[second]:
                message = f"{first} and {second} must be two columns"
                yield Problem(("data", "columns"), dict(columns), message, f"both are {shown(names[first])}")


def _training_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    labels = value_at(raw, ("data", "labels"))
    weights = value_at(raw, ("training", "class_weights"))
    if not isinstance(labels, (list, tuple)) or not isinstance(weights, Mapping):
        return
    names = [label for label in labels if isinstance(label, str)]
    if value_at(raw, ("task",)) == "token-classification":  # its labels are tags, and weights are of types
        names = [*entity_types(names), "O"]
    for label, weight in weights.items():
        if label not in names:
            near = difflib.get_close_matches(label, names, 1)
            hint = f"did you mean {near[0]}?" if near else f"labels are {', '.join(names)}"
            yield Problem(("training", "class_weights", label), weight, "is no label of data.labels", hint)
