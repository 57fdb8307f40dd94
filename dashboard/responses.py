"""Targets and responses that are no classes, in words."""

import json
from collections import Counter
from collections.abc import Sequence
from typing import Any

from dashboard.formats import UNKNOWN

CLASS_TASKS = (None, "text-classification", "pair-classification")
"""Tasks whose predictions are classes; None is a script of somebody's own."""
SPAN_TASK = "token-classification"
RANK_TASK = "rerank"


def target_words(target: Any, names: Sequence[str], tokens: Sequence[str] | None = None) -> str:
    """A target as the store has it, by the label names of its data set: a number, labels, a text itself; spans as their
    words, where the tokens of the sentence are given, else how many there are of which type.

    >>> target_words("[0, 2]", ["joy", "anger", "love"]), target_words("[]", []), target_words(3.5, [])
    ('joy, love', 'no label', '3.5')
    >>> target_words("[[1, 3, 0], [4, 5, 0]]", ["LOC"]), target_words("[[0, 1, 0]]", ["LOC"], ["New York", "sang"])
    ('2 LOC', 'New York (LOC)')
    >>> target_words('"Paris"', []), target_words("[no JSON", []), target_words(None, []), target_words("[]", [], ["a"])
    ('Paris', '[no JSON', '–', 'no span')
    """
    if target is None or target != target:
        return UNKNOWN
    if not isinstance(target, str):
        return f"{target:g}"
    try:
        parsed = json.loads(target)
    except ValueError:
        return target
    if not isinstance(parsed, list):
        return str(parsed)
    spans = [each for each in parsed if isinstance(each, list)]
    if tokens is not None:
        said = [f"{' '.join(tokens[start:end])} ({names[at]})" for start, end, at in spans]
        return ", ".join(said) or "no span"
    if spans:
        counts = Counter(names[at] for *_, at in spans)
        return ", ".join(f"{counts[name]:,} {name}" for name in sorted(counts))
    return _labels(parsed, names)


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
