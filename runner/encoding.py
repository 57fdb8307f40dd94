"""From stored texts to token ids: packed arrays, batches padded to their longest text, batches of like length."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from store import Dataset, Store, iter_texts, read_targets

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Batch = dict[str, Tensor]


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
    pieces: list[NDArray[np.int32]] = []
    lengths: list[int] = []
    n_truncated = 0
    for texts in iter_texts(store, dataset, split):
        for ids, is_cut in _encode(tokenizer, texts, max_length):
            pieces.append(ids)
            lengths.append(len(ids))
            n_truncated += is_cut
        pieces = [np.concatenate(pieces)]
        if progress:
            progress(f"tokenising {split}", len(lengths))
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = pieces[0] if pieces else np.zeros(0, dtype=np.int32)
    return EncodedSplit(ids, offsets, read_targets(store, dataset, split), n_truncated)


def _encode(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], max_length: int
) -> Iterator[tuple[NDArray[np.int32], bool]]:
    # A text of 100 kB is cut before it is tokenised: no token is longer than 64 characters on average.
    cut = [text[: 64 * max_length] for text in texts]
    output = tokenizer(cut, truncation=True, max_length=max_length, return_attention_mask=False, verbose=False)
    encodings = output.encodings
    for i, ids in enumerate(output["input_ids"]):
        is_cut = len(cut[i]) < len(texts[i]) or bool(encodings and encodings[i].overflowing)
        if not ids:  # a text of nothing but unknown characters: one pad token stands for it
            ids = [tokenizer.pad_token_id]
        yield np.array(ids, dtype=np.int32), is_cut


class IndexDataset(TorchDataset[int]):
    """Positions only: the collator turns a batch of them into tensors at once."""

    def __init__(self, n: int) -> None:
        self._n = n

    def __len__(self) -> int:
        return self._n

    def __getitem__(self, index: int) -> int:
        return index


class TokenCollator:
    """Positions → a padded batch. Counts what passes through (texts, real tokens, padded tokens)."""

    def __init__(self, split: EncodedSplit, pad_token_id: int, pad_left: bool = False) -> None:
        self._split, self._pad, self._left = split, pad_token_id, pad_left
        self.n_examples = self.n_tokens = self.n_padded = 0

    def __call__(self, positions: Sequence[int]) -> Batch:
        index = np.asarray(positions, dtype=np.int64)
        starts, ends = self._split.offsets[index], self._split.offsets[index + 1]
        lengths = ends - starts
        width = int(lengths.max())
        columns = np.arange(width)
        mask = columns >= (width - lengths)[:, None] if self._left else columns < lengths[:, None]
        ids = np.full((len(index), width), self._pad, dtype=np.int64)
        ids[mask] = np.concatenate([self._split.ids[a:b] for a, b in zip(starts, ends, strict=True)])
        self.n_examples += len(index)
        self.n_tokens += int(lengths.sum())
        self.n_padded += mask.size
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
        self.n_examples = self.n_tokens = self.n_padded = 0

    def __call__(self, positions: Sequence[int]) -> Batch:
        index = torch.as_tensor(positions, dtype=torch.long)
        self.n_examples += len(index)
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
