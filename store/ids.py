"""Identities that mean the same in every store: examples by content, runs by ULID, datasets by fingerprint."""

import hashlib
import json
import os
import threading
import time
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

_CROCKFORD = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"
_lock = threading.Lock()
_last_ulid = 0  # within one process, ids made in the same millisecond still sort in the order they were made


def example_id(inputs: Mapping[str, str]) -> bytes:
    """16 bytes: blake2b-128 of the inputs as canonical JSON (sorted keys, no spaces, UTF-8).

    The target is no part of it, so an example keeps its identity when its label is corrected.

    >>> example_id({"text": "hello"}).hex()
    '874d18efa22a5a3f4a0a335371048ac4'
    """
    canonical = json.dumps(inputs, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.blake2b(canonical.encode("utf-8", "surrogatepass"), digest_size=16).digest()


def new_run_id() -> str:
    """A ULID (26 characters, Crockford base 32): 48 bits of milliseconds, 80 random bits; sorts by time."""
    global _last_ulid
    fresh = (int(time.time() * 1000) << 80) | int.from_bytes(os.urandom(10), "big")
    with _lock:
        _last_ulid = fresh if fresh > _last_ulid else _last_ulid + 1
        number = _last_ulid
    return "".join(_CROCKFORD[(number >> shift) & 31] for shift in range(125, -1, -5))


def dataset_fingerprint(
    label_names: Sequence[str] | None,
    splits: Mapping[str, tuple[NDArray[np.uint8], NDArray[np.generic] | Sequence[object]]],
) -> str:
    """Hex blake2b-128 of label names and, split by split in name order, the ids and targets in row order.

    `splits` maps a split to `(ids, targets)`: ids `(n, 16)` uint8, targets `(n,)` integers, or any sequence of
    JSON values. Two datasets with the same fingerprint train the same model.
    """
    digest = hashlib.blake2b(digest_size=16)
    digest.update(json.dumps(label_names, ensure_ascii=False).encode("utf-8", "surrogatepass"))
    for split in sorted(splits):
        ids, targets = splits[split]
        digest.update(f"\n{split}:{len(ids)}\n".encode())
        digest.update(np.ascontiguousarray(ids, dtype=np.uint8).tobytes())
        array = np.asarray(targets) if not isinstance(targets, np.ndarray) else targets
        if array.dtype.kind in "iub":
            digest.update(np.ascontiguousarray(array, dtype="<i8").tobytes())
        else:
            digest.update(json.dumps(list(targets), ensure_ascii=False).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()
