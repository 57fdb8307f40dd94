import numpy as np
import pytest

from evals.triage.neighbours import nearest
from evals.triage.voices import Listener, NothingToAudit
from tests.evals.triage.planted import CLASSES, average_precision, opinions, plant


def test_the_second_time_it_hears_better() -> None:
    planted = plant("uniform", 0.2, n=1200, spread=1.6, seed=2)
    first, second = Listener(planted.given, CLASSES, embeddings=planted.embeddings).listen({})
    assert set(first.opinions) == set(second.opinions) == {"neighbours", "linear"}
    accuracy = [(heard.pooled.argmax(axis=1) == planted.truth).mean() for heard in (first, second)]
    assert accuracy[1] >= accuracy[0] - 0.005
    precision = [
        average_precision(-h.pooled[np.arange(1200), planted.given], planted.is_wrong) for h in (first, second)
    ]
    assert precision[1] > precision[0]


def test_opinions_of_others_are_heard_both_times() -> None:
    planted = plant("uniform", 0.1, n=400)
    other = opinions(planted.embeddings, planted.given)[0].astype(np.float32)
    first, second = Listener(planted.given, CLASSES).listen({"folds": other})
    assert second is first  # nothing can be made anew
    told: list[str] = []
    listener = Listener(planted.given, CLASSES, embeddings=planted.embeddings, progress=told.append)
    first, second = listener.listen({"folds": other})
    np.testing.assert_array_equal(first.opinions["folds"], second.opinions["folds"])
    assert np.abs(first.opinions["linear"] - second.opinions["linear"]).max() > 0.01
    assert told.count("weighing the voices") == 2


def test_neighbours_that_are_known_are_not_looked_for() -> None:
    planted = plant("uniform", 0.1, n=300)
    known = nearest(planted.embeddings, 3)
    told: list[str] = []
    first, _ = Listener(planted.given, CLASSES, neighbours=known, progress=told.append).listen({})
    assert set(first.opinions) == {"neighbours"}
    assert "looking for the nearest neighbours" not in told


def test_copies_are_held_out_together() -> None:
    texts = [f"word{i // 2}" for i in range(120)]  # every text twice, its own word nowhere else
    given = np.arange(120) // 2 % 2
    apart, _ = Listener(given, 2, texts=texts).listen({})
    together, _ = Listener(given, 2, texts=texts, groups=np.arange(120) // 2).listen({})
    right = [(heard.opinions["naive_bayes"].argmax(axis=1) == given).mean() for heard in (apart, together)]
    assert right[0] > 0.7 > right[1]


def test_bad_input_is_named() -> None:
    with pytest.raises(NothingToAudit, match="no voice to ask"):
        Listener(np.array([0, 1]), 2).listen({})
    with pytest.raises(ValueError, match=r"texts has 1 rows.*; groups has 3 rows"):
        Listener(np.array([0, 1]), 2, texts=["a"], groups=np.arange(3))
