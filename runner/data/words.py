"""Words of sentences and their tags, as columns hold them: lists, JSON lists, or a text with blanks between them."""

import json
from collections.abc import Sequence

import numpy as np


def words_in(value: object) -> list[object] | None:
    """The items of a sentence; None where the value is neither a list nor a text.

    >>> words_in(["in", "New York"]), words_in("in Paris"), words_in('["in", "Paris"]'), words_in(3)
    (['in', 'New York'], ['in', 'Paris'], ['in', 'Paris'], None)
    """
    if isinstance(value, str):
        listed = json_list(value)
        return list(value.split()) if listed is None else listed
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    return list(value) if isinstance(value, list | tuple) else None


def json_list(text: str) -> list[object] | None:
    """The list that a text is as JSON; None for any other text.

    >>> json_list('["a|b"]'), json_list("[sic]"), json_list("a")
    (['a|b'], None, None)
    """
    if not text.lstrip().startswith("["):
        return None
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, list) else None


def is_empty_list(value: object) -> bool:
    """Whether a value is a list of nothing, in whatever form.

    >>> is_empty_list([]), is_empty_list("[]"), is_empty_list("a"), is_empty_list(None)
    (True, True, False, False)
    """
    return words_in(value) == []


def tag_at(value: object, names: Sequence[str] | None) -> str | None:
    """A tag as text; numbers are looked up in `names`. None where it is no tag.

    >>> tag_at("B-PER", None), tag_at(1, ["O", "B-PER"]), tag_at(7, ["O"]), tag_at(1, None), tag_at(None, None)
    ('B-PER', 'B-PER', None, None, None)
    """
    if isinstance(value, str):
        if names is not None and value.isascii() and value.isdecimal() and value not in names:
            value = int(value[:9])
        else:
            return value.strip() or None
    if names is None or isinstance(value, bool) or not isinstance(value, int | np.integer):
        return None
    return names[int(value)] if 0 <= int(value) < len(names) else None
