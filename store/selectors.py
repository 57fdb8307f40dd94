"""What a person names a run, a sweep or a job by."""

from collections.abc import Callable
from typing import TypeVar

Row = TypeVar("Row")


def chosen(select: Callable[[str, tuple[object, ...]], list[Row]], selector: str | int) -> list[Row]:
    """The rows that a selector fits: a key, an id, a name (the newest of it), `@latest`, or an id's first four
    characters or more, which may fit several.

    select: the rows of a table with columns key, id, name and created_at, by a condition and its values.
    """
    if isinstance(selector, int):
        return select("key = ?", (selector,))
    if selector == "@latest":
        return select("1 ORDER BY created_at DESC, key DESC LIMIT 1", ())
    rows = select("id = ?", (selector.upper(),))
    rows = rows or select("name = ? ORDER BY created_at DESC, key DESC LIMIT 1", (selector,))
    if not rows and len(selector) >= 4 and selector.isalnum():
        rows = select("id >= ? AND id < ? ORDER BY id", (selector.upper(), selector.upper() + "~"))
    return rows
