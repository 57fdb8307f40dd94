import numpy as np
import pytest
from sklearn.metrics import average_precision_score, f1_score, hamming_loss

from evals import multilabel
from evals.multilabel import average_precisions, choose_thresholds, label_table, predicted_labels, score_multilabel
from evals.resampling import FEWEST_DRAWS


def _model(n: int, k: int, seed: int = 0, digits: int = 2) -> tuple[np.ndarray, np.ndarray]:
    """Labels and probabilities of a model with some skill; rounded, so that many are equal."""
    rng = np.random.default_rng(seed)
    labels = (rng.random((n, k)) < np.linspace(0.05, 0.5, k)).astype(np.int64)
    probs = 1 / (1 + np.exp(-(rng.normal(size=(n, k)) + 2 * labels - 1)))
    return labels, probs.round(digits)


def _scores(labels: np.ndarray, probs: np.ndarray, *thresholds: object, **options: int) -> dict:
    return {score.metric: score for score in score_multilabel(labels, probs, *thresholds, **options)}


@pytest.mark.parametrize(("n", "k"), [(8, 2), (400, 7)])
def test_scores_are_those_of_sklearn(n: int, k: int) -> None:
    labels, probs = _model(n, k)
    thresholds = np.linspace(0.3, 0.7, k)
    said = (probs >= thresholds).astype(int)
    occurs = labels.any(axis=0)
    scores = _scores(labels, probs, thresholds, n_boot=50)
    assert scores["micro_f1"].value == pytest.approx(f1_score(labels, said, average="micro"))
    macro = f1_score(labels[:, occurs], said[:, occurs], average="macro", zero_division=0)
    assert scores["macro_f1"].value == pytest.approx(macro)
    assert scores["weighted_f1"].value == pytest.approx(f1_score(labels, said, average="weighted", zero_division=0))
    assert scores["hamming_loss"].value == pytest.approx(hamming_loss(labels, said))
    assert scores["exact_match"].value == pytest.approx((labels == said).all(axis=1).mean())
    ap = average_precision_score(labels[:, occurs], probs[:, occurs], average="macro")
    assert scores["macro_ap"].value == pytest.approx(ap)
    assert all(score.n == n for score in scores.values())


def test_intervals_are_those_of_a_bootstrap_over_examples() -> None:
    labels, probs = _model(200, 4, seed=1)
    scores = _scores(labels, probs, n_boot=1000)
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(150):
        rows = rng.integers(200, size=200)
        mine, said = labels[rows], (probs[rows] >= 0.5).astype(int)
        draws.append((f1_score(mine, said, average="micro"), average_precision_score(mine, probs[rows])))
    for name, column in zip(("micro_f1", "macro_ap"), np.array(draws).T, strict=True):
        low, high = np.quantile(column, [0.025, 0.975])
        assert scores[name].low == pytest.approx(low, abs=0.03), name
        assert scores[name].high == pytest.approx(high, abs=0.03), name


def test_large_splits_take_fewer_resamples(monkeypatch: pytest.MonkeyPatch) -> None:
    labels, probs = _model(100, 3)
    seen: list[int] = []
    real = multilabel.resample_weights
    monkeypatch.setattr(
        multilabel, "resample_weights", lambda n, n_boot, rng: seen.append(n_boot) or real(n, n_boot, rng)
    )
    monkeypatch.setattr(multilabel, "MAX_AP_CELLS", 300 * 150)
    _scores(labels, probs, n_boot=1000)
    _scores(np.tile(labels, (10, 1)), np.tile(probs, (10, 1)), n_boot=1000)
    assert seen == [150, FEWEST_DRAWS]


def test_unknown_labels_are_left_out() -> None:
    labels, probs = _model(60, 3, seed=2)
    more = np.vstack([labels, np.full((5, 3), -1)])
    same = _scores(more, np.vstack([probs, np.full((5, 3), 0.9)]))
    assert same == _scores(labels, probs)
    half = np.array([[1, -1], [0, 1]])
    scores = _scores(half, np.array([[0.9, 0.9], [0.1, 0.2]]), n_boot=0)
    assert scores["hamming_loss"].value == pytest.approx(1 / 3)
    assert scores["exact_match"].value == 0.5
    assert scores["micro_f1"].value == pytest.approx(2 / 3)


def test_a_nan_probability_is_wrong() -> None:
    scores = _scores(np.array([[1, 0], [1, 0]]), np.array([[np.nan, np.nan], [0.9, 0.1]]), n_boot=0)
    assert scores["hamming_loss"].value == 0.5
    assert scores["exact_match"].value == 0.5
    assert scores["micro_f1"].value == pytest.approx(0.5)  # one hit, one miss, one ghost
    assert np.isnan(scores["macro_ap"].value)
    assert predicted_labels(np.array([[np.nan, 0.5]])).tolist() == [[-1, 1]]


def test_without_examples_or_labels_there_is_no_score() -> None:
    for labels in (np.empty((0, 3), dtype=int), np.full((4, 3), -1)):
        scores = _scores(labels, np.full(labels.shape, 0.5))
        assert all(np.isnan(score.value) and score.n == 0 for score in scores.values())
    none_given = _scores(np.zeros((4, 2), dtype=int), np.full((4, 2), 0.1))
    assert np.isnan([none_given["micro_f1"].value, none_given["macro_ap"].value]).all()
    assert none_given["exact_match"].value == 1


def test_the_table_of_labels_is_that_of_sklearn() -> None:
    labels, probs = _model(300, 5, seed=3)
    labels[:, 0] = 0
    table = label_table(labels, probs, list("abcde"), 0.4)
    said = (probs >= 0.4).astype(int)
    assert table["label"].tolist() == list("abcde")
    assert table["n"].tolist() == labels.sum(axis=0).tolist()
    assert table["n_predicted"].tolist() == said.sum(axis=0).tolist()
    np.testing.assert_allclose(table["f1"][1:], f1_score(labels, said, average=None, zero_division=0)[1:])
    np.testing.assert_allclose(table["ap"][1:], average_precision_score(labels[:, 1:], probs[:, 1:], average=None))
    assert np.isnan(table.loc[0, ["recall", "f1", "ap"]].astype(float)).all()
    with pytest.raises(ValueError, match="1 names for 5 labels"):
        label_table(labels, probs, ["a"])


def test_equal_probabilities_are_one_rank() -> None:
    labels = np.array([[1], [0], [0], [0]])
    assert average_precisions(labels, np.full((4, 1), 0.5))[0] == 0.25
    assert average_precisions(labels[::-1], np.full((4, 1), 0.5))[0] == 0.25


def test_thresholds_have_the_highest_f1_there_is() -> None:
    labels, probs = _model(150, 4, seed=4, digits=1)
    found = choose_thresholds(labels, probs)
    assert found.source == ("own",) * 4
    for at in range(4):
        tried = [f1_score(labels[:, at], probs[:, at] >= threshold) for threshold in np.unique(probs[:, at])]
        assert f1_score(labels[:, at], probs[:, at] >= found.values[at]) == pytest.approx(max(tried))
        # it lies between two probabilities, never on one
        assert found.values[at] not in probs[:, at]


def test_labels_too_rare_for_a_threshold_share_one() -> None:
    labels, probs = _model(150, 4, seed=5)
    labels[:, 0], labels[:3, 0], labels[:, 1] = 0, 1, 1
    found = choose_thresholds(labels, probs)
    assert found.source == ("shared", "shared", "own", "own")
    assert found.values[0] == found.values[1]
    flat = [f1_score(labels.ravel(), probs.ravel() >= threshold) for threshold in np.unique(probs)]
    assert f1_score(labels.ravel(), probs.ravel() >= found.values[0]) == pytest.approx(max(flat))


def test_thresholds_of_nothing_and_of_extremes() -> None:
    assert choose_thresholds(np.zeros((3, 2), dtype=int), np.full((3, 2), 0.2)).values.tolist() == [0.5, 0.5]
    never = choose_thresholds(np.array([[1], [0]]), np.zeros((2, 1)), min_positives=1)
    assert 0 < never.values[0] < 1e-300
    separable = choose_thresholds(np.array([[1], [1], [0]]), np.array([[0.9], [0.8], [0.2]]), min_positives=1)
    assert separable.values[0] == pytest.approx(0.5)
    unknown = choose_thresholds(
        np.array([[1], [0], [-1], [1]]), np.array([[0.9], [0.5], [0.99], [np.nan]]), min_positives=1
    )
    assert unknown.values[0] == pytest.approx(0.7)


def test_everything_wrong_is_said_at_once() -> None:
    with pytest.raises(ValueError, match=r"labels holds 0 to 2.*probs holds 0 to 7.*thresholds has shape \(3,\).*"):
        score_multilabel(np.array([[0, 2]]), np.array([[0.0, 7.0]]), np.full(3, 0.5))
    with pytest.raises(ValueError, match=r"labels has shape \(1, 1\), probs \(2, 2\).*integers"):
        score_multilabel(np.array([[0.5]]), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="thresholds holds nan"):
        score_multilabel(np.array([[0]]), np.zeros((1, 1)), np.nan)
