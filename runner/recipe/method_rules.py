"""Rules between the settings of a method: starts of adapters, bits of the base, prompts in front of texts."""

from collections.abc import Iterator, Mapping
from typing import Any, Final

from runner.recipe.errors import Keys, Problem
from runner.recipe.methods import BASE_CHANGING, PROMPT_TYPES
from runner.recipe.shapes import shape_of
from runner.recipe.spaces import BASE, METHOD, SCRATCH, candidates
from runner.recipe.tables import value_at

_INIT: Final = ("model", "lora", "init")
_BITS: Final = ("model", "quantization", "bits")
_DORA: Final = ("model", "lora", "use_dora")


def method_rules(raw: Mapping[str, Any]) -> Iterator[Problem]:
    """Every broken rule. Of a sweep, a rule is broken where no trial could keep it."""
    methods = candidates(raw, METHOD, "full")
    if "lora" in methods or "qlora" in methods:
        yield from _lora_rules(raw, methods)
    if "qlora" in methods:
        yield from _quantization_rules(raw, methods)
    if "peft" in methods:
        yield from _peft_rules(raw, methods)
    compiled = value_at(raw, ("training", "compile"))
    if compiled is True and methods == ["head"]:
        message = "has nothing to compile: method head trains one layer on features made before"
        yield Problem(("training", "compile"), compiled, message, "leave it out")


def _lora_rules(raw: Mapping[str, Any], methods: list[Any]) -> Iterator[Problem]:
    init = value_at(raw, _INIT)
    if init in BASE_CHANGING and "lora" not in methods:
        message = "changes the base's weights, which qlora has quantised"
        yield Problem(_INIT, init, message, "use loftq, default, gaussian or orthogonal, or method lora")
    if init == "loftq" and ("qlora" not in methods or candidates(raw, _BITS, 4) == [8]):
        message = "makes up for what a base of 4 bits loses, and this base has all its bits"
        if "qlora" in methods:
            message = "makes up for what a base of 4 bits loses, and this base has 8"
        yield Problem(_INIT, init, message, "leave it out, or use method qlora with quantization.bits = 4")
    if (init in BASE_CHANGING or init == "loftq") and candidates(raw, _DORA, False) == [True]:
        message = "measures the base's rows before adapters start, and such a start changes them"
        yield Problem(_DORA, True, message, 'leave it out, or set init = "default"')
    rank = value_at(raw, ("model", "lora", "r"))
    if init == "orthogonal" and isinstance(rank, int) and rank % 2:
        yield Problem(("model", "lora", "r"), rank, "must be even with init = orthogonal", f"use {rank + 1}")


def _quantization_rules(raw: Mapping[str, Any], methods: list[Any]) -> Iterator[Problem]:
    if candidates(raw, _BITS, 4) == [8]:
        for name, default in (("type", "nf4"), ("double", True), ("compute", "auto")):
            keys: Keys = ("model", "quantization", name)
            value = value_at(raw, keys)
            if value is not None and value != default:  # a resolved recipe has every default
                yield Problem(keys, value, "belongs to 4 bits, and the base has 8", f"leave {name} out")
    base = value_at(raw, BASE)
    if isinstance(base, str) and base.startswith(SCRATCH) and methods == ["qlora"]:
        message = "must be a model with weights for method qlora: there is nothing to quantise in random ones"
        yield Problem(BASE, base, message, "train it with another method, or save it and name its folder")


_CONTINUED: Final = ("causal-lm", "instruction", "seq2seq")
"""Tasks whose models go on with, or answer, what they read: learnt tokens before it change what they say."""


def _peft_rules(raw: Mapping[str, Any], methods: list[Any]) -> Iterator[Problem]:
    keys: Final = ("model", "peft", "type")
    kind = value_at(raw, keys)
    if methods == ["peft"] and candidates(raw, keys, None) == [None]:
        hint = 'name one, such as type = "IA3" or type = "PREFIX_TUNING"'
        yield Problem(("model", "peft"), None, "missing: method peft needs to know which adapter", hint)
        return
    name = kind.upper().replace("-", "_") if isinstance(kind, str) else ""
    if name not in PROMPT_TYPES:
        return
    task = raw.get("task")
    shape = shape_of(task)
    pair = value_at(raw, ("data", "columns", "text_pair"))
    hint = "use an adapter of layers, such as IA3 or VERA, or method lora"
    is_whole = shape is not None and shape.inputs[0] == "text" and shape.kind in ("label", "labels", "number")
    if shape is not None and not is_whole and task not in _CONTINUED:
        message = f"puts learnt tokens before each text, which the task {task} cannot tell from its own"
        yield Problem(keys, kind, message, hint)
    elif (shape is not None and shape.inputs == ("text", "text_pair") and not shape.optional) or pair is not None:
        yield Problem(keys, kind, "cannot tell a model which of two texts a token is of", hint)
    checkpointing = ("training", "gradient_checkpointing")
    if name == "PREFIX_TUNING" and value_at(raw, checkpointing) is True:
        message = "recomputes layers without the keys and values that PREFIX_TUNING puts before them"
        yield Problem(checkpointing, True, message, 'leave it out, or take type = "PROMPT_TUNING" or "P_TUNING"')
