import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.triage.detection import find_all
from evals.triage.garbage import (
    PHRASE,
    empty_texts,
    markup_texts,
    repeated_texts,
    truncated_texts,
    without_markup,
)
from evals.triage.inputs import Inputs


@pytest.mark.parametrize(
    ("text", "risk"),
    [
        ("", 1.0), ("  \n\t", 1.0), ("\u200b\ufeff", 1.0), ("\x00\x01", 1.0),
        ("n/a", 0.9), ("None", 0.9), ("[deleted]", 0.9), ("Lorem ipsum dolor sit amet", 0.9), ("...", 0.9),
        ("?", 0.7), ("!!! --", 0.7), ("___", 0.7), ("=>", 0.7),
        ("no", 0.0), ("7", 0.0), ("é", 0.0), ("好", 0.0), ("ሰላም", 0.0), ("🙂", 0.0), ("❤️", 0.0), ("None of these", 0.0),
        (None, np.nan),
    ],
)  # fmt: skip
def test_empty(text: str | None, risk: float) -> None:
    found = empty_texts([text])
    assert found.risk[0] == pytest.approx(risk, nan_ok=True)
    assert bool(found.evidence["reason"][0]) == (risk > 0)


def test_repetition_is_the_share_of_characters() -> None:
    texts = ["a b c " * 2, "one two three four five six", "wow aaaaaaaaaa", "very very good", "ha " * 10, None, ""]
    found = repeated_texts(texts)
    # twice "a b c": the second three of six letters; a run of 10 leaves one of 13; ha: all but the first
    expected = [3 / 6, 0, 9 / 13, 0, 18 / 20, np.nan, 0]
    assert found.risk.tolist() == pytest.approx(expected, nan_ok=True)
    assert found.evidence["repeated"][[0, 2, 4]].tolist() == ["a b c", "aaaaaaaaaa", "ha ha ha"]


@given(st.lists(st.sampled_from(["ab", "c", "def", "g!"]), max_size=30))
def test_repeated_phrases_are_those_of_a_naive_search(words: list[str]) -> None:
    words = [word for word in words if word != "g!"]
    again = set()
    for at in range(len(words) - PHRASE + 1):
        if words[at : at + PHRASE] in [words[b : b + PHRASE] for b in range(at)]:
            again |= set(range(at, at + PHRASE))
    total = sum(map(len, words))
    expected = sum(len(words[at]) for at in again) / total if total else 0.0
    assert repeated_texts([" ".join(words)]).risk[0] == pytest.approx(expected)


@pytest.mark.parametrize(
    ("text", "piece"),
    [
        ("<p>hello</p>", "<p>"), ("a<br />b", "<br />"), ("x <!-- y --> z", "<!--"), ("fish &amp; chips", "&amp;"),
        ("it&#39;s", "&#39;"), ("[url=http://x.y]z[/url]", "[url=http://x.y]"),
        ("[b]so[/b]", "[b]"), ("Dear {{first_name}}", "{{first_name}}"),
        ("<|im_start|>user", "<|im_start|>"), ('<a href="x">y</a>', '<a href="x">'), ("[INST] do it", "[INST]"),
    ],
)  # fmt: skip
def test_markup_is_found(text: str, piece: str) -> None:
    found = markup_texts([text])
    assert 0.5 < found.risk[0] <= 1
    assert found.evidence["markup"][0] == piece


@pytest.mark.parametrize(
    "text", ["", "a < b and c > d", "R&D; really", "x[i] = y[0]", "List<int>", "<3", "f {x}", "[1]"]
)
def test_what_only_looks_like_markup(text: str) -> None:
    found = markup_texts([text])
    assert (found.risk.tolist(), found.evidence["markup"].tolist()) == ([0.0], [""])


def test_all_markup_is_risk_1_and_unknown_is_unknown() -> None:
    found = markup_texts(["<div></div>", None])
    assert found.risk[0] == 1
    assert np.isnan(found.risk[1])
    assert found.evidence["text"].tolist() == ["", ""]
    assert without_markup("<b>bold</b>&nbsp;&lt;tag&gt;") == "bold <tag>"


def test_truncation_is_the_share_lost() -> None:
    found = truncated_texts(np.array([0, 10, 11, 20, np.nan, -1]), 10)
    assert found.risk.tolist() == pytest.approx([0, 0, 1 / 11, 0.5, np.nan, np.nan], nan_ok=True)
    assert found.evidence["n_lost"].tolist() == [-1, -1, 1, 10, -1, -1]
    assert truncated_texts(np.array([], dtype=np.int64), 5).risk.tolist() == []
    with pytest.raises(ValueError, match="max_length is 0; needed: 1 or more"):
        truncated_texts(np.array([1]), 0)


@given(st.lists(st.none() | st.text(max_size=40), max_size=5))
def test_any_text_has_a_risk_in_its_range(texts: list[str | None]) -> None:
    for check in (empty_texts, repeated_texts, markup_texts):
        risk = check(texts).risk
        assert np.isnan(risk).tolist() == [text is None for text in texts]
        assert ((risk >= 0) & (risk <= 1))[~np.isnan(risk)].all()


def test_each_text_of_a_pair_is_judged_by_itself() -> None:
    asked = ["how can i block my card", "where is it", "buy now buy now buy now", None]
    said = ["how can i block my card", None, "here you are", None]
    texts = [f"{question}\n{answer}" for question, answer in zip(asked, said, strict=True)]
    found = repeated_texts(texts, (asked, said))
    assert found.risk[:2].tolist() == [0.0, 0.0]
    assert found.risk[2] > 0.4
    assert np.isnan(found.risk[3])
    assert found.evidence["repeated"].tolist() == ["", "", "buy now buy", ""]
    assert repeated_texts(texts).risk[0] > 0.4, "as one text it would"
    detected = find_all(Inputs(4, texts=texts, parts=(asked, said))).examples
    assert detected.query("kind == 'repetition'")["row"].tolist() == [2]
