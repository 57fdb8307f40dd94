"""The benchmark of answers works on a few made-up ones, and says what it lacks."""

import json
from pathlib import Path

import pytest

from benchmarks.instructions import measure
from benchmarks.tiny import rows


def test_data_that_are_not_there_are_skipped_with_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("GSM8K", "SFT_NOISE"):
        monkeypatch.delenv(name, raising=False)
    report = measure(tmp_path, n_examples=10, epochs=1)
    assert [figure.verdict for figure in report.figures] == ["not measured"] * 2
    assert report["bad examples: average precision"].note == "set SFT_NOISE to the data's folder"


def test_it_trains_and_ranks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    records = [
        {"instruction": f"say {text}", "output": text if i % 9 else "", "is_bad": int(i % 9 == 4), "corruption": "none"}
        for i, (text, _) in enumerate(rows(90, seed=1))
    ]
    for record in records:
        if record["is_bad"]:
            record |= {"output": "w1 w2 w3 " * 4, "corruption": "gibberish"}
    (tmp_path / "gsm_8k_train.json").write_text(json.dumps(records[:40]))
    (tmp_path / "train.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    monkeypatch.setenv("GSM8K", str(tmp_path))
    monkeypatch.setenv("SFT_NOISE", str(tmp_path))
    report = measure(tmp_path, n_examples=None, epochs=3, n_written=1, is_small=True)
    before, after = report["gsm8k: before training"].value, report["gsm8k: test loss, nats a token"].value
    assert before is not None
    assert after is not None
    assert after < before
    assert report["gsm8k: different answers written"].unit == "of 1"
    assert 0 < report["bad examples: by chance"].value < 0.2
    hard = report["bad examples: tokens: mean error potential"]
    assert 0 < hard.value <= 1
    assert hard.note.startswith("gibberish 0.") or hard.note.startswith("gibberish 1.")
    findings = [figure for figure in report.figures if figure.name.startswith("findings: ")]
    assert all(0 <= figure.value <= 1 and figure.note.startswith("names ") for figure in findings)
    assert findings
