"""Texts to read and texts to write, for a model with an encoder and a decoder."""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from runner.batches import Batch, BatchSize, TokenCollator
from runner.encoding import NO_TARGET, EncodedSplit, Ragged
from runner.language.pieces import pieces_of_tokens
from runner.recipe.language import Seq2Seq

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def encode_pairs(
    batches: Iterable[tuple[Sequence[str], Sequence[str]]],
    tokenizer: "PreTrainedTokenizerBase",
    spec: Seq2Seq,
    max_length: int,
    n_references: int = 0,
    n_pieces: int = 0,
) -> EncodedSplit:
    """Texts and their targets, each cut to its room; `n_truncated` counts examples of which either was.

    `labels` (n,) are the UTF-8 lengths of what is learnt.
    """
    sides: tuple[list[list[int]], list[list[int]]] = ([], [])
    n_bytes: list[int] = []
    references: list[str] = []
    n_cut = 0
    for texts, targets in batches:
        read, read_cut = _tokens(tokenizer, [spec.prefix + text for text in texts], max_length)
        written, written_cut = _tokens(tokenizer, targets, spec.max_target_length, is_target=True)
        sides[0].extend(read)
        sides[1].extend(written)
        for target, own, is_cut in zip(targets, written, written_cut, strict=True):
            kept = tokenizer.decode(own, skip_special_tokens=True) if is_cut else target
            n_bytes.append(len(kept.encode()))
        n_cut += sum(map(max, read_cut, written_cut))
        references += targets[: n_references - len(references)]
    ids, offsets = _ragged(sides[0])
    pieces = tuple(pieces_of_tokens(tokenizer, each) for each in sides[1][:n_pieces])
    return EncodedSplit(
        ids,
        offsets,
        np.array(n_bytes, dtype=np.int64),
        n_cut,
        answers=Ragged(*_ragged(sides[1])),
        references=tuple(references),
        pieces=pieces,
    )


def _tokens(
    tokenizer: "PreTrainedTokenizerBase", texts: Sequence[str], room: int, *, is_target: bool = False
) -> tuple[list[list[int]], list[bool]]:
    """The tokens of texts, special ones around them, at most `room` of each; and which lost some."""
    if not texts:
        return [], []
    key = "text_target" if is_target else "text"
    end = _missing_end(tokenizer) if is_target else []

    def tokens(room: int | None = None) -> list[list[int]]:
        settings: dict[str, Any] = {} if room is None else {"truncation": True, "max_length": room}
        given: dict[str, Any] = {key: list(texts)}
        found: list[list[int]] = tokenizer(**given, return_attention_mask=False, verbose=False, **settings)["input_ids"]
        return found

    whole, cut = tokens(), tokens(room - len(end))
    return [[*row, *end] for row in cut], [len(a) > len(b) for a, b in zip(whole, cut, strict=True)]


def _missing_end(tokenizer: "PreTrainedTokenizerBase") -> list[int]:
    """The token by which a model says that its text is done, where the tokenizer itself puts none behind targets."""
    own = tokenizer(text_target="a", verbose=False)["input_ids"]
    is_there = bool(own) and own[-1] in {*tokenizer.all_special_ids} - {tokenizer.unk_token_id}
    return [] if is_there or tokenizer.eos_token_id is None else [tokenizer.eos_token_id]


def _ragged(rows: Sequence[Sequence[int]]) -> tuple[NDArray[np.int32], NDArray[np.int64]]:
    offsets = np.concatenate([[0], np.cumsum([len(row) for row in rows])]).astype(np.int64)
    ids = np.fromiter((token for row in rows for token in row), dtype=np.int32, count=int(offsets[-1]))
    return ids, offsets


class PairCollator:
    """Positions → a batch: what is read as `TokenCollator` has it; `targets`, `places` and `owners` of what is written
    as in `runner.language.collators.RowCollator`."""

    def __init__(self, split: EncodedSplit, pad_token_id: int) -> None:
        assert split.answers is not None
        self._read, self._answers = TokenCollator(split, pad_token_id), split.answers
        self.most_examples = 1
        self.notes: tuple[str, ...] = ()
        self.sizes: deque[BatchSize] = deque()

    @property
    def lengths(self) -> NDArray[np.int64]:
        """Tokens of each text and its target together."""
        return self._read.lengths + np.diff(self._answers.offsets)

    def __call__(self, positions: Sequence[int]) -> Batch:
        batch = self._read(positions)
        index = np.asarray(positions, dtype=np.int64)
        starts = self._answers.offsets[index]
        lengths = self._answers.offsets[index + 1] - starts
        columns = np.arange(max(int(lengths.max()), 1))  # also where no target has a token: models want one place
        mask = columns < lengths[:, None]
        places = np.where(mask, starts[:, None] + columns, -1)
        written = self._answers.ids[places] if mask.any() else NO_TARGET
        targets = np.where(mask, written, NO_TARGET).astype(np.int64)
        owners = np.where(mask, np.arange(len(index))[:, None], -1)
        added = {"targets": targets, "places": places, "owners": owners, "labels": np.zeros(len(index), dtype=np.int64)}
        size = self._read.sizes.pop()
        self.sizes.append(size._replace(n_tokens=size.n_tokens + int(lengths.sum())))
        return batch | {name: torch.from_numpy(array) for name, array in added.items()}
