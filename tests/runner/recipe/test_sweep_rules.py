"""What can be wrong with a search, and what is said of it: all at once."""

from dataclasses import fields
from pathlib import Path

import pytest

from evals.classification import METRICS
from runner.recipe import RecipeError, parse_recipe
from runner.recipe.objectives import objectives_of
from store import RunCost
from tests.runner.recipe.test_recipe import SMALL, parse, problems


def found(sweep: str) -> dict[str, str]:
    """Path → message; hint, of every problem that a recipe with this [sweep] has."""
    return {problem.path: f"{problem.message}; {problem.hint}" for problem in problems(SMALL + sweep)}


def test_what_can_be_looked_for_is_what_runs_record() -> None:
    validation = {f"validation/{name}": metric for name, metric in METRICS.items()}
    objectives = objectives_of("text-classification")
    assert {name for name in objectives if name.startswith("validation/")} == set(validation)
    assert all((objectives[name] == "maximize") == metric.higher_is_better for name, metric in validation.items())
    assert objectives_of("regression")["validation/spearman"] == "maximize"
    assert {name for name in objectives if name.startswith("cost/")} == {f"cost/{f.name}" for f in fields(RunCost)}


def test_values_conditions_and_alternatives_are_taken() -> None:
    recipe = parse(
        SMALL
        + """
[sweep]
objectives = ["validation/macro_f1", "cost/train_seconds"]
[sweep.space]
"model.method" = ["head", "lora"]
"model.lora.r" = { values = [4, 8] }
"training.weight_decay" = 0.1
"training.epochs" = { low = 1, high = 5, when = { "model.method" = "lora" } }
"training.learning_rate" = [
  { low = 1e-4, high = 1e-2, log = true, when = { "model.method" = "head" } },
  { values = [1e-4, 5e-4], when = { "model.method" = ["lora"] } },
]
"""
    ).recipe
    assert recipe.sweep is not None
    assert list(recipe.sweep.space) == [
        "model.method", "model.lora.r", "training.weight_decay", "training.epochs", "training.learning_rate"
    ]  # fmt: skip


def test_conditions_name_swept_paths_and_their_values() -> None:
    assert found(
        """
[sweep.space]
"model.method" = ["full", "head"]
"training.weight_decay" = { low = 0.0, high = 0.1 }
"training.epochs" = { low = 1, high = 5, when = { "model.methd" = "full" } }
"training.warmup" = { values = [0.1], when = { "model.method" = "lora" } }
"training.max_steps" = { values = [1], when = { "training.weight_decay" = 0.1 } }
"training.batch_size" = { values = [8], when = { "training.max_grad_norm" = 1.0 } }
"""
    ) == {
        'sweep.space."training.epochs".when."model.methd"': "is not swept, so it cannot be a condition; "
        "did you mean model.method?",
        'sweep.space."training.warmup".when."model.method"': 'is no value that model.method would have; it has "full", '
        '"head"',
        'sweep.space."training.max_steps".when."training.weight_decay"': "is a range, and conditions are on values; "
        "give it a list of values",
        'sweep.space."training.batch_size".when."training.max_grad_norm"': "is not swept, so it cannot be a condition; "
        "conditions are on paths of this [sweep.space]",
    }


def test_conditions_do_not_go_in_circles() -> None:
    assert found(
        """
[sweep.space]
"training.epochs" = { values = [1, 2], when = { "training.max_steps" = 1 } }
"training.max_steps" = { values = [1, 2], when = { "training.epochs" = 2 } }
"training.warmup" = { values = [0.1], when = { "training.max_steps" = 1 } }
"""
    ) == {
        'sweep.space."training.epochs"': "depends on itself by its conditions; take one of them away",
        'sweep.space."training.max_steps"': "depends on itself by its conditions; take one of them away",
    }


def test_alternatives_are_checked_one_by_one() -> None:
    assert found(
        """
[sweep.space]
"model.method" = ["full", "head"]
"training.epochs" = [
  { low = 3, high = 1, when = { "model.method" = "full" } },
  { values = [0, 1], when = { "model.method" = "head" } },
]
"""
    ) == {
        'sweep.space."training.epochs"[0]': "low must be below high; ",
        'sweep.space."training.epochs"[1].values[0]': "must be an integer ≥ 1; ",
    }


def test_whole_numbers_for_a_field_of_any_kind() -> None:
    scratch = SMALL.replace('"gpt2"', '"scratch:bert", tokenizer = "gpt2"')
    space = '[sweep.space]\n"model.config.hidden_size" = { low = 16.5, high = 64, int = true }'
    problem = problems(scratch + space)[0]
    assert (problem.path, problem.message) == (
        'sweep.space."model.config.hidden_size".low', "must be an integer, for whole numbers"
    )  # fmt: skip
    assert parse(scratch + space.replace("16.5", "16")).recipe.sweep is not None


@pytest.mark.parametrize(
    ("sweep", "path", "words"),
    [
        ('objectives = ["validation/macro_f2"]', "sweep.objectives[0]", "did you mean validation/macro_f1?"),
        ('objectives = ["test/accuracy"]', "sweep.objectives[0]", "would leak it"),
        ('objectives = ["cost/train_second"]', "sweep.objectives[0]", "did you mean cost/train_seconds?"),
        ('objectives = ["cost/foo"]', "sweep.objectives[0]", "there are cost/wall_seconds, cost/train_seconds"),
        ('objectives = ["macro_f1"]', "sweep.objectives[0]", "did you mean validation/macro_f1?"),
        ("objectives = []", "sweep.objectives", "must be"),
        ("eta = 1", "sweep.eta", "must be an integer ≥ 2"),
        ("trials = 0", "sweep.trials", "must be an integer ≥ 1"),
        ("max_hours = 0", "sweep.max_hours", "must be a number > 0"),
        (
            'pruner = "asha"\nobjectives = ["validation/loss", "cost/train_seconds"]',
            "sweep.pruner",
            "compares trials by one objective, and there are several",
        ),
        ('pruner = "median"\nobjectives = ["latency/ms"]', "sweep.pruner", "where latency/ms says nothing"),
        (
            'sampler = "cma-es"\nobjectives = ["validation/loss", "cost/train_seconds"]',
            "sweep.sampler",
            "looks for one objective",
        ),
    ],
)
def test_a_search_that_cannot_be_is_said(sweep: str, path: str, words: str) -> None:
    messages = found(f'[sweep]\n{sweep}\n[sweep.space]\n"training.max_steps" = [1]')
    assert list(messages) == [path]
    assert words in messages[path]


@pytest.mark.parametrize(
    ("space", "said"),
    [
        ("{ low = nan, high = 0.5 }", {".low": "must be a finite number; "}),
        ("{ low = 0.0, high = inf }", {".high": "must be a finite number; "}),
        ('{ low = "a", high = 0.5 }', {".low": "must be a finite number; "}),
        ("{ low = 0.0, high = 0.5, step = nan }", {".step": "must be a finite number > 0; "}),
        ("{ low = 0.0, high = 0.5, step = -1 }", {".step": "must be a finite number > 0; "}),
    ],
)
def test_a_range_of_what_is_no_number_is_said_once(space: str, said: dict[str, str]) -> None:
    messages = found(f'[sweep.space]\n"training.warmup" = {space}')
    assert messages == {f'sweep.space."training.warmup"{place}': text for place, text in said.items()}


def test_a_space_without_anything_in_it() -> None:
    assert found("[sweep.space]") == {"sweep.space": "must be a table with at least one entry; "}


def test_what_is_measured_has_to_be_kept() -> None:
    kept = '[sweep]\nobjectives = ["latency/ms"]\n[sweep.space]\n"training.epochs" = [1]\n[checkpoints]\nkeep = "none"'
    assert "no" in found(kept)["sweep.objectives"]
    lost = '[sweep]\npruner = "asha"\n[sweep.space]\n"training.epochs" = [1]\n[checkpoints]\nkeep = "none"'
    assert "takes trials up again from checkpoints, and none is kept" in found(lost)["sweep.pruner"]
    blind = '[sweep]\npruner = "wilcoxon"\n[sweep.space]\n"training.epochs" = [1]\n[recording]\npredictions = false'
    assert "none are recorded" in found(blind)["sweep.pruner"]


def test_a_seed_is_no_choice() -> None:
    assert found('[sweep.space]\n"training.seed" = [1, 2]') == {
        'sweep.space."training.seed"': "is no choice to search over: a seed is no better than another; "
        'set seeds = 3 in [sweep], and seeds_for = "all" for the mean over seeds of every configuration'
    }
    lines = '[sweep]\nseeds = 3\nseeds_for = "all"\n[sweep.space]\n"training.epochs" = [1, 2]'
    sweep = parse(SMALL + lines).recipe.sweep
    assert sweep is not None
    assert sweep.seeds_for == "all"


def test_a_command_needs_more_than_a_recipe() -> None:
    def for_sweep(text: str) -> list[str]:
        with pytest.raises(RecipeError) as caught:
            parse_recipe(text, folder=Path("/nowhere"), for_sweep=True)
        return [f"{problem.path}: {problem.message}" for problem in caught.value.problems]

    assert for_sweep(SMALL) == ["sweep: missing: there is nothing to search"]
    space = '[sweep.space]\n"training.epochs" = { low = 3, high = 1 }'
    assert for_sweep(SMALL + space) == [
        'sweep.space."training.epochs": low must be below high',
        "sweep.trials: missing: sampler tpe goes on for as long as it is let",
    ]
    grid = SMALL + '[sweep]\nsampler = "grid"\n[sweep.space]\n"training.epochs" = [1, 2]'
    assert parse_recipe(grid, folder=Path("/nowhere"), for_sweep=True).written["sweep"]["sampler"] == "grid"


def test_paths_are_located_wherever_a_value_stands(tmp_path: Path) -> None:
    space = """
[sweep.space]
"model.base" = { values = ["gpt2", "./m"] }
"data.source" = "a.csv"
"model.tokenizer" = [{ values = ["./t"], when = { "model.base" = "gpt2" } }]
"""
    written = parse_recipe(SMALL + space, folder=tmp_path).resolved["sweep"]["space"]
    assert written["model.base"]["values"] == ["gpt2", str(tmp_path / "m")]
    assert written["data.source"] == str(tmp_path / "a.csv")
    assert written["model.tokenizer"][0]["values"] == [str(tmp_path / "t")]
