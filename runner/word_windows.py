"""Sentences longer than a model reads at once, in windows that overlap by half: each word is asked about once.

Of the windows that hold a word the one answers for it that shows the most around it.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Window(NamedTuple):
    """Words start to end (not included) of a sentence, and those of them that it answers for."""

    start: int
    end: int
    answers: NDArray[np.int64]
    """Numbers of words in the sentence, rising."""


def windows_of(n_pieces: Sequence[int], room: int) -> list[Window]:
    """How to read a sentence of words with so many tokens each where `room` tokens fit; one window where all fit.

    A word of more tokens than there is room for has a window of its own, and is cut there.

    >>> [(each.start, each.end, each.answers.tolist()) for each in windows_of([1, 1, 1, 1, 1, 1], 4)]
    [(0, 4, [0, 1, 2]), (2, 6, [3, 4, 5])]
    >>> windows_of([1, 1], 4)[0][:2], windows_of([], 4)[0][:2]
    ((0, 2), (0, 0))
    """
    ends = np.concatenate([[0], np.cumsum(np.asarray(n_pieces, dtype=np.int64))])
    n = len(n_pieces)
    places = [(0, _end(ends, 0, room))]
    while places[-1][1] < n:
        start, end = places[-1]
        half = int(np.searchsorted(ends, ends[start] + (ends[end] - ends[start]) / 2))
        begin = min(max(half, start + 1), end)
        while begin < end and _end(ends, begin, room) <= end:  # a long word follows: less before it fits
            begin += 1
        places.append((begin, _end(ends, begin, room)))
    around = np.full((len(places), n), -1.0)
    for row, (start, end) in enumerate(places):
        before = np.full(end - start, np.inf) if start == 0 else (ends[start:end] - ends[start]).astype(np.float64)
        after = np.full(end - start, np.inf) if end == n else (ends[end] - ends[start + 1 : end + 1]).astype(np.float64)
        around[row, start:end] = np.minimum(before, after)
    best = around.argmax(axis=0) if n else np.zeros(0, dtype=np.int64)
    return [Window(start, end, np.flatnonzero(best == row)) for row, (start, end) in enumerate(places)]


def _end(ends: NDArray[np.int64], start: int, room: int) -> int:
    """The word after the last that fits, at least one."""
    fitting = int(np.searchsorted(ends, ends[start] + room, side="right")) - 1
    return min(max(fitting, start + 1), len(ends) - 1)
