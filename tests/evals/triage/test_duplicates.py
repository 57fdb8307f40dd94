import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.duplicates import (
    clusters,
    contradictions,
    exact_duplicates,
    find_duplicates,
    near_duplicates,
    normalise,
    split_leaks,
)

CARD = "Where is my new bank card, please?"
NEAR = "Where is my new bank card, please!!"
TEXTS = [CARD, "hello there", CARD.upper(), "  ", None, NEAR, "something quite different", CARD + " "]


def test_copies_are_found_whatever_their_case_and_white_space() -> None:
    found = find_duplicates(TEXTS)
    assert found.copy_of.tolist() == [0, 1, 0, -1, -1, 2, 3, 0]
    assert found.first.tolist() == [0, 1, 5, 6]
    assert list(zip(found.near.left, found.near.right, strict=True)) == [(0, 2)]
    assert clusters(found).tolist() == [0, 1, 0, -1, -1, 0, 2, 0]
    assert normalise("ﬁne\u3000Ⅳ") == "fine iv"


def test_all_but_the_first_copy_of_a_split_are_flagged() -> None:
    found = exact_duplicates(find_duplicates(TEXTS))
    assert found.risk.tolist() == pytest.approx([0, 0, 1, np.nan, np.nan, 0, 0, 1], nan_ok=True)
    assert found.evidence["partner"].tolist() == [-1, -1, 0, -1, -1, -1, -1, 0]
    assert found.evidence["n_copies"].tolist() == [3, -1, 3, -1, -1, -1, -1, 3]
    splits = np.array(["train"] * 7 + ["test"])
    assert exact_duplicates(find_duplicates(TEXTS), splits).risk.tolist()[-1] == 0, "alone in its split"


def test_near_copies_name_the_most_similar_earlier_one() -> None:
    found = near_duplicates(find_duplicates(TEXTS))
    assert found.evidence["partner"].tolist() == [-1, -1, -1, -1, -1, 0, -1, -1]
    assert 0.8 < found.risk[5] < 1
    assert found.risk[[0, 1, 2, 6, 7]].tolist() == [0] * 5
    splits = np.array(["train"] * 5 + ["test"] * 3)
    assert near_duplicates(find_duplicates(TEXTS), splits).risk[7] > 0.8, "within a split, to the row of that split"


def test_of_a_leak_the_copy_outside_test_goes() -> None:
    splits = np.array(["test", "train", "train", "train", "train", "validation", "train", "train"])
    found = split_leaks(find_duplicates(TEXTS), splits)
    assert found.risk[[2, 7]].tolist() == [1, 1]
    assert 0.8 < found.risk[5] < 1
    assert found.risk[[0, 1, 6]].tolist() == [0, 0, 0], "a test split stays as it is"
    assert found.evidence["split"][[2, 7]].tolist() == ["test", "test"]
    assert found.evidence["partner"][[2, 5, 7]].tolist() == [0, 0, 0]
    assert [(group.name, group.rows.tolist(), group.evidence) for group in found.groups] == [
        ("train and test", [2, 7], {"n_exact": 2}),
        ("validation and test", [5], {"n_exact": 0}),
    ]


def test_a_contradiction_weighs_copies_by_similarity() -> None:
    labels = np.array([0, 5, 0, 1, 1, 1, 2, -1])
    found = contradictions(find_duplicates(TEXTS), labels)
    similarity = near_duplicates(find_duplicates(TEXTS)).risk[5]
    expected = [similarity / (2 + similarity), 0, similarity / (2 + similarity), np.nan, np.nan]
    assert found.risk.tolist() == pytest.approx(
        [*expected, 2 * similarity / (1 + 2 * similarity), 0, np.nan], nan_ok=True
    )
    assert found.evidence["label"].tolist() == [-1, -1, -1, -1, -1, 0, -1, -1]
    assert found.evidence["partner"].tolist() == [5, -1, 5, -1, -1, 0, -1, -1]
    assert np.isnan(found.evidence["similarity"][1])


@given(st.lists(st.tuples(st.sampled_from("abcd "), st.integers(-1, 2)), max_size=30))
def test_contradictions_of_exact_copies_are_counted(rows: list[tuple[str, int]]) -> None:
    texts, labels = [text for text, _ in rows], np.array([label for _, label in rows], dtype=np.int64)
    risk = contradictions(find_duplicates(texts), labels).risk
    for (text, label), found in zip(rows, risk, strict=True):
        same = [other for also, other in rows if also == text and other >= 0]
        expected = np.nan if text == " " or label < 0 else 1 - same.count(label) / len(same)
        assert found == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("texts", [[], [None], ["", " "], ["alone"]])
def test_little_or_no_text_is_no_error(texts: list[str | None]) -> None:
    found, n = find_duplicates(texts), len(texts)
    expected = pytest.approx([0.0 if texts == ["alone"] else np.nan] * n, nan_ok=True)
    splits = np.array(["train"] * n)
    for result in (exact_duplicates(found), near_duplicates(found), split_leaks(found, splits)):
        assert result.risk.tolist() == expected
    assert np.isnan(contradictions(found, np.full(n, -1)).risk).all()
    assert len(clusters(found)) == n


def test_labels_must_fit() -> None:
    with pytest.raises(ValueError, match=r"labels has shape \(1,\)"):
        contradictions(find_duplicates(["a", "b"]), np.array([0]))
