"""What a [sweep] means, and the recipe of each trial."""

from pathlib import Path

import pytest

from runner.recipe import RecipeError, parse_recipe, recipe_hash
from store import Objective
from tests.runner.sweep.recipes import HEAD, load, search_of

SPACE = """
[sweep]
trials = 3
[sweep.space]
"model.method" = ["head", "lora"]
"model.lora.r" = [4, 8]
"training.batch_size" = [8, 16]
"""


def test_a_trial_has_a_recipe_of_its_own_without_the_sweep() -> None:
    trial = search_of(SPACE).trial_recipe(3, 0, {"model.method": "lora", "model.lora.r": 4, "training.batch_size": 8})
    assert trial.recipe.sweep is None
    assert (trial.recipe.name, trial.recipe.tags) == ("search-3", ("sweep:search",))
    assert (trial.recipe.model.method, trial.recipe.model.lora.r, trial.recipe.training.batch_size) == ("lora", 4, 8)
    written = HEAD.replace('"gpt2"', '"gpt2", method = "lora", lora = { r = 4 }') + "[training]\nbatch_size = 8"
    assert trial.hash == load(written, head="").hash, "the same experiment, however it was asked for"
    assert load(trial.text, head="").hash == trial.hash, "its text is its recipe"


def test_a_method_brings_its_own_defaults() -> None:
    search = search_of(SPACE)
    head = search.trial_recipe(0, 0, {"model.method": "head", "training.batch_size": 8}).recipe
    lora = search.trial_recipe(1, 0, {"model.method": "lora", "model.lora.r": 4, "training.batch_size": 8}).recipe
    assert (head.training.epochs, head.training.learning_rate) == (30, 1e-3)
    assert (lora.training.epochs, lora.training.learning_rate) == (3, 5e-4)
    given = search_of(SPACE, "training.epochs=7")
    assert given.trial_recipe(0, 0, {"model.method": "head", "training.batch_size": 8}).recipe.training.epochs == 7


def test_seeds_are_told_apart_by_name_and_hash() -> None:
    search = search_of(SPACE, "training.seed=5")
    parameters = {"model.method": "head", "training.batch_size": 8}
    assert [search.seed(place) for place in range(3)] == [5, 6, 7]
    first, second = (search.trial_recipe(2, seed, parameters) for seed in (5, 6))
    assert (first.recipe.name, second.recipe.name) == ("search-2", "search-2-s6")
    assert (first.recipe.training.seed, second.recipe.training.seed) == (5, 6)
    assert first.hash != second.hash


def test_a_long_name_is_cut() -> None:
    name = "x" * 100
    trial = search_of(SPACE, f"name={name}").trial_recipe(12, 0, {"model.method": "head", "training.batch_size": 8})
    assert trial.recipe.name == "x" * 97 + "-12"


def test_parts_of_one_method_may_be_written_beside_a_sweep_of_methods() -> None:
    search = search_of(SPACE, "model.lora.alpha=64.0")
    head = search.trial_recipe(0, 0, {"model.method": "head", "training.batch_size": 8})
    lora = search.trial_recipe(1, 0, {"model.method": "lora", "model.lora.r": 8, "training.batch_size": 8})
    assert "lora" not in head.resolved["model"]
    assert (lora.recipe.model.lora.alpha, lora.recipe.model.lora.r) == (64.0, 8)


def test_values_that_make_no_recipe_together_are_said() -> None:
    search = search_of('[sweep.space]\n"data.split.validation" = [0.6]\n"data.split.test" = [0.5]')
    with pytest.raises(RecipeError, match="must leave something to train on"):
        search.trial_recipe(0, 0, {"data.split.validation": 0.6, "data.split.test": 0.5})


def test_the_objective_is_what_picks_checkpoints_unless_it_is_said() -> None:
    assert search_of(SPACE, "evaluation.select=validation/loss").objectives == (
        Objective("validation/loss", "minimize"),
    )
    several = search_of(SPACE, 'sweep.objectives=["validation/accuracy", "cost/train_seconds", "latency/ms"]')
    assert [objective.direction for objective in several.objectives] == ["maximize", "minimize", "minimize"]


@pytest.mark.parametrize(
    ("lines", "rungs"),
    [
        ('pruner = "none"', ()),
        ('pruner = "asha"', (1 / 16, 1 / 4)),
        ('pruner = "hyperband"\neta = 3\nfirst_rung = 0.1', (0.1, 0.1 * 3, 0.1 * 9)),
        ('pruner = "median"\nfirst_rung = 0.25', (0.25, 0.5, 0.75)),
        ('pruner = "patience"', tuple(i / 8 for i in range(1, 8))),
    ],
)
def test_rungs(lines: str, rungs: tuple[float, ...]) -> None:
    found = search_of(f'[sweep]\n{lines}\n[sweep.space]\n"training.batch_size" = [1]').rungs
    assert found == pytest.approx(rungs)


def test_existing_recipes_keep_their_hash() -> None:
    plain = load("")
    assert plain.hash == load(SPACE).hash == recipe_hash(plain.resolved)
    with pytest.raises(RecipeError, match="nothing to search"):
        parse_recipe(HEAD, folder=Path("/nowhere"), for_sweep=True)
