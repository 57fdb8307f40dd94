"""`runner methods` on a tiny model: one table, ordinary runs, nothing done twice, a failure is a line."""

from pathlib import Path

import pytest

from runner.methods import UnknownMethod, plan_ways
from runner.recipe import RecipeError
from store import Store, get_run, list_runs
from tests.runner.conftest import Kit
from tests.runner.test_commands import Runner, runner

__all__ = ["runner"]  # the fixture


def test_one_table_and_nothing_twice(kit: Kit, store: Store, runner: Runner, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"training.epochs": 1, "tags": ["mine"]}))
    asked = ("methods", str(recipe), "--methods", "peft,top-layers", "--set", "model.top_layers=1")
    first = runner(store, *asked)
    assert first.code == 1
    lines = first.out.splitlines()
    assert lines[0].split()[:3] == ["method", "validation", "macro_f1"]
    assert [line.split()[0] for line in lines[1:3]] == ["peft", "top-layers"]
    assert lines[1].split().count("–") == 7
    assert "peft refused: model.peft: missing: method peft needs to know which adapter" in first.out
    (run,) = (get_run(store, int(key)) for key in list_runs(store)["key"])
    assert (run.name, run.status, sorted(run.tags)) == ("tiny-top-layers", "finished", ["methods:tiny", "mine"])
    again = runner(store, *asked, "--json")
    (refused, done) = again.json
    assert (refused["run"], refused["scores"], refused["cost"]["train_seconds"]) == (None, {}, None)
    assert (done["run"], done["reused"], done["status"], done["metric"]) == (run.id, True, "finished", "macro_f1")
    assert set(done["scores"]) == {"validation", "test"}
    low, value, high = (done["scores"]["test"][name] for name in ("low", "value", "high"))
    assert low <= value <= high
    assert 0 < done["cost"]["trainable_parameters"] < done["cost"]["total_parameters"]
    assert done["checkpoint_bytes"] > 10_000
    assert done["cost"]["peak_host_bytes"] > 1e7


def test_a_method_that_the_model_does_not_take_is_a_line(
    kit: Kit, store: Store, runner: Runner, tmp_path: Path
) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"training.epochs": 1}))
    said = runner(store, "methods", str(recipe), "--methods", "peft:MISS", "--quiet")
    assert said.code == 1
    assert "peft:MISS failed: model.peft: MISS cannot be put on this model" in said.out
    assert len(list_runs(store)) == 0


def test_what_cannot_be_asked_is_said_before_anything_runs(kit: Kit, tmp_path: Path) -> None:
    recipe = tmp_path / "recipe.toml"
    recipe.write_text(kit.text({"training.epochs": 7}))
    with pytest.raises(UnknownMethod, match=r"--methods: lroa; there are full, .* such as peft:IA3"):
        plan_ways(recipe, [], ["full", "lroa"])
    with pytest.raises(RecipeError):
        plan_ways(recipe, ["training.epochs=0"], ["full", "lora"])
    ways = plan_ways(recipe, [], ["head", "lora", "lora", "peft:ia3"], own_rates=True)
    assert [way.name for way in ways] == ["head", "lora", "peft:ia3"]
    loaded = [way.loaded.recipe for way in ways if way.loaded]
    assert [each.training.epochs for each in loaded] == [30, 3, 3]
    assert [each.training.learning_rate for each in loaded] == [1e-3, 5e-4, 1e-3]
    assert loaded[2].model.peft.type == "IA3"
    assert len({way.loaded.hash for way in ways if way.loaded}) == 3
