"""Every way of merging is measured on the test split of each task, beside its parents."""

import csv
from pathlib import Path

import pytest

from benchmarks import merging
from benchmarks.merging import TASKS, measure
from benchmarks.tiny import BERT, rows, save_model, save_tokenizer

WAYS = ("linear", "dare-ties")


def test_ways_stand_beside_what_they_are_made_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(merging, "WAYS", WAYS)  # two are quick, and the others go the same way
    tokenizer = save_tokenizer(tmp_path / "tokenizer")
    base = save_model(tmp_path / "bert", tokenizer, "bert", BERT)
    for task in TASKS:
        (tmp_path / "tweets" / task).mkdir(parents=True)
        for seed, name in enumerate(("train", "val", "test")):
            with (tmp_path / "tweets" / task / f"{name}.csv").open("w", newline="") as file:
                csv.writer(file).writerows([("text", "label"), *rows(60, seed=seed)])
    (tmp_path / "work").mkdir()
    settings = [f'model.base="{base}"', "training.epochs=2"]
    report = measure(tmp_path / "work", tmp_path / "tweets", settings, n_rows=40)
    for task in TASKS:
        own = report[f"{task}: its own adapter"]
        assert own.note.endswith("n = 40")
        for way in WAYS:
            merged = report[f"{task}: {way}"]
            assert 0 <= (merged.value or 0) <= 1
            assert merged.baseline is not None
            assert merged.baseline.value == own.value
        assert {f"{task}: before training", f"{task}: the other task's adapter"} <= {f.name for f in report.figures}
