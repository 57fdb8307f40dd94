"""The words that the training forward pass packs are those of `evals.dynamics`."""

import numpy as np
import pytest
import torch

from evals.dynamics import NAN_WORD, TOP, decode, encode, row_bytes
from runner.dynamics import DynamicsCatcher, pack


def packed(logits: np.ndarray, given: np.ndarray) -> np.ndarray:
    words = pack(torch.from_numpy(logits), torch.from_numpy(given))
    assert words.dtype == torch.int16
    return words.numpy().view(np.uint16)


def logits_of(n: int, k: int, scale: float) -> np.ndarray:
    """Rows without ties: the order of equal logits is free."""
    rng = np.random.default_rng(k)
    return (rng.permuted(np.tile(np.arange(k, dtype=np.float32), (n, 1)), axis=1) + rng.random((n, k))).astype(
        np.float32
    ) * np.float32(scale / k)


@pytest.mark.parametrize("scale", [0.01, 8.0, 3e5])
@pytest.mark.parametrize("k", [2, 3, 32])
def test_dense_words_are_those_of_evals_bit_for_bit(k: int, scale: float) -> None:
    logits = logits_of(500, k, scale)
    given = np.arange(500) % k
    assert (packed(logits, given) == encode(logits, given)).all()


@pytest.mark.parametrize("scale", [0.5, 8.0, 3e4])
@pytest.mark.parametrize("k", [33, 77, 40_000])
def test_top_words_are_those_of_evals(k: int, scale: float) -> None:
    n = 20 if k > 1000 else 500
    logits = logits_of(n, k, scale)
    given = np.arange(n) % k
    given[0] = -1
    ours, theirs = packed(logits, given), encode(logits, given)
    log_sum_exp = TOP + 1
    others = [i for i in range(row_bytes(k) // 2) if i != log_sum_exp]
    assert (ours[:, others] == theirs[:, others]).all()
    assert ours[:, TOP + 2 :].max() > 0
    # the log-sum-exp is summed in another order: one float16 step at most, and rarely
    steps = np.abs(ours[:, log_sum_exp].astype(int) - theirs[:, log_sum_exp].astype(int))
    assert steps.max() <= 1
    assert (steps > 0).mean() <= 0.1


def test_classes_above_32767_come_back() -> None:
    logits = np.zeros((1, 50_000), dtype=np.float32)
    best = np.array([49_999, 40_000, 33_000, 32_768, 32_767, 2, 1, 0])
    logits[0, best] = np.arange(8, 0, -1)
    assert decode(packed(logits, np.array([40_000])), 50_000).top_classes[0].tolist() == best.tolist()


@pytest.mark.parametrize("k", [3, 40])
def test_rows_that_are_no_numbers_are_not_measured(k: int) -> None:
    logits = logits_of(5, k, 4.0)
    logits[0, 1] = np.nan
    logits[1, 0] = np.inf
    logits[2] = -np.inf
    logits[3, 2] = -np.inf  # one impossible class is a measurement all the same
    given = np.array([0, 1, 2, 2, 1])
    words = packed(logits, given)
    assert (words[:3] == NAN_WORD).all()
    dynamics = decode(words, k, given)
    assert np.isnan(dynamics.p_given[:3]).all()
    assert dynamics.p_given[3] == 0
    assert dynamics.p_given[4] > 0
    same = [i for i in range(words.shape[1]) if k == 3 or i != TOP + 1]
    assert (words[:, same] == encode(logits, given)[:, same]).all()


def test_an_epoch_holds_what_it_saw_and_the_next_begins_empty() -> None:
    catcher = DynamicsCatcher(4, 3, torch.device("cpu"))
    assert not catcher.has_seen
    logits, given = torch.tensor([[0.0, 2.0, 1.0], [3.0, 0.0, 0.0]]), torch.tensor([1, 2])
    catcher.catch(torch.tensor([3, 0]), logits, given)
    assert catcher.has_seen
    words = catcher.take()
    assert (words[[3, 0]] == encode(logits.numpy(), given.numpy())).all()
    assert (words[[1, 2]] == NAN_WORD).all()
    assert not catcher.has_seen
    assert (catcher.take() == NAN_WORD).all()
    assert (words[3] != NAN_WORD).all(), "what was taken must not change with the next epoch"


def test_half_precision_logits_are_taken() -> None:
    logits = torch.tensor([[0.5, 1.5, -1.0]], dtype=torch.bfloat16)
    assert (
        pack(logits, torch.tensor([0])).numpy().view(np.uint16) == encode(logits.float().numpy(), np.array([0]))
    ).all()
