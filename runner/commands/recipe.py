"""`runner recipe check`, `runner recipe tasks` and `runner recipe schema`."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.commands.options import echo_json, json_option, store_option
from runner.paths import default_store

if TYPE_CHECKING:
    from runner.recipe import Peft


@click.group("recipe")
def command() -> None:
    """Check a recipe, or print the schema for editors."""


@command.command("check")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as training.epochs=3.")
@click.option("--resolved", is_flag=True, help="Print the resolved recipe as TOML.")
@click.option(
    "--longest", type=click.IntRange(1), metavar="TOKENS", help="With --json: of the longest text, for the memory."
)
@json_option
def check(recipe: Path, overrides: tuple[str, ...], resolved: bool, longest: int | None, as_json: bool) -> None:
    """Say all that is wrong with RECIPE, or that nothing is. Reads no data and loads no model.

    With --json: problems, hash, the resolved recipe, and the memory that training would take, in bytes.
    """
    from runner.recipe import RecipeError, load_recipe, toml_text

    try:
        loaded = load_recipe(recipe, overrides)
        if loaded.recipe.model.method == "peft":
            check_adapter(str(recipe), loaded.recipe.model.peft)
    except RecipeError as error:
        if not as_json:
            raise
        problems = [problem.as_dict() for problem in error.problems]
        echo_json({"problems": problems, "hash": None, "resolved": None, "memory": None})
        raise SystemExit(2) from None
    if as_json:
        from runner.footprint import footprint

        memory = footprint(loaded.recipe, longest).as_dict()
        echo_json({"problems": [], "hash": loaded.hash, "resolved": loaded.resolved, "memory": memory})
    elif resolved:
        click.echo(toml_text(loaded.resolved), nl=False)
    else:
        model = loaded.recipe.model
        click.echo(f"{recipe}: good. {loaded.recipe.task}, {model.base} by {model.method}, hash {loaded.hash}")


def check_adapter(source: str, spec: "Peft") -> None:
    """Raise RecipeError for settings that peft's own classes do not know; loads peft, and torch with it."""
    from runner.quiet import quiet_libraries
    from runner.recipe import RecipeError

    quiet_libraries()
    from runner.adapters import peft_problems

    if problems := peft_problems(spec):
        raise RecipeError(source, problems)


@command.command("tasks")
@click.option("--dataset", metavar="NAME@VERSION", help="Only the tasks that this stored dataset has rows for.")
@store_option
@json_option
def tasks(dataset: str | None, store_path: Path | None, as_json: bool) -> None:
    """List the tasks and the columns that each of them reads."""
    from runner.recipe.outline import outline

    found = outline() if dataset is None else outline(_fitting(store_path, dataset))
    if as_json:
        echo_json({"tasks": found})
        return
    for task in found:
        fields = [f"{field['name']}{' (may be left out)' if field['is_optional'] else ''}" for field in task["fields"]]
        click.echo(f"{task['name']:28} {', '.join(fields)}")


def _fitting(path: Path | None, dataset: str) -> list[str]:
    from runner.data.prepare import fitting_tasks
    from store import get_dataset, open_readonly

    store = open_readonly(default_store(path))
    try:
        return fitting_tasks(store, get_dataset(store, dataset))
    finally:
        store.close()


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of recipes, for editors that complete TOML."""
    from runner.recipe import recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
