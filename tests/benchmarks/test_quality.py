"""A target is trained and held against logistic regression, or skipped with its reason."""

import json
from pathlib import Path

import pytest

from benchmarks import quality
from benchmarks.quality import TARGETS, Target, measure


def test_data_that_are_not_there_are_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("BANKING77", "TWEETEVAL", "NCBI_DISEASE", "NLUPP"):
        monkeypatch.delenv(name, raising=False)
    report = measure(TARGETS, tmp_path)
    assert [figure.verdict for figure in report.figures] == ["not measured"] * len(TARGETS)
    assert report["banking77-head: test accuracy"].note == "set BANKING77 to the data's folder"
    assert not report.is_missed


def test_every_target_has_its_recipe() -> None:
    assert len(TARGETS) == 6
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


def test_simple_ones_for_spans_and_sets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny: list[str]) -> None:
    """Both are measured by the metric of their task, and learn what there is to learn."""
    settings = [each for each in tiny if not each.startswith("data.source")]
    (tmp_path / "spans.tsv").write_text("".join(f"w{i}\tO\nsoup\tB-food\n\n" for i in range(40)))
    rows = [
        {"text": f"soup {i}" if i % 2 else f"ball {i}", "labels": ["food", "all"] if i % 2 else ["all"]}
        for i in range(60)
    ]
    (tmp_path / "sets.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    monkeypatch.setenv("TINY", str(tmp_path))
    monkeypatch.setattr(quality, "RECIPES", tmp_path)
    for name, task, file in (
        ("spans", "token-classification", "spans.tsv"),
        ("sets", "multi-label-classification", "sets.jsonl"),
    ):
        (tmp_path / f"{name}.toml").write_text(
            f'name = "{name}"\ntask = "{task}"\n[model]\nbase = "builtin:minilm"\n[data]\nsource = "{file}"\n'
        )
    targets = [Target("spans", "TINY", "spans", "entity_f1"), Target("sets", "TINY", "sets", "micro_f1")]
    report = measure(targets, tmp_path, [*settings, "training.epochs=1"])
    assert report["commonest tag of a word"].value == 1.0
    assert report["tf idf and logistic regression"].value > 0.9
    assert report["spans: test entity_f1"].baseline.value == 1.0
