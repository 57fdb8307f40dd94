"""Targets and responses that are no classes, in words."""

import json
from collections.abc import Sequence
from typing import Any

from dashboard.formats import UNKNOWN

CLASS_TASKS = (None, "text-classification", "pair-classification")
"""Tasks whose predictions are classes; None is a script of somebody's own."""
SPAN_TASK = "token-classification"
RANK_TASK = "rerank"


def target_words(target: Any, names: Sequence[str]) -> str:
    """A target as the store has it; of spans their types, of a text itself.

    >>> target_words("[0, 2]", ["joy", "anger", "love"]), target_words("[]", []), target_words(3.5, [])
    ('joy, love', 'no label', '3.5')
    >>> target_words("[[1, 3, 0], [4, 5, 0]]", ["LOC"])
    'LOC, LOC'
    >>> target_words('"Paris"', [])
    'Paris'
    """
    if target is None or target != target:
        return UNKNOWN
    if isinstance(target, str):
        parsed = json.loads(target)
        if isinstance(parsed, str):
            return parsed
        return _labels([each[2] if isinstance(each, list) else each for each in parsed], names)
    return f"{target:g}"


def target_text(target: Any) -> str | None:
    """A target that is a text, as the store has it; None for one that is none.

    >>> target_text('"Paris"'), target_text("[0]"), target_text("Paris"), target_text(None)
    ('Paris', None, None, None)
    """
    if not isinstance(target, str) or not target.startswith('"'):
        return None
    try:
        found = json.loads(target)
    except ValueError:
        return None
    return found if isinstance(found, str) else None


def response_words(response: Any, names: Sequence[str]) -> str:
    """What a model said of an example, as `store.read_responses` has it.

    >>> response_words({"labels": [2], "p": {"2": 0.913, "0": 0.2}}, ["joy", "anger", "love"])
    'love 91%'
    >>> response_words(3.4567, []), response_words(None, [])
    ('3.457', '–')
    >>> response_words({"text": "Paris"}, []), response_words({"score": 0.91, "logit": 2.31}, [])
    ('Paris', '0.91')
    """
    if isinstance(response, dict) and "text" in response:
        return str(response["text"])
    if isinstance(response, dict) and "labels" in response:
        named = [names[at] for at in response["labels"]]
        shares = [response["p"].get(str(at)) for at in response["labels"]]
        said = [name if p is None else f"{name} {p:.0%}" for name, p in zip(named, shares, strict=True)]
        return ", ".join(said) or "no label"
    if isinstance(response, dict) and "score" in response:
        return f"{response['score']:.4g}"
    return f"{response:.4g}" if isinstance(response, int | float) else UNKNOWN


def _labels(indices: Sequence[int], names: Sequence[str]) -> str:
    return ", ".join(names[at] for at in indices) or "no label"
