import numpy as np
import pandas as pd
import pytest

from evals.triage.canaries import Flips, depths
from evals.triage.mixture import Mixture, fit_mixture, held_out_mixture, mix


def _risks(n: int = 3000, m: int = 150, seed: int = 0) -> tuple[pd.DataFrame, Flips]:
    """Two scores that see halves of the canaries each, one that sees none."""
    rng = np.random.default_rng(seed)
    flips = Flips(np.arange(m), np.zeros(m, dtype=int), np.zeros(m, dtype=int), ("uniform",))
    noise = rng.normal(size=(n, 3))
    noise[: m // 2, 0] += 4
    noise[m // 2 : m, 1] += 4
    return pd.DataFrame(1 / (1 + np.exp(-noise)), columns=["one", "other", "chance"]), flips


def test_scores_that_know_different_things_are_joined() -> None:
    table, flips = _risks()
    mixture = fit_mixture(table, flips)
    weights = dict(zip(mixture.names, mixture.weights, strict=True))
    assert weights["chance"] < 0.1
    assert weights["one"] == pytest.approx(weights["other"], abs=0.15)
    assert mixture.weights.sum() == pytest.approx(1)
    held_out = held_out_mixture(table, flips)
    alone = np.mean(depths(table["one"].to_numpy(), flips))
    assert np.mean(depths(held_out, flips)) < 0.6 * alone
    assert np.corrcoef(held_out, mix(table, mixture))[0, 1] > 0.99


def test_the_mixture_is_a_mean_of_log_depths() -> None:
    table = pd.DataFrame({"a": [0.9, 0.4, 0.1, 0.2], "b": [0.1, 0.2, 0.3, np.nan]})
    depth_a = np.array([0.5, 1.5, 3.5, 2.5]) / 4
    depth_b = np.array([2.5, 1.5, 0.5]) / 3
    mixed = mix(table, Mixture(("a", "b"), np.array([0.25, 0.75])))
    np.testing.assert_allclose(mixed[:3], 1 - depth_a[:3] ** 0.25 * depth_b**0.75)
    assert mixed[3] == pytest.approx(1 - depth_a[3])  # only a knows it
    only_b = mix(table, Mixture(("a", "b"), np.array([0.0, 1.0])))
    assert only_b[3] == pytest.approx(1 - depth_a[3])  # better than nothing
    plain = mix(table, Mixture(("a", "b"), np.zeros(2)))
    np.testing.assert_allclose(plain[:3], 1 - np.sqrt(depth_a[:3] * depth_b))


def test_a_score_that_speaks_against_the_canaries_gets_no_weight() -> None:
    flips = _risks()[1]
    risk = np.linspace(1, 0, 3000)
    table = pd.DataFrame({"good": risk, "reverse": 1 - risk})
    assert fit_mixture(table, flips).weights.tolist() == [1, 0]


def test_limits() -> None:
    none = Flips(np.empty(0, dtype=int), np.empty(0, dtype=int), np.empty(0, dtype=int), ("uniform",))
    table = pd.DataFrame({"a": [0.5, np.nan, 0.5], "b": [np.nan, np.nan, 0.1]})
    assert fit_mixture(table, none).weights.tolist() == [0.5, 0.5]
    mixed = held_out_mixture(table, none)
    assert np.isnan(mixed).tolist() == [False, True, False]
    assert len(mix(table.iloc[:0], Mixture(("a",), np.ones(1)))) == 0
    everyone = Flips(np.arange(3), np.zeros(3, dtype=int), np.zeros(3, dtype=int), ("uniform",))
    assert fit_mixture(table, everyone).weights.tolist() == [0.5, 0.5]
