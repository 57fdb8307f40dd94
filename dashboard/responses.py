"""Targets and responses that are no classes, in words."""

import json
from collections.abc import Sequence
from typing import Any

from dashboard.formats import UNKNOWN

WORDS_SHOWN = 8
"""Of a span; the rest is left out."""

CLASS_TASKS = (None, "text-classification", "pair-classification")
"""Tasks whose predictions are classes; None is a script of somebody's own."""


def target_words(target: Any, names: Sequence[str], tokens: Sequence[str] | None = None) -> str:
    """A target as the store has it. `tokens`: the words of a sentence, where targets are spans of it.

    >>> target_words("[0, 2]", ["joy", "anger", "love"]), target_words("[]", []), target_words(3.5, [])
    ('joy, love', 'no label', '3.5')
    >>> target_words("[[1, 3, 0]]", ["LOC"], ["in", "New", "York"])
    'LOC: New York'
    """
    if target is None or target != target:
        return UNKNOWN
    if isinstance(target, str):
        items = json.loads(target)
        return _labels(items, names) if tokens is None else span_words(items, names, tokens)
    return f"{target:g}"


def span_words(spans: Sequence[Sequence[float]], names: Sequence[str], tokens: Sequence[str]) -> str:
    """Spans as the store has them, the probability included where there is one: types with their words.

    >>> span_words([[0, 1, 1, 0.914], [2, 3, 0, 0.5]], ["LOC", "PER"], ["Ann", "of", "York"])
    'PER: Ann 91%; LOC: York 50%'
    """
    said = []
    for start, end, at, *p in spans:
        words = tokens[int(start) : int(end)]
        shown = " ".join(words[:WORDS_SHOWN]) + (" …" if len(words) > WORDS_SHOWN else "")
        said.append(f"{names[int(at)]}: {shown}" + (f" {p[0]:.0%}" if p else ""))
    return "; ".join(said) or "no span"


def response_words(response: Any, names: Sequence[str], tokens: Sequence[str] | None = None) -> str:
    """What a model said of an example, as `store.read_responses` has it; `tokens` as in `target_words`.

    >>> response_words({"labels": [2], "p": {"2": 0.913, "0": 0.2}}, ["joy", "anger", "love"])
    'love 91%'
    >>> response_words(3.4567, []), response_words(None, [])
    ('3.457', '–')
    """
    if isinstance(response, dict) and "labels" in response:
        named = [names[at] for at in response["labels"]]
        shares = [response["p"].get(str(at)) for at in response["labels"]]
        said = [name if p is None else f"{name} {p:.0%}" for name, p in zip(named, shares, strict=True)]
        return ", ".join(said) or "no label"
    if isinstance(response, dict) and "spans" in response and tokens is not None:
        return span_words(response["spans"], names, tokens)
    return f"{response:.4g}" if isinstance(response, int | float) else UNKNOWN


def _labels(indices: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[at] for at in indices) or "no label"
