"""The process of one job: takes the job over from its worker, carries it out, obeys what is asked, and ends it.

It is the leader of a session of its own, so neither a closed terminal nor the worker's end touches it. Its output goes
to the job's log. While it works a thread says that it lives and reads what is asked; that interrupts the work as Ctrl-C
would, and after GRACE_SECONDS more it is killed with all its children.
"""

import math
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple

from runner import pauses, reasons
from runner.errors import UserError
from runner.queue.devices import show_only
from runner.queue.kinds import KINDS, Kind, command_line
from store import Job, JobStatus, Run, RunNotFound, Store, get_job, get_run, open_store
from store.errors import may_pass
from store.job_leases import beat_job, finish_job, read_request, take_job
from store.jobs import job_file

GRACE_SECONDS = 60.0
"""From the interrupt of a job that is cancelled or paused to its kill."""
STEP_SECONDS = 60.0
"""How long a training that is to be paused may take to the end of its step and for its checkpoint."""
LOOK_SECONDS = 0.5
BEAT_SECONDS = 15.0

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""


class Outcome(NamedTuple):
    """How the work ended: an exit code, and what went wrong in a sentence."""

    code: int
    error: str | None = None


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
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker that was started with `&` ignored it
    signal.signal(signal.SIGTERM, _interrupt)
    job = take_job(store, job_key, leased_by)
    if job is None:
        print("the job was given to another process", flush=True)  # noqa: T201 - the job's log
        return 0
    _say(f"attempt {job.n_attempts} of {job.max_attempts} on {job.worker_device}, process {os.getpid()}")
    duties = _Duties(store, job)
    duties.start()
    outcome = Outcome(INTERRUPTED)
    try:
        try:
            outcome = _do(store, job, kinds, execute or run_command)
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)  # whatever comes now comes too late
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Exception as error:  # an error of our own code: its trace belongs into the log, its name into the queue
        traceback.print_exc()
        outcome = Outcome(1, f"{type(error).__name__}: {error}")
    except BaseException:  # Ctrl-C, SIGTERM, and what the training makes of them
        _say("interrupted")
    finally:
        duties.stop()
    status, cause = _fate(job, outcome, duties.obeyed)
    _say(f"{status}{f': {cause}' if cause else ''}")
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
        _say(f"its run {run.name} ({run.id}) has finished")
        return Outcome(0)
    arguments: dict[str, Any] = {**job.arguments}
    if run is not None and is_again:
        arguments["run"] = run.id
    try:
        _enter_folder(arguments.get("folder"))
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
    _say("runner " + " ".join(words))
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


def _enter_folder(folder: object) -> None:
    """Relative paths, and the provenance of the code, are those of the folder where the job was queued."""
    if isinstance(folder, str) and Path(folder).is_dir():
        os.chdir(folder)


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


class _Duties:
    """The thread that says that the job lives, and obeys: at most one interrupt, then the kill."""

    def __init__(self, store: Store, job: Job) -> None:
        self._store, self._job = store, job
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="duties", daemon=True)
        self.obeyed: str | None = None
        """`cancel` or `pause`, once it was asked."""

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """The work has ended: no interrupt and no kill from now on."""
        self._over.set()
        self._thread.join()

    def _work(self) -> None:
        beaten = time.monotonic()
        paused_at = interrupted_at = math.inf
        while not self._over.wait(LOOK_SECONDS):
            try:
                request = read_request(self._store, self._job.key)
                if time.monotonic() - beaten > BEAT_SECONDS:
                    beaten = time.monotonic()
                    beat_job(self._store, self._job.key)
            except Exception as error:
                if not may_pass(error):
                    raise
                continue
            if request is None:
                continue
            now, is_first, self.obeyed = time.monotonic(), self.obeyed is None, request  # a cancel may follow a pause
            if is_first or interrupted_at == math.inf:
                reasons.say(f"its job was {'cancelled' if request == 'cancel' else 'paused'}")
            if is_first and request == "pause" and pauses.ask():
                _say("asked to pause: ending after this step, with a checkpoint")
                paused_at = now
            elif interrupted_at == math.inf and (
                paused_at == math.inf or request == "cancel" or now - paused_at > STEP_SECONDS
            ):
                _say(f"asked to {request}: interrupting; killed after {GRACE_SECONDS:.0f} seconds if it does not end")
                interrupted_at = now
                os.kill(os.getpid(), signal.SIGINT)
            elif now - interrupted_at > GRACE_SECONDS:
                _say("it did not end: killed")
                os.killpg(os.getpgid(0), signal.SIGKILL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def _say(text: str) -> None:
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)  # noqa: T201 - the job's log


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
