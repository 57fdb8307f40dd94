"""A job in hand: while the work goes on, a thread says that the job lives and does what is asked of it.

What is asked interrupts the work as Ctrl-C would; a pause lets a training come to the end of its step first. After
GRACE_SECONDS more the process is killed with all its children.
"""

import math
import os
import signal
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from runner import pauses, reasons
from store import Job, Store
from store.errors import may_pass
from store.job_leases import beat_job, read_request

GRACE_SECONDS = 60.0
"""From the interrupt of a job that is cancelled or paused to its kill."""
STEP_SECONDS = 60.0
"""How long a training that is to be paused may take to the end of its step and for its checkpoint."""
LOOK_SECONDS = 0.5
BEAT_SECONDS = 15.0

INTERRUPTED = 130
"""Exit code of a command that was interrupted."""
_REASONS = {"cancel": "its job was cancelled", "pause": "its job was paused"}


class Outcome(NamedTuple):
    """How the work ended: an exit code, and what went wrong in a sentence."""

    code: int
    error: str | None = None


class Attended(NamedTuple):
    """How the work ended, and what it obeyed: `cancel`, `pause`, `end` (of `watch`), or None."""

    outcome: Outcome
    obeyed: str | None


def attend(
    store: Store, job: Job, work: Callable[[], Outcome], *, watch: Callable[[], str | None] = lambda: None
) -> Attended:
    """Do the work of a job that this process holds, whatever becomes of it.

    `watch` is asked twice a second why the work should end, apart from what is asked of the job; then it ends as for a
    pause. Afterwards signals are ignored: whatever comes now comes too late.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)  # a worker that was started with `&` ignored it
    signal.signal(signal.SIGTERM, _interrupt)
    say(f"attempt {job.n_attempts} of {job.max_attempts} on {job.worker_device}, process {os.getpid()}")
    reasons.forget()
    duties = _Duties(store, job, watch)
    duties.start()
    outcome = Outcome(INTERRUPTED)
    try:
        try:
            outcome = work()
        finally:
            signal.signal(signal.SIGINT, signal.SIG_IGN)
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
    except Exception as error:  # an error of our own code: its trace belongs into the log, its name into the queue
        traceback.print_exc()
        outcome = Outcome(1, f"{type(error).__name__}: {error}")
    except BaseException:  # Ctrl-C, SIGTERM, and what the training makes of them
        say("interrupted")
    finally:
        duties.stop()
    return Attended(outcome, duties.obeyed)


def enter_folder(folder: object) -> None:
    """Relative paths, and the provenance of the code, are those of the folder where the job was queued."""
    if isinstance(folder, str) and Path(folder).is_dir():
        os.chdir(folder)


def say(text: str) -> None:
    """A line in the job's log."""
    print(f"--- {time.strftime('%Y-%m-%d %H:%M:%S')} {text}", flush=True)  # noqa: T201 - the job's log


class _Duties:
    """The thread that says that the job lives, and obeys: at most one interrupt, then the kill."""

    def __init__(self, store: Store, job: Job, watch: Callable[[], str | None]) -> None:
        self._store, self._job, self._watch = store, job, watch
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="duties", daemon=True)
        self.obeyed: str | None = None
        """`cancel`, `pause` or `end`, once it was asked."""

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
                why = _REASONS[request] if request is not None else self._watch()
                if time.monotonic() - beaten > BEAT_SECONDS:
                    beaten = time.monotonic()
                    beat_job(self._store, self._job.key)
            except Exception as error:
                if not may_pass(error):
                    raise
                continue
            if why is None:
                continue
            request = request or "end"
            now, is_first, self.obeyed = time.monotonic(), self.obeyed is None, request  # a cancel may follow a pause
            if is_first or interrupted_at == math.inf:
                reasons.say(why)
            if is_first and request != "cancel" and pauses.ask():
                say(f"asked to {request}: ending after this step, with a checkpoint")
                paused_at = now
            elif interrupted_at == math.inf and (
                paused_at == math.inf or request == "cancel" or now - paused_at > STEP_SECONDS
            ):
                say(f"asked to {request}: interrupting; killed after {GRACE_SECONDS:.0f} seconds if it does not end")
                interrupted_at = now
                os.kill(os.getpid(), signal.SIGINT)
            elif now - interrupted_at > GRACE_SECONDS:
                say("it did not end: killed")
                os.killpg(os.getpgid(0), signal.SIGKILL)


def _interrupt(number: int, frame: FrameType | None) -> None:
    raise KeyboardInterrupt
