import numpy as np
import pytest

from evals.intervals import Estimate
from evals.triage.stopping import lately, outlook


def _queue(n: int, rate: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Chances that fall along the queue, and a truth drawn from them."""
    rng = np.random.default_rng(seed)
    chance = 0.97 / (1 + np.exp((np.arange(n) / n - rate) * 30 / (rate + 0.2)))
    return chance, (rng.random(n) < chance).astype(float)


@pytest.mark.parametrize("reviewed", [0, 50, 200, 500])
@pytest.mark.parametrize("off", [0.0, 0.7, -0.7])
def test_the_interval_holds_the_errors_left(reviewed: int, off: float) -> None:
    """`off`: log-odds by which the chances that were expected are wrong."""
    inside, wide = [], []
    for seed in range(12):
        chance, truth = _queue(2000, 0.1, seed)
        odds = np.log(chance / (1 - chance)) + off
        expected = 1 / (1 + np.exp(-odds))
        decided = np.full(2000, np.nan)
        decided[:reviewed] = truth[:reviewed]
        seen = outlook(expected, decided, Estimate(expected.sum(), expected.sum() * 0.5, expected.sum() * 1.8))
        left = truth[reviewed:].sum()
        inside.append(seen.errors_left.low <= left <= seen.errors_left.high)
        wide.append(seen.errors_left.high - seen.errors_left.low)
        assert seen.n_found == truth[:reviewed].sum()
        assert seen.n_rest == 2000 - reviewed
        assert seen.one_in == pytest.approx(1 / seen.precision_left.value)
        assert seen.precision_left.value == pytest.approx(seen.errors_left.value / seen.n_rest)
    assert np.mean(inside) >= 0.75
    if reviewed == 500:
        assert np.mean(wide) < 100


def test_decisions_change_the_outlook() -> None:
    chance, _ = _queue(2000, 0.1, 0)
    expected = Estimate(float(chance.sum()), float(chance.sum()) * 0.5, float(chance.sum()) * 2)

    def left(answer: float) -> float:
        decided = np.full(2000, np.nan)
        decided[100:300] = answer
        return outlook(chance, decided, expected).errors_left.value

    nothing = outlook(chance, np.full(2000, np.nan), expected)
    assert nothing.errors_left.value == pytest.approx(chance.sum(), rel=0.15)
    assert left(0.0) < 0.5 * nothing.errors_left.value
    assert left(1.0) > left(0.0) * 2


def test_a_part_never_holds_more_than_the_whole() -> None:
    chance, _ = _queue(540, 0.1, 0)
    total = Estimate(float(chance.sum()), 0.37 * float(chance.sum()), 1.02 * float(chance.sum()))
    seen = outlook(chance, np.full(540, np.nan), total, n_next=200)
    assert seen.errors_left == pytest.approx(total)
    assert all(part <= whole for part, whole in zip(seen.next_errors, seen.errors_left, strict=True))
    assert seen.next_errors.low < seen.next_errors.value <= seen.next_errors.high


def test_when_to_stop() -> None:
    chance = np.repeat([0.6, 0.02], [100, 900])
    truth = np.zeros(1000)
    truth[:60] = 1
    truth[100:1000:50] = 1
    decided = np.full(1000, np.nan)
    first = outlook(chance, decided, Estimate(78.0, 60.0, 100.0), n_next=50)
    assert first.n_worth == 100
    assert first.next_errors.value == pytest.approx(30, abs=3)
    decided[:100] = truth[:100]
    after = outlook(chance, decided, Estimate(78.0, 60.0, 100.0))
    assert after.n_worth == 0
    assert after.one_in > 20
    assert after.chance[:100].tolist() == truth[:100].tolist()
    assert after.n_next == 100


def test_limits() -> None:
    nothing = outlook(np.empty(0), np.empty(0), Estimate(np.nan, np.nan, np.nan))
    assert nothing.n_rest == 0
    assert np.isnan(nothing.errors_left.value)
    assert np.isnan(nothing.one_in)
    done = outlook(np.array([0.5, 0.1]), np.array([1.0, 0.0]), Estimate(1.0, 0.5, 1.5))
    assert (done.n_rest, done.n_found, done.n_worth) == (0, 1, 0)
    assert np.isnan(done.precision_left.value)
    unknown = outlook(np.array([np.nan, 0.5, 0.2]), np.array([np.nan, np.nan, 1.0]), Estimate(0.0, 0.0, 0.0))
    assert unknown.n_rest == 1
    assert np.isnan(unknown.chance[0])
    assert 0 <= unknown.errors_left.low <= unknown.errors_left.high <= 1
    assert np.isnan(lately(np.empty(0)).value)
    assert lately(np.ones(5)).high == 1


def test_nothing_expected_is_not_nothing_there() -> None:
    nobody = np.full(240, np.nan)
    clean = outlook(np.zeros(240), nobody, Estimate(0.0, 0.0, 4.0), n_next=20)
    assert clean.errors_left.value < 0.5
    assert (clean.errors_left.low, clean.errors_left.high, clean.next_errors.high) == (0.0, 4.0, 4.0)
    looked = nobody.copy()
    looked[:180] = 0
    seen = outlook(np.zeros(240), looked, Estimate(0.0, 0.0, 4.0), n_next=20)
    assert seen.errors_left.high == 1.0, "3 in 180 at most, of the 60 that are left; a quarter of what was expected"
    found = looked.copy()
    found[0] = 1
    assert outlook(np.zeros(240), found, Estimate(0.0, 0.0, 40.0)).errors_left.high == 10.0
    unknown = outlook(np.zeros(240), nobody, Estimate(0.0, 0.0, np.nan))
    assert np.isnan(unknown.errors_left).all()
    few = outlook(np.zeros(3), np.full(3, np.nan), Estimate(0.0, 0.0, 4.0))
    assert few.errors_left.high == 3.0, "no more than there are"
