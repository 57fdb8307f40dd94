"""When memory runs out in a step: the same step once more, with its batches in smaller pieces.

The step keeps its examples, their order and its loss (the parts of a step's loss add up whatever their sizes), so that
only dropout falls otherwise. What has proved too large is not tried again, also not after a resume.
"""

import gc
from collections.abc import Callable, Iterator

import torch
from torch import Tensor

from runner.batches import Batch
from runner.causes import is_out_of_memory


class MicroBatches:
    """Into how many pieces a run's batches go.

    Args:
        batch_size: examples of a whole batch.
        accumulation: batches of a step.
        note: is told, in a sentence and as numbers, when pieces become smaller.
        may_shrink: False where other processes wait for the same pieces.
    """

    def __init__(
        self,
        batch_size: int,
        accumulation: int,
        note: Callable[[str, dict[str, int]], None],
        *,
        may_shrink: bool = True,
    ) -> None:
        self.pieces = 1
        """Of each batch; a power of 2."""
        self._batch_size, self._accumulation, self._note = batch_size, accumulation, note
        self._may_shrink = may_shrink
        self._step: list[Batch] = []

    def begin(self) -> None:
        """A step begins."""
        self._step = []

    def train(
        self,
        batch: Batch,
        step: int,
        train: Callable[[Batch], Tensor],
        forget: Callable[[], None],
    ) -> Tensor:
        """Train on the next batch of the step; its loss. Where memory runs out, on all of the step's batches again.

        Args:
            train: adds a piece's gradients to those of the step, and gives its loss.
            forget: takes back what the step has added so far.

        Raises what `train` raises, also an error of memory where a single example is too much.
        """
        self._step.append(batch)
        todo = [batch]
        while True:
            try:
                return [_sum(train(piece) for piece in self._cut(each)) for each in todo][-1]
            except Exception as error:
                if not is_out_of_memory(error) or not self._may_shrink or self.pieces >= _size(batch):
                    raise
            forget()  # outside of `except`, which holds on to everything that the failed pass made
            gc.collect()
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            self._shrink(step)
            todo = list(self._step)

    def _shrink(self, step: int) -> None:
        self.pieces *= 2
        size = -(-self._batch_size // self.pieces)
        n = self._accumulation * self.pieces
        self._note(
            f"out of memory at step {step:,}: from here on {size:,} examples in a forward pass instead of "
            f"{self._batch_size:,}, and {n:,} passes in a step; the examples of each step stay the same",
            {"step": step, "micro_batch": size, "accumulation": n},
        )

    def _cut(self, batch: Batch) -> Iterator[Batch]:
        n = _size(batch)
        size = -(-n // self.pieces)
        whole = ("positions", "labels") if "owners" in batch else ()  # rows of several texts: these are of texts
        for first in range(0, n, size):
            yield {name: values if name in whole else values[first : first + size] for name, values in batch.items()}


def _size(batch: Batch) -> int:
    return len(next(iter(batch.values())))


def _sum(losses: Iterator[Tensor]) -> Tensor:
    first = next(losses)
    for loss in losses:
        first = first + loss
    return first
