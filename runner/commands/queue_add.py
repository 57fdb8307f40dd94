"""`runner queue add`: what can be queued."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runner.commands.options import echo_json, json_option, open_or_make, open_reconciled, store_option
from runner.queue.kinds import MAX_ATTEMPTS, Wishes

if TYPE_CHECKING:
    from store import Job, Store

F = TypeVar("F", bound=Callable[..., Any])


def job_store(path: Path | None, *, check: Callable[[], object] | None = None) -> "Store":
    """The store named behind the subcommand, else behind `queue`; made where there is a `check` that raises nothing."""
    parents = click.get_current_context().find_root()
    context: click.Context | None = click.get_current_context()
    while path is None and context is not None and context is not parents:
        path, context = context.params.get("store_path"), context.parent
    return open_reconciled(path) if check is None else open_or_make(path, check)


@click.group("add")
def add() -> None:
    """Put a job into the queue. The recipe is kept in the job: editing or removing its file changes nothing."""


def _wishes(function: F) -> F:
    """The options that every job has; the command gets them as one `wishes`."""

    @functools.wraps(function)
    def wished(*, priority: int, device: str | None, attempts: int, name: str | None, **others: Any) -> None:
        function(wishes=Wishes(priority, device, attempts, name), **others)

    decorated: Any = wished
    for option in (
        store_option,
        json_option,
        click.option("--name", help="What to call the job (default: from the recipe or the run)."),
        click.option(
            "--attempts",
            type=click.IntRange(1, 100),
            default=MAX_ATTEMPTS,
            show_default=True,
            help="How often it is begun at most when its process dies.",
        ),
        click.option("--device", help="Only on this one: cpu, cuda, cuda:0, … (default: what the recipe needs)."),
        click.option("--priority", type=int, default=0, show_default=True, help="Higher goes first."),
    ):
        decorated = option(decorated)
    return decorated  # type: ignore[no-any-return]  # click's options wrap what they are given


_SET = click.option(
    "--set", "overrides", multiple=True, metavar="A.B=C", help="Override a value, such as training.epochs=3."
)


@add.command("train")
@click.argument("recipe", type=click.Path(path_type=Path))
@_SET
@_wishes
def add_train(
    recipe: Path,
    overrides: tuple[str, ...],
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue a fine-tune of what RECIPE says now."""
    from runner.queue.adding import add_train_job
    from runner.recipe import load_recipe

    store = job_store(store_path, check=lambda: load_recipe(recipe, overrides))
    _added(store, add_train_job(store, recipe, overrides, wishes), as_json)


@add.command("sweep")
@click.argument("recipe", type=click.Path(path_type=Path))
@_SET
@click.option("--trials", type=click.IntRange(1), help="How many configurations in all; a larger number adds some.")
@click.option("--seeds", type=click.IntRange(1), help="How many seeds for each contender.")
@click.option("--max-hours", type=click.FloatRange(0, min_open=True), help="Hours of work, all calls together.")
@click.option("--max-gpu-hours", type=click.FloatRange(0, min_open=True), help="Hours of devices, all calls together.")
@click.option("--parallel", type=click.IntRange(1), help="Trials at a time.")
@click.option("--retry", is_flag=True, help="Try again what failed before.")
@_wishes
def add_sweep(
    recipe: Path,
    overrides: tuple[str, ...],
    trials: int | None,
    seeds: int | None,
    max_hours: float | None,
    max_gpu_hours: float | None,
    parallel: int | None,
    retry: bool,
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue the sweep that RECIPE describes now. RECIPE may also be the id or name of a sweep in the store."""
    from runner.queue.adding import add_sweep_job
    from runner.sweep.asked_for import Budget, find_recipe

    budget = Budget(trials, seeds, max_hours, max_gpu_hours)
    store = job_store(store_path, check=lambda: find_recipe(recipe, overrides, budget, None))
    others = {"parallel": parallel, "retry": retry or None}
    _added(store, add_sweep_job(store, recipe, overrides, budget, others, wishes), as_json)


@add.command("resume")
@click.argument("run")
@_wishes
def add_resume(
    run: str,
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue the rest of a failed, killed or pruned RUN."""
    from runner.queue.adding import add_run_job

    store = job_store(store_path)
    _added(store, add_run_job(store, "resume", run, wishes), as_json)


@add.command("reproduce")
@click.argument("run")
@_wishes
def add_reproduce(
    run: str,
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue RUN's recorded recipe once more, to see whether the same comes out."""
    from runner.queue.adding import add_run_job

    store = job_store(store_path)
    _added(store, add_run_job(store, "reproduce", run, wishes), as_json)


@add.command("predict")
@click.argument("run")
@click.argument("file", required=False)
@click.option(
    "--out", type=click.Path(path_type=Path), required=True, help="Where the answers go: .jsonl, .csv or .parquet."
)
@click.option("--split", help="Of the dataset: train, validation or test.")
@click.option("--text-column", help="The column of the texts (default: as in the run's recipe).")
@click.option("--batch-size", type=click.IntRange(1), help="Texts at a time.")
@click.option("--checkpoint", type=click.IntRange(0), metavar="STEP", help="Instead of the best one.")
@_wishes
def add_predict(
    run: str,
    file: str | None,
    out: Path,
    split: str | None,
    text_column: str | None,
    batch_size: int | None,
    checkpoint: int | None,
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue what RUN's model says of FILE, or of a split of a stored dataset (see `runner predict`)."""
    from runner.queue.adding import add_predict_job

    options = {"split": split, "text-column": text_column, "batch-size": batch_size, "checkpoint": checkpoint}
    store = job_store(store_path)
    _added(store, add_predict_job(store, run, file, out, options, wishes), as_json)


@add.command("crossval")
@click.argument("recipe", type=click.Path(path_type=Path))
@click.option("--folds", type=click.IntRange(2), help="Parts of the training split, each held out once.")
@click.option("--seed", type=click.IntRange(0), help="Seed of the folds.")
@_SET
@_wishes
def add_crossval(
    recipe: Path,
    folds: int | None,
    seed: int | None,
    overrides: tuple[str, ...],
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue `runner crossval` of what RECIPE says now, or of a run's recipe and data."""
    from runner.queue.adding import add_crossval_job
    from runner.recipe import load_recipe

    is_file = recipe.exists() or recipe.suffix in (".toml", ".json")
    store = job_store(store_path, check=(lambda: load_recipe(recipe, overrides)) if is_file else None)
    options = {"folds": folds, "seed": seed}
    _added(store, add_crossval_job(store, recipe, overrides, options, wishes, is_file=is_file), as_json)


@add.command("triage")
@click.argument("runs", nargs=-1, metavar="[RUN]...")
@click.option("--dataset", metavar="NAME[@V]", help="Look at a stored data set, by what all its runs say (or none).")
@click.option("--fresh", is_flag=True, help="Compute everything again.")
@click.option("--no-canaries", is_flag=True, help="Flip no labels on purpose in a copy: no score is measured.")
@click.option("--model", metavar="BASE", help="Encoder of the texts, as model.base in a recipe.")
@click.option("--seed", type=click.IntRange(0), help="Seed of folds and canaries.")
@_wishes
def add_triage(
    runs: tuple[str, ...],
    dataset: str | None,
    fresh: bool,
    no_canaries: bool,
    model: str | None,
    seed: int | None,
    wishes: Wishes,
    as_json: bool,
    store_path: Path | None,
) -> None:
    """Queue a search for the training examples that hurt, in the data of RUNs or in --dataset (see `runner triage`)."""
    from runner.queue.adding import add_triage_job

    options = {"fresh": fresh or None, "no-canaries": no_canaries or None, "model": model, "seed": seed}
    store = job_store(store_path)
    _added(store, add_triage_job(store, runs, dataset, options, wishes), as_json)


def _added(store: "Store", job: "Job", as_json: bool) -> None:
    if as_json:
        echo_json(job_as_dict(job))
    else:
        where = "" if job.device is None else f" for a worker with {job.device}"
        click.echo(f"queued {job.kind} {job.name}: job {job.id}{where}")
        if job.device is not None and not _has_worker(store, job.device):
            click.echo(
                f"no worker for {job.device} is at work: `runner worker --device {job.device}` starts one, on a machine"
                " that has it"
            )


def _has_worker(store: "Store", device: str) -> bool:
    """Whether a living worker takes jobs for the device; `cuda` is any of its kind."""
    from store import list_workers

    workers = list_workers(store)
    return any(
        worker == device or worker.startswith(f"{device}:") for worker in workers[workers["cause"].isna()]["device"]
    )


def job_as_dict(job: "Job") -> dict[str, Any]:
    """What a program may want to know of a job."""
    names = ("id", "kind", "name", "status", "cause", "request", "priority", "device", "n_attempts", "max_attempts")
    return {name: getattr(job, name) for name in names}
