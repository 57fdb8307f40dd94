"""From stored texts to token ids: packed arrays, batches padded to their longest text, batches of like length."""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from store import Dataset, Store, iter_texts, read_targets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Batch = dict[str, Tensor]

CHARACTERS_PER_TOKEN = 64
"""More than any language needs on average: so much of a text is enough to fill the room for tokens."""


class BatchSize(NamedTuple):
    """What a batch held: texts, tokens without padding (0 where there are none), and the texts' positions `(n,)`."""

    n_examples: int
    n_tokens: int
    positions: NDArray[np.int64]


@dataclass(frozen=True)
class EncodedSplit:
    """One split as token ids, end to end in one array; text i is `ids[offsets[i]:offsets[i + 1]]`."""

    ids: NDArray[np.int32]
    offsets: NDArray[np.int64]
    labels: NDArray[np.int64]
    n_truncated: int

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text."""
        return np.diff(self.offsets)

    @property
    def n_tokens(self) -> int:
        return len(self.ids)


def encode_split(
    store: Store,
    dataset: Dataset,
    split: str,
    tokenizer: "PreTrainedTokenizerBase",
    max_length: int,
    progress: Callable[[str, int], None] | None = None,
) -> EncodedSplit:
    """Tokenise a split batch by batch: the texts are never all in memory, the ids take 4 bytes a token."""
    pieces: list[NDArray[np.int32]] = [np.zeros(0, dtype=np.int32)]
    lengths: list[int] = []
    n_truncated = 0
    for texts in iter_texts(store, dataset, split):
        encoded = _encode(tokenizer, texts, max_length)
        pieces.append(np.array(list(chain.from_iterable(encoded.ids)), dtype=np.int32))
        lengths += map(len, encoded.ids)
        n_truncated += sum(encoded.are_cut)
        if progress:
            progress(f"tokenising {split}", len(lengths))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return EncodedSplit(np.concatenate(pieces), offsets, read_targets(store, dataset, split), n_truncated)


def encode_texts(texts: Sequence[str], tokenizer: "PreTrainedTokenizerBase", max_length: int) -> EncodedSplit:
    """Texts from anywhere as a split without labels (all 0)."""
    encoded = _encode(tokenizer, texts, max_length)
    offsets = np.concatenate([[0], np.cumsum([len(ids) for ids in encoded.ids])]).astype(np.int64)
    ids = np.array(list(chain.from_iterable(encoded.ids)), dtype=np.int32)
    return EncodedSplit(ids, offsets, np.zeros(len(texts), dtype=np.int64), sum(encoded.are_cut))


def take_rows(split: EncodedSplit, rows: NDArray[np.int64]) -> EncodedSplit:
    """Some rows (m,) of a split, in that order. How many of them were cut is not known any more: 0."""
    lengths = split.lengths[rows]
    pieces = [split.ids[split.offsets[row] : split.offsets[row + 1]] for row in rows.tolist()]
    ids = np.concatenate([np.zeros(0, dtype=np.int32), *pieces])
    return EncodedSplit(ids, np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64), split.labels[rows], 0)


class _Encoded(NamedTuple):
    ids: list[list[int]]
    are_cut: list[bool]


def _encode(tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_length: int) -> _Encoded:
    # The beginning of a text of 100 kB is enough, unless its tokens turn out to be extraordinarily long.
    beginnings = [text[: CHARACTERS_PER_TOKEN * max_length] for text in texts]
    encoded = _tokenise(tokenizer, beginnings, max_length)
    for i, (text, beginning) in enumerate(zip(texts, beginnings, strict=True)):
        if len(beginning) < len(text) and not encoded.are_cut[i]:
            whole = _tokenise(tokenizer, [text], max_length)
            encoded.ids[i], encoded.are_cut[i] = whole.ids[0], whole.are_cut[0]
    # A text of nothing that the tokenizer knows: one pad token stands for it, for a model needs at least one.
    return _Encoded([ids or [tokenizer.pad_token_id] for ids in encoded.ids], encoded.are_cut)


def _tokenise(tokenizer: "PreTrainedTokenizerBase", texts: list[str], max_length: int) -> _Encoded:
    def ids_of(some: list[str], length: int) -> Any:
        return tokenizer(some, truncation=True, max_length=length, return_attention_mask=False, verbose=False)

    output = ids_of(texts, max_length)
    ids: list[list[int]] = output["input_ids"]
    if output.encodings is not None:
        return _Encoded(ids, [bool(encoding.overflowing) for encoding in output.encodings])
    # A tokenizer in Python does not say what it left out: a text that fills the room is looked at once more.
    full = [i for i, some in enumerate(ids) if len(some) >= max_length]
    longer = ids_of([texts[i] for i in full], max_length + 1)["input_ids"] if full else []
    cut = {i for i, some in zip(full, longer, strict=True) if len(some) > max_length}
    return _Encoded(ids, [i in cut for i in range(len(ids))])


class IndexDataset(TorchDataset[int]):
    """Positions only: the collator turns a batch of them into tensors at once."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> int:
        return index


class TokenCollator:
    """Positions → a padded batch. `sizes` says in order how large the batches were; whoever uses them takes it off."""

    def __init__(self, split: EncodedSplit, pad_token_id: int, pad_left: bool = False) -> None:
        self._split, self._pad, self._left = split, pad_token_id, pad_left
        self.sizes: deque[BatchSize] = deque()

    def __call__(self, positions: Sequence[int]) -> Batch:
        index = np.asarray(positions, dtype=np.int64)
        starts, ends = self._split.offsets[index], self._split.offsets[index + 1]
        lengths = ends - starts
        width = int(lengths.max())
        columns = np.arange(width)
        mask = columns >= (width - lengths)[:, None] if self._left else columns < lengths[:, None]
        ids = np.full((len(index), width), self._pad, dtype=np.int64)
        ids[mask] = np.concatenate([self._split.ids[a:b] for a, b in zip(starts, ends, strict=True)])
        self.sizes.append(BatchSize(len(index), int(lengths.sum()), index))
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
            "labels": torch.from_numpy(self._split.labels[index]),
            "positions": torch.from_numpy(index),
        }


class FeatureCollator:
    """Positions → cached features; the counterpart of TokenCollator for a frozen backbone."""

    def __init__(self, features: Tensor, split: EncodedSplit) -> None:
        self._features, self._split = features, split
        self.sizes: deque[BatchSize] = deque()

    def __call__(self, positions: Sequence[int]) -> Batch:
        index = torch.as_tensor(positions, dtype=torch.long)
        self.sizes.append(BatchSize(len(index), 0, index.numpy()))
        return {
            "features": self._features[index],
            "labels": torch.from_numpy(self._split.labels[index.numpy()]),
            "positions": index,
        }


Collator = TokenCollator | FeatureCollator


def batches_by_length(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """All positions in batches of like length, longest first: least padding, and out-of-memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def to_device(batch: Batch, device: Any) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
