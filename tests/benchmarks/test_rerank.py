"""The benchmark of orders works on a few made-up questions, and says what it lacks."""

import csv
import doctest
from pathlib import Path

import pytest

from benchmarks import rerank


def test_doctests() -> None:
    assert doctest.testmod(rerank).attempted == 1
    assert doctest.testmod(rerank).failed == 0


def test_data_that_are_not_there_are_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRUTHFULQA", raising=False)
    report = rerank.measure(tmp_path, n_questions=None, epochs=1)
    assert report["cross-encoder"].note == "set TRUTHFULQA to the data's folder"


def test_every_way_of_ordering_is_measured_on_the_same_questions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with (tmp_path / "TruthfulQA.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["Question", "Correct Answers", "Incorrect Answers"])
        writer.writerows([(f"what is {i}?", f"{i} is a number", f"it is {i}; a very long answer") for i in range(20)])
    monkeypatch.setenv("TRUTHFULQA", str(tmp_path))
    report = rerank.measure(tmp_path, n_questions=18, epochs=1, is_small=True)
    assert report["chance: mrr@10"].value == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
    assert report["longest first: mrr@10"].value == pytest.approx(0.5)
    assert report["BM25: mrr@10"].value > 0.4
    assert report["cross-encoder: ndcg@10"].baseline.name == "chance: ndcg@10"
    assert {figure.note.partition("n = ")[2].partition(",")[0] for figure in report.figures} == {"5"}
