"""Training in stages: a base that is another run's model."""

from typing import Any

import pytest
from safetensors.torch import load_file

from runner.base_runs import standing
from runner.errors import ModelError
from runner.recipe import recipe_from_resolved
from store import Store, get_evaluation, get_run, list_checkpoints, list_runs, read_predictions
from store.errors import RunNotFound
from tests.runner.conftest import Kit
from tests.runner.test_commands import Runner, runner
from tests.runner.test_resume import before, go_on, killed

__all__ = ["runner"]  # the fixture


@pytest.fixture
def first(kit: Kit, store: Store) -> Any:
    """A language model of the texts' own field."""
    return kit.train(
        store, name="field", task="causal-lm", model__base=str(kit.gpt2), model__pooling=None, model__max_length=24,
        training__epochs=1, training__head_learning_rate=None,
    )  # fmt: skip


@pytest.mark.parametrize("method", ["head", "lora", "full"])
def test_a_run_goes_on_with_the_model_of_another(
    runner: Runner, kit: Kit, store: Store, first: Any, method: str
) -> None:
    run = kit.train(store, name="task", model__base="run:field", model__pooling=None, model__method=method)
    assert run.status == "finished", run.cause
    assert run.base_model == f"run:{first.id}"
    assert run.provenance is not None
    parent = run.provenance["base_run"]
    assert (parent["id"], parent["name"], parent["task"]) == (first.id, "field", "causal-lm")
    assert parent["step"] == list_checkpoints(store, first.key, existing=True)[-1].step
    assert f"base run    field ({first.id}), causal-lm, step" in runner(store, "show", "task").out
    # it is that model, and pools as it did
    assert run.recipe is not None
    spec = standing(recipe_from_resolved(run.recipe).model, store)
    assert spec.pooling == "last"
    weights = load_file(f"{spec.base}/model.safetensors")
    assert any("wte" in name for name in weights)
    # and it is found again to predict
    out = store.path.parent / "answers.jsonl"
    said = runner(store, "predict", "task", "--split", "test", "--out", str(out), "--json", "--device", "cpu")
    assert said.code == 0, said.err
    evaluation = get_evaluation(store, run.key, "test")
    assert evaluation is not None
    labels = ["food", "sky", "sport"]
    predicted = read_predictions(store, evaluation).predicted
    assert said.json["counts"] == {name: int((predicted == at).sum()) for at, name in enumerate(labels)}


def test_a_run_on_a_run_is_resumed(kit: Kit, store: Store, first: Any) -> None:
    settings = {"model__base": "run:field", "model__pooling": None, "model__method": "lora", "checkpoints__keep": "all"}
    run = killed(kit, store, before("training_step", 5), **settings)
    ended = go_on(store, run)
    assert (ended.status, ended.cause) == ("finished", None)


def test_what_cannot_be_a_base_is_said(kit: Kit, store: Store, trained: Any) -> None:
    with pytest.raises(RunNotFound, match="nobody"):
        kit.train(store, model__base="run:nobody")
    adapter = kit.train(store, name="adapter", model__method="lora", training__epochs=1)
    with pytest.raises(ModelError, match=f"checkpoints hold no whole model.*merge {adapter.id} --fold"):
        kit.train(store, model__base="run:adapter")
    assert len(list_runs(store)) == 1
    checkpoint = list_checkpoints(store, kit.train(store, name="whole", training__epochs=1).key, existing=True)[-1]
    (store.files / checkpoint.path / "head.safetensors").write_bytes(b"other")
    with pytest.raises(ModelError, match=r"not what it wrote: .*head\.safetensors was altered"):
        kit.train(store, model__base="run:whole")
    assert get_run(store, "whole").status == "finished"
