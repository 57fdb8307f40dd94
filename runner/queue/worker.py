"""The worker: takes jobs for one device, one after the other, and carries each out in a process of its own.

It loads neither torch nor pandas and does nothing itself, so there is little that could end it; and where something
does, its job goes on and ends itself (`runner.queue.child`). The next worker for that device waits for it.
"""

import contextlib
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from types import FrameType
from typing import TypeVar

from runner.queue.attending import BEAT_SECONDS, GRACE_SECONDS, STEP_SECONDS
from runner.queue.kinds import KINDS, Kind
from store import Job, JobStatus, Store, cancel_job, get_job, job_log, reconcile, reconcile_jobs
from store.errors import JobNotFound, JobRefused, may_pass
from store.holders import cause_of_death, is_same
from store.job_leases import (
    Worker,
    abandon_job,
    beat_worker,
    count_queued,
    finish_job,
    job_on,
    lease_job,
    leave_worker,
    register_worker,
    remove_worker,
)
from store.jobs import TRIAL

_NAP_SECONDS = 0.2
"""How soon a signal or the end of a job is noticed."""
_LOOK_SECONDS = 1.0
"""How soon a new job is."""
_RECONCILE_SECONDS = 15.0

T = TypeVar("T")

Launch = Callable[[Store, Job], Sequence[str]]
"""The command that starts the process of a job that this process has leased."""


def child_command(store: Store, job: Job) -> list[str]:
    """`-P`: a folder that is called like one of our packages must not stand in for it."""
    assert job.holder is not None
    worker = (str(job.holder.pid), repr(job.holder.process_started_at))
    return [sys.executable, "-P", "-m", "runner.queue.child", str(store.path), str(job.key), *worker]


class JobWorker:
    """Takes jobs until it is told to stop; see `run`."""

    def __init__(
        self,
        store: Store,
        device: str,
        *,
        say: Callable[[str], None],
        kinds: Mapping[str, Kind] = KINDS,
        launch: Launch = child_command,
        once: bool = False,
        idle_exit: float | None = None,
    ) -> None:
        self._store, self._device, self._say = store, device, say
        self._kinds, self._launch = kinds, launch
        self._once, self._idle_exit = once, idle_exit
        self._n_interrupts = 0
        self._n_heeded = 0
        self._is_terminated = False
        self._said: dict[tuple[str, str | None], int] = {}

    def run(self) -> int:
        """Work until interrupted (`once`: one job; `idle_exit`: until there was nothing to do for so many seconds).

        Returns the exit code: with `once` 1 when the job did not finish, else 0. Raises WorkerExists.
        """
        worker = register_worker(self._store, self._device)
        if self._once:
            leave_worker(self._store, worker)
        self._listen()
        self._say(f"worker for {self._device} on {worker.holder.host}, process {worker.holder.pid}: {self._store.path}")
        try:
            return self._work(worker)
        finally:
            try:
                remove_worker(self._store, worker)
            except Exception as error:
                if not may_pass(error):
                    raise
                self._say(f"it could not sign off, the next worker for {self._device} does it: {error}")
            self._say("worker ended")

    # the loop ------------------------------------------------------------------------------------------------------

    def _work(self, worker: Worker) -> int:
        idle_since = time.monotonic()
        reconciled = beaten = 0.0
        while not self._is_leaving:
            try:
                if time.monotonic() - reconciled > _RECONCILE_SECONDS:
                    reconciled = time.monotonic()
                    self._reconcile()
                orphan = job_on(self._store, self._device, platform.node())
                if orphan is not None:
                    self._wait_for(worker, orphan)
                    idle_since = time.monotonic()
                    continue
                job = lease_job(self._store, self._device, kinds=self._kinds)
                if job is not None:
                    status = self._carry_out(worker, job)
                    if self._once:
                        return int(status not in (JobStatus.FINISHED, JobStatus.RUNNING))
                    idle_since, reconciled = time.monotonic(), 0.0
                    continue
                self._say_what_waits()
                if time.monotonic() - beaten > BEAT_SECONDS:
                    beaten = time.monotonic()
                    beat_worker(self._store, worker, None)
            except Exception as error:
                if not may_pass(error):
                    raise
                self._say(f"the store cannot be used now, trying again: {error}")
                self._nap(_LOOK_SECONDS)
                continue
            if self._once or (self._idle_exit is not None and time.monotonic() - idle_since >= self._idle_exit):
                return 0
            self._nap(_LOOK_SECONDS)
        return 0

    def _carry_out(self, worker: Worker, job: Job) -> JobStatus:
        """Start the job's process and stay with it; returns what the job became (running: we left before).

        A process that has ended a trial may go on with the next one of its sweep: then that is the job.
        """
        self._say(f"{_title(job)} begins; its output: runner queue log {job.id}")
        try:
            process = self._start(job)
        except OSError as error:
            cause = f"its process cannot be started: {error}"
            self._patiently(lambda: abandon_job(self._store, job, cause))
            return self._patiently(lambda: get_job(self._store, job.key).status)
        beaten = look = 0.0
        enforcer = _Enforcer(self._store, job.id, process.pid)
        while process.poll() is None:
            if self._is_terminated:
                self._say(f"{_title(job)} goes on by itself as process {process.pid}")
                return JobStatus.RUNNING
            try:
                if time.monotonic() - beaten > BEAT_SECONDS:
                    beaten = time.monotonic()
                    beat_worker(self._store, worker, job.key)
                if time.monotonic() - look > _LOOK_SECONDS:
                    look = time.monotonic()
                    following = job_on(self._store, self._device, platform.node()) if job.kind == TRIAL else None
                    if following is not None and following.id != job.id:
                        self._say_end(job)
                        job, enforcer = following, _Enforcer(self._store, following.id, process.pid)
                        self._say(f"{_title(job)} follows in the same process; its output: runner queue log {job.id}")
                    enforcer.look()
                self._heed(worker, job)
            except Exception as error:
                if not may_pass(error):
                    raise
            time.sleep(_NAP_SECONDS)
        status = self._patiently(lambda: self._settle(worker, job, process.returncode))
        self._say_end(job)
        return status

    def _say_end(self, job: Job) -> None:
        """What a job became; of a trial that ended well its sweep's driver may have removed it by now."""
        try:
            ended = get_job(self._store, job.id)
        except JobNotFound:
            self._say(f"{_title(job)} ended")
            return
        self._say(f"{_title(job)} {ended.status}{f': {ended.cause}' if ended.cause else ''}")

    def _start(self, job: Job) -> "subprocess.Popen[bytes]":
        """A session of its own, no terminal, its output appended to the job's log."""
        log = job_log(self._store, job)
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("ab") as output:
            return subprocess.Popen(
                self._launch(self._store, job),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _settle(self, worker: Worker, leased: Job, code: int) -> JobStatus:
        """The job's process has ended: where it could not say so itself, say it."""
        try:
            job = get_job(self._store, leased.id)
            if job.status == JobStatus.RUNNING and job.holder is not None:
                if is_same(job.holder, worker.holder):  # it is still ours: the process ended before it took it over
                    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
                    abandon_job(self._store, job, f"its process ended before it began the job ({how})")
                elif code >= 0 and cause_of_death(job.holder) is not None:
                    error = f"exit code {code}; see `runner queue log {job.id}`"
                    finish_job(
                        self._store, job, JobStatus.FAILED if code else JobStatus.FINISHED, error if code else None
                    )
                self._reconcile()
            return get_job(self._store, leased.id).status
        except JobNotFound:  # it has ended, and was removed
            return JobStatus.FINISHED

    def _wait_for(self, worker: Worker, job: Job) -> None:
        """A job whose worker is gone still has the device: leave it alone until it has ended."""
        assert job.holder is not None
        self._say(f"{_title(job)} is still at work on {self._device} (process {job.holder.pid}): waiting for it")
        enforcer = _Enforcer(self._store, job.id)
        beaten = 0.0
        while _is_running(self._store, job) and not self._is_leaving:
            if time.monotonic() - beaten > BEAT_SECONDS:
                beaten = time.monotonic()
                beat_worker(self._store, worker, job.key)
            enforcer.look()
            self._nap(_LOOK_SECONDS)
            self._reconcile()

    def _reconcile(self) -> None:
        for run in reconcile(self._store):
            self._say(f"run {run.name} ({run.id}) was not alive any more: {run.cause}")
        for job in reconcile_jobs(self._store):
            self._say(f"{_title(job)} was not alive any more: {job.status}{f', {job.cause}' if job.cause else ''}")

    def _say_what_waits(self) -> None:
        """Jobs that are queued though this worker has nothing to do; said when they change."""
        waiting = count_queued(self._store)
        for (kind, device), n in waiting.items():
            if self._said.get((kind, device)) == n:
                continue
            jobs = "1 queued job" if n == 1 else f"{n} queued jobs"
            if kind not in self._kinds:
                known = ", ".join(self._kinds)
                self._say(f"{jobs} of kind {kind!r} left alone: this version knows {known}")
            else:
                self._say(
                    f"{jobs} of kind {kind!r} left alone: for a worker with {device}, this one has {self._device}"
                )
        self._said = waiting

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do it; while the store cannot be written (locked, disk full) again and again.

        What this worker holds only this worker can let go of. Raises what it fails of once it is told to leave at once.
        """
        while True:
            try:
                return work()
            except Exception as error:
                if not may_pass(error) or self._is_terminated or self._n_interrupts > 1:
                    raise
                self._say(f"the store cannot be written now, trying again: {error}")
                time.sleep(_LOOK_SECONDS)

    # signals -------------------------------------------------------------------------------------------------------

    @property
    def _is_leaving(self) -> bool:
        return self._n_interrupts > 0 or self._is_terminated

    def _listen(self) -> None:
        """A closed terminal is nothing to a worker; Ctrl-C stops it after its job; SIGTERM at once, without its job."""
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, self._on_interrupt)
        signal.signal(signal.SIGTERM, self._on_terminate)

    def _on_interrupt(self, number: int, frame: FrameType | None) -> None:
        self._n_interrupts += 1

    def _on_terminate(self, number: int, frame: FrameType | None) -> None:
        self._is_terminated = True

    def _heed(self, worker: Worker, job: Job) -> None:
        """What Ctrl-C means while a job is at work."""
        if self._n_interrupts >= 1 and self._n_heeded == 0:
            leave_worker(self._store, worker)
            self._n_heeded = 1
            self._say(f"stopping when {_title(job)} has ended; Ctrl-C again cancels it (it stays resumable)")
        if self._n_interrupts >= 2 and self._n_heeded == 1:
            self._n_heeded = 2
            self._say(f"cancelling {_title(job)}; killed after {GRACE_SECONDS:.0f} seconds if it does not end")
            with contextlib.suppress(JobRefused, JobNotFound):  # it has just ended
                cancel_job(self._store, job.id)

    def _nap(self, seconds: float) -> None:
        """Sleep in small pieces: what a signal said is noticed soon."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._is_leaving:
            time.sleep(_NAP_SECONDS)


class _Enforcer:
    """Kills the process of a job that was asked to end and does not, or that has ended but for its process.

    Its own process does the first, too; where its threads are stuck only another can.
    """

    def __init__(self, store: Store, job_id: str, child: int | None = None) -> None:
        self._store, self._id, self._child = store, job_id, child  # not its key: that of a removed job comes again
        self._due_since: float | None = None

    def look(self) -> None:
        try:
            job = get_job(self._store, self._id)
        except JobNotFound:  # it has ended, and was removed; its process will say what comes next, or end
            return
        if job.status == JobStatus.RUNNING and job.request is None:
            self._due_since = None
            return
        self._due_since = time.monotonic() if self._due_since is None else self._due_since
        patience = GRACE_SECONDS + 5.0 + (STEP_SECONDS if job.request == "pause" else 0.0)
        if time.monotonic() - self._due_since < patience:
            return
        pid = self._child  # not waited for yet, so the number is its own
        if pid is None and job.holder is not None and cause_of_death(job.holder) is None:
            pid = job.holder.pid
        if pid is not None:
            with contextlib.suppress(ProcessLookupError):  # it has just ended
                os.killpg(pid, signal.SIGKILL)


def _is_running(store: Store, job: Job) -> bool:
    try:
        return get_job(store, job.id).status == JobStatus.RUNNING
    except JobNotFound:
        return False


def _title(job: Job) -> str:
    return f"job {job.name} ({job.id[:12]}, {job.kind})"
