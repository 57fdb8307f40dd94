import re

import numpy as np
import pytest
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu.metrics import BLEU, CHRF

from evals.generated import generated_columns, rouge_columns, score_generated

WORDS = re.split(" ", "a cat sat on the mat while dogs ran past, quickly; it was 7 o'clock and (very) cold.")


def _texts(n: int, seed: int = 0) -> tuple[list[str], list[list[str]]]:
    """Texts that are shuffled, cut and repeated pieces of their references; one to three references each."""
    rng = np.random.default_rng(seed)
    references = [
        [" ".join(rng.choice(WORDS, size=rng.integers(1, 25))) for _ in range(rng.integers(1, 4))] for _ in range(n)
    ]
    texts = []
    for each in references:
        words = np.array(each[0].split())
        words = np.where(rng.random(len(words)) < 0.7, words, rng.choice(WORDS, size=len(words)))
        texts.append(" ".join(words[: rng.integers(1, len(words) + 1)]))
    return texts, references


def test_rouge_is_that_of_rouge_score() -> None:
    texts, references = _texts(200)
    texts[0], references[1] = "", ["", "..."]
    columns = rouge_columns(texts, references)
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"])
    for row, (text, each) in enumerate(zip(texts, references, strict=True)):
        expected = scorer.score_multi(each, text)
        for name, column in columns.items():
            assert column[row] == pytest.approx(expected[name].fmeasure), (name, text, each)
    assert 0 < columns["rougeL"].mean() < 1


def test_words_of_other_scripts_count() -> None:
    texts, references = ["यह अच्छा है", "größe zählt"], [["यह बुरा है"], ["größe zählt nicht"]]
    found = rouge_columns(texts, references)
    assert found["rouge1"][0] > 0.4
    assert found["rouge1"][1] == pytest.approx(0.8)


def _in_columns(references: list[list[str]]) -> list[list[str | None]]:
    """As sacrebleu takes them: a list for each place of a reference, None where an example has none there."""
    n = max(len(each) for each in references)
    return [[each[at] if at < len(each) else None for each in references] for at in range(n)]


def test_bleu_and_chrf_are_those_of_sacrebleu() -> None:
    texts, references = _texts(100, seed=1)
    scores = {score.metric: score for score in score_generated(texts, references, n_boot=20)}
    assert scores["bleu"].value == pytest.approx(BLEU().corpus_score(texts, _in_columns(references)).score)
    assert scores["chrf"].value == pytest.approx(CHRF().corpus_score(texts, _in_columns(references)).score)
    columns = generated_columns(texts, references)
    for row, (text, each) in enumerate(zip(texts, references, strict=True)):
        assert columns["chrf"][row] == pytest.approx(CHRF().sentence_score(text, each).score)
    assert all(score.n == 100 for score in scores.values())


def test_intervals_are_those_of_a_bootstrap_over_examples() -> None:
    texts, references = _texts(40, seed=2)
    scores = {score.metric: score for score in score_generated(texts, references, n_boot=1000)}
    rng = np.random.default_rng(0)
    draws = []
    for _ in range(120):
        rows = rng.integers(40, size=40)
        mine, theirs = [texts[row] for row in rows], _in_columns([references[row] for row in rows])
        draws.append((BLEU().corpus_score(mine, theirs).score, CHRF().corpus_score(mine, theirs).score))
    for name, column in zip(("bleu", "chrf"), np.array(draws).T, strict=True):
        low, high = np.quantile(column, [0.025, 0.975])
        assert scores[name].low == pytest.approx(low, abs=0.25 * (high - low)), name
        assert scores[name].high == pytest.approx(high, abs=0.25 * (high - low)), name


def test_examples_without_a_reference_are_left_out_and_no_text_is_an_empty_one() -> None:
    texts, references = ["a cat", None, "dogs ran"], [["a cat"], ["a cat"], []]
    columns = generated_columns(texts, references)
    assert all(np.isnan(column).tolist() == [False, False, True] for column in columns.values())
    assert all(column[1] == 0 for column in columns.values())
    scores = score_generated(texts, references)
    assert all(score.n == 2 for score in scores)
    assert scores[0].value == 0.5
    assert all(np.isnan(score.value) and score.n == 0 for score in score_generated([], []))


def test_references_that_are_one_text_are_refused() -> None:
    with pytest.raises(ValueError, match="references of example 1 are a text"):
        score_generated(["a", "b"], [["a"], "b"])
    with pytest.raises(ValueError, match="1 texts for 2 examples"):
        rouge_columns(["a"], [["a"], ["b"]])
