import numpy as np

from evals.triage.channel import Channel
from evals.triage.consensus import fit_consensus, pool
from evals.triage.suggestions import suggest
from tests.evals.triage.planted import opinions, plant


def test_planted_errors_get_their_label_back() -> None:
    planted = plant("cyclic", 0.1)
    members = opinions(planted.embeddings, planted.given)
    consensus = fit_consensus(members, planted.given)
    suggested = suggest(pool(members, consensus.weights), planted.given, consensus.channel)
    wrong = planted.is_wrong
    assert (suggested.label[wrong] == planted.truth[wrong]).mean() > 0.6
    assert (suggested.other[wrong] == planted.truth[wrong]).mean() > 0.85
    assert (suggested.label[~wrong] == planted.truth[~wrong]).mean() > 0.97
    assert (suggested.other != planted.given).all()
    # A probability is worth what it says.
    is_right = suggested.label == planted.truth
    for low, high in ((0.5, 0.9), (0.9, 0.99), (0.99, 1.01)):
        among = (suggested.probability >= low) & (suggested.probability < high)
        assert abs(is_right[among].mean() - suggested.probability[among].mean()) < 0.12


def test_the_pair_that_labels_are_confused_in_is_preferred() -> None:
    # Two other labels are equally likely by the text; only one of them is often written as the given one.
    channel = Channel(np.array([[80.0, 0.0, 20.0], [0.0, 100.0, 0.0], [0.0, 0.0, 100.0]]), 1.0)
    suggested = suggest(np.log([[0.48, 0.48, 0.04]]), np.array([2]), channel)
    assert suggested.label.tolist() == [0]
    assert suggested.probability[0] > 0.6


def test_limits() -> None:
    channel = Channel(np.array([[9.0, 1.0], [1.0, 9.0]]), 1.0)
    log_probs = np.array([[np.nan, np.nan], np.log([0.25, 0.75]), np.log([0.25, 0.75])])
    suggested = suggest(log_probs, np.array([0, -1, 1]), channel)
    assert suggested.label.tolist() == [-1, 1, 1]
    assert suggested.other.tolist()[0] == -1
    assert suggested.other.tolist()[2] == 0
    assert np.isnan(suggested.probability).tolist() == [True, False, False]
    assert suggested.probability[1] == np.float32(0.75)
    one = suggest(np.zeros((2, 1)), np.zeros(2, dtype=int), Channel(np.array([[2.0]]), 1.0))
    assert one.label.tolist() == [0, 0]
    assert one.other.tolist() == [-1, -1]
    assert suggest(np.empty((0, 2)), np.empty(0, dtype=int), channel).label.tolist() == []
