"""JSON that SQLite takes: what anybody hands over as values, made into text, numbers and nothing else."""

import json
import math
from collections.abc import Mapping
from typing import Any


def to_json(value: object) -> str:
    """JSON text of anything; see `plain`.

    >>> to_json({"best": float("-inf"), "path": None})
    '{"best": "-inf", "path": null}'
    """
    return json.dumps(plain(value), ensure_ascii=False, allow_nan=False)


def plain(value: object) -> Any:
    r"""A copy of it that JSON can hold. Numbers that JSON has no words for are texts, and so is every other object.

    >>> plain({"lr": float("inf"), "sizes": (1, 2), ("a", "b"): 1j})
    {'lr': 'inf', 'sizes': [1, 2], "('a', 'b')": '1j'}

    Half a character (a lone surrogate), of which no file can hold anything, is written out.

    >>> print(plain({"path": "a\udc80"})["path"])
    a\udc80
    """
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if value is None or isinstance(value, int):  # bool is an int
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else str(float(value))
    if isinstance(value, Mapping):
        return {_key(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return str(value)


def numbered(n: int, noun: str) -> str:
    """
    >>> numbered(1, "row"), numbered(2000, "row")
    ('1 row', '2,000 rows')
    """
    return f"{n:,} {noun}{'' if n == 1 else 's'}"


def to_numbers(value: object) -> Any:
    """A copy of it that JSON can hold, in which a number that is not finite is null: not measured.

    >>> import numpy as np
    >>> to_numbers({"rate": np.float32(0.5), "low": float("nan"), "n": np.int64(3), "curve": np.array([1.0, np.inf])})
    {'rate': 0.5, 'low': None, 'n': 3, 'curve': [1.0, None]}
    """
    if hasattr(value, "tolist"):  # an array, or a number of numpy's
        return to_numbers(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {_key(key): to_numbers(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [to_numbers(item) for item in value]
    return plain(value)


def _key(key: object) -> Any:
    """JSON writes numbers, True and None as keys in its own way."""
    found = plain(key)
    return str(key) if isinstance(found, list | dict) else found
