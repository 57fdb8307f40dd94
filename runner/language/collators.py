"""Rows of stretches of text as batches."""

from collections import deque
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from runner.batches import Batch, BatchSize
from runner.encoding import NO_TARGET, EncodedSplit
from runner.language.windows import Windows

Ints = NDArray[np.int64]


class RowCollator:
    """Positions of rows → a batch, padded at the end to its longest row.

    The batch has, (rows, tokens) each: `input_ids`; `targets`, what is to be said at each place; `places`, where in the
    split's tokens that stands; `owners`, of which example it is, as an index into `positions` (k,), the examples that
    the batch holds. Rows of one stretch come with an `attention_mask`. In rows of several, `position_ids` count from 0
    in each stretch, and there is no mask: by that transformers keeps them apart.

    Args:
        rows: which stretches stand in each row.
        room: of a row, where rows may hold several stretches: then a batch says so even where it has none such.
        around: tokens before and after each stretch (of a row alone).
        foretells: what is to be said at a place is the token after it; else it is the token there.
    """

    def __init__(
        self,
        split: EncodedSplit,
        windows: Windows,
        rows: Sequence[Ints],
        pad_token_id: int,
        *,
        is_packed: bool,
        around: tuple[Sequence[int], Sequence[int]] = ((), ()),
        foretells: bool = True,
    ) -> None:
        self._split, self._windows, self._rows, self._pad = split, windows, rows, pad_token_id
        self._is_packed, self._around, self._foretells = is_packed, around, foretells
        self.sizes: deque[BatchSize] = deque()
        self.notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self._rows)

    @property
    def lengths(self) -> Ints:
        """Tokens of each row."""
        own = self._windows.lengths + sum(map(len, self._around))
        return np.array([own[row].sum() for row in self._rows], dtype=np.int64)

    @property
    def most_examples(self) -> int:
        """In a row."""
        return max((len(np.unique(self._windows.examples[row])) for row in self._rows), default=1)

    def __call__(self, positions: Sequence[int]) -> Batch:
        stretches = [self._rows[position] for position in positions]
        together = np.concatenate(stretches)
        examples = np.unique(self._windows.examples[together])
        lengths = self._windows.lengths + sum(map(len, self._around))
        width = max(int(lengths[row].sum()) for row in stretches)
        shape = (len(stretches), width)
        ids = np.full(shape, self._pad, dtype=np.int64)
        targets = np.full(shape, NO_TARGET, dtype=np.int64)
        places, owners, within = (np.full(shape, filler, dtype=np.int64) for filler in (-1, -1, 0))
        mask = np.zeros(shape, dtype=np.int64)
        before = len(self._around[0])
        for line, row in enumerate(stretches):
            at = 0
            for window in row.tolist():
                span = slice(self._windows.starts[window], self._windows.ends[window])
                n, end = span.stop - span.start, at + int(lengths[window])
                ids[line, at:end] = [*self._around[0], *self._split.ids[span], *self._around[1]]
                mask[line, at:end] = 1
                within[line, at:end] = np.arange(end - at)
                shift = 1 if self._foretells else 0
                here = slice(at + before, at + before + n - shift)
                wanted = slice(span.start + shift, span.stop)
                if self._split.targets is not None:
                    targets[line, here] = self._split.targets[wanted]
                places[line, here] = np.arange(wanted.start, wanted.stop)
                owners[line, here] = np.searchsorted(examples, self._windows.examples[window])
                at = end
        self.sizes.append(BatchSize(len(examples), int(mask.sum()), examples))
        batch = {"input_ids": ids, "targets": targets, "places": places, "owners": owners, "positions": examples}
        batch |= {"position_ids": within} if self._is_packed else {"attention_mask": mask}
        batch["labels"] = np.zeros(len(examples), dtype=np.int64)
        return {name: torch.from_numpy(array) for name, array in batch.items()}
