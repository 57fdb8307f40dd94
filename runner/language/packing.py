"""Several stretches of text in one row, so that little of a batch is padding.

Best fit, longest first: each stretch goes into the fullest row that has room for it. Source: Ding et al., Fewer
Truncations Improve Language Modeling (2024), arXiv:2404.10830.
"""

from bisect import bisect_left, insort

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


def pack(lengths: Ints, room: int) -> list[Ints]:
    """Rows of indices of `lengths` (n,), each at most `room`, whose sum in a row is at most `room`; in order of their
    first index. The same lengths give the same rows.

    >>> [row.tolist() for row in pack(np.array([3, 5, 2, 4]), room=6)]
    [[0], [1], [2, 3]]
    """
    rows: list[list[int]] = []
    free: list[tuple[int, int]] = []  # room left, row
    for index in np.argsort(-lengths, kind="stable").tolist():
        length = int(lengths[index])
        place = bisect_left(free, (length, -1))
        if place == len(free):
            rows.append([index])
            insort(free, (room - length, len(rows) - 1))
            continue
        left, row = free.pop(place)
        rows[row].append(index)
        insort(free, (left - length, row))
    return [np.array(sorted(row), dtype=np.int64) for row in sorted(rows, key=min)]


def each_alone(n: int) -> list[Ints]:
    """n rows of one index each."""
    return list(np.arange(n, dtype=np.int64).reshape(-1, 1))
