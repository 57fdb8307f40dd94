"""Packed arrays: positions, and numbers of many examples, as blobs."""

import json
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

Positions = npt.NDArray[np.int32]

SPLITS = ("train", "validation", "test")


def split_rank(split: str) -> tuple[int, str]:
    """What splits are sorted by: training first, then what decides, then what proves, then any other by name.

    >>> sorted(["test", "extra", "train"], key=split_rank)
    ['train', 'test', 'extra']
    """
    return (SPLITS.index(split) if split in SPLITS else len(SPLITS), split)


def pack_positions(positions: npt.ArrayLike) -> bytes:
    """Sorted, each once, as little-endian int32.

    >>> pack_positions([3, 1, 3]).hex()
    '0100000003000000'
    """
    return np.unique(np.asarray(positions, dtype="<i4")).tobytes()


def unpack_positions(data: bytes) -> Positions:
    """`(n,)` int32, rising."""
    return np.frombuffer(data, dtype="<i4").astype(np.int32, copy=False)


def pack_splits(members: Mapping[str, npt.ArrayLike]) -> tuple[str, bytes]:
    """Positions in several splits: JSON {split: how many}, and the positions one split after the other.

    >>> pack_splits({"train": [4, 2], "test": []})[0]
    '{"train": 2}'
    """
    packed = {split: pack_positions(members[split]) for split in sorted(members, key=split_rank)}
    counts = {split: len(data) // 4 for split, data in packed.items() if data}
    return json.dumps(counts, ensure_ascii=False), b"".join(packed.values())


def unpack_splits(splits: str, data: bytes) -> dict[str, Positions]:
    """What `pack_splits` made.

    >>> unpack_splits(*pack_splits({"train": [4, 2]}))["train"].tolist()
    [2, 4]
    """
    found, first, positions = {}, 0, unpack_positions(data)
    for split, n in json.loads(splits).items():
        found[split] = positions[first : first + n]
        first += n
    return found
