import numpy as np
import pytest

from evals.triage.channel import Channel
from evals.triage.consensus import fit_consensus, pool
from evals.triage.noise import NoiseRate, anchor_rate, noise_by_class, noise_by_pair, noise_rate
from tests.evals.triage.planted import CLASSES, opinions, plant


@pytest.mark.parametrize("kind", ["uniform", "confusable", "cyclic"])
@pytest.mark.parametrize("rate", [0.05, 0.1, 0.3])
def test_the_interval_covers_the_planted_rate(kind: str, rate: float) -> None:
    planted = plant(kind, rate, seed=5)
    members = opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    found = noise_rate(pool(members, consensus.weights), planted.given, consensus)
    assert found.low <= rate <= found.high
    assert found.value == pytest.approx(rate, abs=0.03, rel=0.3)
    assert found.high - found.low < max(0.14, 1.2 * rate)
    assert found.n == 1500


def test_the_interval_holds_readings_that_contradict_each_other() -> None:
    # By a rule, not by chance: the surest examples are all right, the others often wrong.
    rng = np.random.default_rng(0)
    opinion = np.where(rng.random((1000, 1)) < 0.5, [[0.97, 0.03]], [[0.7, 0.3]])
    sure = opinion[:, 0] > 0.9
    given = np.where(sure, 0, rng.random(1000) < 0.45).astype(int)
    log_probs = np.log(np.where(np.arange(1000)[:, None] % 2, opinion, opinion[:, ::-1]))
    given = np.where(np.arange(1000) % 2, given, 1 - given)
    found = noise_rate(log_probs, given, fit_consensus([log_probs], given))
    assert found.channel > 3 * found.anchor
    assert found.low <= found.anchor < found.channel <= found.high


def test_clean_labels_have_little_noise() -> None:
    planted = plant("uniform", 0, spread=1.6)
    members = opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    found = noise_rate(pool(members, consensus.weights), planted.given, consensus)
    assert found.value < 0.02
    assert found.low < 0.002


def test_pairs_and_classes_are_found() -> None:
    planted = plant("cyclic", 0.15, seed=2)
    members = opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    rate = noise_rate(pool(members, consensus.weights), planted.given, consensus)
    pairs = noise_by_pair(consensus.channel, rate)
    first = pairs.head(CLASSES)
    assert ((first["likely"] + 1) % CLASSES == first["given"]).mean() >= 0.75
    truth = np.zeros((CLASSES, CLASSES))
    np.add.at(truth, (planted.given, planted.truth), 1)
    inside = [row.low <= truth[row.given, row.likely] <= row.high for row in first.itertuples()]
    assert np.mean(inside) >= 0.75
    classes = noise_by_class(consensus.channel, rate)
    assert classes["n_errors"].sum() == pytest.approx(rate.value * rate.n)
    assert (np.diff(classes["rate"]) <= 0).all()
    share = {label: 1 - truth[label, label] / truth[label].sum() for label in range(CLASSES)}
    assert np.mean([row.low <= share[row.given] <= row.high for row in classes.itertuples()]) >= 0.75


def test_anchor_is_the_disagreement_of_the_surest() -> None:
    log_probs = np.log(np.repeat([[0.9, 0.1], [0.55, 0.45]], 200, axis=0))
    given = np.concatenate([np.repeat([1, 0], [20, 180]), np.repeat([1, 0], [90, 110])])
    value, low, high = anchor_rate(log_probs, given)
    assert value == pytest.approx(0.1)
    assert low < 0.1 < high
    # With few surest examples the bound of a larger share is the smaller one.
    few = anchor_rate(log_probs[::40], given[::40])
    assert few.high > high


def test_limits() -> None:
    empty, none = np.empty((0, 2)), np.empty(0, dtype=int)
    assert np.isnan(anchor_rate(empty, none).value)
    nothing = noise_rate(empty, none, fit_consensus([empty], none))
    assert nothing.n == 0
    assert np.isnan(nothing.value)
    unknown = np.full((3, 2), np.nan)
    assert noise_rate(unknown, np.zeros(3, dtype=int), fit_consensus([unknown], np.zeros(3, dtype=int))).n == 0
    one = np.zeros((20, 1))
    alone = noise_rate(one, np.zeros(20, dtype=int), fit_consensus([one], np.zeros(20, dtype=int)))
    assert (alone.value, alone.low) == (0, 0)
    clean = Channel(np.diag([10.0, 0.0]), 1.0)
    table = noise_by_class(clean, alone)
    assert table["n_errors"].tolist() == [0, 0]
    assert np.isnan(table["rate"]).tolist() == [False, True]
    assert len(noise_by_pair(clean, alone)) == 0
    unknown_rate = NoiseRate(np.nan, np.nan, np.nan, 0, np.nan, np.nan, np.nan, np.nan)
    assert noise_by_class(Channel(np.array([[9.0, 1.0], [0.0, 5.0]]), 1.0), unknown_rate)["rate"].isna().all()
    assert len(noise_by_pair(Channel(np.array([[9.0, 1.0], [0.0, 5.0]]), 1.0), unknown_rate)) == 0
