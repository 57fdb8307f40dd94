"""Stretches of examples, each no longer than what a model reads at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


class Windows(NamedTuple):
    """(w,) each: the example that a stretch is of, and where it begins and ends in the split's tokens."""

    examples: Ints
    starts: Ints
    ends: Ints

    @property
    def lengths(self) -> Ints:
        """Tokens of each."""
        return self.ends - self.starts


def windows_of(offsets: Ints, room: int, overlap: int = 0) -> Windows:
    """Cut examples into stretches of at most `room` tokens, in order. offsets (n + 1,).

    Each begins with the last `overlap` (< room) tokens of the one before, so that every token but an example's first
    has something to be foretold from.

    >>> windows = windows_of(np.array([0, 5, 6]), room=3, overlap=1)
    >>> windows.examples.tolist(), windows.starts.tolist(), windows.ends.tolist()
    ([0, 0, 1], [0, 2, 5], [3, 5, 6])
    """
    lengths, stride = np.diff(offsets), room - overlap
    counts = np.maximum(1, -(-(lengths - overlap) // stride))
    examples = np.repeat(np.arange(len(lengths)), counts)
    places = np.arange(len(examples)) - np.repeat(np.cumsum(counts) - counts, counts)
    starts = offsets[examples] + places * stride
    return Windows(examples, starts, np.minimum(starts + room, offsets[examples + 1]))
