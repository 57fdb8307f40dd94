"""`runner demo`."""

import os
import shutil
import sys
from pathlib import Path

import click

from runner.commands.options import duration, number, open_reconciled, store_option, table

DEMO_STORE = Path("demo.db")


@click.command("demo")
@click.option("--quiet", is_flag=True, help="Show warnings and the results only.")
@store_option
def command(quiet: bool, store_path: Path | None) -> None:
    """Train a frozen-backbone head and a LoRA on built-in data into demo.db, and find the wrong labels planted there.

    Takes a few minutes on two cores; needs no network and no model hub.
    """
    store_path = store_path or DEMO_STORE
    store = open_reconciled(store_path, create=True)
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.demo import METHODS, demo_recipe, find_planted, find_queued, found_text
    from runner.train import train
    from store import get_cost, latest_triage, list_scores

    runs = [train(demo_recipe(method), store, make_progress("quiet" if quiet else "auto")) for method in METHODS]
    failed = [run for run in runs if run.status != "finished"]
    if failed:
        click.echo(f"error: {failed[0].name} {failed[0].status}: {failed[0].cause}", err=True)
        sys.exit(130 if failed[0].status == "killed" else 1)
    rows = []
    for run in runs:
        scores = list_scores(store, [run.key])
        test = scores[(scores["split"] == "test") & (scores["metric"] == "accuracy")]
        best, base = test[test["is_best"] == 1].iloc[0], test[test["step"] == 0].iloc[0]
        interval = f"{number(best['low'])} to {number(best['high'])}"
        wall = duration(get_cost(store, run.key).wall_seconds)
        rows.append([run.name, number(best["value"]), interval, str(best["n"]), number(base["value"]), wall])
    headers = ["run", "test accuracy", "95 % interval", "n", "untrained", "wall"]
    click.echo("\n" + table(headers, rows, right=(1, 3, 4)))
    for run in runs:
        click.echo(f"\n{run.name}: {found_text(find_planted(store, run))}.")
    from runner.commands.train import look_at_data

    click.echo("\nWhat both say of the data, not knowing what was planted:\n")
    if code := look_at_data(store, runs[-1], "quiet" if quiet else "auto"):
        sys.exit(code)
    triage = latest_triage(store, int(runs[-1].dataset_key or 0))
    if triage is not None:
        queued = find_queued(store, triage)
        click.echo(
            f"Of the first {queued.n_planted} in the queue {queued.n_found} were planted ({queued.precision:.0%})."
        )
    runner = runner_command()
    click.echo(
        f"""
Everything is in {store_path}. Next:
  {runner} dashboard --store {store_path}       look at the runs, compare them, read the worst examples
  {runner} ls --store {store_path}
  {runner} diff docstrings-head docstrings-lora --store {store_path}
  {runner} show @latest --recipe --store {store_path} > my.toml     to change, and run with `{runner} train my.toml`"""
    )


def runner_command() -> str:
    """How to call this program from here: by name where the shell finds it, else by its path."""
    return "runner" if shutil.which("runner") else os.path.relpath(Path(sys.executable).with_name("runner"))
