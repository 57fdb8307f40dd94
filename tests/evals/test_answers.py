import numpy as np
import pytest

from evals.answers import answer_columns, exact_match, normalise_answer, score_answers, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The cat", "cat"),
        ("an  A\tthe", ""),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),
        ("it's a dog's life", "its dogs life"),
        ("«Ça» — 10 %", "«ça» — 10"),  # punctuation beyond ASCII stays, as in SQuAD's own script
    ],
)
def test_normalisation(text: str, expected: str) -> None:
    assert normalise_answer(text) == expected


def test_the_right_answer_that_fits_best_counts() -> None:
    assert exact_match("Paris", ["London", "paris!"])
    assert not exact_match("Paris", ["London"])
    assert token_f1("big red dog", ["red", "big red"]) == pytest.approx(0.8)
    assert token_f1("dog dog", ["dog"]) == pytest.approx(2 / 3)  # words count as often as they occur
    assert np.isnan(token_f1("dog", []))


def test_answers_without_words() -> None:
    assert token_f1("the", [""]) == 1
    assert token_f1("", ["dog"]) == 0
    assert token_f1("dog", [""]) == 0


def test_no_answer_is_wrong_and_no_right_answer_is_left_out() -> None:
    columns = answer_columns([None, "x", "y"], [["x"], ["x"], []])
    np.testing.assert_array_equal(columns["exact_match"], [0, 1, np.nan])
    scores = score_answers([None, "x", "y"], [["x"], ["x"], []])
    assert [(score.metric, score.value, score.n) for score in scores] == [("exact_match", 0.5, 2), ("token_f1", 0.5, 2)]
    with pytest.raises(ValueError, match="1 answers for 2 examples"):
        answer_columns(["x"], [["x"], ["y"]])


def test_none_of_four_may_be_some_of_all() -> None:
    matches, _ = score_answers(["a b"] * 4, [["x"]] * 4)
    assert (matches.value, matches.low) == (0, 0)
    assert matches.high == pytest.approx(0.49, abs=0.005)


def test_the_interval_is_that_of_a_mean() -> None:
    answers = ["x"] * 300 + ["y"] * 100
    score = score_answers(answers, [["x"]] * 400, n_boot=3000)[0]
    half = 1.96 * np.sqrt(0.75 * 0.25 / 400)
    assert score.value == 0.75
    assert score.high - score.value == pytest.approx(half, rel=0.1)
