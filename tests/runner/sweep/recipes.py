"""Searches to test with, and configurations as they stand in a store."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from runner.recipe import LoadedRecipe, parse_recipe
from runner.sweep.configurations import Configuration
from runner.sweep.search import Search, read_search
from store import Status, Trial

HEAD = """
name = "search"
task = "text-classification"
model = { base = "gpt2" }
data = { source = "hub:some/data" }
"""


def load(sweep: str, *overrides: str, head: str = HEAD) -> LoadedRecipe:
    return parse_recipe(head + sweep, folder=Path("/nowhere"), overrides=overrides)


def search_of(sweep: str, *overrides: str, head: str = HEAD) -> Search:
    """The search of a small recipe with these lines below it."""
    loaded = load(sweep, *overrides, head=head)
    return read_search(loaded.recipe, loaded.written)


def configuration(
    number: int,
    parameters: Mapping[str, Any],
    status: Status = Status.FINISHED,
    values: tuple[float | None, ...] | None = None,
    reports: Mapping[int, float] | None = None,
    notes: Mapping[str, Any] | None = None,
) -> Configuration:
    trial = Trial(
        key=number + 1,
        sweep_key=1,
        number=number,
        seed=0,
        parameters=dict(parameters),
        status=status,
        cause=None,
        recipe_hash="h",
        run_key=None,
        is_reused=False,
        n_attempts=1,
        n_promotions=0,
        objective_values=values,
        sampler_state=dict(notes or {}),
        created_at=0.0,
        started_at=0.0,
        ended_at=None,
    )
    return Configuration((trial,), dict(reports or {}))
