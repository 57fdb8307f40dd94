"""The order of the examples is a pure function of seed and epoch."""

import doctest

import numpy as np
import pytest
import torch

import runner.order
from runner.order import TrainingOrder, epoch_order

LENGTHS = np.random.default_rng(0).integers(1, 100, 1000)


def test_doctests() -> None:
    assert doctest.testmod(runner.order).failed == 0


def test_it_is_what_it_always_was() -> None:
    """Written down: a checkpoint of an older version is gone on from in this order."""
    assert epoch_order(8, 0, 0).tolist() == [6, 3, 5, 0, 7, 2, 1, 4]
    assert epoch_order(8, 1, 0).tolist() == [1, 6, 0, 3, 7, 4, 2, 5]


@pytest.mark.parametrize("lengths", [None, LENGTHS])
def test_every_position_once_and_otherwise_in_each_epoch(lengths: np.ndarray | None) -> None:
    orders = [epoch_order(1000, 7, epoch, lengths=lengths, batch_size=8) for epoch in range(4)]
    for order in orders:
        assert sorted(order.tolist()) == list(range(1000))
    assert len({order.tobytes() for order in orders}) == 4
    assert epoch_order(1000, 8, 0, lengths=lengths, batch_size=8).tobytes() != orders[0].tobytes()


def test_no_other_generator_is_read_or_moved() -> None:
    np.random.seed(1)
    torch.manual_seed(1)
    first = epoch_order(50, 3, 2)
    assert np.random.randint(1 << 30) == np.random.RandomState(1).randint(1 << 30)
    np.random.seed(2)
    torch.manual_seed(2)
    assert (epoch_order(50, 3, 2) == first).all()


def test_texts_of_like_length_share_a_batch() -> None:
    order = epoch_order(1000, 0, 0, lengths=LENGTHS, batch_size=10)
    assert LENGTHS[order[0]] == LENGTHS.max(), "the longest opens the epoch"
    spread = [np.ptp(LENGTHS[order[i : i + 10]]) for i in range(10, 1000, 10)]
    shuffled = epoch_order(1000, 0, 0)
    assert np.mean(spread) < 0.2 * np.mean([np.ptp(LENGTHS[shuffled[i : i + 10]]) for i in range(10, 1000, 10)])
    # four stretches of 250, each from long to short (but for the two that changed places)
    for first in range(0, 1000, 250):
        falling = np.diff(LENGTHS[order[first : first + 250]]) <= 0
        assert falling.sum() >= 248


@pytest.mark.parametrize(("n", "batch"), [(1, 8), (3, 8), (8, 8), (33, 8), (0, 8)])
def test_small_ones(n: int, batch: int) -> None:
    order = epoch_order(n, 0, 0, lengths=LENGTHS[:n], batch_size=batch)
    assert sorted(order.tolist()) == list(range(n))


def test_the_sampler_follows_the_epoch_it_is_told() -> None:
    sampler = TrainingOrder(20, 5)
    assert len(sampler) == 20
    for epoch in (0, 3, 1):
        sampler.set_epoch(epoch)
        assert list(sampler) == list(sampler) == epoch_order(20, 5, epoch).tolist()
