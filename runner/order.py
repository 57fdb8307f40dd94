"""The order in which training examples are seen: a pure function of seed and epoch, so that a place in it is a number.

The bits come from NumPy's MT19937 through `RandomState`, whose streams are frozen (NEP 19): an order is the same with
any version of any package.
"""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray
from torch.utils.data import Sampler

_MOST_BATCHES = 50  # that are sorted by length together
_FEWEST_STRETCHES = 4  # of an epoch, so that sorting leaves it some chance


def epoch_order(
    n: int, seed: int, epoch: int, *, lengths: NDArray[np.int64] | None = None, batch_size: int = 1
) -> NDArray[np.int64]:
    """All positions `(n,)` in the order of an epoch, which counts from 0.

    With `lengths` (n,) in tokens, texts of like length share a batch: the shuffled positions are cut into stretches of
    up to 50 batches, each sorted, the longest text first; the longest of all opens the epoch, so that out-of-memory
    shows at once.

    >>> epoch_order(5, 0, 0).tolist() == epoch_order(5, 0, 0).tolist() != epoch_order(5, 0, 1).tolist()
    True
    >>> epoch_order(6, 0, 0, lengths=np.array([3, 1, 4, 1, 5, 9]), batch_size=6).tolist()[0]
    5
    """
    bits = np.random.MT19937(np.random.SeedSequence([seed, epoch]))
    order = np.random.RandomState(bits).permutation(n).astype(np.int64)  # ours alone: no global state is touched
    if lengths is None or n == 0:
        return order
    stretch = batch_size * min(max(n // (batch_size * _FEWEST_STRETCHES), 1), _MOST_BATCHES)
    order = order[np.lexsort((-lengths[order], np.arange(n) // stretch))]
    longest = int(np.argmax(lengths[order]))
    order[[0, longest]] = order[[longest, 0]]
    return order


class TrainingOrder(Sampler[int]):
    """`epoch_order` as a sampler. The data loader tells it the epoch (`set_epoch`) before each pass."""

    def __init__(self, n: int, seed: int, *, lengths: NDArray[np.int64] | None = None, batch_size: int = 1) -> None:
        self._n, self._seed, self._lengths, self._batch_size = n, seed, lengths, batch_size
        self._epoch = 0

    def set_epoch(self, epoch: int) -> None:
        self._epoch = epoch

    def __len__(self) -> int:
        return self._n

    def __iter__(self) -> Iterator[int]:
        order = epoch_order(self._n, self._seed, self._epoch, lengths=self._lengths, batch_size=self._batch_size)
        return iter(order.tolist())
