"""Metrics that a recipe names: loaded before anything is written, asked at every evaluation, with intervals."""

from pathlib import Path

import numpy as np
import pytest

from runner.errors import ModelError, UserError
from runner.metrics import load_metric
from runner.named_metrics import Loaded, load_named
from runner.recipe import NamedMetric, RecipeError, parse_recipe
from runner.tasks.task import Said
from store import Store, list_runs, list_scores
from tests.runner.conftest import Kit

OWN = """
import datasets
import evaluate

class Lengths(evaluate.Metric):
    def _info(self):
        number = datasets.Value("int32")
        features = datasets.Features({"predictions": number, "references": number})
        return evaluate.MetricInfo(description="", citation="", inputs_description="", features=features)

    def _compute(self, predictions, references, by=1.0):
        same = [by * (p == r) for p, r in zip(predictions, references)]
        return {"each": same, "all": sum(same), "note": "text", "inner": {"half": 0.5}}
"""


def own(folder: Path) -> Path:
    (folder / "matches").mkdir()
    (folder / "matches/matches.py").write_text(OWN)
    return folder / "matches"


def test_numbers_lists_and_what_is_inside(tmp_path: Path) -> None:
    folder, said = own(tmp_path), Said([1, 0, 1, 1], [1, 1, 1, 0])
    module = load_metric(str(folder))
    each, whole = Loaded(NamedMetric(use=str(folder), arguments={"by": 2.0}), module).scores(said)
    assert (each.metric, each.value, each.n) == ("matches.each", 1.0, 4)
    assert 0 <= each.low < 1 < each.high <= 2
    assert (whole.metric, whole.value) == ("matches.all", 4.0)
    assert np.isnan([whole.low, whole.high]).all(), "not asked for"
    spec = NamedMetric(use=str(folder), name="m", values=("inner.half", "all"), resamples=200)
    half, again = Loaded(spec, module).scores(said)
    assert (half.metric, half.value, half.low) == ("m.inner.half", 0.5, 0.5)
    assert again.low < again.value == 2.0 < again.high
    assert Loaded(spec, module).scores(said) == [half, again], "seeded"
    assert Loaded(spec, module).scores(Said([], [])) == []
    with pytest.raises(UserError, match=r"no number 'al'; it gave each, all, inner\.half"):
        Loaded(NamedMetric(use=str(folder), values=("al",)), module).scores(said)
    with pytest.raises(UserError, match=r"failed: TypeError: .*unexpected keyword argument 'x'"):
        Loaded(NamedMetric(use=str(folder), arguments={"x": 1}), module).scores(said)


def test_every_evaluation_asks_them(kit: Kit, store: Store, tmp_path: Path) -> None:
    folder = own(tmp_path)
    f1 = {"use": "f1", "name": "strict", "arguments": {"average": "macro"}, "resamples": 20}
    run = kit.train(store, model__method="head", evaluation__metrics=["accuracy", f1, str(folder)])
    scores = list_scores(store, [run.key]).set_index(["split", "step", "metric"])
    for split, step in {(split, step) for split, step, _ in scores.index}:
        of = scores.loc[(split, step)]
        assert of.loc["accuracy.accuracy", "value"] == pytest.approx(of.loc["accuracy", "value"])
        assert of.loc["matches.each", "value"] == pytest.approx(of.loc["accuracy", "value"])
        assert of.loc["strict.f1", "low"] <= of.loc["strict.f1", "value"] <= of.loc["strict.f1", "high"]
    assert run.recipe is not None
    assert run.recipe["evaluation"]["metrics"][1]["name"] == "strict"


@pytest.mark.parametrize(
    ("task", "value", "words"),
    [
        ("causal-lm", ["accuracy"], "causal-lm says nothing that a metric module could compare"),
        ("text-classification", [{"us": "f1"}], "did you mean use"),
        ("text-classification", [{"use": "f1", "resamples": -1}], "resamples"),
    ],
)
def test_what_a_recipe_may_not_say(kit: Kit, task: str, value: list[object], words: str) -> None:
    with pytest.raises(RecipeError, match=words):
        parse_recipe(kit.text({"task": task, "evaluation.metrics": value}), folder=kit.folder)


def test_what_cannot_be_loaded_is_said_at_once_and_nothing_is_written(kit: Kit, store: Store, tmp_path: Path) -> None:
    metrics = ["acuracy", "f1", {"use": "mae", "name": "f1"}, "./nowhere.py", str(tmp_path / "broken.py")]
    (tmp_path / "broken.py").write_text("def of(:\n")
    with pytest.raises(ModelError) as caught:
        kit.train(store, evaluation__metrics=metrics)
    words = str(caught.value)
    assert 'Did you mean "accuracy"?' in words
    assert 'two are called "f1"' in words
    assert "nowhere.py" in words
    assert 'broken.py": SyntaxError' in words
    assert len(list_runs(store)) == 0


def test_paths_are_relative_to_the_recipe_and_old_recipes_keep_their_hash(kit: Kit, tmp_path: Path) -> None:
    own(tmp_path)
    text = kit.text({"evaluation.metrics": ["matches", {"use": "./matches/matches.py"}, "accuracy"]})
    names = [m if isinstance(m, str) else m.use for m in parse_recipe(text, folder=tmp_path).recipe.evaluation.metrics]
    assert names == [str(tmp_path / "matches"), str(tmp_path / "matches/matches.py"), "accuracy"]
    assert len(load_named(parse_recipe(kit.text({"evaluation.metrics": ["f1"]}), folder=tmp_path).recipe)) == 1
    plain = parse_recipe(kit.text({}), folder=tmp_path)
    assert plain.hash == parse_recipe(kit.text({"evaluation.metrics": []}), folder=tmp_path).hash
    assert plain.hash != parse_recipe(text, folder=tmp_path).hash
