"""The name of a label in SQL, where a target may also be a number or JSON."""

import json
from collections.abc import Sequence
from typing import Any


def named(target: Any, label_names: Sequence[str] | None) -> Any:
    """What a target says, by name: of a set of labels their names with `|` between them, as a file may have them, or a
    JSON list where a name holds a `|` itself; of spans a JSON list of [first word, word after the last, name]; of a
    text the text itself. A number, and what has no names, stays as it is.

    >>> names = ["joy", "love", "a|b"]
    >>> named(1, names), named("[0, 1]", names), named("[]", names), named("[0, 2]", names), named(2.5, None)
    ('love', 'joy | love', '', '["joy", "a|b"]', 2.5)
    >>> named("[[0, 2, 1]]", names)
    '[[0, 2, "love"]]'
    >>> named('"a text"', None)
    'a text'
    """
    if label_names is None and isinstance(target, str) and target.startswith('"'):
        return json.loads(target)
    if label_names is None or target is None or target != target:
        return target
    if not isinstance(target, str):
        return label_names[int(target)]
    items = json.loads(target)
    if any(isinstance(item, list) for item in items):
        return json.dumps([[start, end, label_names[index]] for start, end, index in items], ensure_ascii=False)
    words = [label_names[index] for index in items]
    return json.dumps(words, ensure_ascii=False) if any("|" in word for word in words) else " | ".join(words)


def name_of(target: str, wanted: str | None = None, *, names: str = "d.label_names") -> str:
    """An expression for the name of a target, and for the target itself where it is no label.

    target: the column that says what kind of target it is. wanted: the one to be named, where it is another of the
    same kind. names: the column that holds the names, a JSON list.

    >>> name_of("t")
    "coalesce(json_extract(d.label_names, '$[' || iif(typeof(t) = 'integer', t, '#') || ']'), t)"
    """
    return f"coalesce({label_name(target, wanted, names=names)}, {wanted or target})"


def label_name(target: str, wanted: str | None = None, *, names: str = "d.label_names") -> str:
    """As `name_of`, but NULL where the target is no label."""
    return f"json_extract({names}, '$[' || iif(typeof({target}) = 'integer', {wanted or target}, '#') || ']')"
