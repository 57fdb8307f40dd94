import numpy as np
import pytest

from evals.triage.folds import assign_folds, self_confidence_risk
from evals.triage.members import Words, one_hot, unlearned, word_opinions
from tests.evals.triage.planted import average_precision


def _texts(n: int, k: int, seed: int) -> tuple[list[str], np.ndarray]:
    """Texts of ten words, a third of them from the class's own twenty."""
    rng = np.random.default_rng(seed)
    label = rng.integers(k, size=n)
    own = rng.integers(20, size=(n, 10)) + 1000 * (label[:, None] + 1)
    words = np.where(rng.random((n, 10)) < 0.35, own, rng.integers(300, size=(n, 10)))
    return [" ".join(f"w{word}" for word in row) for row in words], label


def test_words_find_planted_errors() -> None:
    texts, label = _texts(600, 4, 0)
    planted = np.random.default_rng(1).choice(600, 60, replace=False)
    given = label.copy()
    given[planted] = (given[planted] + 1) % 4
    opinions = word_opinions(texts, given, assign_folds(given, 4), 4)
    assert set(opinions) == {"naive_bayes", "letters"}
    for name, log_probs in opinions.items():
        np.testing.assert_allclose(np.exp(log_probs).sum(axis=1), 1, atol=1e-4, err_msg=name)
        assert (log_probs.argmax(axis=1) == label).mean() > 0.85, name
        assert average_precision(self_confidence_risk(log_probs, given), given != label) > 0.75, name


def test_nobody_learns_from_its_own_label() -> None:
    texts, given = _texts(120, 3, 2)
    folds = assign_folds(given, 4)
    before = word_opinions(texts, given, folds, 3)
    changed = given.copy()
    changed[folds == 0] = (changed[folds == 0] + 1) % 3
    after = word_opinions(texts, changed, folds, 3)
    for name in before:
        np.testing.assert_allclose(before[name][folds == 0], after[name][folds == 0], atol=1e-4, err_msg=name)


def test_a_class_unseen_outside_its_fold_is_not_known() -> None:
    texts, given = _texts(60, 2, 3)
    given[7] = 2
    folds = assign_folds(given, 3)
    for name, log_probs in word_opinions(texts, given, folds, 4).items():
        assert np.isnan(log_probs[7]).all(), name
        assert not np.isnan(np.delete(log_probs, 7, axis=0)).any(), name
        assert (log_probs[np.arange(60) != 7, 3] <= -19).all(), name


def test_limits() -> None:
    nobody = word_opinions([], np.empty(0, dtype=int), np.empty(0, dtype=int), 3)
    assert nobody["letters"].shape == (0, 3)
    given, folds = np.array([0, 1, 0, 1, 0, 1]), np.array([0, 0, 1, 1, 2, 2])
    empty = word_opinions([""] * 6, given, folds, 2)
    assert np.isfinite(empty["naive_bayes"]).all()
    assert np.isfinite(empty["letters"]).all()
    one_class = word_opinions(["a", "b", "c", "d"], np.zeros(4, dtype=int), np.array([0, 0, 1, 1]), 1)
    assert one_class["letters"].tolist() == [[0.0]] * 4
    unlabelled = word_opinions(["a", "b", "c"], np.array([-1, -1, -1]), np.array([0, 1, 2]), 2)
    assert np.isnan(unlabelled["letters"]).all()
    texts = ["good", "bad", "good", "bad", "good"]
    predicted = word_opinions(texts, np.array([0, 1, 0, 1, -1]), np.array([0, 0, 1, 1, 0]), 2)
    assert predicted["naive_bayes"][4].argmax() == 0
    with pytest.raises(ValueError, match="one row, label and fold a text"):
        word_opinions(["a"], np.array([0, 1]), np.array([0]), 2)
    with pytest.raises(ValueError, match="allowed: -1"):
        word_opinions(["a"], np.array([5]), np.array([0]), 2)


def test_naive_bayes_is_the_reference() -> None:
    from sklearn.feature_extraction.text import CountVectorizer
    from sklearn.naive_bayes import ComplementNB

    texts, given = _texts(90, 3, 5)
    folds = assign_folds(given, 3)
    said = word_opinions(texts, given, folds, 3)["naive_bayes"]
    counts = CountVectorizer(token_pattern=r"\w+").fit_transform(texts)
    for fold in range(3):
        inside = folds == fold
        reference = ComplementNB().fit(counts[~inside], given[~inside]).predict_log_proba(counts[inside])
        np.testing.assert_allclose(said[inside], np.maximum(reference, -20), atol=1e-3)


def test_divided_labels_teach_in_part() -> None:
    texts = ["red", "red", "blue", "blue", "red"]
    folds, given = np.array([0, 1, 0, 1, 2]), np.array([0, 0, 1, 1, -1])
    words = Words(texts)
    sure = words.opinions(one_hot(given, 2), given, folds)["naive_bayes"][4]
    unsure = words.opinions(0.8 * one_hot(given, 2) + 0.2 * one_hot(np.array([1, 1, 0, 0, -1]), 2), given, folds)
    assert sure[0] > unsure["naive_bayes"][4, 0] > sure[1]


def test_what_nobody_outside_has() -> None:
    given, folds = np.array([0, 0, 1, -1]), np.array([0, 1, 1, 1])
    assert unlearned(given, folds, 3).tolist() == [False, False, True, False]
    assert unlearned(np.array([0, -1]), np.array([0, 1]), 1).tolist() == [True, False]  # nobody outside has a label
