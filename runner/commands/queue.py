"""`runner queue`: the list, and what people do with it."""

import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from runner.commands.options import UNKNOWN, age, duration, echo_json, json_option, records, store_option, table
from runner.commands.queue_add import add, job_as_dict, job_store

if TYPE_CHECKING:
    from store import Job, Store

_MARKS = {"running": "◐", "queued": "…", "paused": "‖", "finished": "✓", "failed": "✕", "killed": "■"}


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

    store = job_store(store_path)
    open_jobs = records(list_jobs(store, status=("running", "queued", "paused")))
    ended = records(list_jobs(store, status=("finished", "failed", "killed"), limit=None if show_all else 10))
    workers = records(list_workers(store))
    if as_json:
        echo_json({"jobs": open_jobs + ended, "workers": workers})
        return
    for worker in workers:
        leaving = ", and takes no other job" if worker["is_leaving"] else ""
        doing = f"at {worker['job_name']} ({worker['job_id'][:12]})" if worker["job_id"] else "waiting for work"
        click.echo(f"worker {worker['device']} on {worker['host']}, process {worker['pid']}: {doing}{leaving}")
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
    if row["n_trials_done"] is not None:
        wanted = f" of {row['n_trials']:.0f}" if row["n_trials"] is not None else ""
        return f"trial {row['n_trials_done']:.0f}{wanted}"
    if row["step"] is None:
        return UNKNOWN
    return f"step {row['step']:,.0f}" + (f" of {row['n_steps']:,.0f}" if row["n_steps"] is not None else "")


command.add_command(add)


# change --------------------------------------------------------------------------------------------------------------


def _change(name: str, text: str, change: Callable[["Store", str], "Job"]) -> None:
    """A subcommand that does one thing to each job named."""

    @command.command(name, help=text)
    @click.argument("jobs", nargs=-1, required=True, metavar="JOB…")
    @json_option
    @store_option
    def each(jobs: tuple[str, ...], as_json: bool, store_path: Path | None) -> None:
        store = job_store(store_path)
        _changed([change(store, job) for job in jobs], as_json)


def _changed(jobs: "list[Job]", as_json: bool) -> None:
    if as_json:
        echo_json([job_as_dict(job) for job in jobs])
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
    store = job_store(store_path)
    named = tuple(list_jobs(store, status=("finished", "failed", "killed"))["id"]) if all_ended else jobs
    removed = [remove_job(store, job) for job in named]
    if as_json:
        echo_json([job_as_dict(job) for job in removed])
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

    _changed([set_priority(job_store(store_path), job, priority)], as_json)


@command.command("log")
@click.argument("job")
@click.option("--follow", "-f", is_flag=True, help="Go on until the job has ended.")
@store_option
def log(job: str, follow: bool, store_path: Path | None) -> None:
    """Print what a job has printed, all its attempts."""
    from store import get_job, job_log

    store = job_store(store_path)
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
