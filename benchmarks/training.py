"""What the benchmarks that train have in common: a recipe on built-in data, and what its run reached."""

from collections.abc import Sequence
from pathlib import Path

from runner.recipe import LoadedRecipe, parse_recipe
from store import Run, ScoreRow, Status, Store, list_scores

_RECIPE = """
name = "benchmark"
task = "text-classification"

[model]
base = "builtin:minilm"

[data]
source = "builtin:docstrings"
"""


def docstring_recipe(
    method: str, *, epochs: int, n_examples: int | None = None, max_length: int = 64, settings: Sequence[str] = ()
) -> LoadedRecipe:
    """MiniLM on docstrings; `settings` are further overrides such as `data.source="my.csv"`."""
    overrides = [f'model.method="{method}"', f"training.epochs={epochs}", f"model.max_length={max_length}", *settings]
    if n_examples is not None:
        overrides.append(f"data.max_examples={n_examples}")
    return parse_recipe(_RECIPE, folder=Path.cwd(), overrides=overrides, source="benchmark")


def finished(run: Run) -> Run:
    """The run itself; RuntimeError where it did not finish, since its numbers would mean nothing."""
    if run.status is not Status.FINISHED:
        raise RuntimeError(f"run {run.name} {run.status}: {run.cause}")
    return run


def test_score(store: Store, run: Run, metric: str) -> ScoreRow:
    """A metric of the test split at the run's best checkpoint."""
    scores = list_scores(store, [run.key], best_only=True)
    row = scores[(scores["split"] == "test") & (scores["metric"] == metric)].to_dict("records")[0]
    return ScoreRow(metric, row["value"], row["low"], row["high"], row["n"])
