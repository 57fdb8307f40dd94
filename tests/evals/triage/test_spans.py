import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.tags import Span
from evals.triage.spans import COLUMNS, SpanKind, compare_spans, span_errors, span_table

PER, LOC = "PER", "LOC"


@pytest.mark.parametrize(
    ("given_spans", "predicted", "kinds"),
    [
        ([(0, 2, PER)], [(0, 2, PER)], []),
        ([(0, 2, PER)], [(0, 2, LOC)], ["wrong tag"]),
        ([(0, 2, PER)], [(0, 3, PER)], ["span shift"]),
        ([(0, 2, PER)], [(1, 3, LOC)], ["span shift"]),
        ([(0, 2, PER)], [], ["missed"]),
        ([], [(0, 2, PER)], ["ghost"]),
        ([(0, 2, PER)], [(2, 4, PER)], ["missed", "ghost"]),  # touching is no overlap
        ([(0, 4, PER)], [(0, 2, PER), (2, 4, PER)], ["span shift", "ghost"]),  # split in two: one pair, one over
        ([(0, 2, PER), (2, 4, PER)], [(0, 4, PER)], ["span shift", "missed"]),  # joined
        ([(0, 2, PER), (3, 5, LOC)], [(0, 2, LOC), (3, 5, PER)], ["wrong tag", "wrong tag"]),
        ([(0, 3, PER)], [(0, 2, LOC), (2, 5, PER)], ["ghost", "span shift"]),  # the same tag before more tokens
        ([], [], []),
    ],
)
def test_the_kinds_are_what_their_definition_says(
    given_spans: list[tuple[int, int, str]], predicted: list[tuple[int, int, str]], kinds: list[str]
) -> None:
    found = compare_spans([Span(*each) for each in given_spans], [Span(*each) for each in predicted])
    assert [error.kind.value for error in found] == kinds


def test_a_shift_goes_to_the_span_of_the_same_tag() -> None:
    (ghost, shift) = compare_spans([Span(0, 3, PER)], [Span(0, 2, LOC), Span(2, 5, PER)])
    assert shift.predicted == Span(2, 5, PER)
    assert ghost.predicted == Span(0, 2, LOC)


SPANS = st.lists(st.tuples(st.integers(0, 8), st.integers(1, 4), st.sampled_from([PER, LOC])), max_size=5).map(
    lambda spans: [Span(start, start + size, tag) for start, size, tag in spans]
)


@given(SPANS, SPANS)
def test_no_span_is_left_over_or_counted_twice(given_spans: list[Span], predicted: list[Span]) -> None:
    errors = compare_spans(given_spans, predicted)
    right = set(given_spans) & set(predicted)
    mine = [error.given for error in errors if error.given]
    others = [error.predicted for error in errors if error.predicted]
    assert sorted([*mine, *right]) == sorted(set(given_spans))
    assert sorted([*others, *right]) == sorted(set(predicted))
    for error in errors:
        a, b = error.given, error.predicted
        if error.kind is SpanKind.WRONG_TAG:
            assert a[:2] == b[:2]
            assert a.tag != b.tag
        elif error.kind is SpanKind.SHIFT:
            assert a[:2] != b[:2]
            assert max(a.start, b.start) < min(a.end, b.end)
        else:
            assert (a is None) == (error.kind is SpanKind.GHOST)
            assert (b is None) == (error.kind is SpanKind.MISSED)


def test_sentences_are_as_risky_as_the_share_that_differs() -> None:
    given_spans = [[Span(0, 1, PER), Span(3, 4, LOC)], [], [Span(0, 2, LOC)], [Span(0, 1, PER)]]
    predicted = [[Span(0, 1, PER), Span(6, 7, PER)], [], [Span(0, 2, PER)], None]
    found = span_errors(given_spans, predicted)
    assert found.risk.tolist() == pytest.approx([2 / 3, 0, 1, float("nan")], nan_ok=True)
    assert found.evidence["kinds"].tolist() == ["missed LOC, ghost PER", "", "wrong tag LOC", ""]
    assert found.evidence["n_errors"].tolist() == [2, -1, 1, -1]
    groups = {group.name: (group.risk, group.rows.tolist()) for group in found.groups}
    assert groups == {"missed LOC": (0.5, [0]), "wrong tag LOC": (0.5, [2]), "ghost PER": (1 / 3, [0])}
    table = span_table(given_spans, predicted)
    assert list(table.columns) == list(COLUMNS)
    assert table.iloc[0].tolist() == [0, "missed", 3, 4, LOC, -1, -1, ""]


@pytest.mark.parametrize("n", [0, 2])
def test_nothing_is_no_error(n: int) -> None:
    found = span_errors([[]] * n, [[]] * n)
    assert (found.risk.tolist(), found.groups) == ([0.0] * n, ())
    assert span_errors([[]] * n, [None] * n).groups == ()
