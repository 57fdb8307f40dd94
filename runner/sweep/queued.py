"""Trials in the queue: each is a job that any `runner worker` of the store may take, whenever it was started.

A job of kind `trial` has the arguments
    task            as `runner.sweep.engine.pack` says it
    driver          host, pid and start time of the process that wants it: to nobody else the trial answers
    recipe_device   its recipe's training.device      folder   where the driver was called, for relative paths

What the trial and its driver say to each other are rows (`store.trial_jobs`); the trial's side: `runner.sweep.leased`.
Of a trial that has come to a good end the job is removed: what there is to know of it is its run's.
"""

import json
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from runner.sweep.engine import Answer, Ended, Event, Lost, Placed, Stop, Task, pack, unpack
from store import JobStatus, Store, Sweep, cancel_job, get_run, job_device, queue_job, reconcile, reconcile_jobs
from store.errors import JobNotFound, JobRefused, may_pass
from store.holders import this_process
from store.jobs import TRIAL
from store.trial_jobs import (
    JobState,
    forget_trial,
    list_finished_trials,
    read_messages,
    read_states,
    send_message,
    withdraw_trial,
    workers_for,
)

_LOOK_SECONDS = 0.1
_RECONCILE_SECONDS = 5.0
_GOODBYE_SECONDS = 60.0
_WITHDRAWN = "its sweep's driver took it back"


@dataclass
class _AtWork:
    """A task in the queue."""

    job_id: str
    task: Task
    device: str | None = None
    """That the driver was told of."""
    heard: int = 0
    """The last message that the driver has."""


@dataclass
class QueueEngine:
    """An engine whose places are the workers of a store.

    Args:
        most: trials at once; None: as many as there are workers for them.
        priority: of the jobs; higher is taken first.
        say: hears, a sentence at a time, that no worker takes them.
    """

    store: Store
    sweep: Sweep
    say: Callable[[str], None]
    most: int | None = None
    priority: int = 0
    _jobs: dict[int, _AtWork] = field(default_factory=dict)
    _events: deque[Event] = field(default_factory=deque)
    _reconciled: float = -_RECONCILE_SECONDS
    _has_said: bool = False

    def __post_init__(self) -> None:
        for key in list_finished_trials(self.store, self.sweep.key):
            forget_trial(self.store, key)

    @property
    def n_slots(self) -> int:
        """One for each worker, and one at least: a worker may come. What somebody paused holds none."""
        n_workers = max(1, len(workers_for(self.store, self._device)))
        n_waiting = sum(state.status == JobStatus.PAUSED for state in self._states().values())
        return (n_workers if self.most is None else min(n_workers, self.most)) + n_waiting

    @property
    def _device(self) -> str | None:
        return job_device(str(self.sweep.recipe["training"]["device"]))

    def start(self, task: Task) -> None:
        if len(self._jobs) >= self.n_slots:
            raise RuntimeError("all workers have a trial")
        us, wanted = this_process(), str(task.recipe["training"]["device"])
        job = queue_job(
            self.store,
            TRIAL,
            str(task.recipe["name"]),
            {
                "task": json.loads(pack(task)),
                "driver": [us.host, us.pid, us.process_started_at],
                "recipe_device": wanted,
                "folder": str(Path.cwd()),
            },
            priority=self.priority,
            device=job_device(wanted),
            run_key=None if task.run_id is None else get_run(self.store, task.run_id).key,
            sweep_key=self.sweep.key,
            trial_key=task.trial,
        )
        self._jobs[job.key] = _AtWork(job.id, task)

    def next_event(self, timeout_seconds: float) -> Event | None:
        deadline = time.monotonic() + timeout_seconds
        while not self._events:
            self._look()
            left = deadline - time.monotonic()
            if self._events or left <= 0:
                break
            time.sleep(min(left, _LOOK_SECONDS))
        return self._events.popleft() if self._events else None

    def answer(self, answer: Answer) -> None:
        for key, at_work in self._jobs.items():
            if at_work.task.trial == answer.trial:
                send_message(self.store, key, pack(answer).decode(), is_from_driver=True)

    def stop(self, reason: str) -> None:
        for key, at_work in list(self._jobs.items()):
            if withdraw_trial(self.store, key, reason):
                del self._jobs[key]
                self._events.append(Ended(at_work.task.trial, "killed", reason, at_work.task.run_id))
            else:
                send_message(self.store, key, pack(Stop(reason)).decode(), is_from_driver=True)

    def close(self, *, at_once: bool = False) -> None:
        """A trial whose driver says nothing any more ends by itself: so this may fail."""
        self._events.clear()
        try:
            for key in list(self._jobs):
                self._give_up(key, at_once=at_once)
            deadline = time.monotonic() + (0.0 if at_once else _GOODBYE_SECONDS)
            while self._running() and time.monotonic() < deadline:
                reconcile_jobs(self.store)
                time.sleep(_LOOK_SECONDS)
        except Exception as error:
            if not may_pass(error):
                raise
        self._jobs.clear()

    def _give_up(self, key: int, *, at_once: bool) -> None:
        if withdraw_trial(self.store, key, _WITHDRAWN):
            return
        send_message(self.store, key, pack(Stop(_WITHDRAWN)).decode(), is_from_driver=True)
        if at_once:
            try:
                cancel_job(self.store, key)
            except (JobNotFound, JobRefused):  # it has just ended
                return

    def _running(self) -> bool:
        return any(state.status == JobStatus.RUNNING for state in self._states().values())

    # what has become of them ---------------------------------------------------------------------------------------

    def _look(self) -> None:
        """Turn what has happened to the jobs into events."""
        if time.monotonic() - self._reconciled > _RECONCILE_SECONDS:
            self._reconciled = time.monotonic()
            reconcile(self.store)
            reconcile_jobs(self.store)
        states = self._states()  # before the messages: who has ended has said so before
        for key, at_work in list(self._jobs.items()):
            messages = read_messages(self.store, key, is_from_driver=False, after=at_work.heard)
            self._place(at_work, states.get(key))
            for message in messages:
                at_work.heard = message.key
                self._hear(key, unpack(message.text.encode()))
            ended = _unsaid(at_work.task, states.get(key)) if key in self._jobs else None
            if ended is not None:
                del self._jobs[key]
                self._events.append(ended)
        self._say_what_is_missing(states)

    def _states(self) -> dict[int, JobState]:
        states = read_states(self.store, self._jobs)
        return {key: state for key, state in states.items() if state.id == self._jobs[key].job_id}

    def _hear(self, key: int, event: Event) -> None:
        self._events.append(event)
        if isinstance(event, Ended):
            del self._jobs[key]
            if event.status in ("finished", "pruned"):
                forget_trial(self.store, key)

    def _place(self, at_work: _AtWork, state: JobState | None) -> None:
        """Say which device a trial has, where that has changed."""
        if state is None:
            return
        if state.status == JobStatus.RUNNING:
            device = f"{state.host} {state.device}"
        elif state.status in (JobStatus.QUEUED, JobStatus.PAUSED):
            device = None
        else:
            return
        if device != at_work.device:
            at_work.device = device
            cause = "its job was paused" if state.status == JobStatus.PAUSED else state.cause
            self._events.append(Placed(at_work.task.trial, device, None if device else cause))

    def _say_what_is_missing(self, states: dict[int, JobState]) -> None:
        """Said again whenever the last worker has gone."""
        waits = any(states.get(key) is not None and states[key].status == JobStatus.QUEUED for key in self._jobs)
        if not waits or workers_for(self.store, self._device):
            self._has_said = self._has_said and waits
            return
        if not self._has_said:
            self._has_said = True
            device = f" --device {self._device}" if self._device else ""
            self.say(f"waiting: no worker takes its trials. Start one: runner worker{device} --store {self.store.path}")


def _unsaid(task: Task, state: JobState | None) -> Event | None:
    """The end of a job that said nothing of it: somebody ended it, or what carried it out is gone."""
    if state is None:
        return Ended(task.trial, "failed", "its job was removed from the queue", task.run_id, can_retry=False)
    if state.status == JobStatus.KILLED:
        return Ended(task.trial, "failed", "its job was cancelled", task.run_id, can_retry=False)
    if state.status in (JobStatus.FAILED, JobStatus.FINISHED):
        return Lost(task.trial, state.cause or "its process ended before it could say so")
    return None
