"""`runner crossval`, as it is typed, on tiny real models."""

import json
import signal
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

import runner.cli
from runner.crossval import fold as fold_module
from store import Store, count_runs, get_dataset, list_opinions, open_store, read_opinion, read_targets
from tests.runner.conftest import Kit
from tests.runner.processes import Process

HEAD = {"model.method": "head", "training.epochs": 30, "checkpoints.keep": "best", "data.name": "tiny"}


def write(kit: Kit, folder: Path, **overrides: object) -> Path:
    path = folder / "recipe.toml"
    path.write_text(kit.text({**HEAD, **{name.replace("__", "."): value for name, value in overrides.items()}}))
    return path


def call(*arguments: str | Path, store: Path) -> Result:
    words = ["crossval", *map(str, arguments), "--store", str(store), "--quiet"]
    return CliRunner().invoke(runner.cli.cli, words)


def refused(result: Result) -> str:
    assert result.exception is not None
    assert runner.cli._is_for_the_user(result.exception)  # type: ignore[arg-type]  # an Exception
    return str(result.exception)


def test_every_training_example_gets_an_opinion_of_a_model_that_has_not_seen_it(
    kit: Kit, store: Store, tmp_path: Path
) -> None:
    recipe = write(kit, tmp_path, model__method="full", training__epochs=12, training__learning_rate=1e-2)
    result = call(recipe, "--folds", "3", store=store.path)
    assert result.exit_code == 0, result.output
    assert "tiny, 3 folds of tiny@1: done." in result.output
    dataset = get_dataset(store, "tiny")
    (opinion,) = list_opinions(store, dataset).to_dict("records")
    assert (opinion["kind"], opinion["status"], opinion["n_parts"], opinion["n_known"]) == (
        "crossval",
        "finished",
        3,
        96,
    )
    log_probs = read_opinion(store, opinion["key"]).astype(np.float64)
    assert np.allclose(np.exp(log_probs).sum(axis=1), 1, atol=0.01)
    right = log_probs.argmax(axis=1) == read_targets(store, dataset, "train")
    assert right.mean() > 0.45  # of three classes; 96 guesses are so good one time in a hundred
    assert count_runs(store) == {}
    assert not list((store.files / "cache" / "folds").iterdir())


def test_the_same_command_again_says_what_is_there(
    kit: Kit, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write(kit, tmp_path, training__epochs=1)
    assert call(recipe, "--folds", "2", store=store.path).exit_code == 0
    monkeypatch.setattr(fold_module, "prepare", None)  # nothing is trained
    result = call(recipe, "--folds", "2", "--json", store=store.path)
    assert result.exit_code == 0, result.output
    said = json.loads(result.stdout)
    assert (said["status"], said["n_folds"], said["n_known"], sorted(said["folds"])) == ("finished", 2, 96, ["1", "2"])
    assert said["folds"]["1"]["wall_seconds"] > 0
    assert "was done before" in call(recipe, "--folds", "2", store=store.path).output


@pytest.mark.parametrize("method", ["full", "lora"])
def test_models_that_train_inside_are_as_untrained_in_each_fold(
    kit: Kit, store: Store, tmp_path: Path, method: str
) -> None:
    recipe = write(kit, tmp_path, model__method=method, training__epochs=1, training__learning_rate=0.05)
    assert call(recipe, "--folds", "2", store=store.path).exit_code == 0
    (opinion,) = list_opinions(store, get_dataset(store, "tiny")).to_dict("records")
    once = read_opinion(store, opinion["key"])
    other = open_store(tmp_path / "other.db")
    part = write(kit, tmp_path, model__method=method, training__epochs=1, training__learning_rate=0.05, name="again")
    assert call(part, "--folds", "2", store=other.path).exit_code == 0
    (again,) = list_opinions(other, get_dataset(other, "tiny")).to_dict("records")
    assert np.array_equal(once, read_opinion(other, again["key"]))
    assert np.isfinite(once).all()
    other.close()


def test_a_run_stands_for_its_recipe_and_data(kit: Kit, store: Store) -> None:
    run = kit.train(store, model__method="head", training__epochs=1)
    result = call(run.id, "--folds", "2", store=store.path)
    assert result.exit_code == 0, result.output
    assert len(list_opinions(store, get_dataset(store, int(run.dataset_key or 0)))) == 1
    assert "is a run: --set" in refused(call(run.id, "--set", "training.epochs=2", store=store.path))


def test_bad_input_leaves_nothing_behind(kit: Kit, tmp_path: Path) -> None:
    path = tmp_path / "new.db"
    assert "training.epochs" in refused(call(write(kit, tmp_path, training__epochs=0), store=path))
    assert not path.exists()
    assert "--folds 1: needed are 2 or more" in refused(call(write(kit, tmp_path), "--folds", "1", store=path))
    assert "no run 'nothing'" in refused(call("nothing", store=path))


def test_a_fold_that_fails_ends_it_and_the_next_call_does_the_rest(
    kit: Kit, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = write(kit, tmp_path, training__epochs=1)
    original, seen = fold_module.trained_aside, []

    def fail(*arguments: object) -> object:
        seen.append(arguments)
        if len(seen) == 2:
            raise MemoryError
        return original(*arguments)  # type: ignore[arg-type]  # handed through

    with monkeypatch.context() as patch:
        patch.setattr(fold_module, "trained_aside", fail)
        result = call(recipe, "--folds", "3", store=store.path)
    assert result.exit_code == 1
    assert "failed, fold 2: out of memory" in result.output
    assert "1 of 3 folds are done" in result.output
    assert call(recipe, "--folds", "3", store=store.path).exit_code == 0
    assert len(seen) == 2
    (opinion,) = list_opinions(store, get_dataset(store, "tiny")).to_dict("records")
    assert (opinion["status"], opinion["n_known"]) == ("finished", 96)


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -signal.SIGKILL)])
def test_a_process_that_ends_in_a_fold_is_gone_on_with(
    kit: Kit, store: Store, tmp_path: Path, number: int, code: int
) -> None:
    recipe = write(kit, tmp_path, training__epochs=1)
    patches = """
seen = []
import runner.crossval.aside
original = runner.crossval.aside.train_recorded
def stopping(*arguments):
    seen.append(1)
    if len(seen) == 2:
        here("second")
        with arguments[3].let_through():
            time.sleep(60)
    return original(*arguments)
runner.crossval.aside.train_recorded = stopping
"""
    process = Process(patches, "crossval", recipe, "--folds", "2", "--store", store.path, "--quiet")
    process.wait_for("second")
    process.process.send_signal(number)
    _, errors = process.process.communicate(timeout=60)
    assert process.process.returncode == code, errors
    result = call(recipe, "--folds", "2", store=store.path)
    assert result.exit_code == 0, result.output
    assert "done (1 of them before)" in result.output
    (opinion,) = list_opinions(store, get_dataset(store, "tiny")).to_dict("records")
    assert (opinion["status"], opinion["n_known"]) == ("finished", 96)
