import numpy as np
import pytest

from evals.triage.audit import LabelAudit, NothingToAudit, Voices, label_audit
from tests.evals.triage.planted import CLASSES, Planted, average_precision, plant


def _texts(truth: np.ndarray, seed: int) -> list[str]:
    """Five words each, two of them of the class."""
    rng = np.random.default_rng(seed)
    own, any_word = rng.integers(12, size=(len(truth), 2)), rng.integers(200, size=(len(truth), 3))
    return [
        " ".join([*(f"c{label}w{word}" for word in mine), *(f"w{word}" for word in theirs)])
        for label, mine, theirs in zip(truth, own, any_word, strict=True)
    ]


@pytest.fixture(scope="module")
def planted() -> Planted:
    return plant("uniform", 0.1, n=1200, seed=3)


@pytest.fixture(scope="module")
def audit(planted: Planted) -> LabelAudit:
    return label_audit(planted.given, CLASSES, texts=_texts(planted.truth, 0), embeddings=planted.embeddings)


def test_it_finds_what_was_planted(planted: Planted, audit: LabelAudit) -> None:
    precision = {name: average_precision(risk, planted.is_wrong) for name, risk in audit.scores.items()}
    assert precision[audit.default] > max(precision.values()) - 0.03
    assert precision[audit.default] > 0.85
    np.testing.assert_array_equal(np.argsort(audit.risk), np.argsort(audit.scores[audit.default]))
    for name, risk in audit.scores.items():
        assert 0 <= risk.min() <= risk.max() <= 1, name
    fixed = np.where(audit.suggestions.label >= 0, audit.suggestions.label, planted.given)
    assert (fixed == planted.truth).mean() > 0.96
    assert (audit.pooled.argmax(axis=1) == planted.truth).mean() > 0.95


def test_what_it_expects_is_about_true(planted: Planted, audit: LabelAudit) -> None:
    assert audit.noise.low <= planted.is_wrong.mean() <= audit.noise.high
    assert (audit.risk >= 0.5).sum() == round(audit.noise.value * audit.noise.n)
    order = np.argsort(-audit.risk, kind="stable")
    for looks in (60, 120, 240):
        expected = np.interp(looks, audit.curve["n_reviewed"], audit.curve["n_found"])
        assert expected == pytest.approx(planted.is_wrong[order[:looks]].sum(), abs=0.15 * looks)
    assert audit.chance.sum() == pytest.approx(audit.curve["n_found"].iloc[-1], rel=1e-6)
    table = audit.comparison.set_index("score")
    assert set(table.index) == set(audit.scores)
    assert not table["in_sample"].any()
    for name, row in table.iterrows():
        truth = average_precision(audit.scores[str(name)], planted.is_wrong)
        assert row["average_precision"] == pytest.approx(truth, abs=0.12), name


def test_who_doubts(planted: Planted, audit: LabelAudit) -> None:
    assert (
        set(audit.voices_predicted) == set(audit.voices_p_given) == {"naive_bayes", "letters", "neighbours", "linear"}
    )
    assert set(audit.n_voices.tolist()) == {4}
    counted = sum((audit.voices_predicted[name] != planted.given).astype(int) for name in audit.voices_predicted)
    assert np.abs(counted - audit.n_doubting).max() <= 1  # ties
    assert audit.n_doubting[planted.is_wrong].mean() > 3
    assert audit.n_doubting[~planted.is_wrong].mean() < 1


def test_in_sample_scores_are_measured_in_a_copy(planted: Planted) -> None:
    def seen(given: np.ndarray, strength: float) -> Voices:
        noise = np.random.default_rng(0).random(len(given))
        # What training on these labels would say: it knows of canaries too.
        return Voices(in_sample={"area_under_margin@run": np.where(given != planted.truth, strength, 0) + noise / 4})

    copies = []

    def retrain(given: np.ndarray) -> Voices:
        copies.append(given)
        return seen(given, 0.6)

    in_sample = {**seen(planted.given, 0.6).in_sample, "last_loss@run": np.full(1200, np.nan)}
    weak = planted.embeddings[:, :2]  # of which other voices learn little
    audit = label_audit(planted.given, CLASSES, embeddings=weak, in_sample=in_sample, retrain=retrain)
    assert len(copies) == 1
    flipped = np.flatnonzero(copies[0] != planted.given)
    assert flipped.tolist() == audit.canaries.rows[audit.canaries.is_planted].tolist()
    table = audit.comparison.set_index("score")
    assert table["in_sample"]["area_under_margin@run"]
    assert table["average_precision"]["area_under_margin@run"] > 0.9
    assert np.isnan(table["average_precision"]["last_loss@run"])  # could not be made again
    assert audit.default == "area_under_margin@run"
    assert average_precision(audit.risk, planted.is_wrong) > 0.99
    assert set(audit.n_voices.tolist()) == {3}
    without = label_audit(planted.given, CLASSES, embeddings=weak, in_sample=in_sample)
    assert without.default == "consensus"
    assert np.isnan(without.comparison.set_index("score")["average_precision"]["area_under_margin@run"])


def test_without_canaries(planted: Planted) -> None:
    audit = label_audit(planted.given, CLASSES, embeddings=planted.embeddings, with_canaries=False)
    assert audit.default == "consensus"
    assert len(audit.canaries.rows) == 0
    assert audit.comparison["average_precision"].isna().all()
    assert audit.curve["low"].isna().all()
    assert audit.chance.sum() == pytest.approx(audit.scores["wrong"].sum(), rel=0.02)


def test_the_same_again(planted: Planted) -> None:
    once, twice = (label_audit(planted.given, CLASSES, embeddings=planted.embeddings, seed=5) for _ in range(2))
    np.testing.assert_array_equal(once.risk, twice.risk)
    assert once.comparison.equals(twice.comparison)


def test_labels_and_embeddings_that_are_not_there() -> None:
    planted = plant("uniform", 0.1, n=400)
    given, embeddings = planted.given.copy(), planted.embeddings.copy()
    given[:40], embeddings[20:60] = -1, np.nan
    audit = label_audit(given, CLASSES + 1, embeddings=embeddings)  # and a class without examples
    unknown = np.arange(400) < 60
    assert np.isnan(audit.risk[unknown]).all()
    assert not np.isnan(audit.risk[~unknown]).any()
    assert (audit.suggestions.label[20:60] == -1).all()
    assert audit.noise.n == 340
    assert (audit.n_voices[unknown] == 0).all()


def test_very_little() -> None:
    one = label_audit(np.zeros(30, dtype=int), 1, texts=["a b"] * 30)
    assert one.risk.tolist() == [0.0] * 30
    nobody = label_audit(np.full(6, -1), 2, texts=["a", "b", "c", "d", "e", "f"])
    assert np.isnan(nobody.risk).all()
    assert np.isnan(nobody.noise.value)
    few = label_audit(np.array([0, 1, 0, 1]), 2, texts=["a", "b", "a", "b"], embeddings=np.eye(4))
    assert few.risk.shape == (4,)
    none = label_audit(np.empty(0, dtype=int), 2, texts=[])
    assert none.risk.shape == (0,)
    with pytest.raises(NothingToAudit):
        label_audit(np.array([0, 1]), 2)
