"""Each rule on curves that are made up to be just over it, just under it, or nothing at all."""

import json
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from evals import alerts
from evals.alerts import (
    Alert,
    AlertKind,
    disk_low,
    divergence,
    loss_spike,
    not_finite,
    overfitting,
    slow_loader,
    stall,
    validation_divergence,
)

NAN, INF = float("nan"), float("inf")
USUAL = np.tile([0.9, 1.0, 1.1], 40)  # median 1, median absolute deviation 0.1


def spike(value: float, before: np.ndarray = USUAL, **more: float) -> Alert | None:
    losses = np.append(before, value)
    return loss_spike(np.arange(1, len(losses) + 1), losses, **more)


@pytest.mark.parametrize(
    ("losses", "step", "word"),
    [([1.0, NAN, 1.0], 2, "NaN"), ([1.0, 2.0, INF], 3, "infinite"), ([-INF, NAN], 1, "infinite"), ([1.0], None, "")],
)
def test_the_first_loss_that_is_no_number(losses: list[float], step: int | None, word: str) -> None:
    found = not_finite(np.arange(1, len(losses) + 1), np.array(losses))
    assert (found.step if found else None) == step
    if found:
        assert found.kind is AlertKind.NOT_FINITE
        assert f"became {word} at step {step}: lower training.learning_rate" in found.message


def test_a_spike_is_far_above_the_median_by_all_three_measures() -> None:
    # the last 100 losses: median 1, MAD 0.1, so z = (value - 1) / 0.14826
    assert spike(1 + 10.0 * 0.14826 + 0.01) is not None
    assert spike(1 + 10.0 * 0.14826 - 0.01) is None
    wide = np.tile([0.99, 1.0, 1.01], 40)  # z of 2 is 67: the factor decides
    assert spike(1.99, wide) is None
    found = spike(2.01, wide)
    assert found is not None
    assert found.step == 121
    assert found.evidence == {"loss": 2.01, "median": 1.0, "score": 68.1, "n": 100}
    assert "2.01 times the median of the 100 steps before" in found.message
    assert spike(2.6, first_loss=10.3) is not None  # a quarter of the first loss is 2.575
    assert spike(2.6, first_loss=10.5) is None


def test_a_spike_needs_something_to_be_measured_against() -> None:
    n = alerts.SPIKE_LEAST
    assert spike(50.0, USUAL[: n - 1]) is None
    assert spike(50.0, USUAL[:n]) is not None
    assert spike(50.0, np.append(USUAL[: n - 1], NAN)) is None  # 19 known ones
    assert spike(NAN) is None
    assert spike(INF) is None


def test_a_spike_over_losses_that_do_not_vary() -> None:
    assert spike(1.0, np.ones(50)) is None
    found = spike(3.0, np.ones(50))
    assert found is not None
    assert "score" not in found.evidence  # a spread of nothing gives no score


def test_divergence_is_a_stretch_above_the_best() -> None:
    down, up = np.linspace(3.0, 1.0, 100), np.full(25, 2.6)
    first, best = np.median(down[:25]), np.median(down[75:])  # 2.76 and 1.24
    found = divergence(np.arange(125), np.append(down, up))
    assert found is not None
    assert found.evidence == {"loss": 2.6, "best": 1.24, "best_step": 99, "first": 2.76}
    assert found.step == 124
    assert divergence(np.arange(125), np.append(down, np.full(25, 2 * best - 0.01))) is None
    assert divergence(np.arange(125), np.append(down, np.full(25, 2 * best + 0.01))) is not None
    assert 2 * best > best + 0.5 * (first - best)  # so the factor was what decided
    assert divergence(np.arange(112), np.append(down, up)[:112]) is None  # 12 of the last 25 are up
    assert divergence(np.arange(115), np.append(down, up)[:115]) is not None
    assert divergence(np.arange(100), down) is None
    assert divergence(np.arange(49), np.append(down[:24], 9 * up)) is None  # too few to tell


def test_a_loss_that_is_only_noise_does_not_diverge() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        losses = rng.gamma(2.0, 0.5, 600)
        assert divergence(np.arange(600), losses) is None
    low, high = rng.normal(1.0, 0.5, 100), rng.normal(2.4, 0.5, 25)
    assert divergence(np.arange(125), np.append(low, high)) is not None
    assert divergence(np.arange(125), np.append(low, rng.normal(2.4, 4.0, 25))) is None  # what is up is too unsteady


def test_near_zero_a_doubled_loss_is_no_divergence() -> None:
    losses = np.concatenate([np.full(25, 2.0), np.full(25, 0.01), np.full(25, 0.03)])
    assert divergence(np.arange(75), losses) is None
    assert divergence(np.arange(75), np.concatenate([losses[:50], np.full(25, 1.1)])) is not None  # half of it is lost


def test_a_loss_that_only_rises_diverges() -> None:
    assert divergence(np.arange(75), np.linspace(1.0, 4.0, 75)) is not None


@pytest.mark.parametrize(
    ("validation", "training", "is_over"),
    [
        ([0.5, 0.6, 0.7], [0.5, 0.4, 0.3], True),
        ([0.7, 0.5, 0.6, 0.6], [0.5, 0.4, 0.3, 0.2], True),
        ([0.5, 0.6], [0.5, 0.4], False),  # one evaluation above the best may be chance
        ([0.5, 0.6, 0.59], [0.5, 0.4, 0.3], False),  # it falls again
        ([0.5, 0.504, 0.7], [0.5, 0.4, 0.3], False),  # within a hundredth of the best
        ([0.5, 0.6, 0.7], [0.5, 0.6, 0.7], False),  # the training loss rises too: that is a divergence
        ([0.5, 0.6, 0.7], [NAN, 0.4, 0.3], False),  # the untrained model was the best: nothing to compare with
        ([0.5, NAN, 0.6, 0.7], [0.5, 0.4, 0.4, 0.3], True),
        ([], [], False),
    ],
)
def test_overfitting(validation: list[float], training: list[float], is_over: bool) -> None:
    found = overfitting(np.arange(len(validation)), np.array(validation), np.array(training))
    assert (found is not None) == is_over
    if found is not None:
        assert "over-fitting: the validation loss was 0.5 at step" in found.message


@pytest.mark.parametrize(
    ("validation", "training", "is_diverging"),
    [
        ([2.4, 1e13], [NAN, 1e12], True),
        ([2.4, 2.0, 24.0], [NAN, 2.0, 2.0], True),
        ([2.4, 2.0, 19.0], [NAN, 2.0, 9.0], False),  # less than ten times the best
        ([2.4, 0.01, 0.9], [NAN, 0.1, 0.5], False),  # near zero ten times is little: most of what was gained is kept
        ([2.4, 0.01, 1.3], [NAN, 0.1, 0.5], True),
        ([2.4, 0.1, 3.0], [NAN, 0.1, 0.01], False),  # the training loss fell: over-fitting
        ([2.4, NAN, 30.0], [NAN, NAN, 9.0], True),
        ([0.0, 1.0], [1.0, 1.0], False),
        ([-5.0, 1.0], [1.0, 1.0], False),  # ten times a negative number means nothing
        ([2.4], [NAN], False),
        ([], [], False),
    ],
)
def test_a_validation_loss_that_is_blown_up(validation: list[float], training: list[float], is_diverging: bool) -> None:
    found = validation_divergence(np.arange(len(validation)), np.array(validation), np.array(training))
    assert (found is not None) == is_diverging
    if found is not None:
        assert found.kind is AlertKind.DIVERGENCE
        assert f"the validation loss is {validation[-1]:.4g} at step {len(validation) - 1}" in found.message


def test_a_stall_is_twenty_steps_and_a_minute() -> None:
    usual = np.full(10, 4.0)
    assert stall(80.0, usual, step=7, is_waiting=False) is None
    found = stall(80.1, usual, step=7, is_waiting=False, where="trainer.py:12 (backward)")
    assert found is not None
    assert (found.kind, found.step) == (AlertKind.STALL, 7)
    assert found.evidence == {
        "seconds": 80.1, "limit_seconds": 80.0, "usual_seconds": 4.0, "where": "trainer.py:12 (backward)"
    }  # fmt: skip
    assert "no step for 80 s after step 7; usual are 4 s; it is in trainer.py:12 (backward)" in found.message
    assert stall(60.0, np.full(10, 0.1), step=7, is_waiting=False) is None
    assert stall(60.1, np.full(10, 0.1), step=7, is_waiting=False) is not None


def test_no_batch_is_the_data_loaders_stall() -> None:
    found = stall(61.0, np.full(10, 0.1), step=7, is_waiting=True)
    assert found is not None
    assert found.kind is AlertKind.DATA_LOADER
    assert found.message.startswith("no batch has arrived for 61 s after step 7")


def test_the_first_step_may_take_long() -> None:
    assert stall(599.0, np.array([]), step=None, is_waiting=False) is None
    assert stall(601.0, np.array([]), step=None, is_waiting=False) is not None
    assert stall(NAN, np.array([]), step=None, is_waiting=False) is None


def test_a_slow_loader_waits_for_more_than_half_of_the_time() -> None:
    assert slow_loader(np.array([16.0, 15.0]), np.array([30.0, 30.0]), step=3) is not None
    assert slow_loader(np.array([15.0, 15.0]), np.array([30.0, 30.0]), step=3) is None
    assert slow_loader(np.array([14.0, 14.0]), np.array([14.5, 14.5]), step=3) is None  # half a minute is too short
    found = slow_loader(np.array([40.0, NAN]), np.array([40.0, 40.0]), step=3)
    assert found is not None
    assert found.evidence == {"wait_share": 1.0, "seconds": 40.0}


def test_disk_low() -> None:
    assert disk_low(500_000_000, 0, folder="/x") is None
    assert "keep 0.50 GB" in str(disk_low(499_999_999, 0, folder="/x"))
    assert disk_low(2_400_000_000, 2_000_000_000, folder="/x") is None
    found = disk_low(2_399_999_999, 2_000_000_000, folder="/x")
    assert found is not None
    assert "2.40 GB are free in /x, the next checkpoint needs 2.40 GB" in found.message


ANY = arrays(np.float64, st.integers(0, 120), elements=st.floats(width=64))
PAIRS = st.integers(0, 60).flatmap(lambda n: st.tuples(*[arrays(np.float64, n, elements=st.floats())] * 2))


@given(ANY, st.floats(), PAIRS, st.booleans())
def test_no_rule_ever_raises_and_evidence_fits_into_json(
    losses: np.ndarray, number: float, pair: tuple[np.ndarray, np.ndarray], is_waiting: bool
) -> None:
    steps, two = np.arange(len(losses)), np.arange(len(pair[0]))
    rules: list[Callable[[], Alert | None]] = [
        lambda: not_finite(steps, losses),
        lambda: loss_spike(steps, losses),
        lambda: loss_spike(steps, losses, first_loss=number),
        lambda: divergence(steps, losses),
        lambda: overfitting(two, *pair),
        lambda: validation_divergence(two, *pair),
        lambda: stall(number, losses, step=None, is_waiting=is_waiting),
        lambda: slow_loader(*pair, step=1),
    ]
    for rule in rules:
        found = rule()
        if found is not None:
            assert found.message
            json.dumps(dict(found.evidence), allow_nan=False)
