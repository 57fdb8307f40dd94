import numpy as np
import pytest

from evals.intervals import wilson
from evals.triage.leakage import LEAST_RISK, WRITTEN_OUT, giveaway_words, label_leaks

NAMES = ["card_arrival", "joy", "no", "Sports News"]


@pytest.mark.parametrize(
    ("text", "label", "written"),
    [
        ("label: joy! what a day", 1, "joy"), ("Sentiment = 'Joy'", 1, "Joy"), ("__label__joy what", 1, "joy"),
        ("see card_arrival please", 0, "card_arrival"), ("category is sports-news", 3, "sports-news"),
        ("intent: card arrival", 0, "card arrival"),
    ],
)  # fmt: skip
def test_a_label_written_like_a_field_is_a_leak_by_itself(text: str, label: int, written: str) -> None:
    found = label_leaks([text, "something else"], np.array([label, 1 - min(label, 1)]), NAMES)
    assert found.risk.tolist() == [WRITTEN_OUT, 0.0]
    assert found.evidence["written"].tolist() == [written, ""]


def test_the_name_of_another_class_is_none_and_short_names_are_left_out() -> None:
    texts = ["label: joy", "no, no, no", "enjoyment", "joyful", None, "label: joy"]
    found = label_leaks(texts, np.array([0, 2, 1, 1, 1, -1]), NAMES)
    assert found.risk.tolist() == pytest.approx([0, 0, 0, 0, np.nan, np.nan], nan_ok=True)
    assert found.groups == ()


def test_an_everyday_name_is_as_risky_as_it_is_telling() -> None:
    texts = ["what a joy"] * 90 + ["a day"] * 10 + ["no joy here"] * 10 + ["sad"] * 90
    labels = np.repeat([1, 0], 100)
    found = label_leaks(texts, labels, NAMES)
    expected = (wilson(90, 100).low - 0.5) / 0.5
    assert found.risk[:90].tolist() == pytest.approx([expected] * 90)
    assert found.risk[90:].tolist() == [0] * 110
    assert found.groups == (), "not telling enough to be findings, so their class is none either"
    surer = label_leaks(["what a joy"] * 180 + ["a day"] * 20 + ["sad"] * 200, np.repeat([1, 0], 200), NAMES)
    (group,) = surer.groups
    assert (group.name, group.evidence, len(group.rows)) == ("joy", {"n": 180, "n_others": 0, "share": 0.9}, 180)
    assert set(group.rows) == set(np.flatnonzero(surer.risk >= LEAST_RISK)), "what is counted is in a group"
    everywhere = label_leaks(["joy"] * 200, labels, NAMES)
    assert everywhere.risk.max() == 0, "in all texts it tells nothing"


def test_a_planted_word_is_found_and_common_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    vocabulary = [f"word{at}" for at in range(200)]
    labels = rng.choice(3, 900, p=[0.8, 0.1, 0.1])
    texts = ["the " + " ".join(rng.choice(vocabulary, 10)) for _ in labels]
    texts = [f"{text} src42" if label == 1 else text for text, label in zip(texts, labels, strict=True)]
    found = giveaway_words([*texts, None, ""], np.append(labels, [1, 1]), ["a", "b", "c"])
    (group,) = found.groups
    n = int((labels == 1).sum())
    assert (group.name, group.evidence) == ("b", {"word": "src42", "n": n, "precision": 1.0, "recall": 1.0})
    assert set(group.rows) == set(np.flatnonzero(labels == 1))
    assert 0.9 <= group.risk <= 1
    assert np.isnan(found.risk).all()


@pytest.mark.parametrize("texts", [[], [None], ["one text"], ["a", "b"], ["", " "], ["!", "?"] * 30])
def test_too_little_is_no_error(texts: list[str | None]) -> None:
    labels = np.arange(len(texts)) % 2
    assert giveaway_words(texts, labels, ["x", "y"]).groups == ()
    assert giveaway_words(texts, np.zeros(len(texts), dtype=np.int64), ["x"]).groups == ()
    assert label_leaks(texts, labels, ["x", "y"]).groups == ()


def test_labels_need_names() -> None:
    with pytest.raises(ValueError, match=r"labels holds 1 to 1; allowed: -1 \(no label\) to 0"):
        label_leaks(["a"], np.array([1]), ["x"])
