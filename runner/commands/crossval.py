"""`runner crossval RECIPE`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from runner.commands.options import echo_json, open_or_make, open_reconciled, store_option

if TYPE_CHECKING:
    from runner.crossval.plan import Plan
    from runner.recipe import LoadedRecipe
    from store import Dataset, Opinion, Store


@click.command("crossval")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option(
    "--folds", type=int, default=5, show_default=True, help="Parts of the training split, each held out once."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the folds.")
@click.option("--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as training.epochs=3.")
@click.option("--quiet", is_flag=True, help="Show warnings and the last line only.")
@click.option("--plain", is_flag=True, help="Lines instead of a progress bar (the default when not a terminal).")
@click.option("--json", "as_json", is_flag=True, help="Print what is there as JSON at the end.")
@store_option
def command(
    recipe: Path,
    folds: int,
    seed: int,
    overrides: tuple[str, ...],
    quiet: bool,
    plain: bool,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Ask RECIPE's model about every training example after training it on the others, fold by fold.

    The answers stay in the store; `runner triage` listens to them. RECIPE may also be a run: then its recipe and its
    data are taken. The same command again goes on with the folds that are missing.
    """
    from runner.location import check_locations

    if recipe.exists() or recipe.suffix in (".toml", ".json"):
        from runner.data import check_data
        from runner.recipe import load_recipe

        loaded = load_recipe(recipe, overrides)
        check_locations(loaded.recipe)
        store = open_or_make(store_path, lambda: check_data(loaded.recipe))
        dataset = _prepared(store, loaded)
    else:
        store = open_reconciled(store_path)
        loaded, dataset = _of_run(store, str(recipe), overrides)
        check_locations(loaded.recipe)
    from runner.crossval.plan import plan_folds
    from store import get_opinion

    plan = plan_folds(store, dataset, loaded.hash, task=loaded.recipe.task, n_folds=folds, seed=seed)
    known = _row(store, dataset, plan.fingerprint)
    n_before = int(known.get("n_parts", 0))
    if known.get("status") == "finished" and n_before == folds:
        opinion = get_opinion(store, int(known["key"]))  # without loading torch
    else:
        opinion = _carry_out(loaded, store, dataset, plan, "quiet" if quiet else "plain" if plain else "auto")
    if as_json:
        echo_json(as_dict(store, dataset, opinion))
    else:
        click.echo(text_of(dataset, opinion, n_before), err=opinion.status != "finished")
    if opinion.status == "killed":
        sys.exit(130)
    if opinion.status != "finished":
        sys.exit(1)


def _carry_out(
    loaded: "LoadedRecipe", store: "Store", dataset: "Dataset", plan: "Plan", mode: Literal["auto", "plain", "quiet"]
) -> "Opinion":
    from runner.progress import make_progress
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner.crossval.carry_out import cross_validate

    progress = make_progress(mode)
    for text in plan.warnings:
        progress.warning(text)
    return cross_validate(loaded, store, dataset, plan, progress)


def _prepared(store: "Store", loaded: "LoadedRecipe") -> "Dataset":
    from runner.data import prepare_data

    prepared = prepare_data(store, loaded.recipe)
    for text in prepared.warnings:
        click.echo(f"warning: {text}", err=True)
    return prepared.dataset


def _of_run(store: "Store", selector: str, overrides: tuple[str, ...]) -> tuple["LoadedRecipe", "Dataset"]:
    """Recipe and dataset of a run. Raises RunNotFound, NotResumable, UserError."""
    from runner.errors import UserError
    from runner.resume import read_recorded
    from store import get_run

    found = get_run(store, selector)
    if overrides:
        raise UserError(f"{selector} is a run: --set would make another recipe of it. Change its recipe file.")
    recorded = read_recorded(store, found)
    return recorded.loaded, recorded.dataset


def _row(store: "Store", dataset: "Dataset", fingerprint: str) -> dict[str, Any]:
    """The opinion of a fingerprint as `list_opinions` has it; {} where there is none."""
    from store import list_opinions

    opinions = list_opinions(store, dataset)
    rows = opinions[opinions["fingerprint"] == fingerprint].to_dict("records")
    return {str(name): value for name, value in rows[0].items()} if rows else {}


def as_dict(store: "Store", dataset: "Dataset", opinion: "Opinion") -> dict[str, object]:
    """What a program may want to know."""
    from store import finished_parts

    return {
        "opinion": opinion.id,
        "name": opinion.name,
        "dataset": str(dataset),
        "status": opinion.status,
        "cause": opinion.cause,
        "n_folds": opinion.n_folds,
        "seed": opinion.seed,
        "n_examples": dataset.n_rows["train"],
        "n_known": _row(store, dataset, opinion.fingerprint)["n_known"],
        "folds": {str(fold + 1): cost for fold, cost in finished_parts(store, opinion.key).items()},
        "fingerprint": opinion.fingerprint,
    }


def text_of(dataset: "Dataset", opinion: "Opinion", n_before: int) -> str:
    """What a person wants to know; n_before: folds that were there before this call."""
    name = f"{opinion.name}, {opinion.n_folds} folds of {dataset}"
    if opinion.status != "finished":
        left = f"{opinion.n_parts} of {opinion.n_folds} folds are done; the same command goes on with the rest"
        return f"{name}: {opinion.status}, {opinion.cause}. {left}."
    if n_before == opinion.n_folds:
        said = f"{name}: was done before, with the same recipe, data and seed."
    else:
        said = f"{name}: done{f' ({n_before} of them before)' if n_before else ''}."
    return f"{said}\nNext: `runner triage --dataset {dataset}` listens to what they said."
