"""`runner queue`: the list, and what people do with it."""

import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from runner.commands.options import (
    UNKNOWN,
    age,
    duration,
    echo_json,
    json_option,
    open_or_make,
    open_reconciled,
    records,
    store_option,
    table,
)
from runner.queue.kinds import MAX_ATTEMPTS, Wishes

if TYPE_CHECKING:
    from store import Job, Store

F = TypeVar("F", bound=Callable[..., Any])

_MARKS = {"running": "◐", "queued": "…", "paused": "‖", "finished": "✓", "failed": "✕", "killed": "■"}


def _store(path: Path | None, *, check: Callable[[], object] | None = None) -> "Store":
    """The store named behind the subcommand, else behind `queue`; made where there is a `check` that raises nothing."""
    parents = click.get_current_context().find_root()
    context: click.Context | None = click.get_current_context()
    while path is None and context is not None and context is not parents:
        path, context = context.params.get("store_path"), context.parent
    return open_reconciled(path) if check is None else open_or_make(path, check)


@click.group("queue", invoke_without_command=True)
@click.option("--all", "show_all", is_flag=True, help="All jobs that have ended, not only the last ten.")
@json_option
@store_option
@click.pass_context
def command(context: click.Context, show_all: bool, as_json: bool, store_path: Path | None) -> None:
    """List the jobs: those that run, those that wait in the order they will be taken, and the last that ended.

    JOB is a job's id, a prefix of it (4 characters or more), its name (the newest of that name) or @latest.
    """
    if context.invoked_subcommand is not None:
        return
    from store import list_jobs, list_workers

    store = _store(store_path)
    open_jobs = records(list_jobs(store, status=("running", "queued", "paused")))
    ended = records(list_jobs(store, status=("finished", "failed", "killed"), limit=None if show_all else 10))
    workers = records(list_workers(store))
    if as_json:
        echo_json({"jobs": open_jobs + ended, "workers": workers})
        return
    for worker in workers:
        doing = f"at {worker['job_name']} ({worker['job_id'][:12]})" if worker["job_id"] else "waiting for work"
        click.echo(f"worker {worker['device']} on {worker['host']}, process {worker['pid']}: {doing}")
    if not workers:
        click.echo("no worker is at work: `runner worker` starts one")
    rows = open_jobs + ended
    headers = ["", "id", "kind", "name", "priority", "device", "progress", "attempts", "time"]
    if rows:
        click.echo(table(headers, [_cells(row) for row in rows], right=(4,)))
    else:
        click.echo("no jobs: `runner queue add train RECIPE` makes one")
    for row in rows:
        if row["cause"] or row["request"]:
            asked = f"asked to {row['request']}" if row["request"] else ""
            click.echo(f"{row['id'][:12]} {row['status']}: {'; '.join(filter(None, (asked, row['cause'])))}")


def _cells(row: dict[str, Any]) -> list[str]:
    at = {"running": row["started_at"], "queued": row["created_at"], "paused": row["created_at"]}.get(row["status"])
    took = duration(row["ended_at"] - row["started_at"]) if row["ended_at"] and row["started_at"] else UNKNOWN
    return [
        _MARKS.get(row["status"], "?"),
        row["id"][:12],
        row["kind"],
        row["name"],
        str(row["priority"]),
        row["worker_device"] or row["device"] or "any",
        _progress(row),
        f"{row['n_attempts']} of {row['max_attempts']}",
        (f"{row['status']} {age(at)}" if at else row["status"]) if not row["ended_at"] else f"{row['status']}, {took}",
    ]


def _progress(row: dict[str, Any]) -> str:
    if row["sweep_id"]:
        wanted = f" of {row['n_trials']:.0f}" if row["n_trials"] is not None else ""
        return f"trial {row['n_trials_done']:.0f}{wanted}"
    if row["step"] is None:
        return UNKNOWN
    return f"step {row['step']:,.0f}" + (f" of {row['n_steps']:,.0f}" if row["n_steps"] is not None else "")


# add -----------------------------------------------------------------------------------------------------------------


@command.group("add")
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

    store = _store(store_path, check=lambda: load_recipe(recipe, overrides))
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
    store = _store(store_path, check=lambda: find_recipe(recipe, overrides, budget, None))
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

    store = _store(store_path)
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

    store = _store(store_path)
    _added(store, add_run_job(store, "reproduce", run, wishes), as_json)


@add.command("predict")
@click.argument("run")
@click.argument("file", required=False)
@click.option("--out", type=click.Path(path_type=Path), required=True, help="Where the answers go: .jsonl or .csv.")
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
    store = _store(store_path)
    _added(store, add_predict_job(store, run, file, out, options, wishes), as_json)


def _added(store: "Store", job: "Job", as_json: bool) -> None:
    if as_json:
        echo_json(_as_dict(job))
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


# change --------------------------------------------------------------------------------------------------------------


def _change(name: str, text: str, change: Callable[["Store", str], "Job"]) -> None:
    """A subcommand that does one thing to each job named."""

    @command.command(name, help=text)
    @click.argument("jobs", nargs=-1, required=True, metavar="JOB…")
    @json_option
    @store_option
    def each(jobs: tuple[str, ...], as_json: bool, store_path: Path | None) -> None:
        store = _store(store_path)
        _changed([change(store, job) for job in jobs], as_json)


def _changed(jobs: "list[Job]", as_json: bool) -> None:
    if as_json:
        echo_json([_as_dict(job) for job in jobs])
        return
    for job in jobs:
        asked = f", asked to {job.request}" if job.request else ""
        click.echo(f"{job.kind} {job.name} ({job.id[:12]}): {job.status}{asked}")


def _cancel(store: "Store", job: str) -> "Job":
    from store import cancel_job

    return cancel_job(store, job)


def _pause(store: "Store", job: str) -> "Job":
    from store import pause_job

    return pause_job(store, job)


def _resume(store: "Store", job: str) -> "Job":
    from store import resume_job

    return resume_job(store, job)


def _retry(store: "Store", job: str) -> "Job":
    from store import retry_job

    return retry_job(store, job)


def _mover(where: Any) -> Callable[["Store", str], "Job"]:
    def move(store: "Store", job: str) -> "Job":
        from store import reorder_job

        return reorder_job(store, job, where)

    return move


_change(
    "cancel",
    "Take a job out of the queue, or interrupt it when it runs: a training ends cleanly and can be taken up again with "
    "retry. It is killed when it has not ended after 60 seconds.",
    _cancel,
)
_change(
    "pause",
    "Let a job wait. One that runs is interrupted and gives its device free; resumed, a training goes on from its "
    "checkpoint, a sweep with the trials that are missing; other jobs begin again.",
    _pause,
)
_change("resume", "Queue a paused job again, at its old place.", _resume)
_change("retry", "Queue a failed or killed job again; a training goes on from its newest checkpoint.", _retry)
_change("top", "Make it the next.", _mover("top"))
_change("bottom", "Make it the last.", _mover("bottom"))
_change("up", "Let it go before the one before it.", _mover("up"))
_change("down", "Let it go after the one after it.", _mover("down"))


@command.command("rm")
@click.argument("jobs", nargs=-1, metavar="[JOB…]")
@click.option("--ended", "all_ended", is_flag=True, help="All that have ended.")
@json_option
@store_option
def remove(jobs: tuple[str, ...], all_ended: bool, as_json: bool, store_path: Path | None) -> None:
    """Forget jobs that have ended, and what they printed. Their runs stay: `runner rm` removes those."""
    from store import list_jobs, remove_job

    if bool(jobs) == all_ended:
        raise click.UsageError("Name jobs, or give --ended for all that have ended.")
    store = _store(store_path)
    named = tuple(list_jobs(store, status=("finished", "failed", "killed"))["id"]) if all_ended else jobs
    removed = [remove_job(store, job) for job in named]
    if as_json:
        echo_json([_as_dict(job) for job in removed])
    else:
        click.echo(f"removed {len(removed)} job{'' if len(removed) == 1 else 's'}")


@command.command("priority")
@click.argument("job")
@click.argument("priority", type=int)
@json_option
@store_option
def priority(job: str, priority: int, as_json: bool, store_path: Path | None) -> None:
    """Set a waiting job's priority: higher goes first. (Negative ones after `--`.)"""
    from store import set_priority

    _changed([set_priority(_store(store_path), job, priority)], as_json)


@command.command("log")
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@store_option
def log(job: str, follow: bool, store_path: Path | None) -> None:
    """Print what a job has printed, all its attempts."""
    from store import get_job, job_log

    store = _store(store_path)
    found = get_job(store, job)
    path = job_log(store, found)
    if not path.exists() and not follow:
        click.echo(f"{found.kind} {found.name} ({found.id}) is {found.status} and has printed nothing yet", err=True)
        return
    position = 0
    while True:
        has_ended = get_job(store, found.key).ended_at is not None  # before reading: what follows the look is read too
        if path.exists():
            with path.open("rb") as file:
                file.seek(position)
                new = file.read()
                position = file.tell()
            sys.stdout.write(new.decode("utf-8", "replace"))
            sys.stdout.flush()
        if not follow or has_ended:
            return
        time.sleep(0.5)


def _as_dict(job: "Job") -> dict[str, Any]:
    names = ("id", "kind", "name", "status", "cause", "request", "priority", "device", "n_attempts", "max_attempts")
    return {name: getattr(job, name) for name in names}
