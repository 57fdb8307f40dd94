import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.findings import get_detector
from evals.triage.tokens import (
    hard_targets,
    mean_of_tokens,
    token_error_potential,
    token_label_errors,
    worst_token,
)

SENTENCES = st.lists(st.lists(st.floats(0, 1, width=16) | st.just(np.nan), max_size=5), max_size=6)


@given(SENTENCES)
def test_pooling_is_that_of_a_loop(sentences: list[list[float]]) -> None:
    values = np.array([value for sentence in sentences for value in sentence], dtype=np.float64)
    offsets = np.cumsum([0, *map(len, sentences)])
    means, (places, risks) = mean_of_tokens(values, offsets), worst_token(values, offsets)
    for sentence, mean, place, risk in zip(sentences, means, places, risks, strict=True):
        known = [value for value in sentence if not np.isnan(value)]
        assert mean == pytest.approx(np.mean(known) if known else np.nan, nan_ok=True)
        assert risk == pytest.approx(max(known, default=np.nan), nan_ok=True)
        assert place == (sentence.index(max(known)) if known else -1)


def test_error_potential_is_above_a_half_where_another_token_is_likelier() -> None:
    p, q = np.array([1.0, 0.5, 0.3, 0.0, np.nan]), np.array([0.0, 0.5, 0.4, 1.0, 0.1])
    with np.errstate(divide="ignore"):
        found = token_error_potential(np.log(p), np.log(q))
    assert found.tolist() == pytest.approx([0, 0.5, 0.55, 1, np.nan], nan_ok=True)


def test_a_target_of_surprises_comes_first() -> None:
    rng = np.random.default_rng(0)
    sizes = rng.integers(3, 9, 50)
    offsets = np.cumsum([0, *sizes])
    p = rng.uniform(0.6, 0.95, offsets[-1])
    p[offsets[20] : offsets[21]] = 0.05
    found = hard_targets(np.log(p), np.log(1 - p), offsets)
    assert int(found.risk.argmax()) == 20
    assert found.risk[20] > get_detector("hard_target").flag_from
    assert found.evidence["potential"][20] == pytest.approx(0.95)
    assert found.evidence["worst_risk"][20] == pytest.approx(0.95)


def test_a_model_that_expects_no_target_says_nothing_of_one() -> None:
    rng = np.random.default_rng(1)
    offsets = np.arange(0, 8001, 8)
    p = rng.uniform(0.01, 0.1, offsets[-1])
    p[:8] = 0.0001
    found = hard_targets(np.log(p), np.log(1 - p), offsets)
    assert (found.evidence["potential"] > 0.5).all()
    assert np.flatnonzero(found.risk >= get_detector("hard_target").flag_from).size <= 5
    assert int(found.risk.argmax()) == 0


def test_a_sentence_is_as_risky_as_its_worst_token() -> None:
    found = token_label_errors(np.array([0.9, 0.05, np.nan, 0.7]), np.array([0, 3, 3, 4]))
    assert found.risk.tolist() == pytest.approx([0.95, np.nan, 0.3], nan_ok=True)
    assert found.evidence["worst"].tolist() == [1, -1, 0]


@pytest.mark.parametrize("offsets", [[], [0], [1, 2], [0, 3], [0, 2, 1, 2]])
def test_offsets_must_fit(offsets: list[int]) -> None:
    with pytest.raises(ValueError, match="token_offsets must rise from 0 to the number of tokens, 2"):
        mean_of_tokens(np.zeros(2), np.array(offsets, dtype=np.int64))


def test_no_examples() -> None:
    assert token_label_errors(np.zeros(0), np.array([0])).risk.tolist() == []
