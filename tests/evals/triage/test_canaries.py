import numpy as np
import pytest

from evals.triage.canaries import Flips, depths, flip, kinds_of_flips, no_flips, plan_flips
from evals.triage.channel import Channel


def test_the_plan() -> None:
    given = np.random.default_rng(0).integers(-1, 5, size=10_000)
    kinds = {"uniform": np.ones((5, 5)), "next": np.eye(5)[[1, 2, 3, 4, 0]]}
    flips = plan_flips(given, kinds, share=0.02, seed=1)
    assert flips.is_planted.sum() == round(0.02 * (given >= 0).sum())
    assert len(flips.rows) == 4000
    assert (np.diff(flips.rows) > 0).all()
    assert (given[flips.rows] >= 0).all()
    assert (flips.labels != given[flips.rows]).all()
    of_next = flips.kind == 1
    assert of_next.mean() == pytest.approx(0.5, abs=0.01)
    assert (flips.labels[of_next] == (given[flips.rows][of_next] + 1) % 5).all()
    steps = np.bincount((flips.labels - given[flips.rows])[~of_next] % 5, minlength=5)
    assert steps.min() == steps[0] == 0
    assert steps[1:].min() > 100
    again, other = plan_flips(given, kinds, share=0.02, seed=1), plan_flips(given, kinds, share=0.02, seed=2)
    for one, two in zip(flips, again, strict=True):
        assert np.array_equal(one, two)
    assert set(flips.rows[flips.is_planted].tolist()) != set(other.rows[other.is_planted].tolist())
    copy = flip(given, flips)
    assert (copy != given).sum() == flips.is_planted.sum()
    assert (copy[flips.rows[flips.is_planted]] == flips.labels[flips.is_planted]).all()


def test_the_plan_in_small() -> None:
    kinds = {"none": np.zeros((3, 3))}
    assert len(plan_flips(np.zeros(100, dtype=int), kinds).rows) == 0  # one class
    assert len(plan_flips(np.empty(0, dtype=int), kinds).rows) == 0
    assert len(plan_flips(np.arange(10) % 3, {}).rows) == 0
    flips = plan_flips(np.arange(100) % 2, kinds, share=0.1)  # a kind that knows nothing; class 2 has no examples
    assert len(flips.rows) == 100
    assert flips.is_planted.sum() == 10
    assert set(flips.labels.tolist()) <= {0, 1}
    assert plan_flips(np.arange(1000) % 3, kinds).is_planted.sum() == 40  # 4 %, though 1.5 % were asked for
    assert plan_flips(np.arange(3000) % 3, kinds).is_planted.sum() == 60
    with pytest.raises(ValueError, match=r"share = 0\.7"):
        plan_flips(np.arange(10) % 3, kinds, share=0.7)


def test_kinds_leave_out_the_true_label() -> None:
    log_probs = np.log(np.random.default_rng(0).dirichlet(np.ones(4), size=200))
    log_probs[5] = np.nan
    for matrix in kinds_of_flips(log_probs, Channel(np.full((4, 4), 5.0), 4.0)).values():
        assert np.diagonal(matrix).tolist() == [0] * 4
        np.testing.assert_allclose(matrix.sum(axis=1), 1)
    one = kinds_of_flips(np.zeros((3, 1)), Channel(np.array([[3.0]]), 1.0))
    assert all(matrix.tolist() == [[0.0]] for matrix in one.values())


def test_depths_against_counting() -> None:
    rng = np.random.default_rng(3)
    risk, right = rng.integers(6, size=40) / 5, rng.random(40)
    rows = np.sort(rng.choice(40, 12, replace=False))
    flips = Flips(rows, np.ones(12, int), np.zeros(12, int), ("any",), np.ones(12, bool))
    asked = rng.integers(6, size=12) / 5
    for place, deep in enumerate(depths(risk, asked, flips, right)):
        others = np.arange(40) != rows[place]
        before = (risk > asked[place]) + (risk == asked[place]) / 2
        assert deep == pytest.approx((before * right)[others].sum() / right[others].sum())


def test_errors_do_not_bury_a_canary() -> None:
    risk = np.array([0.9, 0.8, 0.7, 0.2, 0.1])
    flips = Flips(np.array([4]), np.array([1]), np.array([0]), ("any",), np.array([True]))
    sees_errors = depths(risk, np.array([0.5]), flips, np.array([0.0, 0.0, 1.0, 1.0, 1.0]))
    assert sees_errors.tolist() == [0.5]
    assert depths(risk, np.array([0.5]), flips, np.ones(5)).tolist() == [0.75]


def test_limits() -> None:
    flips = Flips(np.arange(2), np.ones(2, int), np.zeros(2, int), ("any",), np.ones(2, bool))
    assert depths(np.zeros(2), np.zeros(2), flips, np.zeros(2)).tolist() == [0, 0]  # nobody else is right
    assert depths(np.array([0.5, 0.2, 0.1]), np.array([np.nan, 0.3]), flips, np.ones(3)).tolist() == [1.0, 0.5]
    assert depths(np.zeros(5), np.zeros(0), no_flips(), np.ones(5)).tolist() == []
