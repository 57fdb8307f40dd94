import numpy as np
import pytest
from hypothesis import given as cases
from hypothesis import settings
from hypothesis import strategies as st

from evals.intervals import Estimate
from evals.triage.canaries import depths, kinds_of_flips, plan_flips
from evals.triage.consensus import fit_consensus, pool, wrong_risk
from evals.triage.folds import self_confidence_risk
from evals.triage.noise import noise_rate
from evals.triage.yields import (
    GRID,
    believed_yield,
    centred,
    chances,
    draw_errors,
    expected_yield,
    recall_curve,
    yield_of,
)
from tests.evals.triage.planted import opinions, plant


@settings(max_examples=40, deadline=None)
@cases(st.integers(1, 60), st.integers(0, 10**6))
def test_recall_is_the_least_concave_curve_above_the_canaries(m: int, seed: int) -> None:
    depth = np.random.default_rng(seed).beta(0.5, 2, size=m)
    curve = recall_curve(depth, np.full((1, m), 1 / m))[0]
    assert (curve[0], curve[-1]) == (0, 1)
    assert (np.diff(curve) >= -1e-12).all()
    slopes = np.diff(curve) / np.diff(GRID)
    assert (np.diff(slopes) <= 1e-9).all()
    reached = np.array([(depth <= each).mean() for each in GRID]) * m / (m + 1)
    reached[0], reached[-1] = 0, 1
    assert (curve >= reached - 1e-12).all()
    # Least: wherever it bends it touches.
    bends = np.flatnonzero(np.abs(np.diff(slopes)) > 1e-9) + 1
    np.testing.assert_allclose(curve[bends], reached[bends], atol=1e-9)


def test_no_look_finds_two_errors() -> None:
    found = yield_of(recall_curve(np.zeros(50), np.full((1, 50), 0.02)), np.array([[30.0]]), 100)[0]
    assert (found <= GRID * 100 + 1e-9).all()
    assert found[-1] == 30
    assert found[np.searchsorted(GRID, 0.2)] == pytest.approx(20, abs=0.5)


@pytest.mark.parametrize("kind", ["uniform", "confusable", "cyclic"])
def test_the_curve_holds_what_the_truth_reveals(kind: str) -> None:
    planted = plant(kind, 0.1, n=2000, seed=8)
    members = opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    pooled = pool(members, consensus.weights)
    risk = self_confidence_risk(pooled, planted.given)
    wrong = wrong_risk(pooled, planted.given, consensus.channel)
    rate = noise_rate(pooled, planted.given, consensus)
    flips = plan_flips(planted.given, kinds_of_flips(pooled, consensus.channel))
    asked = self_confidence_risk(pooled[flips.rows], flips.labels)
    order = np.argsort(-risk, kind="stable")
    curve = expected_yield(
        depths(risk, asked, flips, 1 - wrong),
        2000,
        Estimate(rate.value * 2000, rate.low * 2000, rate.high * 2000),
        believed=believed_yield(risk, wrong),
    )
    truth = np.interp(curve["n_reviewed"], np.arange(2001), np.append(0, np.cumsum(planted.is_wrong[order])))
    looked_at = (curve["n_reviewed"] >= 20) & (curve["n_reviewed"] <= 1000)
    inside = (curve["low"] <= truth) & (truth <= curve["high"] + 0.5)
    assert inside[looked_at].mean() > 0.8
    assert (np.abs(curve["n_found"] - truth) / truth)[looked_at].mean() < 0.4
    chance = chances(risk, curve)
    assert chance.sum() == pytest.approx(curve["n_found"].iloc[-1], rel=1e-6)
    assert (np.diff(chance[order]) <= 1e-9).all()
    assert chance[planted.is_wrong].mean() > 3 * chance[~planted.is_wrong].mean()


def test_limits() -> None:
    unknown = expected_yield(np.empty(0), 100, Estimate(10.0, 5.0, 15.0))
    assert unknown["n_found"].isna().all()
    assert expected_yield(np.array([0.1]), 100, Estimate(np.nan, np.nan, np.nan))["n_found"].isna().all()
    none = expected_yield(np.array([0.1]), 0, Estimate(0.0, 0.0, 0.0))
    assert none["n_reviewed"].max() == 0
    assert chances(np.empty(0), none).tolist() == []
    curve = expected_yield(np.array([0.0, 0.2, 0.3]), 4, Estimate(1.0, 0.5, 2.0))
    chance = chances(np.array([np.nan, 0.5, 0.9, 0.5]), curve)
    assert (np.diff(chance[[2, 1, 3, 0]]) <= 1e-12).all()
    assert draw_errors(Estimate(1.0, 0.0, 9.0), 500, np.random.default_rng(0)).min() >= 0
    zero = expected_yield(np.array([0.1]), 50, Estimate(5.0, 4.0, 6.0), believed=np.zeros(51))
    assert zero["n_found"].iloc[-1] == pytest.approx(2.5)
    alone = expected_yield(np.empty(0), 4, Estimate(2.0, 1.0, 3.0), believed=np.array([0.0, 0.9, 1.5, 1.6, 1.6]))
    assert alone["n_found"].iloc[-1] == pytest.approx(1.6)
    assert alone["low"].isna().all()
    assert believed_yield(np.array([np.nan, 0.3]), np.array([0.5, np.nan])).tolist() == [0.0, 0.0, 0.5]


@settings(max_examples=40, deadline=None)
@cases(st.lists(st.floats(0, 1), min_size=1, max_size=40, unique=True), st.floats(0, 50))
def test_as_many_risks_as_errors_are_expected_are_above_a_half(values: list[float], n_errors: float) -> None:
    risk = np.array([*values, np.nan])
    moved = centred(risk, n_errors)
    assert np.isnan(moved[-1])
    assert (np.diff(moved[:-1][np.argsort(risk[:-1])]) >= 0).all()
    assert ((moved[:-1] >= 0) & (moved[:-1] <= 1)).all()
    if np.diff(np.sort(np.append(risk[:-1], [0, 1]))).min() > 1e-6:  # none so close that rounding makes them one
        assert (moved >= 0.5).sum() == min(round(n_errors), len(values))
