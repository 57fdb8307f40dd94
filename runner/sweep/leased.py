"""Trials in the process of a job: it carries out the one that its worker took, then the next ones of the same sweep.

So torch, base model, tokens and features are loaded once, as in a worker of the sweep's own (`runner.sweep.worker`).
The process ends when another job is next in the queue, when its worker leaves, and when no trial comes for some time.
"""

import json
import os
import platform
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from runner import pauses, reasons
from runner.errors import UserError
from runner.interrupts import Interrupted, held_interrupts
from runner.queue.attending import INTERRUPTED, Outcome, attend, enter_folder, say
from runner.queue.devices import show_only
from runner.queue.kinds import KINDS
from runner.sweep.engine import Answer, Asked, Ended, Stop, Task, pack, unpack
from runner.sweep.failures import ON_DEVICE, OUT_OF_MEMORY, reason_of
from store import Job, JobStatus, Store, get_run, job_log
from store.errors import may_pass
from store.trial_jobs import (
    count_running,
    end_trial_job,
    is_driven_by,
    is_leaving,
    may_follow,
    read_messages,
    send_message,
    take_next_trial,
)

if TYPE_CHECKING:
    from runner.shared import Shared

NEXT_SECONDS = 15.0
"""How long the process waits for the next trial of its sweep."""
_LOOK_SECONDS = 0.1
_PATIENCE_SECONDS = 300.0
_GONE = "its sweep's driver was gone"
T = TypeVar("T")


def carry_out_trials(store: Store, job: Job, leased_by: tuple[int, float]) -> int:
    """Do the trial, then those that follow; returns an exit code. `leased_by`: the worker's pid and start time."""
    process = _Process(store, leased_by)
    following: Job | None = job
    while following is not None:
        code = process.carry_out(following)
        following = process.next_after(following)
    return code


class _Process:
    """What the trials of one process have in common."""

    def __init__(self, store: Store, leased_by: tuple[int, float]) -> None:
        self._store, self._leased_by = store, leased_by
        self._shared: Shared | None = None
        self._n = 0
        self._is_full = False  # what ran out of memory leaves some of it behind

    def carry_out(self, job: Job) -> int:
        """One trial, from where it is held to where its end is written and said."""
        self._n += 1
        task: Task = unpack(_json(job.arguments["task"]))
        host, pid, started_at = job.arguments["driver"]
        mail = Mail(self._store, job, (str(host), int(pid), float(started_at)))
        ended = Ended(task.trial, "killed", "interrupted", task.run_id)

        def work() -> Outcome:
            nonlocal ended
            try:
                ended = self._work(job, task, mail)
            except (Interrupted, KeyboardInterrupt) as interruption:  # on the way to the trial
                ended = replace(ended, cause=reasons.take(interruption))
            return Outcome({"finished": 0, "pruned": 0, "killed": INTERRUPTED}.get(ended.status, 1), ended.cause)

        outcome, obeyed = attend(self._store, job, work, watch=mail.why_end)
        if (
            outcome.code not in (0, INTERRUPTED) and ended.status == "killed"
        ):  # our own mistake, on the way to the trial
            ended = replace(ended, status="failed", cause=outcome.error)
        self._end(job, self._with_memory(ended), obeyed)
        return outcome.code

    def _work(self, job: Job, task: Task, mail: "Mail") -> Ended:
        reason = mail.why_end()
        if reason is not None:
            return Ended(task.trial, "killed", reason, task.run_id)
        try:
            enter_folder(job.arguments.get("folder"))
            if self._n == 1:  # before torch is loaded; the others have the same
                show_only(job.worker_device or "cpu", str(job.arguments.get("recipe_device")))
        except UserError as error:
            return Ended(task.trial, "failed", str(error), task.run_id, can_retry=False)
        if task.mode == "train" and job.run_key is not None:  # it was paused on its way
            task = replace(task, mode="resume", run_id=get_run(self._store, job.run_key).id)
        from runner.sweep.worker import carry_out, load_libraries

        if self._shared is None:
            with held_interrupts() as interrupts:
                self._shared = load_libraries()
                with interrupts.let_through():  # what came meanwhile
                    pass
        return carry_out(task, self._store, self._shared, mail)

    def _with_memory(self, ended: Ended) -> Ended:
        """What a driver has to know of memory that ran out; then this process takes no further trial."""
        if ended.status != "failed" or reason_of(ended.cause) != OUT_OF_MEMORY:
            return ended
        self._is_full = True
        has_all = ON_DEVICE in (ended.cause or "") or count_running(self._store, platform.node()) <= 1
        return replace(ended, was_alone=self._n == 1 and has_all)

    def _end(self, job: Job, ended: Ended, obeyed: str | None) -> None:
        """Write the end, and tell the driver: one transaction."""
        status = {"failed": JobStatus.FAILED, "killed": JobStatus.KILLED}.get(ended.status, JobStatus.FINISHED)
        message: Ended | None = ended
        cause = ended.cause if status in (JobStatus.FAILED, JobStatus.KILLED) else None
        if ended.status == "killed" and obeyed == "pause":
            status, cause, message = JobStatus.PAUSED, None, None  # the driver sees it; there is more of it to come
        elif ended.status == "killed" and obeyed == "cancel":
            if is_leaving(self._store, self._leased_by):
                cause = "its worker was stopped"
                message = replace(ended, cause=cause)
            else:
                cause = "cancelled"
                message = replace(ended, status="failed", cause="its job was cancelled", can_retry=False)
        say(f"{status}{f': {cause}' if cause else ''}")
        words = None if message is None else pack(message).decode()
        patiently(lambda: end_trial_job(self._store, job, status, cause, words))

    def next_after(self, job: Job) -> Job | None:
        """The next trial of the sweep, as this process holds it; its output goes to its own log. None: no more."""
        if self._is_full:
            return None
        # Nothing is in hand: a signal ends the process as it ends any other.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        host, pid, started_at = job.arguments["driver"]
        driver, kinds = (str(host), int(pid), float(started_at)), tuple(KINDS)
        deadline = time.monotonic() + NEXT_SECONDS
        while time.monotonic() < deadline:
            try:
                if not may_follow(self._store, job, self._leased_by, kinds):
                    return None
                following = take_next_trial(self._store, job, self._leased_by, kinds)
                if following is not None:
                    _print_to(job_log(self._store, following))
                    return following
                if job.sweep_key is None or not is_driven_by(self._store, job.sweep_key, driver):
                    return None
            except Exception as error:
                if not may_pass(error):
                    raise
            time.sleep(_LOOK_SECONDS)
        return None


class Mail:
    """A trial's line to its driver (`runner.sweep.engine.Answering`).

    Args:
        driver: host, pid and start time of the process that it answers to.
    """

    def __init__(self, store: Store, job: Job, driver: tuple[str, int, float]) -> None:
        self._store, self._job, self._driver = store, job, driver

    def ask(self, asked: Asked) -> bool:
        said = patiently(lambda: send_message(self._store, self._job.key, pack(asked).decode(), is_from_driver=False))
        while said is not None and not pauses.is_asked():
            for message in patiently(lambda: self._from_driver(said)):
                if isinstance(message, Answer):
                    return message.stops
            time.sleep(_LOOK_SECONDS)
        signal.raise_signal(signal.SIGTERM)  # it has just saved all, and whoever paused or stopped it said why
        return True

    def why_end(self) -> str | None:
        """Why the trial is to end now, as its cause says it; None: it goes on."""
        for message in self._from_driver(0):
            if isinstance(message, Stop):
                return message.reason
        if self._job.sweep_key is None or not is_driven_by(self._store, self._job.sweep_key, self._driver):
            return _GONE
        return None

    def _from_driver(self, after: int) -> list[object]:
        messages = read_messages(self._store, self._job.key, is_from_driver=True, after=after)
        return [unpack(message.text.encode()) for message in messages]


def patiently(work: Callable[[], T]) -> T:
    """Do it; while the store cannot be written (locked, disk full) again and again, for some minutes."""
    deadline = time.monotonic() + _PATIENCE_SECONDS
    while True:
        try:
            return work()
        except Exception as error:
            if not may_pass(error) or time.monotonic() > deadline:
                raise
            time.sleep(1.0)


def _json(value: object) -> bytes:
    return json.dumps(value, ensure_ascii=False).encode()


def _print_to(log: Path) -> None:
    """From now on what this process prints goes there."""
    log.parent.mkdir(parents=True, exist_ok=True)
    sys.stdout.flush()
    sys.stderr.flush()
    with log.open("ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
