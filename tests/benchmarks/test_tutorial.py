"""Both trainings see the same examples, and padding is counted as it is."""

import csv
from pathlib import Path

from benchmarks.tiny import BERT, rows, save_model, save_tokenizer
from benchmarks.tutorial import Size, measure


def test_defaults_beside_a_tutorial(tmp_path: Path) -> None:
    tokenizer = save_tokenizer(tmp_path / "tokenizer")
    base = save_model(tmp_path / "bert", tokenizer, "bert", BERT)
    for seed, name in enumerate(("val", "test")):
        with (tmp_path / f"{name}.csv").open("w", newline="") as file:
            csv.writer(file).writerows([("text", "label"), *rows(120, seed=seed)])
    (tmp_path / "work").mkdir()
    report = measure(Size(60, 30, 2, 60), tmp_path / "work", tmp_path, base)
    waste = report["tokens computed ÷ tokens of the texts, defaults"].value or 0
    longest = report["the same, all padded to 60"].value or 0
    assert 1 <= waste <= (report["the same, texts in any order"].value or 0) < longest
    assert (report["defaults: training examples a second"].value or 0) > 0
    assert report.size == "108 examples seen in 2 passes, padding over 108 texts"
    for name in ("tutorial: test accuracy", "defaults: test accuracy"):
        assert 0 <= (report[name].value or 0) <= 1
        assert report[name].note.endswith(" on 30")
