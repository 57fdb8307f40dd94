"""`runner sweep` as it is typed. The configurations are there already, so no worker has to be started."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from store import Store, get_sweep, list_runs, list_sweeps, open_store, read_trials, request_stop
from tests.runner.conftest import Kit

GRID = """
[sweep]
sampler = "grid"
[sweep.space]
"training.learning_rate" = [1e-3, 3e-3]
"""


@dataclass(frozen=True)
class Said:
    code: int
    out: str
    err: str


Run = Callable[..., Said]


@pytest.fixture
def run(capfd: pytest.CaptureFixture[str]) -> Run:
    """`run(store, "sweep", …)` as from a shell."""
    from runner.cli import main

    def call(store: Store | Path, *words: str) -> Said:
        path = store.path if isinstance(store, Store) else store
        capfd.readouterr()
        with pytest.raises(SystemExit) as ended:
            main(["sweep", *words, "--store", str(path)])
        out, err = capfd.readouterr()
        return Said(int(ended.value.code or 0), out, err)

    return call


@dataclass(frozen=True)
class Ready:
    """A recipe with a grid of two, whose runs are in the store."""

    store: Store
    recipe: Path
    text: str


@pytest.fixture
def ready(store: Store, kit: Kit, tmp_path: Path) -> Ready:
    changes: dict[str, Any] = {"name": "grid", "training.epochs": 1, "training.learning_rate": None}
    text = kit.text(changes) + GRID
    recipe = tmp_path / "grid.toml"
    recipe.write_text(text)
    for rate in (1e-3, 3e-3):
        kit.train(store, name="before", training__epochs=1, training__learning_rate=rate)
    return Ready(store, recipe, text)


def test_from_the_first_call_to_the_best_recipe(ready: Ready, run: Run, tmp_path: Path) -> None:
    first = run(ready.store, str(ready.recipe), "--plain", "--write-best", str(tmp_path / "best.toml"))
    assert first.code == 0, first.err
    assert first.err.count("reuses run before") == 2
    assert "2 configurations: 2 finished" in first.out
    assert "2 runs were there before" in first.out
    assert f"the best recipe is in {tmp_path / 'best.toml'}: runner train" in first.out
    assert 'name = "grid-best"' in (tmp_path / "best.toml").read_text()
    sweep = get_sweep(ready.store, "grid")
    assert (sweep.recipe_path, sweep.recipe_text) == (str(ready.recipe), ready.text)
    again = run(ready.store, str(ready.recipe), "--quiet", "--json")
    assert again.code == 0
    shown = json.loads(again.out)
    assert (shown["id"], shown["status"], len(shown["trials"])) == (sweep.id, "finished", 2)
    assert len(list_runs(ready.store)) == 2
    assert len(list_sweeps(ready.store)) == 1


def test_a_sweep_of_the_store_goes_on_without_its_file(ready: Ready, run: Run) -> None:
    run(ready.store, str(ready.recipe), "--quiet")
    ready.recipe.unlink()
    for selector in ("grid", "@latest", get_sweep(ready.store, "grid").id[:8]):
        said = run(ready.store, selector, "--plain", "--trials", "2")
        assert said.code == 0, said.err
        assert "goes on: 2 configurations (2 are wanted)" in said.err
    refused = run(ready.store, "grid", "--set", "training.epochs=3")
    assert refused.code == 2
    assert "is a sweep in the store: --set would make it another search" in refused.err
    unknown = run(ready.store, "nothing")
    assert unknown.code == 2
    assert "nothing: there is no such recipe file, and no sweep of that name or id in " in unknown.err
    assert "Did you mean the sweep grid?" in run(ready.store, "Gridd").err


def test_a_frozen_recipe_of_the_queue_is_a_recipe(ready: Ready, run: Run, kit: Kit, tmp_path: Path) -> None:
    from runner.recipe import load_recipe
    from runner.recipe.frozen import freeze

    frozen = tmp_path / "job.json"
    frozen.write_text(json.dumps(freeze(load_recipe(ready.recipe))))
    said = run(ready.store, str(frozen), "--plain", "--trials", "1")
    assert said.code == 0, said.err
    (sweep,) = [get_sweep(ready.store, key) for key in list_sweeps(ready.store)["key"].tolist()]
    assert (sweep.n_trials, len(read_trials(ready.store, sweep.key))) == (1, 1)
    assert run(ready.store, str(ready.recipe), "--quiet").code == 0
    assert len(list_sweeps(ready.store)) == 1, "the same search, however it was asked for"
    without = json.loads(frozen.read_text()) | {"written": {}}
    frozen.write_text(json.dumps(without))
    resolved = run(ready.store, str(frozen), "--quiet")
    assert resolved.code == 0
    assert len(list_sweeps(ready.store)) == 1


def test_a_dry_run_writes_nothing(ready: Ready, run: Run, tmp_path: Path) -> None:
    version = ready.store.version()
    said = run(ready.store, str(ready.recipe), "--dry-run")
    assert said.code == 0
    assert "grid: 2 of 2 configurations by grid" in said.out
    assert said.out.count("reuses run before") == 2
    assert ready.store.version() == version
    elsewhere = run(tmp_path / "none.db", str(ready.recipe), "--dry-run")
    assert elsewhere.code == 0
    assert not (tmp_path / "none.db").exists()


def test_an_edited_recipe_is_a_new_sweep(ready: Ready, run: Run) -> None:
    run(ready.store, str(ready.recipe), "--quiet")
    ready.recipe.write_text(ready.text.replace("[1e-3, 3e-3]", "[3e-3]"))
    said = run(ready.store, str(ready.recipe), "--plain")
    assert said.code == 0
    assert 'sweep.space."training.learning_rate": [0.001, 0.003] → [0.003]' in said.err
    assert "1 of its 2 configurations is kept" in said.err
    assert get_sweep(ready.store, "@latest").parent_key == 1


def test_what_is_wrong_comes_at_once(kit: Kit, run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "bad.toml"
    recipe.write_text(
        kit.text({"name": "bad"})
        + """
[sweep]
sampler = "grid"
objectives = ["validation/f1"]
[sweep.space]
"training.learning_rat" = [1e-3]
"training.epochs" = []
"training.weight_decay" = { low = 0.3, high = 0.1 }
"training.warmup" = { low = 0.0, high = 0.5, step = 0.1, log = true }
"training.batch_size" = { values = [1], when = { "model.methd" = "full" } }
"""
    )
    said = run(tmp_path / "none.db", str(recipe))
    assert said.code == 2
    for words in (
        "problems",
        "is nothing that a run records",
        "did you mean training.learning_rate?",
        "must be a value, a non-empty list of values",
        "low must be below high",
        "a grid needs a list of values, or a range with a step",
        "must be a number > 0 on a logarithmic scale",
        "is not swept, so it cannot be a condition",
    ):
        assert words in said.err, words
    assert not (tmp_path / "none.db").exists()
    recipe.write_text(kit.text({"name": "bare"}))
    assert "missing: there is nothing to search" in run(tmp_path / "none.db", str(recipe)).err
    recipe.write_text(kit.text({"name": "open"}) + '[sweep.space]\n"training.batch_size" = [1, 2]')
    assert "missing: sampler tpe goes on for as long as it is let; write it, or give --trials" in (
        run(tmp_path / "none.db", str(recipe)).err
    )
    models = kit.text({"name": "models"}) + f'[sweep.space]\n"model.base" = ["{kit.bert}", "/nowhere/at/all"]'
    recipe.write_text(models)
    assert "there is no model folder /nowhere/at/all" in run(tmp_path / "m.db", str(recipe), "--trials", "2").err


def test_a_dry_run_refuses_what_the_sweep_would_refuse(ready: Ready, kit: Kit, run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "gone.toml"
    recipe.write_text(kit.text({"name": "gone", "data.source": str(tmp_path / "gone.csv")}) + GRID)
    for store in (tmp_path / "none.db", ready.store):
        refused, planned = run(store, str(recipe)), run(store, str(recipe), "--dry-run")
        assert (planned.code, planned.err) == (refused.code, refused.err)
        assert planned.code == 2
        assert "gone.csv" in planned.err
    space = f'[sweep]\nsampler = "grid"\n[sweep.space]\n"model.base" = ["{kit.bert}", "/nowhere/at/all"]'
    recipe.write_text(kit.text({"name": "models"}) + space)
    assert "there is no model folder /nowhere/at/all" in run(ready.store, str(recipe), "--dry-run").err


def test_data_that_cannot_be_used_leaves_no_sweep(kit: Kit, run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "gone.toml"
    recipe.write_text(kit.text({"name": "gone", "data.source": str(tmp_path / "gone.csv")}) + GRID)
    said = run(tmp_path / "assay.db", str(recipe))
    assert said.code == 2
    assert "gone.csv" in said.err
    store = open_store(tmp_path / "assay.db")
    assert list_sweeps(store).empty
    assert not request_stop(store, 1)
    store.close()


def test_trials_with_data_of_their_own_pin_no_version(store: Store, kit: Kit, run: Run, tmp_path: Path) -> None:
    recipe = tmp_path / "data.toml"
    changes = {"name": "sizes", "training.epochs": 1}
    recipe.write_text(kit.text(changes) + '[sweep]\nsampler = "grid"\n[sweep.space]\n"data.max_examples" = [32, 64]')
    for n in (32, 64):
        kit.train(store, name="before", training__epochs=1, data__max_examples=n)
    said = run(store, str(recipe), "--plain")
    assert said.code == 0, said.err
    assert get_sweep(store, "sizes").dataset_key is None
    assert "cannot be compared" not in said.out  # their validation examples are the same


def test_without_a_best_recipe_an_old_file_is_not_called_that(store: Store, kit: Kit, run: Run, tmp_path: Path) -> None:
    recipe, best = tmp_path / "halves.toml", tmp_path / "best.toml"
    space = '"data.split.validation" = [0.6]\n"data.split.test" = [0.5]'
    recipe.write_text(kit.text({"name": "halves"}) + f'[sweep]\nsampler = "grid"\n[sweep.space]\n{space}')
    best.write_text("of another day")
    said = run(store, str(recipe), "--plain", "--write-best", str(best))
    assert said.code == 1
    assert "no trial finished" in said.out
    assert f"there is no best recipe yet: {best} was not written" in said.out
    assert best.read_text() == "of another day"
