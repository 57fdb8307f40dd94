import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.duplicates import find_duplicates
from evals.triage.instructions import (
    COPIED_WORDS,
    conflicting_answers,
    copied_answers,
    empty_answers,
    instruction_difficulty,
    refused_answers,
    several_instructions,
    unfinished_answers,
)

NAN = np.nan


def test_empty_answers() -> None:
    answers = ["", "<noOutput>", "Output: ", "Answer: 5", "3. Output:", "None", "Yes", None]
    assert empty_answers(answers).risk.tolist() == pytest.approx([1, 0.9, 1, 0, 1, 0.9, 0, NAN], nan_ok=True)


@pytest.mark.parametrize(
    "answer",
    [
        "I'm sorry, but I can't assist with that request.", "As an AI language model, I do not have feelings.",
        "I cannot provide medical advice.", "I’m unable to access the internet.", "Sorry, I can't do that.",
        "I do not have access to real-time data.", "I must decline to answer.",
    ],
)  # fmt: skip
def test_refusals_are_found(answer: str) -> None:
    found = refused_answers([answer, "x " * 50 + answer])
    assert found.risk.tolist() == [0.9, 0.5]
    assert found.evidence["phrase"][0]


@pytest.mark.parametrize(
    "answer",
    [
        "", "I can't believe it!", "She said she was sorry, but she can swim.", "An AI is a program.",
        "I'm sorry for your loss.", "You cannot divide by zero.", "It is a language model trained on code.",
    ],
)  # fmt: skip
def test_what_only_sounds_like_a_refusal(answer: str) -> None:
    assert refused_answers([answer]).risk.tolist() == [0.0]


def test_copies_are_counted_in_words() -> None:
    prompt = "the quick brown fox jumps over the lazy dog today"
    answers = [
        prompt, "The quick, brown fox JUMPS!", "he said the quick brown fox jumps there", "no", "", None,
        "over the lazy dog", "the lazy brown dog jumps over quick fox",
    ]  # fmt: skip
    found = copied_answers([prompt] * 8, answers)
    assert found.risk.tolist() == pytest.approx([1, 1, 5 / 8, 0, 0, NAN, 0, 0], nan_ok=True)
    assert found.evidence["n_words"].tolist() == [10, 5, 5, -1, -1, -1, -1, -1]
    assert copied_answers(["Say hello", "Say hello"], ["say Hello!", "hello"]).risk.tolist() == [1, 0]
    assert np.isnan(copied_answers([None], ["a"]).risk[0])


@given(st.lists(st.sampled_from("abc"), max_size=25), st.lists(st.sampled_from("abc"), min_size=5, max_size=25))
def test_copied_words_are_those_of_a_naive_search(prompt: list[str], answer: list[str]) -> None:
    n = COPIED_WORDS
    runs = [prompt[at : at + n] for at in range(len(prompt) - n + 1)]
    copied = {at + i for at in range(len(answer) - n + 1) if answer[at : at + n] in runs for i in range(n)}
    assert copied_answers([" ".join(prompt)], [" ".join(answer)]).risk[0] == pytest.approx(len(copied) / len(answer))


def test_answers_that_break_off_where_most_end() -> None:
    answers: list[str | None] = ["It is done.", "Total: $5", "(see above)", "Really?", "“So.”", "結果です。"] * 3
    answers += ["The second cut gives 50 /", "apples, pears and", "it was good", "see https://x.org/a", None, " "]
    found = unfinished_answers(answers)
    assert found.risk[:18].tolist() == [0] * 18
    assert found.risk[18:].tolist() == pytest.approx([0.9, 0.9, 19 / 22, 0, NAN, NAN], nan_ok=True)
    assert found.evidence["end"][18] == "The second cut gives 50 /"
    labels = unfinished_answers(["positive", "negative", "neutral."])
    assert labels.risk.tolist() == [0, 0, 0], "where answers have no ending, its lack says nothing"


@pytest.mark.parametrize(
    ("prompt", "n"),
    [
        ("How old is Ann?", 1), ("Ann is 5. Bob is 7. How old are both?", 1), ("Write a poem about the sea.", 1),
        ("Who was Bach? Where was he born?", 2), ("Summarize the text. Then translate it. Also list the names.", 3),
        ("1. Explain gravity.\n2. Give two examples.\n3. What is mass?", 3), ("- describe it\n- name it", 2), ("", 0),
        ("Please write a letter. Please.", 1), ("I like tea.", 0),
    ],
)  # fmt: skip
def test_questions_and_commands_are_counted(prompt: str, n: int) -> None:
    found = several_instructions([prompt])
    assert found.evidence["n_asked"].tolist() == [n]
    assert found.risk[0] == pytest.approx(1 - 1 / max(1, n))


def test_a_pair_into_which_the_next_has_run() -> None:
    merged = "9 people.\n##\n18. Instruction:\nAdd 2 and 3\n18. Input:\n<noinput>"
    prompts = ["Add 1 and 2", f"Add it\n{merged}", "### Instruction:\nAdd it\n### Response:", None, "Add"]
    found = several_instructions(prompts, [merged, "3", "3", "3", "### Response: 3"])
    assert found.risk.tolist() == pytest.approx([0.95, 0.95, 0, NAN, 0.95], nan_ok=True)
    assert found.evidence["template"][0] == "## 18. Instruction:"


def test_conflicts_need_the_same_question_and_other_answers() -> None:
    question = "What is the largest city of the state of New York, please?"
    prompts = [
        question,
        question.upper(),
        question,
        question + "?",
        "Add 2 and 3 to the number 7 now",
        "Add 2 and 4 to the number 7 now",
        question,
        None,
    ]
    answers = ["New York", "new york", "Buffalo", "Albany it is", "12", "13", "", "x"]
    found = conflicting_answers(find_duplicates(prompts), prompts, answers)
    assert found.risk[:3].tolist() == [1, 1, 1]
    assert found.evidence["partner"][:3].tolist() == [2, 2, 0]
    assert 0.8 < found.risk[3] < 1
    assert found.evidence["similarity"][3] == pytest.approx(found.risk[3])
    assert found.risk[4:].tolist() == pytest.approx([0, 0, NAN, NAN], nan_ok=True), (
        "other numbers, no answer, no prompt"
    )


def test_every_one_of_a_crowd_is_in_the_conflict() -> None:
    prompts: list[str | None] = ["What is the capital of Australia?"] * 6
    answers = ["Canberra"] * 3 + ["Sydney it must be"] * 3
    assert conflicting_answers(find_duplicates(prompts), prompts, answers).risk.tolist() == [1] * 6
    assert conflicting_answers(find_duplicates(prompts), prompts, ["Canberra"] * 6).risk.tolist() == [0] * 6


def test_difficulty_is_above_one_half_where_the_prompt_hurts() -> None:
    found = instruction_difficulty(np.array([1.0, 2.0, 3.0, NAN, 0.0, 1.0]), np.array([2.0, 2.0, 1.0, 1.0, 0.0, 0.0]))
    assert found.risk.tolist() == pytest.approx([1 / 3, 0.5, 0.75, NAN, NAN, 1], nan_ok=True)
    with pytest.raises(ValueError, match="answer_loss_alone has shape"):
        instruction_difficulty(np.zeros(2), np.zeros(3))


@pytest.mark.parametrize("texts", [[], [None], ["", None]])
def test_nothing_is_no_error(texts: list[str | None]) -> None:
    n = len(texts)
    for found in (
        empty_answers(texts), refused_answers(texts), copied_answers(texts, texts), unfinished_answers(texts),
        several_instructions(texts, texts), conflicting_answers(find_duplicates(texts), texts, texts),
    ):  # fmt: skip
        assert found.risk.shape == (n,)
        assert all(len(column) == n for column in found.evidence.values())
