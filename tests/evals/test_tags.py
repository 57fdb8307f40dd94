import warnings

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from seqeval.metrics.sequence_labeling import get_entities
from seqeval.scheme import BILOU, IOB2, IOBES, Tokens

from evals.tags import Scheme, Span, detect_scheme, spans_of, split_tag, tag_problems, tags_of

THEIRS = {Scheme.BIO: IOB2, Scheme.BIOES: IOBES, Scheme.BILOU: BILOU}
PER, LOC = "PER", "LOC"
PREFIXES = {Scheme.BIO: "BI", Scheme.BIOES: "BIES", Scheme.BILOU: "BILU"}


def _random_sentences(scheme: Scheme, n: int) -> list[list[str]]:
    """Tags without sense: every transition there is, legal or not."""
    rng = np.random.default_rng(len(scheme))
    names = ["O", *(f"{prefix}-{name}" for prefix in PREFIXES[scheme] for name in ("X", "geo-loc"))]
    return [rng.choice(names, size=rng.integers(1, 12)).tolist() for _ in range(n)]


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ("B-PER I-PER O B-LOC", [Span(0, 2, PER), Span(3, 4, LOC)]),  # IOB2
        ("I-PER I-PER O I-LOC", [Span(0, 2, PER), Span(3, 4, LOC)]),  # IOB1
        ("B-PER B-PER I-LOC", [Span(0, 1, PER), Span(1, 2, PER), Span(2, 3, LOC)]),
        ("S-PER S-PER B-LOC M-LOC E-LOC O", [Span(0, 1, PER), Span(1, 2, PER), Span(2, 5, LOC)]),  # IOBES
        ("U-PER B-LOC I-LOC L-LOC L-LOC", [Span(0, 1, PER), Span(1, 4, LOC), Span(4, 5, LOC)]),  # BILOU
        ("PER PER O LOC", [Span(0, 2, PER), Span(3, 4, LOC)]),
        ("B-X-ray I-X-ray", [Span(0, 2, "X-ray")]),
        ("O O", []),
        ("", []),
    ],
)
def test_tags_are_read_as_spans(tags: str, expected: list[Span]) -> None:
    assert spans_of(tags.split()) == expected


@pytest.mark.parametrize("scheme", [Scheme.BIO, Scheme.BIOES])
def test_lenient_spans_are_those_of_seqeval(scheme: Scheme) -> None:
    sentences = _random_sentences(scheme, 2000)
    for tags in sentences:
        assert [(name, start, end - 1) for start, end, name in spans_of(tags)] == get_entities(tags)
    assert sum(len(spans_of(tags)) for tags in sentences) > 2000


@pytest.mark.parametrize("scheme", Scheme)
def test_strict_spans_are_those_of_seqeval(scheme: Scheme) -> None:
    sentences = _random_sentences(scheme, 2000)
    for tags in sentences:
        theirs = [Span(entity.start, entity.end, entity.tag) for entity in Tokens(tags, THEIRS[scheme]).entities]
        assert spans_of(tags, strict=scheme) == theirs
    assert sum(len(spans_of(tags, strict=scheme)) for tags in sentences) > 500


def test_bilou_is_read_as_bioes() -> None:
    for tags in _random_sentences(Scheme.BILOU, 500):
        renamed = [{"L": "E", "U": "S"}.get(tag[0], tag[0]) + tag[1:] for tag in tags]
        assert spans_of(tags) == spans_of(renamed)


@st.composite
def _sentences(draw: st.DrawFn) -> tuple[list[Span], int]:
    lengths = draw(st.lists(st.tuples(st.integers(1, 4), st.sampled_from(["", "X", "Y"])), max_size=8))
    spans, at = [], 0
    for length, name in lengths:
        if name:
            spans.append(Span(at, at + length, name))
        at += length
    return spans, at


@given(_sentences(), st.sampled_from(Scheme))
def test_spans_survive_being_written_and_are_written_by_the_rules(sentence: tuple, scheme: Scheme) -> None:
    spans, n_words = sentence
    tags = tags_of(spans, n_words, scheme)
    assert len(tags) == n_words
    assert tag_problems([tags], scheme) == []
    assert spans_of(tags, strict=scheme) == spans
    assert spans_of(tags) == spans


@given(st.lists(st.sampled_from(["O", "B-X", "I-X", "E-X", "S-X", "B-Y", "I-Y", "E-Y", "S-Y"]), max_size=10))
def test_a_sentence_has_problems_when_the_rules_read_it_differently(tags: list[str]) -> None:
    rewritten = tags_of(spans_of(tags, strict=Scheme.BIOES), len(tags), Scheme.BIOES)
    assert (tag_problems([tags], Scheme.BIOES) == []) == (rewritten == tags)


@pytest.mark.parametrize(
    ("tags", "scheme", "expected"),
    [
        ("O I-PER", Scheme.BIO, [(1, "I-PER goes on with nothing: a span begins with B-PER")]),
        ("B-PER I-LOC I-LOC", Scheme.BIO, [(1, "I-LOC follows B-PER: a span begins with B-LOC")]),
        ("B-PER E-PER I-PER", Scheme.BIO, [
            (1, '"E-PER" is no tag of BIO; allowed: O, B-TYPE, I-TYPE'),
            (2, "I-PER goes on with nothing: a span begins with B-PER"),
        ]),
        ("B-PER O", Scheme.BIOES, [(0, "B-PER is not ended: I-PER or E-PER must follow")]),
        ("O B-PER I-PER", Scheme.BILOU, [(2, "I-PER is not ended: I-PER or L-PER must follow")]),
        ("L-PER", Scheme.BILOU, [(0, "L-PER goes on with nothing: a span begins with B-PER or is U-PER")]),
        ("B-", Scheme.BIO, [(0, '"B-" is no tag of BIO; allowed: O, B-TYPE, I-TYPE')]),
        ("S-PER B-PER E-PER", Scheme.BIOES, []),
        ("", Scheme.BIO, []),
    ],
)  # fmt: skip
def test_problems_name_the_place_and_the_rule(tags: str, scheme: Scheme, expected: list) -> None:
    found = tag_problems([["O"], tags.split()], scheme)
    assert [(problem.sentence, problem.word, problem.reason) for problem in found] == [(1, *each) for each in expected]
    assert all(problem.tag == tags.split()[problem.word] for problem in found)


def test_problems_stop_at_the_limit() -> None:
    assert len(tag_problems([["I-X", "O", "I-X"]] * 100, Scheme.BIO, limit=3)) == 3


def test_schemes_are_told_by_their_prefixes() -> None:
    assert detect_scheme(["O", "B-X", "I-X"]) is Scheme.BIO
    assert detect_scheme(["O", "S-X"]) is Scheme.BIOES
    assert detect_scheme(["U-X", "O"]) is Scheme.BILOU
    assert detect_scheme([]) is Scheme.BIO
    with pytest.raises(ValueError, match='"B-", "PER", "Q-X": no tag of BIO'):
        detect_scheme(["O", "PER", "Q-X", "B-", "B-X"])
    with pytest.raises(ValueError, match="prefixes E, U are of two schemes"):
        detect_scheme(["E-X", "U-X"])
    assert split_tag("") == ("O", "")


@pytest.mark.parametrize(
    ("spans", "message"),
    [
        ([Span(0, 5, "X")], "0 to 5 .X. does not lie in a sentence of 4"),
        ([Span(2, 2, "X")], "does not lie"),
        ([Span(0, 2, "X"), Span(1, 3, "Y")], "1 to 3 .Y. overlaps"),
    ],
)
def test_spans_that_cannot_be_tags(spans: list[Span], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        tags_of(spans, 4)


@pytest.fixture(autouse=True)
def _no_seqeval_notices() -> object:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
