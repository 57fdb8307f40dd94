"""`runner sweep RECIPE`."""

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from runner.commands.options import echo_json, open_or_make, open_reconciled, size, store_option

if TYPE_CHECKING:
    from runner.recipe import LoadedRecipe
    from runner.sweep.display import Display
    from runner.sweep.engine import Engine
    from runner.sweep.search import Search
    from runner.sweep.take_up import TakenUp
    from runner.sweep.trial_data import TrialData
    from store import Store, Sweep

_MOST_SHOWN = 24


@click.command("sweep")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--trials", type=click.IntRange(1), help="How many configurations in all; a larger number adds some.")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds for each contender.")
@click.option("--max-hours", type=click.FloatRange(0, min_open=True), help="Hours of work, all calls together.")
@click.option("--max-gpu-hours", type=click.FloatRange(0, min_open=True), help="Hours of devices, all calls together.")
@click.option("--parallel", type=click.IntRange(1), help="Trials at a time. Default: one a CUDA device or worker.")
@click.option(
    "--on",
    "place",
    type=click.Choice(("here", "workers")),
    default="here",
    help="here: in processes of its own (the default). workers: as jobs for every `runner worker` of the store.",
)
@click.option("--priority", type=int, help="Of its trials in the queue, with --on workers: higher goes first.")
@click.option("--fresh", is_flag=True, help="Begin a new sweep that reuses nothing.")
@click.option("--retry", is_flag=True, help="Try again what failed before.")
@click.option("--tidy", is_flag=True, help="At the end remove the checkpoints of trials that were stopped early.")
@click.option("--dry-run", is_flag=True, help="Show what would be run, and run nothing.")
@click.option("--write-best", type=click.Path(dir_okay=False, path_type=Path), help="Write the best recipe there.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as training.epochs=3.")
@click.option("--quiet", is_flag=True, help="Show the result only.")
@click.option("--plain", is_flag=True, help="Lines instead of a bar (the default when not a terminal).")
@click.option(
    "--json", "as_json", is_flag=True, help="Print the sweep as JSON at the end (and nothing else on stdout)."
)
@store_option
def command(
    recipe: Path,
    trials: int | None,
    seeds: int | None,
    max_hours: float | None,
    max_gpu_hours: float | None,
    parallel: int | None,
    place: str,
    priority: int | None,
    fresh: bool,
    retry: bool,
    tidy: bool,
    dry_run: bool,
    write_best: Path | None,
    overrides: tuple[str, ...],
    quiet: bool,
    plain: bool,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Search for the best recipe in the [sweep] of RECIPE; see docs/sweeps.md.

    The same command again runs only what is missing: after Ctrl-C, a kill or a reboot it goes on where it stopped, with
    more --trials or --seeds it adds those. RECIPE may also be the id or name of a sweep in the store.
    """
    if priority is not None and place != "workers":
        raise click.UsageError("--priority is of jobs in the queue: it goes with --on workers.")
    from runner.sweep.asked_for import Budget, check_sources, find_data, find_recipe

    budget = Budget(trials, seeds, max_hours, max_gpu_hours)
    store: Store | None = None
    if not recipe.exists():
        store = _existing(store_path)
    loaded, stored = find_recipe(recipe, overrides, budget, store)
    from runner.sweep.search import read_search

    search = read_search(loaded.recipe, loaded.written)
    if dry_run:
        _show_plan(search, loaded, stored, store or _existing(store_path), is_fresh=fresh)
        return
    store = store or open_or_make(store_path, lambda: check_sources(search))
    data = find_data(store, search, stored, say=lambda text: None if quiet else click.echo(text, err=True))
    sweep, search, n_slots = _drive(
        store,
        loaded,
        data,
        n_parallel=parallel,
        priority=priority or 0 if place == "workers" else None,
        is_fresh=fresh,
        retries=retry,
        is_quiet=quiet,
        is_plain=plain,
    )
    from runner.sweep.summary import as_dict, best_recipe, summarise, text

    summary = summarise(store, sweep, search)
    if tidy:
        from runner.sweep.tidy import remove, stopped_checkpoints

        freed = remove(store, stopped_checkpoints(store, [each.first for each in summary.known]))
        click.echo(f"removed {size(freed)} of checkpoints of stopped trials", err=True)
    best = None if write_best is None else best_recipe(summary)
    if write_best is not None and best is not None:
        write_best.write_text(best, encoding="utf-8")
    again = _command_line(recipe, overrides, store_path, place)
    if as_json:
        echo_json(as_dict(store, summary, again, n_slots))
    else:
        click.echo(text(store, summary, again, n_slots))
        if write_best is not None:
            written = f"the best recipe is in {write_best}: runner train {write_best}"
            click.echo(written if best is not None else f"there is no best recipe yet: {write_best} was not written")
    if sweep.status == "killed":
        sys.exit(130)
    if sweep.status != "finished":
        sys.exit(1)


def _existing(store_path: Path | None) -> "Store | None":
    """The store, if there is one."""
    from runner.paths import default_store

    return open_reconciled(store_path) if default_store(store_path).exists() else None


def _drive(
    store: "Store",
    loaded: "LoadedRecipe",
    data: "TrialData",
    *,
    n_parallel: int | None,
    priority: int | None,
    is_fresh: bool,
    retries: bool,
    is_quiet: bool,
    is_plain: bool,
) -> tuple["Sweep", "Search", int]:
    """The sweep as it ended, its search, and how many trials ran at a time. `priority`: of jobs; None: no jobs."""
    from runner.sweep.display import make_display
    from runner.sweep.driver import Driver
    from runner.sweep.samplers import limits
    from runner.sweep.take_up import take_up

    taken = take_up(store, loaded, data, is_fresh=is_fresh)
    display = make_display(is_quiet=is_quiet, is_plain=is_plain)
    try:
        for text in (*taken.said, *limits(taken.search)):
            display.say(text)
        engine = _engine(store, taken, n_parallel, priority, display)
        driver = Driver(store, taken, engine, display, retries_failed=retries)
        return driver.drive(), taken.search, engine.n_slots
    finally:
        display.close()


def _engine(
    store: "Store", taken: "TakenUp", n_parallel: int | None, priority: int | None, display: "Display"
) -> "Engine":
    if priority is not None:
        from runner.sweep.queued import QueueEngine

        return QueueEngine(store, taken.sweep, display.say, n_parallel, priority)
    from runner.sweep.local import LocalEngine
    from runner.sweep.places import find_places

    places = find_places(taken.search.recipe, n_parallel)
    return LocalEngine(store.path, places.devices, places.threads, store.files / "sweeps" / taken.sweep.id)


def _command_line(recipe: Path, overrides: tuple[str, ...], store_path: Path | None, place: str) -> str:
    """The command, to be given again with other seeds."""
    words = ["runner", "sweep", str(recipe)]
    for override in overrides:
        words += ["--set", override]
    if place != "here":
        words += ["--on", place]
    if store_path is not None:
        words += ["--store", str(store_path)]
    return shlex.join(words)


def _show_plan(
    search: "Search", loaded: "LoadedRecipe", stored: "Sweep | None", store: "Store | None", *, is_fresh: bool
) -> None:
    """What the search is, and which configurations would come first. What the sweep would refuse is refused."""
    from runner.sweep.asked_for import check_sources, find_data
    from runner.sweep.preview import preview
    from runner.sweep.take_up import what_is_meant

    meant = None
    if store is None:
        check_sources(search)
    else:
        data = find_data(store, search, stored, say=lambda text: click.echo(text, err=True), is_only_looked_up=True)
        meant = what_is_meant(store, loaded, data, is_fresh=is_fresh)
    for line in preview(search, meant, _MOST_SHOWN):
        click.echo(line)
