"""The watchdog: a thread that sees what a training that hangs cannot tell, and a disk that fills up."""

import contextlib
import logging
import shutil
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from evals import alerts as rules
from evals.alerts import Alert
from runner.alerts import Alerts

POLL_SECONDS = 2.0
"""How often it looks: a stall is told a minute late at least, so this is soon enough and costs nothing."""

DISK_SECONDS = 30.0
"""How often it asks how much of the disk is free."""

_STEPS_KEPT = 200
_LOOKS_KEPT = 60  # two minutes of waiting for data against computing
_log = logging.getLogger(__name__)


class Watchdog:
    """Looks after one training from a thread of its own, between entering and leaving the context.

    Args:
        alerts: told of a stall, a dead or slow data loader and a disk that is nearly full.
        folders: where the run writes; those that do not exist are left out.
        checkpoint_bytes: what the next checkpoint takes, 0 where none is saved.
        stall_seconds: no stall is shorter.
    """

    def __init__(
        self,
        alerts: Alerts,
        *,
        folders: Sequence[Path] = (),
        checkpoint_bytes: Callable[[], int] = lambda: 0,
        poll_seconds: float = POLL_SECONDS,
        stall_seconds: float = rules.STALL_SECONDS,
    ) -> None:
        self._alerts = alerts
        self._folders = tuple(folders)
        self._checkpoint_bytes = checkpoint_bytes
        self._poll_seconds, self._stall_seconds = poll_seconds, stall_seconds
        self._lock = threading.Lock()  # guards all that follows
        self._step: int | None = None
        self._n_moves = 0
        self._n_resting = 0
        self._is_waiting = False
        self._step_seconds: deque[float] = deque(maxlen=_STEPS_KEPT)
        self._worked, self._waited = 0.0, 0.0  # seconds since the last look
        self._moved_at = time.perf_counter()
        # only the looking thread uses these
        self._seen_moves = 0
        self._still_seconds = 0.0
        self._looks: deque[tuple[float, float]] = deque(maxlen=_LOOKS_KEPT)
        self._disk_seconds = DISK_SECONDS
        self._watched: int | None = None
        self._stop = threading.Event()
        self._telling = threading.Lock()
        self._thread = threading.Thread(target=self._keep_looking, name="watchdog", daemon=True)

    # what the training tells ---------------------------------------------------------------------------------------

    def step(self, step: int) -> None:
        """A step has ended."""
        now = time.perf_counter()
        with self._lock:
            seconds = now - self._moved_at
            self._step, self._moved_at = step, now
            self._n_moves += 1
            self._step_seconds.append(seconds)
            self._worked += seconds

    @contextlib.contextmanager
    def waiting(self) -> Iterator[None]:
        """Inside, the training waits for its next batches."""
        began = time.perf_counter()
        self._is_waiting = True
        try:
            yield
        finally:
            with self._lock:
                self._is_waiting = False
                self._waited += time.perf_counter() - began

    @contextlib.contextmanager
    def resting(self) -> Iterator[None]:
        """Inside there are no steps, and that is as it should be: an evaluation, a checkpoint."""
        with self._lock:
            self._n_resting += 1
            rested_at = time.perf_counter()
        try:
            yield
        finally:
            with self._lock:
                self._n_resting -= 1
                self._n_moves += 1
                self._moved_at += time.perf_counter() - rested_at  # the step around it took no longer for it

    # what it sees --------------------------------------------------------------------------------------------------

    def look(self, elapsed: float) -> None:
        """Look once, `elapsed` seconds after the last time."""
        with self._lock:
            is_still = self._n_moves == self._seen_moves and not self._n_resting
            self._seen_moves = self._n_moves
            step, is_waiting, seconds = self._step, self._is_waiting, np.array(self._step_seconds)
            self._looks.append((self._waited, self._worked))
            self._worked, self._waited = 0.0, 0.0
        self._still_seconds = self._still_seconds + elapsed if is_still else 0.0
        waited, worked = np.array(self._looks).T
        self._note("slow loader", rules.slow_loader(waited, worked, step=step))
        found = rules.stall(
            self._still_seconds,
            seconds,
            step=step,
            is_waiting=is_waiting,
            least_seconds=self._stall_seconds,
            where=self._where() if self._still_seconds > self._stall_seconds else "",
        )
        self._note("stall", found)
        self._disk_seconds += elapsed
        if self._disk_seconds >= DISK_SECONDS:
            self._disk_seconds = 0.0
            self._look_at_disks()

    def _look_at_disks(self) -> None:
        for folder in self._folders:
            with contextlib.suppress(OSError):
                free = shutil.disk_usage(folder).free
                found = rules.disk_low(free, self._checkpoint_bytes(), folder=str(folder))
                self._note(f"disk {folder}", found)

    def _note(self, rule: str, found: Alert | None) -> None:
        """Nothing is told once the training is over: the run's record may have ended by then."""
        with self._telling:
            if not self._stop.is_set():
                self._alerts.note(rule, found)

    def _where(self) -> str:
        """The line that the training is at: the innermost one outside Python's own library that can be told."""
        frame = sys._current_frames().get(self._watched or 0)
        lines = traceback.extract_stack(frame)[-1:] if frame is not None else []
        return "".join(f"{Path(line.filename).name}:{line.lineno} ({line.name})" for line in lines)

    def _keep_looking(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(self._poll_seconds):
            now = time.monotonic()
            # A process that was stopped for an hour (Ctrl-Z, a debugger) did not hang for an hour.
            elapsed, last = min(now - last, 2 * self._poll_seconds), now
            try:
                self.look(elapsed)
            except Exception:  # a mistake of ours must not end the thread, nor disturb the training
                _log.warning("the watchdog could not look", exc_info=True)

    def __enter__(self) -> Self:
        self._watched = threading.get_ident()
        self._moved_at = time.perf_counter()
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._telling:
            self._stop.set()
        self._thread.join(timeout=1.0)  # a disk that hangs may hold it
