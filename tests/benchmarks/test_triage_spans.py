"""The benchmark of wrong spans plants what it says, and says what it lacks."""

from pathlib import Path

import pytest

from benchmarks.triage_spans import AS_SEEN, KINDS, Sentence, draw, measure, plant
from evals.tags import Span, tags_of
from evals.triage.spans import compare_spans


def test_data_that_are_not_there_are_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NCBI_DISEASE", raising=False)
    (figure,) = measure(tmp_path, base="builtin:minilm", n=10, epochs=1).figures
    assert (figure.verdict, figure.note) == ("not measured", "set NCBI_DISEASE to the data's folder")


def test_each_planted_span_is_wrong_in_its_own_way() -> None:
    words = [f"word{chr(97 + i)}" for i in range(12)]
    truth = [Sentence([*words, str(i)], [Span(2, 5, "X"), Span(7, 8, "X")]) for i in range(60)]
    given, planted = plant(truth, seed=1)
    assert [sum(kind is each for kind in planted) for each in KINDS] == [2, 2, 2]
    for right, wrong, kind in zip(truth, given, planted, strict=True):
        tags_of(wrong.spans, len(wrong.words))  # none of them overlap
        errors = [error.kind for error in compare_spans(wrong.spans, right.spans)]
        assert errors == ([] if kind is None else [AS_SEEN[kind]])
    assert len({tuple(each.words) for each in draw(truth, 20, seed=0)}) == 20
