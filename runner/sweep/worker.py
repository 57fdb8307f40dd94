"""The process that carries out trials, one after the other: torch, base model, tokens and features are loaded once.

    python -m runner.sweep.worker FD STORE

FD is a socket to the engine (`runner.sweep.local`). When the engine's process is gone, or says so, the run at work ends
after its step with a checkpoint, to be taken up again; where that takes long it is interrupted as by Ctrl-C. Console
output goes to the file that the engine opened for it.
"""

import contextlib
import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from types import FrameType
from typing import TYPE_CHECKING

from runner.sweep.engine import Answer, Answering, Asked, End, Ended, Event, Stop, Task, pack, unpack

if TYPE_CHECKING:
    from runner.control import Report
    from runner.shared import Shared
    from store import Run, Store


_STEP_SECONDS = 60.0
"""How long a run that is to end may take to the end of its step and for its checkpoint."""


class _Ending(BaseException):
    """The worker is to stop what it does between runs."""


class Line:
    """The socket to the engine. A thread reads it, so that an answer, a stop and the engine's end are heard at once.

    Whatever the worker is doing when the engine ends, it hears of it: at work, at a rung, or about to begin a task that
    it was given just before.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._tasks: queue.SimpleQueue[Task | None] = queue.SimpleQueue()
        self._answers: queue.SimpleQueue[Answer | None] = queue.SimpleQueue()
        self._changing = threading.Lock()  # guards what the worker is doing against what the reader hears
        self._is_at_work = self._is_asking = False
        self._is_given = self._is_refused = False  # a task that is not begun yet
        self._refusal = ""  # why it will not be begun
        self._is_cut = False
        threading.Thread(target=self._read, name="line", daemon=True).start()

    def next_task(self) -> Task | None:
        """Wait for the next task; None when there will be none."""
        self._is_at_work = False
        while (task := self._tasks.get()) is not None:
            with self._changing:
                refused, self._is_refused, self._is_given = self._is_refused, False, False
                if self._is_cut:
                    return None
                self._is_at_work = not refused
            if not refused:
                return task
            self.say(Ended(task.trial, "killed", self._refusal, task.run_id))
        return None

    def say(self, event: Event) -> None:
        """Tell the engine; if it is gone there is nobody to tell."""
        with contextlib.suppress(OSError):
            self._connection.send_bytes(pack(event))

    def ask(self, asked: Asked) -> bool:
        """Whether the trial stops here. Where nobody can answer any more, the trial is interrupted."""
        while not self._answers.empty():  # to a trial that was interrupted before it heard
            self._answers.get()
        with self._changing:
            self._is_asking = True
            is_cut = self._is_cut
        try:
            self.say(asked)
            answer = None if is_cut else self._answers.get()
            with self._changing:
                self._is_asking = False
                is_over = answer is None or not self._answers.empty()  # the end may come right behind the answer
            if is_over:
                signal.raise_signal(signal.SIGTERM)
            return answer is None or answer.stops
        finally:
            self._is_asking = False

    def _read(self) -> None:
        while True:
            try:
                message = unpack(self._connection.recv_bytes())
            except (EOFError, OSError):
                with self._changing:
                    self._is_cut = True
                self._tasks.put(None)
                self._end("its sweep's driver was gone")
                return
            match message:
                case Task():
                    with self._changing:
                        self._is_given = True
                    self._tasks.put(message)
                case Answer():
                    self._answers.put(message)
                case Stop():
                    self._end(message.reason)

    def _end(self, reason: str) -> None:
        """End the run at work so that nothing of it is lost; one that waits at a rung has just saved all."""
        from runner import pauses, reasons

        with self._changing:
            if not self._is_at_work:
                self._is_refused, self._refusal = self._is_given, reason
                return
            reasons.say(reason)
            if self._is_asking:
                self._answers.put(None)
                return
        if not pauses.ask():
            self._interrupt()
            return
        later = threading.Timer(_STEP_SECONDS, self._interrupt)
        later.daemon = True
        later.start()

    def _interrupt(self) -> None:
        if self._is_at_work:
            os.kill(os.getpid(), signal.SIGTERM)


class _AtRungs:
    """Steers a run by asking the engine (`runner.control.Control`)."""

    def __init__(self, task: Task, driver: Answering) -> None:
        self._task, self._driver = task, driver

    @property
    def rungs(self) -> tuple[float, ...]:
        return self._task.rungs

    def report(self, report: "Report") -> bool:
        values = dict(report.values)
        return self._driver.ask(Asked(self._task.trial, report.rung, report.step, report.epoch, values))


def carry_out(task: Task, store: "Store", shared: "Shared", driver: Answering) -> Ended:
    """Run a trial to its end, whatever that is."""
    from runner import reasons
    from runner.causes import cause_of
    from runner.errors import UserError
    from runner.interrupts import Interrupted
    from store import StoreError

    run: Run | None = None
    try:
        run = _run(task, store, shared, driver)
        latency = None
        if task.measures_latency and run.status == "finished":
            from runner.sweep.latency import measure_latency

            latency = measure_latency(store, run)
    except (Interrupted, _Ending, KeyboardInterrupt) as interruption:
        return Ended(task.trial, "killed", reasons.take(interruption), run.id if run else task.run_id)
    except (UserError, StoreError) as error:
        return Ended(task.trial, "failed", str(error), run.id if run else task.run_id, can_retry=False)
    except Exception as error:
        return Ended(task.trial, "failed", cause_of(error), run.id if run else task.run_id)
    ends: dict[str, End] = {"finished": "finished", "pruned": "pruned", "killed": "killed"}
    return Ended(task.trial, ends.get(run.status, "failed"), run.cause, run.id, latency)


def _run(task: Task, store: "Store", shared: "Shared", driver: Answering) -> "Run":
    from runner.progress import make_progress
    from store import get_dataset, get_run

    if task.mode == "measure":
        return get_run(store, str(task.run_id))
    control, progress = _AtRungs(task, driver), make_progress("plain")
    if task.mode == "resume":
        from runner.resume import NotResumable, resume

        run = get_run(store, str(task.run_id))
        try:
            return resume(store, run, progress, command=task.command, control=control, shared=shared)
        except NotResumable as problem:  # a sweep does not end because some files are gone or damaged
            progress.warning(f"{problem} It starts again.")
            return resume(store, run, progress, command=task.command, control=control, shared=shared, from_start=True)
    from runner.recipe import LoadedRecipe, recipe_from_resolved, recipe_hash
    from runner.train import train

    resolved = dict(task.recipe)
    loaded = LoadedRecipe(task.text, recipe_from_resolved(resolved), resolved, recipe_hash(resolved), None, ())
    dataset = None if task.dataset_key is None else get_dataset(store, task.dataset_key)
    return train(loaded, store, progress, command=task.command, dataset=dataset, control=control, shared=shared)


def load_libraries() -> "Shared":
    """What trials need, before the first: an interrupt inside an import would leave half a module to the next ones."""
    from runner.quiet import quiet_libraries

    quiet_libraries()
    from runner import resume, train  # noqa: F401 - they load torch and transformers
    from runner.shared import Shared

    return Shared()


def main() -> None:
    descriptor, path = int(sys.argv[1]), sys.argv[2]
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the driver's to hear
    signal.signal(signal.SIGTERM, _end)
    line = Line(Connection(descriptor))
    from store import open_store

    shared = load_libraries()
    store = open_store(path, create=False)
    with contextlib.suppress(_Ending):
        while (task := line.next_task()) is not None:
            line.say(carry_out(task, store, shared, line))
    store.close()


def _end(number: int, frame: FrameType | None) -> None:
    raise _Ending(signal.Signals(number).name)


if __name__ == "__main__":
    main()
