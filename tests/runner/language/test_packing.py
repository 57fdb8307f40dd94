"""Rows of several texts: nothing is lost, nothing is too long, little is padding."""

import numpy as np
import pytest

from runner.language.packing import pack
from runner.language.windows import windows_of


@pytest.mark.parametrize("seed", range(5))
def test_every_stretch_is_in_one_row_that_has_room_for_it(seed: int) -> None:
    lengths = np.random.default_rng(seed).integers(1, 65, 500)
    rows = pack(lengths, 64)
    assert sorted(np.concatenate(rows).tolist()) == list(range(500))
    assert max(lengths[row].sum() for row in rows) <= 64
    fewest = max(lengths.sum() / 64, (lengths > 32).sum())
    assert len(rows) <= 1.1 * fewest
    assert [row.tolist() for row in rows] == [row.tolist() for row in pack(lengths, 64)]


def test_nothing_to_pack() -> None:
    assert pack(np.zeros(0, dtype=np.int64), 8) == []


@pytest.mark.parametrize(("room", "overlap"), [(1, 0), (5, 0), (5, 1), (64, 1)])
def test_stretches_cover_every_token_and_share_only_the_overlap(room: int, overlap: int) -> None:
    offsets = np.concatenate([[0], np.cumsum([1, 5, 6, 17, 64, 65, 2])])
    windows = windows_of(offsets, room, overlap)
    assert windows.lengths.min() >= 1
    assert windows.lengths.max() <= room
    seen = np.zeros(offsets[-1], dtype=int)
    for example, start, end in zip(*windows, strict=True):
        assert offsets[example] <= start < end <= offsets[example + 1]
        seen[start:end] += 1
    n_windows = np.bincount(windows.examples)
    assert seen.min() == 1
    assert seen.sum() == offsets[-1] + overlap * (n_windows - 1).sum()
