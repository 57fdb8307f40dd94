import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from evals.dynamics import (
    NAN_WORD,
    area_under_margin,
    correctness,
    decode,
    encode,
    forgetting_events,
    probability_error,
    row_bytes,
    unseen,
    variability,
)

KINDS = ("normal", "spiky", "huge", "ties", "tiny", "offset")


def _logits(kind: str, n: int, k: int, rng: np.random.Generator) -> np.ndarray:
    noise = rng.normal(size=(n, k))
    logits = {
        "normal": noise * rng.uniform(0.1, 8, size=(n, 1)),
        "spiky": np.where(rng.random((n, k)) < 2 / k, 12.0, 0.0) + noise,
        "huge": rng.choice([-1e4, -1.0, 0.0, 1e4, 9999.5], size=(n, k)) * rng.choice([1, 8], size=(n, 1)),
        "ties": rng.integers(0, 3, size=(n, k)).astype(float),
        "tiny": noise * 1e-6,
        "offset": noise + 300,
    }[kind]
    return logits.astype(np.float32)


def _softmax(logits: np.ndarray) -> np.ndarray:
    exact = logits.astype(np.float64)
    powers = np.exp(exact - exact.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _margin(values: np.ndarray, labels: np.ndarray) -> np.ndarray:
    rows, others = np.arange(len(labels)), values.astype(np.float64)
    mine = others[rows, labels].copy()
    others[rows, labels] = -np.inf
    return mine - others.max(axis=1)


@settings(max_examples=150, deadline=None)
@given(
    st.sampled_from(KINDS),
    st.sampled_from([2, 3, 5, 32, 33, 77, 1000]),
    st.integers(0, 2**32 - 1),
)
def test_nothing_is_lost_beyond_the_stated_bound(kind: str, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    n, bound = 40, probability_error(k)
    logits, labels = _logits(kind, n, k, rng), rng.integers(k, size=n)
    probs, rows = _softmax(logits), np.arange(n)
    block = encode(logits, labels)
    assert block.nbytes == n * row_bytes(k)
    dynamics = decode(block, k, labels)

    assert np.abs(dynamics.p_given - probs[rows, labels]).max() <= bound
    t = min(8, k)
    np.testing.assert_allclose(dynamics.p_top, -np.sort(-probs, axis=1)[:, :t], atol=bound)
    np.testing.assert_allclose(dynamics.p_top, np.take_along_axis(probs, dynamics.top_classes, axis=1), atol=bound)
    assert all(len(set(row)) == t for row in dynamics.top_classes.tolist())
    assert (np.diff(dynamics.p_top, axis=1) <= 0).all()
    margin = np.clip(_margin(logits, labels), -65504, 65504)
    np.testing.assert_allclose(dynamics.margin_logit, margin, rtol=2**-11 + 2**-22, atol=2**-24)
    np.testing.assert_allclose(dynamics.margin_probability, _margin(probs, labels), atol=2 * bound)
    if k <= 32:
        assert dynamics.log_probs is not None
        np.testing.assert_allclose(np.exp(dynamics.log_probs), probs, atol=bound)
    else:
        assert dynamics.log_probs is None


@pytest.mark.parametrize(
    ("k", "share"),
    [(32, 0.1), (77, 0.7)],  # dense: the bound takes the worst of two terms that cannot both be at their worst
)
def test_the_bound_is_of_the_right_size(k: int, share: float) -> None:
    """A bound far too wide would prove little: the worst rows we can build come close to it."""
    rng = np.random.default_rng(0)
    n, labels = 20_000, np.zeros(20_000, dtype=np.int64)
    logits = np.zeros((n, k), dtype=np.float32)
    if k == 32:  # all others round alike and share half of the probability
        logits[:, 1:] = -rng.uniform(2, 4, size=(n, 1))
    else:  # the given label near p = 1/e, where the top form loses most
        logits[:], labels[:] = -20, 1
        logits[:, 0], logits[:, 1] = 0, rng.uniform(-1.2, 0, size=n)
    error = np.abs(decode(encode(logits, labels), k, labels).p_given - _softmax(logits)[np.arange(n), labels])
    assert share * probability_error(k) < error.max() <= probability_error(k)


def test_dense_words_are_centred_float16() -> None:
    block = encode(np.array([[1.5, 3.0, -1e30], [7.0, 7.0, 6.5]]), np.array([0, 1]))
    assert block.dtype == np.dtype("<u2")
    assert block.view("<f2").tolist() == [[-1.5, 0.0, -65504.0], [0.0, 0.0, -0.5]]


def test_top_words_are_as_specified() -> None:
    logits = np.full((2, 40), -5.0, dtype=np.float32)
    logits[:, 30:38] = np.arange(8)
    block = encode(logits, np.array([3, -1]))
    assert block.shape == (2, 18)
    assert block[:, :8].copy().view("<f2").tolist() == [[0, -1, -2, -3, -4, -5, -6, -7]] * 2
    given_logit, log_sum_exp = block[0, 8:10].copy().view("<f2")
    assert given_logit == -12
    expected = np.log(np.exp(-np.arange(8.0)).sum() + 32 * np.exp(-12))
    assert log_sum_exp == np.float16(expected)
    assert block[:, 10:].tolist() == [[37, 36, 35, 34, 33, 32, 31, 30]] * 2
    without = decode(block, 40)
    assert np.isnan([without.p_given[1], without.margin_logit[1], without.margin_probability[1]]).all()
    assert without.p_top[1, 0] == pytest.approx(np.exp(-expected), abs=probability_error(40))


@pytest.mark.parametrize("k", [3, 50])
def test_unseen_and_unmeasured_rows_decode_to_nan(k: int) -> None:
    logits = np.random.default_rng(0).normal(size=(5, k)).astype(np.float32)
    logits[1, 0], logits[2, 1], logits[3, :] = np.nan, np.inf, -np.inf
    labels = np.array([0, 1, 2, 0, -1])
    block = encode(logits, labels)
    assert (block[1:4] == NAN_WORD).all()
    dynamics = decode(block, k, labels)
    for values in (dynamics.p_given, dynamics.margin_logit, dynamics.margin_probability):
        assert np.isnan(values).tolist() == [False, True, True, True, True]
    assert np.isnan(dynamics.p_top).any(axis=1).tolist() == [False, True, True, True, False]
    assert (dynamics.top_classes[1:4] == -1).all()
    assert dynamics.top_classes[4, 0] == logits[4].argmax()
    nothing = decode(unseen(2, k), k, np.array([0, 1]))
    assert np.isnan(nothing.p_given).all()
    assert (nothing.top_classes == -1).all()
    assert decode(encode(logits[:0], labels[:0]), k, labels[:0]).p_given.shape == (0,)


def test_a_masked_class_gets_probability_zero() -> None:
    dynamics = decode(encode(np.array([[0.0, -np.inf, 0.0]]), np.array([1])), 3, np.array([1]))
    assert dynamics.p_given[0] == 0
    np.testing.assert_allclose(dynamics.p_top[0], [0.5, 0.5, 0])


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="n_classes = 1; allowed: 2 to 65536"):
        row_bytes(1)
    with pytest.raises(ValueError, match=r"needed: \(n, 18\)"):
        decode(np.zeros((2, 40), dtype="<u2"), 40)
    with pytest.raises(ValueError, match="given is missing"):
        decode(unseen(1, 3), 3)
    with pytest.raises(ValueError, match=r"allowed: -1 \(no label\) to 2"):
        encode(np.zeros((1, 3)), np.array([3]))
    with pytest.raises(ValueError, match="one label a row"):
        encode(np.zeros((2, 3)), np.array([1]))


def test_dense_blocks_are_read_as_float16_too() -> None:
    block = encode(np.array([[0.0, 1.0]]), np.array([0]))
    assert decode(block.view("<f2"), 2, np.array([0])).margin_logit.tolist() == [-1]


def test_summaries_pass_over_epochs_not_seen() -> None:
    margins = np.array([[1, -1, np.nan, 1], [-1, np.nan, np.nan, np.nan], [2, -3, np.nan, 0], [-2, 4, np.nan, 1.0]])
    np.testing.assert_array_equal(area_under_margin(margins), [0, 0, np.nan, 2 / 3])
    np.testing.assert_array_equal(correctness(margins), [0.5, 1 / 3, np.nan, 2 / 3])
    forgotten, learned = forgetting_events(margins)
    np.testing.assert_array_equal(forgotten, [2, 0, np.nan, 1])
    assert learned.tolist() == [True, True, False, True]
    np.testing.assert_allclose(variability(np.array([[0.2], [np.nan], [0.4], [0.9]])), np.std([0.2, 0.4, 0.9]))
