"""Cutting held-out splits and subsets out of labelled rows: stratified by label, seeded, the same everywhere.

The order in which rows of a class are taken is a hash of the example's id and the seed. So a cut depends on no
library's random numbers, does not move when rows are reordered, hardly moves when rows are added or a label is
corrected, and keeps copies of one text next to each other, which all but rules out that a text of the training
split comes back in a held-out one.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from runner.data.tables import SPLITS, Split

Labels = NDArray[np.int32]

TRAIN = SPLITS.index("train")
LEFT_OUT = -1  # in arrays of splits: the row is in none


class Cut(NamedTuple):
    """Which part every row went to."""

    part: NDArray[np.int8]
    """(n,): 0 = stays in train, i = the i-th of the parts asked for, counted from 1."""
    too_small: tuple[int, ...]
    """The labels that have too few rows to be cut, all of whose rows stay in train."""


def stratified_cut(ids: NDArray[np.uint8], labels: Labels, shares: Mapping[Split, float], seed: int) -> Cut:
    """Cut one part per share, in the order of `shares`, out of `n` rows; what is left stays in train.

    `ids` is (n, 16), `labels` (n,) integers >= 0, shares lie in (0, 1) and sum to less than 1. A part has
    round(share × rows of the classes large enough) rows, at least 1, handed out to the classes by largest
    remainder, and every class with at least `1 + len(shares)` rows keeps one or more in train. Smaller classes
    stay in train as a whole; when all are, nothing is cut.
    """
    sizes = np.bincount(labels) if len(labels) else np.zeros(0, dtype=np.int64)
    large = sizes > len(shares)
    too_small = tuple(int(label) for label in np.flatnonzero((sizes > 0) & ~large))
    part = np.zeros(len(labels), dtype=np.int8)
    if not large.any():
        return Cut(part, too_small)

    order, starts = _shuffled_by_label(ids, labels, seed)
    room = np.where(large, sizes - 1, 0)
    taken = np.zeros(len(sizes), dtype=np.int64)
    for number, share in enumerate(shares.values(), start=1):
        total = max(1, round(share * int(sizes[large].sum())))
        counts = _largest_remainder(np.where(large, share * sizes, 0.0), room - taken, total)
        for label in np.flatnonzero(counts):
            first = starts[label] + taken[label]
            part[order[first : first + counts[label]]] = number
        taken += counts
    return Cut(part, too_small)


def stratified_subset(ids: NDArray[np.uint8], labels: Labels, n: int, seed: int) -> NDArray[np.bool_]:
    """A mask (n_rows,) of `n` rows with the labels in the same proportions, each label at least once if `n` allows.

    All rows when there are no more than `n`.
    """
    if len(labels) <= n:
        return np.ones(len(labels), dtype=np.bool_)
    sizes = np.bincount(labels)
    present = (sizes > 0).astype(np.int64)
    n_present = int(present.sum())
    order, starts = _shuffled_by_label(ids, labels, seed)
    if n >= n_present:
        counts = present + _largest_remainder(n * sizes / len(labels) - present, sizes - present, n - n_present)
    else:
        counts = _largest_remainder(n * sizes / len(labels), present, n)
    mask = np.zeros(len(labels), dtype=np.bool_)
    for label in np.flatnonzero(counts):
        mask[order[starts[label] : starts[label] + counts[label]]] = True
    return mask


def _largest_remainder(quotas: NDArray[np.float64], room: NDArray[np.int64], total: int) -> NDArray[np.int64]:
    """Whole numbers that sum to `total` (or to all the room there is), near the quotas, none above its room."""
    counts = np.clip(np.floor(np.maximum(quotas, 0.0)).astype(np.int64), 0, room)
    remainders = quotas - counts
    while (missing := min(total, int(room.sum())) - int(counts.sum())) > 0:
        open_ = np.flatnonzero(counts < room)
        chosen = open_[np.argsort(-remainders[open_], kind="stable")][:missing]
        counts[chosen] += 1
        remainders[chosen] -= 1
    while (surplus := int(counts.sum()) - total) > 0:  # floors can exceed a total that was rounded down
        filled = np.flatnonzero(counts > 0)
        chosen = filled[np.argsort(remainders[filled], kind="stable")][:surplus]
        counts[chosen] -= 1
        remainders[chosen] += 1
    return counts


def _shuffled_by_label(
    ids: NDArray[np.uint8], labels: Labels, seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Row numbers grouped by label, in seeded order within each, and where each label's group starts."""
    order = np.lexsort((seeded_keys(ids, seed), labels)).astype(np.int64, copy=False)
    starts = np.concatenate([[0], np.cumsum(np.bincount(labels))[:-1]]).astype(np.int64)
    return order, starts


def seeded_keys(ids: NDArray[np.uint8], seed: int) -> NDArray[np.uint64]:
    """(n,) keys that order rows: the first 8 bytes of the ids, mixed with the seed by splitmix64's finaliser.

    splitmix64: Steele, Lea & Flood, "Fast splittable pseudorandom number generators", OOPSLA 2014. Ids are hashes
    already, so mixing them once with the seed gives independent orders for different seeds.
    """
    keys = np.ascontiguousarray(ids[:, :8]).view("<u8").reshape(-1).astype(np.uint64)
    with np.errstate(over="ignore"):  # arithmetic modulo 2**64 is meant
        keys = keys + np.uint64((seed + 1) * 0x9E3779B97F4A7C15 % 2**64)
        keys = (keys ^ (keys >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        keys = (keys ^ (keys >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        return keys ^ (keys >> np.uint64(31))
