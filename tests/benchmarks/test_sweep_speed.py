"""A sweep and separate trainings of the same few configurations, on a model of two thin layers."""

from pathlib import Path

import pytest

from benchmarks import sweep_speed
from benchmarks.sweep_speed import measure


@pytest.mark.slow  # five processes, each of which loads torch
def test_both_ways_train_the_same_and_are_compared(tmp_path: Path, tiny: list[str]) -> None:
    recipe = tmp_path / "sweep.toml"
    recipe.write_text(
        """
name = "both"
task = "text-classification"
[model]
base = "builtin:minilm"
[data]
source = "x.csv"
[training]
epochs = 4
device = "cpu"
[sweep]
trials = 3
pruner = "asha"
eta = 2
first_rung = 0.25
[sweep.space]
"training.learning_rate" = { low = 1e-4, high = 1e-1, log = true }
"""
    )
    report = measure(recipe, tmp_path, tiny, n=3, is_small=True)
    assert report["3 separate trainings"].value > 0
    assert report["one sweep"].baseline.value == report["3 separate trainings"].value
    assert report["times faster"].value == pytest.approx(
        report["3 separate trainings"].value / report["one sweep"].value
    )
    assert 0 <= report["share of epochs saved"].value < 1
    for way in ("separate ones", "sweep"):
        assert 0 <= report[f"best validation accuracy of the {way}"].value <= 1
    assert "paired, n = 8" in report["best validation accuracy of the sweep"].note
    assert report["the sweep's best is separably worse (1: yes)"].value in (0.0, 1.0)
    again = measure(recipe, tmp_path, tiny, n=3, is_small=True)
    assert again["times faster"].value == report["times faster"].value  # nothing was measured again


def test_what_was_measured_is_kept_and_what_was_cut_short_begins_anew(tmp_path: Path) -> None:
    store = tmp_path / "a.db"
    store.write_text("half of something")
    (tmp_path / "a-files").mkdir()
    first = sweep_speed._run(["ls", "--help"], store)
    assert "Usage" in first[1]
    assert not store.exists()
    assert not (tmp_path / "a-files").exists()
    assert sweep_speed._run(["ls", "--help"], store) == first
    assert sweep_speed._run(["show", "--help"], store) != first


def test_its_recipe_is_there_and_its_space_has_heads_and_adapters() -> None:
    text = sweep_speed.RECIPE.read_text()
    assert '"model.method" = ["head", "lora"]' in text
    assert 'pruner = "asha"' in text


def test_without_data_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.delenv("BANKING77", raising=False)
    monkeypatch.setattr("sys.argv", ["sweep_speed"])
    with pytest.raises(SystemExit) as ended:
        sweep_speed.main()
    assert ended.value.code == 0
    assert "set BANKING77 to the data's folder" in capsys.readouterr().out
