"""`runner train RECIPE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.commands.options import echo_json, open_or_make, store_option

if TYPE_CHECKING:
    from runner.triage.after import Mode
    from store import Run, Store


@click.command("train")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as training.epochs=3.")
@click.option("--quiet", is_flag=True, help="Show warnings and the last line only.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar (the default when not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print the run as JSON at the end (and nothing else on stdout).")
@store_option
def command(
    recipe: Path, overrides: tuple[str, ...], quiet: bool, plain: bool, as_json: bool, store_path: Path | None
) -> None:
    """Fine-tune what RECIPE says and record it. See `runner recipe check` and docs/recipes.md."""
    from runner.data import check_data
    from runner.location import check_locations
    from runner.recipe import load_recipe

    loaded = load_recipe(recipe, overrides)  # before torch is loaded: a typo is said at once
    check_locations(loaded.recipe)  # and a model or data set that is not there
    store = open_or_make(store_path, lambda: check_data(loaded.recipe))
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.train import train

    mode: Mode = "quiet" if quiet else "plain" if plain else "auto"
    run = train(loaded, store, make_progress(mode))
    code = 0
    if run.status == "finished" and loaded.recipe.triage.after_training:
        code = look_at_data(store, run, mode, as_json=as_json)
    if as_json:
        from runner.commands.show import as_dict

        echo_json(as_dict(store, run))
    if run.status == "killed":
        sys.exit(130)
    if run.status != "finished":
        sys.exit(1)
    sys.exit(code)


def look_at_data(store: "Store", run: "Run", mode: "Mode", *, as_json: bool = False) -> int:
    """Triage the data of a run that has finished, and say what was found; returns an exit code: 130 after Ctrl-C."""
    from runner.triage.after import triage_after

    said, triage = triage_after(store, run, mode)
    if said:
        click.echo(said, err=as_json or triage is None or triage.status != "finished")
    return 130 if triage is not None and triage.status == "killed" else 0
