"""Near copies among many texts without comparing all pairs: MinHash, banded, each candidate checked exactly.

Similarity is the Jaccard similarity of the sets of runs of SHINGLE characters. A signature of HASHES values agrees in
each place with probability equal to it (Broder, On the resemblance and containment of documents (1997)); texts that
agree in a whole band of ROWS values are candidates (Leskovec, Rajaraman & Ullman, Mining of Massive Datasets,
section 3.4), so a pair of similarity s is found with probability 1 - (1 - s^ROWS)^(HASHES / ROWS): .9998 at .8, .988
at .7, .64 at .5. Cost grows with the number of characters, not with its square.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import sparse

SHINGLE = 5
"""Characters: what the book above advises for short texts."""
HASHES = 64
ROWS = 4
LEAST = 0.7
"""Short texts that differ in one of eight words have about this similarity."""
NEAREST = 3
"""Within a band each text is compared with so many that follow it, so that ten thousand copies stay cheap."""
SLACK = 0.2
"""An estimate from 64 hashes is within this of the truth in 999 of 1,000 pairs: below it no exact check is made."""
_CHARACTERS_AT_ONCE = 2_000_000  # bounds memory: about 60 bytes a character

Words = npt.NDArray[np.uint32]
Indices = npt.NDArray[np.int64]


class Pairs(NamedTuple):
    """Pairs of texts, each (m,): `left < right` are positions, `similarity` is in [0, 1]."""

    left: Indices
    right: Indices
    similarity: npt.NDArray[np.float64]


def near_pairs(texts: Sequence[str], *, least: float = LEAST, seed: int = 0) -> Pairs:
    """Pairs of texts at least `least` similar, in order of position; texts without characters are in no pair.

    In a crowd of near copies not every pair is listed: each text is paired with its neighbours in the crowd, which
    connects it.

    >>> near_pairs(["Where is my new card?", "where else", "Where is my new card!"])
    Pairs(left=array([0]), right=array([2]), similarity=array([0.88888889]))
    >>> len(near_pairs(["Where is my new card?", "Where is my new card!"], least=0.9).left)
    0
    """
    signature = signatures(texts, seed=seed)
    has_text = np.array([bool(text) for text in texts], dtype=bool)
    left, right = _candidates(signature, has_text)
    similarity = np.full(len(left), np.nan)
    for part in _parts(np.array([len(text) for text in texts], dtype=np.int64)[left]):
        near = (signature[left[part]] == signature[right[part]]).mean(axis=1) >= least - SLACK
        rows = np.flatnonzero(near) + part.start
        similarity[rows] = jaccard(texts, left[rows], right[rows])
    is_near = similarity >= least
    return Pairs(left[is_near], right[is_near], similarity[is_near])


def signatures(texts: Sequence[str], *, seed: int = 0) -> Words:
    """MinHash signatures (n, HASHES); an empty text has the largest value everywhere.

    >>> a, b = signatures(["the same text", "the same text"])
    >>> a.shape, bool((a == b).all())
    ((64,), True)
    """
    rng = np.random.default_rng(seed)
    # A bijection of 32-bit words a permutation: odd factor, any shift (Bohman, Cooper & Frieze, Min-wise independent
    # linear permutations (2000)); the hashes that go in are well mixed.
    factors = rng.integers(0, 2**31, HASHES, dtype=np.uint32) * np.uint32(2) + np.uint32(1)
    shifts = rng.integers(0, 2**32, HASHES, dtype=np.uint32)
    signature = np.full((len(texts), HASHES), np.iinfo(np.uint32).max, dtype=np.uint32)
    for part in _parts(np.array([len(text) for text in texts], dtype=np.int64)):
        hashes, sizes = shingles(texts[part])
        has_text = sizes > 0
        if not has_text.any():
            continue
        starts = (np.cumsum(sizes) - sizes)[has_text]
        rows = np.flatnonzero(has_text) + part.start
        for place, (factor, shift) in enumerate(zip(factors, shifts, strict=True)):
            signature[rows, place] = np.minimum.reduceat(hashes * factor + shift, starts)
    return signature


def shingles(texts: Sequence[str]) -> tuple[Words, Indices]:
    """Hashes of every run of SHINGLE characters, text after text, and how many each text has: (t,), (n,).

    A text shorter than a run is one run.

    >>> hashes, sizes = shingles(["abcdef", "", "abcdez", "ab"])
    >>> sizes.tolist(), (hashes[:2] == hashes[2:4]).tolist()
    ([2, 0, 2, 1], [True, False])
    """
    padding = "\0" * (SHINGLE - 1)
    buffer = padding.join([*texts, ""]).encode("utf-32-le", "surrogatepass")
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    sizes = np.where(lengths > 0, np.maximum(1, lengths - SHINGLE + 1), 0)
    codes = np.frombuffer(buffer, dtype="<u4").astype(np.uint64)
    n_codes = max(0, len(codes) - SHINGLE + 1)
    mixed = np.zeros(n_codes, dtype=np.uint64)
    for place in range(SHINGLE):
        mixed *= np.uint64(0x9E3779B97F4A7C15)  # 2^64 over the golden ratio: a usual odd constant with mixed bits
        mixed += codes[place : place + n_codes]
    # The finaliser of MurmurHash3 (Appleby, public domain), so that every bit depends on every character.
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed ^= mixed >> np.uint64(33)
        mixed *= np.uint64(factor)
    starts = np.cumsum(lengths + len(padding)) - (lengths + len(padding))
    within = np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    return (mixed >> np.uint64(32)).astype(np.uint32)[np.repeat(starts, sizes) + within], sizes


def jaccard(texts: Sequence[str], left: Indices, right: Indices) -> npt.NDArray[np.float64]:
    """Exact similarity of pairs of texts (m,) in [0, 1]; nan where both are empty.

    >>> jaccard(["abcde", "abcde", "vwxyz", ""], np.array([0, 0, 3]), np.array([1, 2, 3])).tolist()
    [1.0, 0.0, nan]
    """
    similarity = np.full(len(left), np.nan)
    lengths = np.array([len(text) for text in texts], dtype=np.int64)
    for part in _parts(lengths[left] + lengths[right]):
        used, places = np.unique(np.concatenate([left[part], right[part]]), return_inverse=True)
        hashes, sizes = shingles([texts[row] for row in used])
        owners = np.repeat(np.arange(len(used)), sizes)
        keys = np.unique((owners.astype(np.uint64) << np.uint64(32)) | hashes)
        rows = (keys >> np.uint64(32)).astype(np.int64)
        words, columns = np.unique(keys.astype(np.uint32), return_inverse=True)
        holds = sparse.csr_array((np.ones(len(keys), np.int32), (rows, columns)), shape=(len(used), max(1, len(words))))
        n_words = np.bincount(rows, minlength=len(used))
        a, b = places[: len(left[part])], places[len(left[part]) :]
        common: Indices = np.asarray(holds[a].multiply(holds[b]).sum(axis=1)).ravel()
        with np.errstate(invalid="ignore"):
            similarity[part] = common / (n_words[a] + n_words[b] - common)
    return similarity


def _candidates(signature: Words, has_text: npt.NDArray[np.bool_]) -> tuple[Indices, Indices]:
    """Pairs (left < right) that agree in a band and are near each other among those that do."""
    rows = np.flatnonzero(has_text)
    n = len(signature)
    found = np.zeros(0, dtype=np.int64)
    for first in range(0, HASHES, ROWS):
        key = np.zeros(len(rows), dtype=np.uint64)
        for column in signature[rows, first : first + ROWS].T:
            key = (key ^ column) * np.uint64(0x9E3779B97F4A7C15)
            key ^= key >> np.uint64(29)
        order = np.argsort(key, kind="stable")
        ordered, at = key[order], rows[order]
        for lag in range(1, NEAREST + 1):
            same = ordered[lag:] == ordered[:-lag]
            found = np.concatenate([found, at[:-lag][same] * n + at[lag:][same]])
        found = np.unique(found)
    return found // max(1, n), found % max(1, n)


def _parts(lengths: Indices) -> Iterator[slice]:
    """Stretches of texts that hold at most about _CHARACTERS_AT_ONCE characters, and 100,000 texts, each."""
    weights = np.cumsum(np.maximum(lengths, _CHARACTERS_AT_ONCE // 100_000))
    first = 0
    while first < len(lengths):
        before = int(weights[first - 1]) if first else 0
        end = max(first + 1, int(np.searchsorted(weights, before + _CHARACTERS_AT_ONCE, side="right")))
        yield slice(first, end)
        first = end
