"""The process of one job: takes the job over from its worker, carries it out, obeys what is asked, and ends it.

It is the leader of a session of its own, so neither a closed terminal nor the worker's end touches it. Its output goes
to the job's log. A trial of a sweep is another thing: `runner.sweep.leased`.
"""

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from runner.errors import UserError
from runner.queue.attending import INTERRUPTED, Outcome, attend, enter_folder, say
from runner.queue.devices import show_only
from runner.queue.kinds import KINDS, Kind, command_line
from store import Job, JobStatus, Run, RunNotFound, Store, get_job, get_run, open_store
from store.errors import may_pass
from store.job_leases import finish_job, take_job
from store.jobs import TRIAL, job_file

Execute = Callable[[Sequence[str]], Outcome]
"""Runs the command line of a job in this process."""


def main(arguments: Sequence[str]) -> int:
    """`python -m runner.queue.child STORE JOB_KEY WORKER_PID WORKER_STARTED_AT`: what a worker starts."""
    path, key, pid, started_at = arguments
    return carry_out(open_store(path, create=False), int(key), (int(pid), float(started_at)))


def carry_out(
    store: Store,
    job_key: int,
    leased_by: tuple[int, float],
    *,
    kinds: Mapping[str, Kind] = KINDS,
    execute: Execute | None = None,
) -> int:
    """Do the job from taking it over to its end; returns an exit code. Nothing happens when it is not ours any more."""
    job = take_job(store, job_key, leased_by)
    if job is None:
        print("the job was given to another process", flush=True)  # noqa: T201 - the job's log
        return 0
    if job.kind == TRIAL:
        from runner.sweep.leased import carry_out_trials

        return carry_out_trials(store, job, leased_by)
    outcome, obeyed = attend(store, job, lambda: _do(store, job, kinds, execute or run_command))
    status, cause = _fate(job, outcome, obeyed)
    say(f"{status}{f': {cause}' if cause else ''}")
    _end(store, job, status, cause)
    return outcome.code


def run_command(words: Sequence[str]) -> Outcome:
    """Run a command of ours in this process."""
    from runner.cli import run

    ended = run(list(words))
    return Outcome(ended.code, ended.error)


def _do(store: Store, job: Job, kinds: Mapping[str, Kind], execute: Execute) -> Outcome:
    """The work itself."""
    kind = kinds.get(job.kind)
    if kind is None:
        return Outcome(2, f"this version of Assay knows no job of kind {job.kind!r}; it knows: {', '.join(kinds)}.")
    run = _run_of(store, job)
    is_again = kind.again is not None and run is not None
    if run is not None and is_again and run.status == "finished":
        say(f"its run {run.name} ({run.id}) has finished")
        return Outcome(0)
    arguments: dict[str, Any] = {**job.arguments}
    if run is not None and is_again:
        arguments["run"] = run.id
    try:
        enter_folder(arguments.get("folder"))
        recipe_device = str(arguments.get("recipe_device") or _training_device(run.recipe if run else None))
        if "recipe_text" in arguments and not is_again:
            from runner.queue.recipes import write_recipe

            file = job_file(store, job, "json")
            loaded = write_recipe(arguments, Path(arguments.get("folder") or store.path.parent), file)
            arguments["recipe"], recipe_device = str(file), loaded.recipe.training.device
        show_only(job.worker_device or "cpu", recipe_device)
        words = [*command_line(job.kind, kind, arguments, is_again=is_again), "--store", str(store.path)]
    except (UserError, OSError) as error:
        return Outcome(2, str(error))
    say("runner " + " ".join(words))
    outcome = execute(words)
    if outcome.code not in (0, INTERRUPTED) and outcome.error is None:
        run = _run_of(store, job)
        return outcome._replace(error=run.cause if run else None)
    return outcome


def _run_of(store: Store, job: Job) -> Run | None:
    """The run that the job is at: the one that this or an earlier attempt recorded, or that it was queued for."""
    key = get_job(store, job.key).run_key
    try:
        if key is not None:
            return get_run(store, key)
        return get_run(store, str(job.arguments["run"])) if "run" in job.arguments else None
    except RunNotFound:
        return None


def _training_device(recipe: Mapping[str, Any] | None) -> str:
    return str(((recipe or {}).get("training") or {}).get("device") or "auto")


def _fate(job: Job, outcome: Outcome, obeyed: str | None) -> tuple[JobStatus, str | None]:
    """What the job becomes."""
    if outcome.code == 0:
        return JobStatus.FINISHED, None
    if obeyed is not None:
        return {"cancel": (JobStatus.KILLED, "cancelled"), "pause": (JobStatus.PAUSED, None)}[obeyed]
    if outcome.code == INTERRUPTED:  # by somebody from outside, such as a machine that shuts down
        if job.n_attempts < job.max_attempts:
            return JobStatus.QUEUED, f"attempt {job.n_attempts} of {job.max_attempts} was interrupted, queued again"
        return JobStatus.KILLED, "interrupted from outside (a signal to its process)"
    return JobStatus.FAILED, outcome.error or f"exit code {outcome.code}; see `runner queue log {job.id}`"


def _end(store: Store, job: Job, status: JobStatus, cause: str | None) -> None:
    """Write the end. Where the store cannot be written for minutes the worker does it, by our exit code."""
    deadline = time.monotonic() + 300.0
    while True:
        try:
            finish_job(store, job, status, cause)
            return
        except Exception as error:
            if not may_pass(error) or time.monotonic() > deadline:
                raise
            time.sleep(1.0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
