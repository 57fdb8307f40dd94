"""From token ids to batches: padded to their longest text, of like length, of tokens or of cached features."""

from collections import deque
from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import Dataset as TorchDataset

from runner.encoding import NO_TARGET, EncodedSplit

Batch = dict[str, Tensor]


class BatchSize(NamedTuple):
    """What a batch held: texts, tokens without padding (0 where there are none), and the texts' positions `(n,)`."""

    n_examples: int
    n_tokens: int
    positions: NDArray[np.int64]


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
        self.most_examples = 1
        self.notes: tuple[str, ...] = ()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return self._split.lengths

    def __call__(self, positions: Sequence[int]) -> Batch:
        index = np.asarray(positions, dtype=np.int64)
        starts, ends = self._split.offsets[index], self._split.offsets[index + 1]
        lengths = ends - starts
        width = int(lengths.max())
        columns = np.arange(width)
        mask = columns >= (width - lengths)[:, None] if self._left else columns < lengths[:, None]
        ids = np.full((len(index), width), self._pad, dtype=np.int64)
        spans = [slice(a, b) for a, b in zip(starts, ends, strict=True)]
        ids[mask] = np.concatenate([self._split.ids[span] for span in spans])
        self.sizes.append(BatchSize(len(index), int(lengths.sum()), index))
        batch = {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
            "labels": torch.from_numpy(self._split.labels[index]),
            "positions": torch.from_numpy(index),
        }
        if self._split.types is not None:
            types = np.zeros_like(ids)
            types[mask] = np.concatenate([self._split.types[span] for span in spans])
            batch["token_type_ids"] = torch.from_numpy(types)
        if self._split.targets is not None:
            targets = np.full_like(ids, NO_TARGET)
            targets[mask] = np.concatenate([self._split.targets[span] for span in spans])
            batch["targets"] = torch.from_numpy(targets)
        return batch


class FeatureCollator:
    """Positions → cached features; the counterpart of TokenCollator for a frozen backbone."""

    def __init__(self, features: Tensor, split: EncodedSplit) -> None:
        self._features, self._split = features, split
        self.sizes: deque[BatchSize] = deque()
        self.most_examples = 1
        self.notes: tuple[str, ...] = ()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each example."""
        return self._split.lengths

    def __call__(self, positions: Sequence[int]) -> Batch:
        index = torch.as_tensor(positions, dtype=torch.long)
        self.sizes.append(BatchSize(len(index), 0, index.numpy()))
        return {
            "features": self._features[index],
            "labels": torch.from_numpy(self._split.labels[index.numpy()]),
            "positions": index,
        }


class Collator(Protocol):
    """Positions of what is trained on → a batch on the CPU."""

    sizes: deque[BatchSize]
    """In order, how large the batches were; whoever uses them takes them off."""

    @property
    def lengths(self) -> NDArray[np.int64]:
        """(n,) tokens of what there is to train on: of each example, or of rows of several."""

    @property
    def most_examples(self) -> int:
        """How many examples one position may stand for."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What a person should know of how batches are made."""

    def __call__(self, positions: Sequence[int]) -> Batch:
        """Of these positions."""


def batches_by_length(lengths: NDArray[np.int64], batch_size: int) -> list[NDArray[np.int64]]:
    """All positions in batches of like length, longest first: least padding, and out-of-memory shows at once."""
    order = np.argsort(-lengths, kind="stable")
    return [order[first : first + batch_size] for first in range(0, len(order), batch_size)]


def to_device(batch: Batch, device: Any) -> Batch:
    return {name: tensor.to(device, non_blocking=True) for name, tensor in batch.items()}
