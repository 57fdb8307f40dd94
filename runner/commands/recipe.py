"""`runner recipe check` and `runner recipe schema`."""

import json
from pathlib import Path

import click

from runner.commands.options import echo_json, json_option


@click.group("recipe")
def command() -> None:
    """Check a recipe, or print the schema for editors."""


@command.command("check")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as training.epochs=3.")
@click.option("--resolved", is_flag=True, help="Print the resolved recipe as TOML.")
@json_option
def check(recipe: Path, overrides: tuple[str, ...], resolved: bool, as_json: bool) -> None:
    """Say all that is wrong with RECIPE, or that nothing is. Reads no data and loads no model."""
    from runner.recipe import load_recipe, toml_text

    loaded = load_recipe(recipe, overrides)
    if as_json:
        echo_json({"hash": loaded.hash, "resolved": loaded.resolved})
    elif resolved:
        click.echo(toml_text(loaded.resolved), nl=False)
    else:
        model = loaded.recipe.model
        click.echo(f"{recipe}: good. {loaded.recipe.task}, {model.base} by {model.method}, hash {loaded.hash}")


@command.command("schema")
def schema() -> None:
    """Print the JSON Schema of recipes, for editors that complete TOML."""
    from runner.recipe import recipe_schema

    click.echo(json.dumps(recipe_schema(), indent=2, ensure_ascii=False))
