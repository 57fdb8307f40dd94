"""Sentences, differences, groups and tables: what is said, from exact data."""

import dataclasses
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pandas as pd
import pytest

from dashboard.differences import changes, differences, summary
from dashboard.pairing import why_not
from dashboard.parts.header import freshness_text
from dashboard.parts.runs_table import runs_table
from dashboard.queries import Counts
from dashboard.sentences import run_summary
from dashboard.source import store_path
from dashboard.tabs.recipe import resolved_table
from store import Run, Status, Store, get_dataset, list_latest, list_runs, list_scores

DASHBOARD = Path(__file__).parents[2] / "dashboard"


def summarise(store: Store, run: Run) -> str:
    data = str(get_dataset(store, run.dataset_key)) if run.dataset_key else None
    said = run_summary(run, data, list_scores(store, [run.key]), list_latest(store, [run.key]))
    return f"{said.sentence} | {said.warning}"


def scores(values: dict[int, tuple[float, float]], best: int) -> pd.DataFrame:
    rows = [
        ("validation", step, step / 10, step == best, metric, value, value - 0.02, value + 0.02, 100)
        for step, (f1, loss) in values.items()
        for metric, value in (("loss", loss), ("macro_f1", f1))
    ]
    return pd.DataFrame(rows, columns=["split", "step", "epoch", "is_best", "metric", "value", "low", "high", "n"])


def test_summary_of_a_run_that_over_fits(runs: dict[str, Run]) -> None:
    frame = scores({0: (0.3, 1.1), 10: (0.6, 0.7), 20: (0.65, 0.6), 30: (0.64, 0.9)}, best=20)
    said = run_summary(runs["lora"], "tweets@1", frame, pd.DataFrame())
    assert said.sentence == (
        "lora on tweets@1: 0.650 macro F1 on validation (95 % interval 0.630 to 0.670, n = 100), best at epoch 2 of 3, "
        "+0.350 over the untrained model."
    )
    assert said.warning == "The loss on validation rises after that, from 0.600 to 0.900: a sign of over-fitting."


def test_summary_without_overfitting_or_beginning(runs: dict[str, Run]) -> None:
    said = run_summary(runs["lora"], None, scores({10: (0.6, 0.7), 20: (0.65, 0.6)}, best=20), pd.DataFrame())
    assert said.warning is None
    assert "untrained" not in said.sentence


def test_summary_of_every_other_kind(store: Store, runs: dict[str, Run]) -> None:
    assert "Failed: loss became NaN at step 84" in summarise(store, runs["tweet-full-lr1e-2"])
    assert "A run: 2 metrics over 199 steps; no evaluation" in summarise(store, runs["my-script"])
    queued = dataclasses.replace(runs["lora"], status=Status.QUEUED)
    assert "waiting to be started" in summarise(store, queued)


def test_differences_only_and_in_words(store: Store, runs: dict[str, Run]) -> None:
    frame = differences([runs["head"], runs["lora"]], ["tweets@1", "tweets@1"])
    assert frame.to_numpy().tolist() == [
        ["recipe", "model.method", "head", "lora"],
        ["recipe", "training.learning_rate", "0.01", "0.0002"],
        ["code", "dirty", "false", "true"],
    ]
    assert changes(frame) == "model.method head → lora · training.learning_rate 0.01 → 0.0002"
    assert (
        summary(frame) == "2 settings differ · 1 detail of the code differs · data, packages, seeds, machine the same"
    )
    assert differences([runs["head"], runs["head"]], ["a", "a"]).empty
    assert summary(differences([runs["head"], runs["head"]], ["a", "a"])).endswith("the same")


def test_a_run_without_recipe_is_one_row(runs: dict[str, Run]) -> None:
    frame = differences([runs["head"], runs["my-script"]], ["tweets@1", None])
    assert frame.to_numpy().tolist() == [
        ["recipe", "recipe", "recorded", "not recorded"],
        ["data", "dataset", "tweets@1", "–"],
        ["machine", "provenance", "recorded", "not recorded"],
    ]
    said = summary(frame, [runs["head"], runs["my-script"]])
    assert said == "data differ · recipe, code, packages, seeds, machine not recorded by all"


def test_what_cannot_be_compared(store: Store, runs: dict[str, Run]) -> None:
    tweets = get_dataset(store, "tweets")
    assert why_not(runs["head"], runs["lora"], tweets, tweets) is None
    assert "without a dataset" in str(why_not(runs["head"], runs["my-script"], tweets, None))
    assert "24 labels" in str(why_not(runs["head"], runs["topics-head"], tweets, get_dataset(store, "topics")))
    assert "no label names" in str(
        why_not(runs["head"], runs["lora"], tweets, dataclasses.replace(tweets, label_names=None))
    )


def test_freshness_says_what_waits_and_what_was_lost() -> None:
    assert freshness_text(Counts(1, 0, None, 0, 0), "a.db", 0.0) == "**a\\.db** · 1 run"
    assert "a run has written nothing since" in freshness_text(Counts(9, 2, 100.0, 0, 0), "a.db", 131.0)
    live = freshness_text(Counts(1218, 2, 100.0, 1500, 3), "a.db", 103.0)
    assert "written nothing" not in live
    assert "1,218 runs · :blue[●] 2 live, heartbeat 3 s ago · 1,500 rows pending · :orange[✕ 3 rows lost]" in live


def test_runs_table(store: Store) -> None:
    frame = list_runs(store)
    table = runs_table(frame, [[1.0, 0.5]] * len(frame), now=frame["started_at"].max() + 65).set_index("name")
    head, failed, live = table.loc["tweet-head"], table.loc["tweet-full-lr1e-2"], table.loc["tweet-live"]
    assert head["status"] == ["✓ finished"]
    assert head["outcome"] == "macro F1 on validation"
    expected = frame.set_index("name").loc["tweet-head"]
    assert head["half"] == pytest.approx((expected["high"] - expected["low"]) / 2)
    assert head["gain"] == pytest.approx(expected["value"] - expected["base_value"])
    assert head["time"].strip("\u2007") == "0:03:20"
    assert failed["status"] == ["✕ failed"]
    assert failed["outcome"].startswith("loss became NaN at step 84")
    assert pd.isna(failed["value"])
    assert live["time"].strip("\u2007").startswith("0:01:")
    with pytest.raises(ValueError, match="missing: cause"):
        runs_table(frame.drop(columns="cause"), [], now=0.0)


def test_runs_table_leaves_out_columns_that_say_nothing(store: Store) -> None:
    script = list_runs(store, search="my-script")
    table = runs_table(script, [[]], now=0.0)
    assert list(table) == ["status", "name", "value", "half", "gain", "loss", "time", "started"]


def test_store_path(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_STORE", "/tmp/env.db")
    assert store_path([]) == "/tmp/env.db"
    assert store_path(["--store=/tmp/a.db"]) == "/tmp/a.db"
    assert store_path(["--store", "/tmp/b.db"]) == "/tmp/b.db"
    monkeypatch.delenv("ASSAY_STORE")
    assert Path(store_path([])).name == "assay.db"


def test_no_module_shadows_another() -> None:
    """Streamlit puts `dashboard/` on sys.path: its top-level names must be nobody else's."""
    names = {path.stem for path in DASHBOARD.iterdir() if path.suffix == ".py" or path.is_dir()} - {"__init__"}
    names -= {"__pycache__", "assets"}
    names |= {path.stem for path in (DASHBOARD / "views").glob("*.py")} - {"__init__"}
    assert len(names) >= 12
    assert not names & set(sys.stdlib_module_names)
    assert not names & set(packages_distributions())
    assert not names & {"store", "evals", "runner", "dashboard"}


def test_the_resolved_recipe_says_first_what_was_chosen() -> None:
    recipe = {
        "name": "a",
        "model": {"method": "lora", "dropout": 0.1},
        "training": {"epochs": 7, "seed": 0, "max": None},
    }
    table = resolved_table(
        recipe, {"name": "d", "model": {"method": "lora", "dropout": 0.1}, "training": {"epochs": 3}}
    )
    assert table.to_numpy().tolist() == [
        ["●", "name", "a", ""],
        ["●", "model.method", "lora", ""],
        ["●", "training.epochs", "7", "3"],
        ["●", "training.seed", "0", ""],
        ["", "model.dropout", "0.1", ""],
    ]
    assert set(resolved_table(recipe, None)["chosen"]) == {""}
