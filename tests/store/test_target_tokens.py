"""What a run says of every target token: kept in blocks, read whole or one example at a time."""

import numpy as np
import pytest

from store import (
    NewRun,
    Recorder,
    Store,
    TargetTokens,
    delete_run,
    read_example_tokens,
    read_target_tokens,
    record_run,
)
from store.blocks import BLOCK_EXAMPLES
from store.removal import run_size


@pytest.mark.parametrize("n", [1, 3, BLOCK_EXAMPLES, 2 * BLOCK_EXAMPLES + 5])
@pytest.mark.parametrize("has_alone", [True, False])
def test_what_is_recorded_is_read(store: Store, n: int, has_alone: bool) -> None:
    random = np.random.default_rng(n)
    offsets = np.concatenate([[0], np.cumsum(random.integers(0, 5, n))])
    given, other, alone = random.standard_normal((3, int(offsets[-1]))).astype(np.float16)
    given[:1] = np.nan
    run = record_run(store, NewRun("a"))
    with Recorder(store, run) as recorder:
        recorder.target_tokens("train", TargetTokens(offsets, other, given, None))  # what comes later counts
        recorder.target_tokens("train", TargetTokens(offsets, given, other, alone if has_alone else None))
    found = read_target_tokens(store, run.key, "train")
    assert found is not None
    np.testing.assert_array_equal(found.offsets, offsets)
    np.testing.assert_array_equal(found.log_probs, given)
    np.testing.assert_array_equal(found.best_other, other)
    assert (found.alone is not None) == has_alone
    for position in (0, n // 2, n - 1):
        one = read_example_tokens(store, run.key, "train", position)
        assert one is not None
        np.testing.assert_array_equal(one.best_other, other[offsets[position] : offsets[position + 1]])
        assert one.offsets.tolist() == [0, offsets[position + 1] - offsets[position]]
    assert read_example_tokens(store, run.key, "train", n) is None
    assert read_target_tokens(store, run.key, "test") is None
    n_bytes = run_size(store, run).in_store
    delete_run(store, run)
    assert n_bytes >= 4 * n + (6 if has_alone else 4) * int(offsets[-1])
    assert read_target_tokens(store, run.key, "train") is None


def test_values_that_do_not_fit_their_offsets_are_refused(store: Store) -> None:
    halves = np.zeros(3, dtype=np.float16)
    expected = r"\(4,\) expected by the offsets, got .*log_probs.*best_other"
    with Recorder(store, record_run(store, NewRun("a"))) as recorder, pytest.raises(ValueError, match=expected):
        recorder.target_tokens("train", TargetTokens(np.array([0, 4]), halves, halves, None))
