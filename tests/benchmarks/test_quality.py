"""A target is trained and held against logistic regression, or skipped with its reason."""

from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.quality import TARGETS, Target, measure


def test_data_that_are_not_there_are_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BANKING77", "TWEETEVAL"):
        monkeypatch.delenv(name, raising=False)
    report = measure(TARGETS, tmp_path)
    assert [figure.verdict for figure in report.figures] == ["not measured"] * len(TARGETS)
    assert report["banking77-head: test accuracy"].note == "set BANKING77 to the data's folder"
    assert not report.is_missed


def test_every_target_has_its_recipe() -> None:
    assert len(TARGETS) == 4
    assert [target.recipe for target in TARGETS if not (quality.RECIPES / f"{target.recipe}.toml").is_file()] == []


def test_trains_and_compares(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: list[str]) -> None:
    monkeypatch.setenv("TINY", str(tmp_path))
    monkeypatch.setattr(quality, "RECIPES", tmp_path)
    (tmp_path / "tiny.toml").write_text(
        'name = "tiny"\ntask = "text-classification"\n[model]\nbase = "builtin:minilm"\n[data]\nsource = "x.csv"\n'
    )
    report = measure([Target("tiny", "TINY", "tiny", "accuracy", 0.5)], tmp_path, [*tiny, "training.epochs=1"])
    reached = report["tiny: test accuracy"]
    assert 0 <= reached.value <= 1
    assert "n = 8" in reached.note
    assert reached.baseline.value == report["logistic regression"].value
